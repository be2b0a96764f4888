//! What the buttons of a page do.

use serde_json::json;

use super::access;
use super::answers::{nothing_here, of_json, refused};
use super::link::Link;
use super::stage::Guide;
use crate::http::Status;
use crate::lab::message::Refused;
use crate::lab::orders::Order;
use crate::server::{OwnedRequest, Reply};

/// What a button does.
pub(super) fn command(
    link: &Link,
    guide: Option<&dyn Guide>,
    is_read_only: bool,
    what: &str,
    request: &OwnedRequest,
) -> Reply {
    if !access::is_from_own_page(request) {
        return refused(Status::FORBIDDEN, "only the lab's own page may do this");
    }
    if is_read_only {
        return refused(Status::FORBIDDEN, "this lab is for looking only (--read-only)");
    }
    let query = request.query().unwrap_or_default();
    let obeyed = obey(link, what, query).or_else(|| guide?.obey(what, query));
    match obeyed {
        Some(Ok(())) => of_json(Status::OK, &json!({"ok": true})),
        Some(Err(Refused::Query(text))) => refused(Status::BAD_REQUEST, &text),
        Some(Err(Refused::Now(text))) => refused(Status::CONFLICT, &text),
        None => nothing_here(),
    }
}

/// Holds the loop, or lets it go; `None` if that is another command.
fn obey(link: &Link, what: &str, query: &str) -> Option<Result<(), Refused>> {
    Some(Order::of(what, query)?.map(|order| match order {
        Order::Go(going, why) => link.order(going, why),
        Order::Slow(dwell) => link.slow(dwell),
    }))
}
