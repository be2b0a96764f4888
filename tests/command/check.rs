//! `helloop check`, for HEALTHCHECK and scripts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;

use crate::program::{Program, command, run};
use crate::server::Server;

fn check(arguments: &[&str]) -> (Option<i32>, String) {
    let (code, output, said) = run(&mut command(&[&["check"], arguments].concat()));
    assert_eq!(output, "");
    (code, said)
}

#[test]
fn a_server_that_is_ready_is_well_and_one_that_drains_is_not() {
    let flags = ["serve", "--listen=localhost:0", "--health-path=/healthz", "--drain-delay=1h"];
    let mut program = Program::start(&mut command(&flags));
    let url = format!("{}healthz", program.url);
    assert_eq!(check(&[&url]), (Some(0), String::new()));
    program.signal("TERM");
    program.wait_for("not ready any more");
    let expected = "helloop: the answer is 503 Service Unavailable: draining\n";
    assert_eq!(check(&[&url]), (Some(1), expected.into()));
    let elsewhere = format!("{}a/b", program.url);
    assert!(check(&[&elsewhere]).1.contains("404 Not Found"));
}

#[test]
fn what_is_not_there_is_not_well() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = check(&[&format!("http://{free}/")]);
    assert!(code == Some(1) && said.contains("cannot connect"), "{said}");
    let (code, said) = check(&["unix:/nowhere/at/all.sock"]);
    assert!(code == Some(1) && said.contains("cannot connect to /nowhere"), "{said}");
    let (code, said) = check(&[&Server::answering("SSH-2.0-x\r\n").url("/")]);
    assert!(code == Some(1) && said.contains("does not speak HTTP/1"), "{said}");
    let (code, said) = check(&[&Server::answering("").url("/")]);
    assert!(code == Some(1) && said.contains("without an answer"), "{said}");
}

#[test]
fn one_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let (code, said) = check(&["--timeout=50ms", &url]);
    assert_eq!((code, &*said), (Some(1), "helloop: no answer within 50ms\n"));
}

#[test]
fn a_unix_socket_is_asked_for_a_target() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8(head).unwrap()
    });
    let checked = check(&[&format!("unix:{}:/ready", path.display())]);
    assert_eq!(checked, (Some(0), String::new()));
    let head = server.join().unwrap();
    assert!(head.starts_with("GET /ready HTTP/1.1\r\nHost: localhost\r\n"), "{head}");
}

#[test]
fn mistakes_are_usage_errors() {
    for (wrong, expected) in [
        ("localhost:9090", "localhost is not spoken here"),
        ("https://localhost/", "https is not spoken here"),
        ("unix:", "unix:PATH"),
        ("", "was expected"),
    ] {
        let (code, said) = check(&[wrong]);
        assert!(code == Some(2) && said.contains(expected), "{wrong}: {said}");
    }
    assert_eq!(check(&[]).0, Some(2));
    assert_eq!(check(&["http://h/", "--timeout=0s"]).0, Some(2));
}
