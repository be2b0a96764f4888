//! The service that says hello: `GET /World` is answered `Hello, World!`.

use crate::http::{BodyPolicy, Request, Response, Status, decode_segment};
use crate::server::Service;

/// The name in the greeting where the path has none.
const NOBODY: &str = "Anonymous";

/// What `Allow` says wherever something is found.
const ALLOWED: &str = "GET, HEAD";

/// Greets the name in the path, as the documents' program does with its route `/{name}`.
///
/// The name is percent-decoded once, as UTF-8; a `+` is a plus, dots are letters, the query is
/// ignored. Nothing is normalised, nothing redirected.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greeting;

impl Service for Greeting {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        if request.path() == "*" {
            // `OPTIONS *`: the server as a whole.
            return allow(response.status(Status::NO_CONTENT));
        }
        // Raw, and empty if the path has none.
        let name =
            request.path().strip_prefix('/').filter(|name| name.bytes().all(|byte| byte != b'/'));
        match (request.method(), name) {
            ("GET" | "HEAD", Some(name)) => match decode_segment(name) {
                Ok(name) => {
                    let name = if name.is_empty() { NOBODY } else { &name };
                    response.text_of(&["Hello, ", name, "!\n"]);
                }
                Err(error) => {
                    response.status(Status::BAD_REQUEST);
                    response.text(format_args!("The name is wrong: {error}.\n"));
                }
            },
            ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE", None) => {
                response.status(Status::NOT_FOUND);
                response.text("There is nothing here. Try /World.\n");
            }
            ("POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE", Some(_)) => {
                allow(response.status(Status::METHOD_NOT_ALLOWED));
                response.text("Only GET and HEAD are allowed here.\n");
            }
            _ => {
                response.status(Status::NOT_IMPLEMENTED);
                response.text("The method is not known here. Try GET.\n");
            }
        }
    }

    /// A greeting has no use for a body.
    fn body_policy(&self, _: &Request<'_>) -> BodyPolicy {
        BodyPolicy::Discard
    }
}

fn allow(response: &mut Response) {
    response.header("Allow", ALLOWED).expect("a constant field that a service may set");
}
