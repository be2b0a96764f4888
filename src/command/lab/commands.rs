//! What the buttons of a page do.

use std::time::Duration;

use helloop::http::Status;
use helloop::server::{OwnedRequest, Reply};
use serde_json::json;

use super::access;
use super::link::{Going, Unit, Until};
use super::server::{Lab, nothing_here, of_json, refused};
use super::traffic::Scenario;

/// Slow motion is at most so slow.
const DWELL_MAX: Duration = Duration::from_secs(10);

/// What a button does.
pub(super) fn command(lab: &Lab, what: &str, request: &OwnedRequest) -> Reply {
    if !access::is_from_own_page(request) {
        return refused(Status::FORBIDDEN, "only the lab's own page may do this");
    }
    if lab.facts.is_read_only {
        return refused(Status::FORBIDDEN, "this lab is for looking only (--read-only)");
    }
    let query = request.query().unwrap_or_default();
    match obey(lab, what, query) {
        Ok(()) => of_json(Status::OK, &json!({"ok": true})),
        Err(Wrong::Unknown) => nothing_here(),
        Err(Wrong::Query(text)) => refused(Status::BAD_REQUEST, text),
        Err(Wrong::Now(text)) => refused(Status::CONFLICT, text),
    }
}

/// Why a command was not obeyed.
enum Wrong {
    /// There is no such command.
    Unknown,
    /// What it was told makes no sense.
    Query(&'static str),
    /// It cannot be done now, or here.
    Now(&'static str),
}

fn obey(lab: &Lab, what: &str, query: &str) -> Result<(), Wrong> {
    let link = &lab.link;
    match what {
        "pause" => link.order(Going::Paused, "pause"),
        "resume" => link.order(Going::On, ""),
        "step-resume" => link.order(Going::Step(Unit::Resume), "step"),
        "step-turn" => link.order(Going::Step(Unit::Turn), "step"),
        "until" => link.order(Going::Until(until(query)?), "until"),
        "slow" => link.slow(dwell(query)?),
        "traffic" => {
            let wrong = Wrong::Query("scenario= is none that there is");
            let scenario = parameter(query, "scenario").and_then(Scenario::of_name).ok_or(wrong)?;
            if scenario.needs_lessons() && !lab.facts.has_lessons {
                return Err(Wrong::Now("only `helloop lab` has what this asks for"));
            }
            let started = lab.traffic.start(scenario);
            started.map_err(|_busy| Wrong::Now("too much is under way; wait for it"))?;
        }
        _ => return Err(Wrong::Unknown),
    }
    Ok(())
}

fn until(query: &str) -> Result<Until, Wrong> {
    match parameter(query, "what") {
        Some("accept") => Ok(Until::Accept),
        Some("would-block") => Ok(Until::WouldBlock),
        Some("stall") => Ok(Until::Stall),
        Some("connection") => {
            let task = parameter(query, "task").and_then(|task| task.parse().ok());
            task.map(Until::Resume).ok_or(Wrong::Query("task= is no task, such as 5.2"))
        }
        _ => Err(Wrong::Query("what= is accept, would-block, stall or connection")),
    }
}

fn dwell(query: &str) -> Result<Duration, Wrong> {
    let millis = parameter(query, "dwell_ms").and_then(|millis| millis.parse().ok());
    let dwell = millis.map(Duration::from_millis).filter(|dwell| *dwell <= DWELL_MAX);
    dwell.ok_or(Wrong::Query("dwell_ms= is a number from 0 to 10000"))
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
