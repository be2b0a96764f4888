//! What goes wrong, and what is said about it: never nothing.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use helloop::client::{Client, Error, ErrorKind, Phase, Timeouts};

use crate::server::{Server, get, run, script};

fn error(url: &str) -> Error {
    get(url.to_owned(), |client| client).unwrap_err()
}

fn check(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` should say `{word}`");
    }
}

#[test]
fn a_url_that_cannot_be_fetched() {
    check(&error("example.com"), ErrorKind::Url, &["`example.com`", "relative URL"]);
    check(&error("ftp://localhost/"), ErrorKind::Url, &["http:// or https://"]);
    let secret = error("http://user:sec/ret@localhost/");
    check(&secret, ErrorKind::Url, &["`http://localhost/`", "port"]);
    assert!(!secret.to_string().contains("user"), "{secret}");
    check(&error("http://"), ErrorKind::Url, &["empty host"]);
    check(&error(""), ErrorKind::Url, &["not a URL"]);
}

#[test]
fn a_header_that_cannot_be_sent() {
    let send = |name: &'static str, value: &'static str| {
        run(move |handle| async move {
            let request = Client::new(&handle).get("http://127.0.0.1:9/").header(name, value);
            request.send().await.map(drop).unwrap_err()
        })
    };
    check(&send("X", "a\r\nHost: b"), ErrorKind::Request, &["`X`", "control character"]);
    check(&send("a b", "c"), ErrorKind::Request, &["`a b`", "token"]);
    check(&send("Content-Length", "5"), ErrorKind::Request, &["Content-Length"]);
    check(&send("host", "b"), ErrorKind::Request, &["host"]);
}

#[test]
fn a_body_that_cannot_be_sent() {
    let send = |method: &'static str| {
        run(move |handle| async move {
            let request = Client::new(&handle).request(method, "http://127.0.0.1:9/");
            request.body("x").send().await.map(drop).unwrap_err()
        })
    };
    check(&send("TRACE"), ErrorKind::Request, &["TRACE", "body"]);
}

#[test]
fn a_port_that_nobody_listens_on() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = error(&format!("http://{address}/"));
    check(&error, ErrorKind::Connect, &[&address.to_string(), "refused"]);
    assert_eq!((error.class(), error.phase()), ("connect", Phase::Connect));
}

#[test]
fn a_name_that_does_not_exist() {
    let error = error("http://nonexistent.invalid/");
    check(&error, ErrorKind::Resolve, &["nonexistent.invalid", "cannot resolve"]);
}

#[test]
fn every_address_of_localhost_is_tried_and_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = error(&format!("http://localhost:{port}/"));
    let (v4, v6) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    check(&error, ErrorKind::Connect, &[&v4, &v6, &format!("localhost:{port}")]);
}

#[test]
fn replies_that_are_none_are_refused() {
    for (answer, kind, words) in [
        ("", ErrorKind::Truncated, "reply"),
        ("HTTP/1.1 200", ErrorKind::Truncated, "12 bytes"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n", ErrorKind::Truncated, "head"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ErrorKind::Truncated, "3 of 5"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            ErrorKind::Truncated,
            "2",
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n", ErrorKind::Protocol, "HTTP"),
        ("HTTP/2 200 OK\r\n\r\n", ErrorKind::Protocol, "status line"),
        ("HTTP/1.1 200 OK\nA: b\n\n", ErrorKind::Protocol, "LF without CR"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
            ErrorKind::Protocol,
            "LF without CR",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ErrorKind::Protocol,
            "Transfer-Encoding: not in HTTP/1.0",
        ),
        ("HTTP/1.1 101 Switching\r\n\r\n", ErrorKind::Protocol, "101"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ErrorKind::Protocol, "Content-Length"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ErrorKind::Protocol,
            "Transfer-Encoding",
        ),
    ] {
        let server = Server::answering(answer);
        let error = error(&server.url("/"));
        check(&error, kind, &[words, &server.address.to_string()]);
    }
}

#[test]
fn a_reset_is_called_one() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"] {
        let server = Server::start(vec![script(move |peer| {
            peer.request();
            peer.send(answer.as_bytes());
            peer.reset();
        })]);
        let error = error(&server.url("/"));
        check(&error, ErrorKind::Reset, &[&server.address.to_string(), "reset"]);
    }
}

#[test]
fn silence_ends_at_the_limit_of_its_phase() {
    let short = Duration::from_millis(50);
    let hang = |answer: &'static str| {
        Server::start(vec![script(move |peer| {
            peer.request();
            peer.send(answer.as_bytes());
            peer.wait_for_close();
        })])
    };
    let server = hang("HTTP/1.1 200 OK\r\n");
    let timeouts = Timeouts { head: short, ..Timeouts::default() };
    let error = get(server.url("/"), move |client| client.timeouts(timeouts)).unwrap_err();
    check(&error, ErrorKind::Timeout, &["50ms", "no reply", &server.address.to_string()]);
    assert_eq!(error.phase(), Phase::Head);

    let server = hang("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    let timeouts = Timeouts { body_progress: short, ..Timeouts::default() };
    let error = get(server.url("/"), move |client| client.timeouts(timeouts)).unwrap_err();
    check(&error, ErrorKind::Timeout, &["50ms", "body"]);
    assert_eq!(error.phase(), Phase::Body);

    let server = hang("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    let timeouts = Timeouts { whole: Some(short), ..Timeouts::default() };
    let error = get(server.url("/"), move |client| client.timeouts(timeouts)).unwrap_err();
    check(&error, ErrorKind::Timeout, &["50ms", "whole"]);
}
