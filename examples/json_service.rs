//! A JSON service of five routes, with state, a query, cookies and a POST: `cargo run --example json_service`, then
//!
//! ```sh
//! curl -d '{"title": "write more tests"}' http://localhost:8080/tasks
//! curl 'http://localhost:8080/tasks?contains=tests'
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use cookie::Cookie;
use helloop::http::{BodyPolicy, Request, Response, Status};
use helloop::server::{Router, Server, service, with_body_policy};
use serde_json::{Value, json};

/// The tasks by their numbers. One thread serves, so an `Rc` is enough.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<BTreeMap<u64, String>>>);

/// The number that stands in the path, if a task has it.
fn number(request: &Request<'_>, tasks: &Tasks) -> Option<u64> {
    let number = request.param("number")?.parse().ok()?;
    tasks.0.borrow().contains_key(&number).then_some(number)
}

fn say(response: &mut Response, status: Status, value: &Value) {
    response.status(status).json(value).expect("a `Value` is always JSON");
}

fn routes(tasks: &Tasks) -> Router {
    let with = |answer: fn(&Request<'_>, &mut Response, &Tasks)| {
        let tasks = tasks.clone();
        move |request: &Request<'_>, response: &mut Response| answer(request, response, &tasks)
    };
    // A title is short; whatever is longer is refused before it is read.
    let create = with_body_policy(with(create), |_| BodyPolicy::CollectAtMost(1024));
    Router::new()
        .get("/tasks", with(list))
        .route("POST", "/tasks", create)
        .get("/tasks/{number}", with(show))
        .delete("/tasks/{number}", with(delete))
        .get("/visits", visits)
        .fallback(service(|request, response| {
            say(response, Status::NOT_FOUND, &json!({ "nothing": request.path() }));
        }))
}

/// `?contains=WORD` chooses some.
fn list(request: &Request<'_>, response: &mut Response, tasks: &Tasks) {
    let word = request.query_value("contains").unwrap_or_default();
    let tasks = tasks.0.borrow();
    let chosen = tasks.iter().filter(|(_, title)| title.contains(&*word));
    let chosen: Vec<Value> =
        chosen.map(|(number, title)| json!({ "number": number, "title": title })).collect();
    say(response, Status::OK, &chosen.into());
}

fn create(request: &Request<'_>, response: &mut Response, tasks: &Tasks) {
    let task: Value = match request.json() {
        Ok(task) => task,
        Err(error) => {
            return say(response, Status::BAD_REQUEST, &json!({ "error": error.to_string() }));
        }
    };
    let Some(title) = task["title"].as_str() else {
        return say(response, Status::UNPROCESSABLE_CONTENT, &json!({ "error": "no title" }));
    };
    let mut tasks = tasks.0.borrow_mut();
    let number = tasks.last_key_value().map_or(1, |(last, _)| last + 1);
    tasks.insert(number, title.to_owned());
    response.header("Location", &format!("/tasks/{number}")).expect("a good field");
    say(response, Status::CREATED, &json!({ "number": number, "title": title }));
}

fn show(request: &Request<'_>, response: &mut Response, tasks: &Tasks) {
    let Some(number) = number(request, tasks) else {
        return say(response, Status::NOT_FOUND, &json!({ "error": "no such task" }));
    };
    let title = &tasks.0.borrow()[&number];
    say(response, Status::OK, &json!({ "number": number, "title": title }));
}

fn delete(request: &Request<'_>, response: &mut Response, tasks: &Tasks) {
    let Some(number) = number(request, tasks) else {
        return say(response, Status::NOT_FOUND, &json!({ "error": "no such task" }));
    };
    tasks.0.borrow_mut().remove(&number);
    response.status(Status::NO_CONTENT);
}

/// How often this browser was here: a cookie knows.
fn visits(request: &Request<'_>, response: &mut Response) {
    let before = request.cookie("visits").and_then(|cookie| cookie.value().parse::<u64>().ok());
    let visits = before.unwrap_or(0).saturating_add(1);
    let cookie = Cookie::build(("visits", visits.to_string())).path("/").http_only(true);
    response.cookie(&cookie.into()).expect("a number is a good value");
    say(response, Status::OK, &json!({ "visits": visits }));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8080".into());
    let server = Server::builder().bind(&address)?;
    println!("Server started at http://{}/", server.local_addrs()[0]);
    server.serve_until_signal(routes(&Tasks::default()))?;
    Ok(())
}
