//! What real servers send, and should not.

use serde_json::Value;

use super::{fetch, objects};
use crate::program::run;
use crate::server::Server;

/// Fetches from a server that gives this answer: exit code, the JSON object, standard error.
fn told(answer: &[u8], arguments: &[&str]) -> (Option<i32>, Value, String) {
    let server = Server::answering(answer);
    let (code, output, said) = run(fetch(arguments).args(["--json", &server.url("/")]));
    let object = objects(&output).into_iter().next().unwrap();
    (code, object, said.replace(&server.address.to_string(), "SERVER"))
}

#[test]
fn what_servers_should_not_send_is_told_as_it_is() {
    for (status, words) in [("999", "answered 999"), ("600", "answered 600"), ("099", "099")] {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno");
        let (code, object, _) = told(answer.as_bytes(), &[]);
        assert_eq!((code, &object["bytes"]), (Some(0), &2.into()), "{object}");
        assert_eq!(object["status"], status.trim_start_matches('0').parse::<u16>().unwrap());
        let (code, object, _) = told(answer.as_bytes(), &["--fail"]);
        assert_eq!((code, &object["error"]), (Some(4), &"status".into()), "{object}");
        let message = object["message"].as_str().unwrap();
        assert!(message.contains(words) && message.contains("no status of HTTP"), "{message}");
    }
}

#[test]
fn a_text_that_is_not_in_its_charset_is_marked() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6";
    for (body, undecodable) in [(&b"J\xfcrgen"[..], 1), ("Jürge".as_bytes(), 0)] {
        let answer = [head.as_bytes(), b"\r\n\r\n", body].concat();
        let (code, object, said) = told(&answer, &[]);
        assert_eq!((code, said.as_str()), (Some(0), ""));
        assert_eq!(object["undecodable"], undecodable, "{object}");
    }
}

#[test]
fn a_coding_that_is_not_known_is_a_failure_unless_it_was_asked_for() {
    let answer =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: compress\r\nContent-Length: 3\r\n\r\n\x1f\x9d\x90";
    let (code, object, _) = told(answer, &[]);
    assert_eq!((code, &object["error"]), (Some(1), &"protocol".into()), "{object}");
    assert!(object["message"].as_str().unwrap().contains("`compress`"), "{object}");
    let (code, object, _) = told(answer, &["-H", "Accept-Encoding: compress"]);
    assert_eq!((code, &object["characters"]), (Some(0), &Value::Null), "{object}");
    assert_eq!((&object["bytes"], &object["content_encoding"]), (&3.into(), &"compress".into()));
}
