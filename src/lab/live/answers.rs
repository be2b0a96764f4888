//! What the lab's server answers: the page, and objects of JSON.

use serde_json::{Value, json};

use crate::http::{Response, Status};
use crate::lab::message::Refused;
use crate::lab::page::PAGE;
use crate::server::{BodyReceiver, Reply};

/// The page may run its own script, talk with its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn the_page() -> Reply {
    let mut response = Response::new();
    response.body("text/html; charset=utf-8", PAGE.as_bytes()).expect("a constant type");
    // The address is a secret, and must not be sent anywhere.
    for (name, value) in [("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer")] {
        response.header(name, value).expect("a constant field");
    }
    no_store(&mut response);
    response.into()
}

pub(super) fn nothing_here() -> Reply {
    refused(Status::NOT_FOUND, "there is nothing here")
}

/// A stream of server-sent events.
pub(super) fn stream(receiver: BodyReceiver) -> Reply {
    let mut response = Response::new();
    response.header("Content-Type", "text/event-stream").expect("a constant field");
    no_store(&mut response);
    Reply::Streamed(response, receiver)
}

/// Refuses a stranger, whose connection is not kept.
pub(super) fn turned_away(status: Status, error: &str) -> Reply {
    let mut response = json_response(status, &json!({"error": error}));
    response.close();
    response.into()
}

pub(super) fn refused(status: Status, error: &str) -> Reply {
    of_json(status, &json!({"error": error}))
}

/// What became of a command.
pub(super) fn obeyed(done: Result<(), Refused>) -> Reply {
    match done {
        Ok(()) => of_json(Status::OK, &json!({"ok": true})),
        Err(Refused::Query(text)) => refused(Status::BAD_REQUEST, &text),
        Err(Refused::Now(text)) => refused(Status::CONFLICT, &text),
    }
}

pub(super) fn of_json(status: Status, value: &Value) -> Reply {
    json_response(status, value).into()
}

fn json_response(status: Status, value: &Value) -> Response {
    let mut response = Response::new();
    let text = format!("{value}\n");
    response.status(status).body("application/json", text.as_bytes()).expect("a constant type");
    no_store(&mut response);
    response
}

fn no_store(response: &mut Response) {
    for (name, value) in [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")] {
        response.header(name, value).expect("a constant field");
    }
}
