//! Two books of one business: what the gateway meant to pass on, and what the server saw.

use serde_json::Value;

use crate::fronts::gateway::Kind;
use crate::fronts::inputs::Input;

/// A request that a gateway passed on.
#[derive(Debug)]
pub(crate) struct Meant {
    method: String,
    target: String,
    /// The status of the server's answer; `None` if none came.
    status: Option<u16>,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The other end of its connection.
    peer: String,
    /// Method and target; `None` if the head was refused.
    asked: Option<(String, String)>,
    status: u16,
}

impl Seen {
    fn is_asked_by(&self, meant: &Meant) -> bool {
        let is_same = |(method, target): &(String, String)| {
            *method == meant.method && *target == meant.target
        };
        self.asked.as_ref().is_some_and(is_same)
    }
}

/// What the server's access log says.
pub(crate) fn seen(log: &[u8]) -> Vec<Seen> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let line = |line: Value| Seen {
        peer: text(&line["peer"]).unwrap(),
        asked: text(&line["method"]).zip(text(&line["target"])),
        status: line["status"].as_u64().unwrap().try_into().unwrap(),
    };
    json_lines(log).map(line).collect()
}

/// What nginx's log says. What it answered by itself is left out.
pub(crate) fn of_nginx(log: &[u8]) -> Vec<Meant> {
    let line = |line: Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let status = text("status");
        // Empty: nothing was passed on.
        let is_passed_on = !status.is_empty();
        let status = status.parse().ok().filter(|status| *status != 502);
        let target = match text("target") {
            // What it logs of `http://host?query`; what it passes on has a path.
            query if query.starts_with('?') => format!("/{query}"),
            target => target,
        };
        is_passed_on.then(|| Meant { method: text("method"), target, status })
    };
    json_lines(log).filter_map(line).collect()
}

/// What haproxy's log says. What it answered by itself is left out.
pub(crate) fn of_haproxy(log: &[u8]) -> Vec<Meant> {
    let text = String::from_utf8_lossy(log);
    let line = |line: &str| {
        let [server, response_ms, status, method, target] =
            line.strip_prefix("request ")?.splitn(5, ' ').collect::<Vec<_>>().try_into().ok()?;
        let is_answered = response_ms != "-1";
        let status = is_answered.then(|| status.parse().unwrap());
        (server == "server").then(|| Meant {
            method: unescaped(method),
            target: unescaped(target),
            status,
        })
    };
    text.lines().filter_map(line).collect()
}

/// In haproxy's log, `#23` is a byte.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('#');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json_lines(log: &[u8]) -> impl Iterator<Item = Value> {
    let text = String::from_utf8_lossy(log).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines
        .into_iter()
        .map(|line| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
}

/// Every answer of the server is one to a request that the gateway meant, in order, and the gateway
/// took it for the answer to that request; and the other way round.
pub(crate) fn compare(kind: Kind, meant: &[Meant], seen: &[Seen]) {
    let mut rest = seen.iter().enumerate().peekable();
    for meant in meant {
        let Some(status) = meant.status else {
            // Given up, whether it was whole or not: the server may have answered it, or not.
            let _ = rest.next_if(|(_, seen)| seen.is_asked_by(meant));
            continue;
        };
        let Some((at, seen_next)) = rest.next() else {
            panic!("{kind:?}: the server never saw {meant:?}");
        };
        let is_same = seen_next.asked.is_none() || seen_next.is_asked_by(meant);
        let before = &seen[at.saturating_sub(3)..at];
        assert!(
            is_same && seen_next.status == status,
            "{kind:?} meant {meant:?}, and the server saw {seen_next:?}, behind {before:#?}"
        );
    }
    assert!(rest.peek().is_none(), "{kind:?} never meant {:?}", rest.collect::<Vec<_>>());
}

/// Most markers came over connections that had served others before; the rest followed an answer
/// that closed.
pub(crate) fn check_markers(kind: Kind, seen: &[Seen], inputs: &[Input]) {
    let is_marker =
        |seen: &Seen| seen.asked.as_ref().is_some_and(|(_, target)| target.starts_with("/marker-"));
    let markers = seen.windows(2).filter(|two| is_marker(&two[1]));
    let kept = markers.filter(|two| two[0].peer == two[1].peer).count();
    assert!(kept * 2 > inputs.len(), "{kind:?}: only {kept} markers over a kept connection");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    fn meant(target: &str, status: Option<u16>) -> Meant {
        Meant { method: "GET".into(), target: target.into(), status }
    }

    fn seen(target: &str, status: u16) -> Seen {
        Seen { peer: "p".into(), asked: Some(("GET".into(), target.into())), status }
    }

    #[test]
    fn a_request_that_nobody_meant_is_noticed() {
        let meant = [meant("/a", Some(200)), meant("/b", None), meant("/c", Some(404))];
        let refused = Seen { asked: None, ..seen("", 404) };
        let agrees = |seen: &[Seen]| catch_unwind(|| compare(Kind::Nginx, &meant, seen)).is_ok();
        assert!(agrees(&[seen("/a", 200), seen("/c", 404)]));
        assert!(agrees(&[seen("/a", 200), seen("/b", 200), seen("/c", 404)]));
        assert!(agrees(&[seen("/a", 200), refused]));
        // Smuggled between, smuggled behind, missing, exchanged, and another answer.
        assert!(!agrees(&[seen("/a", 200), seen("/s", 200), seen("/c", 404)]));
        assert!(!agrees(&[seen("/a", 200), seen("/c", 404), seen("/s", 404)]));
        assert!(!agrees(&[seen("/a", 200)]));
        assert!(!agrees(&[seen("/c", 404), seen("/a", 200)]));
        assert!(!agrees(&[seen("/a", 404), seen("/c", 404)]));
    }
}
