//! Which service answers which path and method.

use std::fmt;

use super::{Service, Start};
use crate::event_loop::Handle;
use crate::http::{BodyPolicy, Params, Request, Response, Status, decode_segment};

/// A service that consists of others, by path and method.
///
/// ```
/// use helloop::http::Response;
/// use helloop::server::{Router, Service, coroutines};
/// use std::cell::Cell;
///
/// let visits = Cell::new(0);
/// let router = Router::new()
///     .get("/", move |_, response| {
///         visits.set(visits.get() + 1);
///         response.text(visits.get());
///     })
///     .get("/users/{name}", |request, response| {
///         let name = request.param("name").expect("a parameter of this route");
///         response.text(format_args!("This is {name}.\n"));
///     })
///     .route("POST", "/slow", coroutines(|request| async move {
///         request.handle().sleep(std::time::Duration::from_millis(10)).await;
///         Response::new()
///     }));
///
/// let mut response = Response::new();
/// router.call(&helloop::http::Request::new("GET", "/users/J%C3%BCrgen")?, &mut response);
/// assert_eq!(response.current_body(), "This is Jürgen.\n".as_bytes());
/// # Ok::<(), helloop::http::Error>(())
/// ```
///
/// A path is that of the crate `matchit`: `{name}` is one segment, `{*rest}` all that are left, and what is written out
/// goes before what is a parameter. It is compared with the raw path; parameters are decoded, and one that cannot be is
/// answered 400. HEAD is answered as GET, whose body is not sent. A path without a route is answered 404, a method
/// without one 405 with `Allow`.
///
/// Services need not be `Send`, so that they can share an `Rc`. For a server on a thread of its own, see
/// [`Server::spawn_with`](super::Server::spawn_with).
#[derive(Default)]
pub struct Router {
    /// Positions in `routes`.
    paths: matchit::Router<usize>,
    routes: Vec<Route>,
    fallback: Option<Box<dyn Service>>,
}

struct Route {
    path: String,
    /// Method and service, in the order in which they were added.
    methods: Vec<(String, Box<dyn Service>)>,
}

/// What is to be done with a request.
enum Verdict<'r> {
    /// With these parameters.
    Serve(&'r dyn Service, Params),
    NotFound,
    NotAllowed(&'r Route),
    /// A parameter cannot be decoded.
    BadParameter,
}

impl Router {
    /// No routes.
    pub fn new() -> Router {
        Router::default()
    }

    /// Requests with this method and this path go to `service`.
    ///
    /// # Panics
    /// If `path` is not a good one, or contradicts another, or there is such a route already.
    #[track_caller]
    pub fn route(mut self, method: &str, path: &str, service: impl Service + 'static) -> Router {
        let known = self.routes.iter().position(|route| route.path == path);
        let at = known.unwrap_or_else(|| {
            if let Err(error) = self.paths.insert(path, self.routes.len()) {
                panic!("the route {method} {path}: {error}");
            }
            self.routes.push(Route { path: path.to_owned(), methods: Vec::new() });
            self.routes.len() - 1
        });
        let route = &mut self.routes[at];
        assert!(route.find(method).is_none(), "two routes for {method} {path}");
        route.methods.push((method.to_owned(), Box::new(service)));
        self
    }

    /// GET, and HEAD; see [`route`](Router::route).
    #[track_caller]
    pub fn get<F: Fn(&Request<'_>, &mut Response) + 'static>(self, path: &str, f: F) -> Router {
        self.route("GET", path, f)
    }

    /// POST; see [`route`](Router::route).
    #[track_caller]
    pub fn post<F: Fn(&Request<'_>, &mut Response) + 'static>(self, path: &str, f: F) -> Router {
        self.route("POST", path, f)
    }

    /// PUT; see [`route`](Router::route).
    #[track_caller]
    pub fn put<F: Fn(&Request<'_>, &mut Response) + 'static>(self, path: &str, f: F) -> Router {
        self.route("PUT", path, f)
    }

    /// DELETE; see [`route`](Router::route).
    #[track_caller]
    pub fn delete<F: Fn(&Request<'_>, &mut Response) + 'static>(self, path: &str, f: F) -> Router {
        self.route("DELETE", path, f)
    }

    /// Requests whose path has no route go to `service`.
    pub fn fallback(mut self, service: impl Service + 'static) -> Router {
        self.fallback = Some(Box::new(service));
        self
    }

    fn judge(&self, request: &Request<'_>) -> Verdict<'_> {
        let Ok(matched) = self.paths.at(request.path()) else {
            return match &self.fallback {
                Some(service) => Verdict::Serve(&**service, Params::new()),
                None => Verdict::NotFound,
            };
        };
        let route = &self.routes[*matched.value];
        let method = request.method();
        let of_get = || if method == "HEAD" { route.find("GET") } else { None };
        let Some(service) = route.find(method).or_else(of_get) else {
            return Verdict::NotAllowed(route);
        };
        let decoded = |(name, value): (&str, &str)| {
            decode_segment(value).map(|value| (name.to_owned(), value.into_owned()))
        };
        match matched.params.iter().map(decoded).collect() {
            Ok(params) => Verdict::Serve(service, params),
            Err(_) => Verdict::BadParameter,
        }
    }
}

impl Route {
    fn find(&self, method: &str) -> Option<&dyn Service> {
        let (_, service) = self.methods.iter().find(|(other, _)| other == method)?;
        Some(&**service)
    }

    /// The value of `Allow`.
    fn allowed(&self) -> String {
        let mut allowed: Vec<&str> = self.methods.iter().map(|(method, _)| &**method).collect();
        if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
        }
        allowed.join(", ")
    }
}

impl Service for Router {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        match self.judge(request) {
            Verdict::Serve(service, params) => {
                service.call(&request.with_params(&params), response);
            }
            other => other.refuse(response),
        }
    }

    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        match self.judge(request) {
            Verdict::Serve(service, params) => {
                service.start(&request.with_params(&params), response, handle)
            }
            other => {
                other.refuse(response);
                Start::Done
            }
        }
    }

    fn body_policy(&self, head: &Request<'_>) -> BodyPolicy {
        match self.judge(head) {
            Verdict::Serve(service, params) => service.body_policy(&head.with_params(&params)),
            _ => BodyPolicy::Discard,
        }
    }
}

impl Verdict<'_> {
    fn refuse(&self, response: &mut Response) {
        match self {
            Verdict::Serve(..) => unreachable!("it is served"),
            Verdict::NotFound => response.status(Status::NOT_FOUND).text("nothing is here\n"),
            Verdict::BadParameter => {
                response.status(Status::BAD_REQUEST).text("the path cannot be decoded\n")
            }
            Verdict::NotAllowed(route) => {
                // It fails for a method that no request can have.
                let _ = response.header("Allow", &route.allowed());
                response.status(Status::METHOD_NOT_ALLOWED).text("not by this method\n")
            }
        };
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.routes.iter().map(|route| (&route.path, route.allowed()));
        f.debug_map().entries(paths).finish()
    }
}

#[cfg(test)]
mod tests;
