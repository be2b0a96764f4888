use super::*;
use crate::http::Response;
use crate::server::{service, with_body_policy};

fn answer(router: &Router, method: &str, target: &str) -> (u16, String) {
    let mut response = Response::new();
    router.call(&Request::new(method, target).unwrap(), &mut response);
    let text = String::from_utf8(response.current_body().to_vec()).unwrap();
    (response.current_status().code(), text)
}

fn says(word: &'static str) -> impl Fn(&Request<'_>, &mut Response) {
    service(move |request, response| {
        let param = |name| request.param(name).unwrap_or("-");
        response.text(format_args!("{word} {} {}", param("id"), param("rest")));
    })
}

fn router() -> Router {
    Router::new()
        .get("/things", says("all"))
        .post("/things", says("new"))
        .get("/things/{id}", says("one"))
        .delete("/things/{id}", says("gone"))
        .get("/things/best", says("best"))
        .put("/files/{*rest}", says("file"))
        .route("REPORT", "/", says("report"))
}

#[test]
fn path_and_method_decide() {
    let router = router();
    let ok = |text: &str| (200, text.to_owned());
    assert_eq!(answer(&router, "GET", "/things?all"), ok("all - -"));
    assert_eq!(answer(&router, "HEAD", "/things"), ok("all - -"));
    assert_eq!(answer(&router, "POST", "/things"), ok("new - -"));
    assert_eq!(answer(&router, "GET", "/things/best"), ok("best - -"));
    assert_eq!(answer(&router, "GET", "/things/b%65st"), ok("one best -"));
    assert_eq!(answer(&router, "DELETE", "/things/7%2F8"), ok("gone 7/8 -"));
    assert_eq!(answer(&router, "PUT", "/files/a/b%20c"), ok("file - a/b c"));
    assert_eq!(answer(&router, "REPORT", "/"), ok("report - -"));
}

#[test]
fn what_has_no_route_is_refused() {
    let router = router();
    for (method, target) in [("GET", "/thing"), ("GET", "/things/"), ("OPTIONS", "*")] {
        assert_eq!(answer(&router, method, target).0, 404, "{method} {target}");
    }
    assert_eq!(answer(&router, "GET", "/things/%ff").0, 400);
    let mut response = Response::new();
    router.call(&Request::new("PATCH", "/things").unwrap(), &mut response);
    let expected = Response::new()
        .status(Status::METHOD_NOT_ALLOWED)
        .header("Allow", "GET, POST, HEAD")
        .unwrap()
        .text("not by this method\n")
        .clone();
    assert_eq!(format!("{response:?}"), format!("{expected:?}"));
    let router = router.fallback(says("else"));
    assert_eq!(answer(&router, "GET", "/nothing"), (200, "else - -".to_owned()));
}

#[test]
fn each_route_has_its_own_policy() {
    let strict = with_body_policy(says("small"), |head| {
        assert_eq!(head.param("id"), Some("x"));
        BodyPolicy::CollectAtMost(10)
    });
    let router = Router::new().route("POST", "/small/{id}", strict).post("/", says("any"));
    let policy = |target| router.body_policy(&Request::new("POST", target).unwrap());
    assert_eq!(policy("/small/x"), BodyPolicy::CollectAtMost(10));
    assert_eq!(policy("/"), BodyPolicy::Collect);
    assert_eq!(policy("/nowhere"), BodyPolicy::Discard);
}

#[test]
#[should_panic(expected = "two routes for GET /things/{id}")]
fn a_route_is_there_once() {
    drop(router().get("/things/{id}", says("again")));
}

#[test]
#[should_panic(expected = "the route GET /things/{name}: ")]
fn a_route_that_contradicts_another_is_refused() {
    drop(router().get("/things/{name}", says("again")));
}
