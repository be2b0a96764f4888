//! What the buttons of a page do.

use std::time::Duration;

use serde_json::json;

use super::access;
use super::answers::{nothing_here, of_json, refused};
use super::link::{Going, Link, Unit, Until};
use super::stage::{Guide, Refused};
use crate::http::Status;
use crate::server::{OwnedRequest, Reply};

/// Slow motion is at most so slow.
const DWELL_MAX: Duration = Duration::from_secs(10);

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
        Some(Err(Refused::Query(text))) => refused(Status::BAD_REQUEST, text),
        Some(Err(Refused::Now(text))) => refused(Status::CONFLICT, text),
        None => nothing_here(),
    }
}

/// Holds the loop, or lets it go; `None` if that is another command.
fn obey(link: &Link, what: &str, query: &str) -> Option<Result<(), Refused>> {
    match what {
        "pause" => link.order(Going::Paused, "pause"),
        "resume" => link.order(Going::On, ""),
        "step-resume" => link.order(Going::Step(Unit::Resume), "step"),
        "step-turn" => link.order(Going::Step(Unit::Turn), "step"),
        "until" => return Some(until(query).map(|until| link.order(Going::Until(until), "until"))),
        "slow" => return Some(dwell(query).map(|dwell| link.slow(dwell))),
        _ => return None,
    }
    Some(Ok(()))
}

fn until(query: &str) -> Result<Until, Refused> {
    match parameter(query, "what") {
        Some("accept") => Ok(Until::Accept),
        Some("would-block") => Ok(Until::WouldBlock),
        Some("stall") => Ok(Until::Stall),
        Some("connection") => {
            let task = parameter(query, "task").and_then(|task| task.parse().ok());
            task.map(Until::Resume).ok_or(Refused::Query("task= is no task, such as 5.2"))
        }
        _ => Err(Refused::Query("what= is accept, would-block, stall or connection")),
    }
}

fn dwell(query: &str) -> Result<Duration, Refused> {
    let millis = parameter(query, "dwell_ms").and_then(|millis| millis.parse().ok());
    let dwell = millis.map(Duration::from_millis).filter(|dwell| *dwell <= DWELL_MAX);
    dwell.ok_or(Refused::Query("dwell_ms= is a number from 0 to 10000"))
}

/// The value of `name` in `name=value&other=value`. Nothing here needs percent-decoding.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_parameters() {
        assert_eq!(parameter("what=connection&task=5.2", "task"), Some("5.2"));
        assert_eq!(parameter("what=connection&task=5.2", "what"), Some("connection"));
        assert_eq!(parameter("whatever=1", "what"), None);
        assert_eq!(parameter("", "what"), None);
    }
}
