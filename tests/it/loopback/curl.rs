use std::fs;
use std::process::Command;

use super::{drain, spawn};

/// What curl prints, run with `arguments` against a server of its own; `None` without curl.
fn curl(arguments: &[&str], paths: &[&str]) -> Option<String> {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: curl is not installed");
        return None;
    }
    let server = spawn("localhost:0");
    let port = server.local_addrs()[0].port();
    let urls = paths.iter().map(|path| format!("http://localhost:{port}{path}"));
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"])
        .args(arguments)
        .args(urls)
        .output()
        .expect("it ran before");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    drain(server);
    assert!(output.status.success(), "curl: {said}");
    Some(String::from_utf8(output.stdout).expect("text") + &said)
}

#[test]
fn curl_is_greeted() {
    let Some(text) = curl(&[], &["/World", "/J%C3%BCrgen", "/"]) else { return };
    assert_eq!(text, "Hello, World!\nHello, Jürgen!\nHello, Anonymous!\n");
}

/// What no URI may have and curl sends as it was typed: see `docs/conformance.md`.
#[test]
fn curl_sends_odd_characters_and_is_greeted() {
    let odd = "\"<>\\^`{|}[]";
    let Some(text) = curl(&["--globoff"], &[&format!("/{odd}?{odd}")]) else { return };
    assert_eq!(text, format!("Hello, {odd}!\n"));
}

#[test]
fn curl_uses_one_connection_for_all() {
    let connects = ["--write-out", "%{num_connects} "];
    let Some(text) = curl(&connects, &["/a", "/b", "/c"]) else { return };
    assert_eq!(text, "Hello, a!\n1 Hello, b!\n0 Hello, c!\n0 ");
}

#[test]
fn curl_understands_head() {
    let Some(text) = curl(&["--head"], &["/World"]) else { return };
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\nContent-Length: 14\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn curl_speaks_http_1_0() {
    let Some(text) = curl(&["--http1.0", "--include"], &["/old"]) else { return };
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    assert!(text.ends_with("Hello, old!\n"), "{text}");
}

/// curl expects 100 Continue before a large body; the greeting wants none, and says so at once.
#[test]
fn curl_gets_a_final_answer_instead_of_sending_its_body() {
    let path = std::env::temp_dir().join(format!("helloop-body-{}", std::process::id()));
    fs::write(&path, vec![b'x'; 500_000]).expect("a file in the temporary directory");
    let data = format!("@{}", path.display());
    let text = curl(
        &[
            "--data-binary",
            &data,
            "--header",
            "Expect: 100-continue",
            "--write-out",
            "%{http_code}",
        ],
        &["/World"],
    );
    fs::remove_file(&path).expect("it was just written");
    let Some(text) = text else { return };
    assert!(text.ends_with("405"), "{text}");
}

#[test]
fn curl_sends_a_chunked_body_that_is_read() {
    let arguments = [
        "--header",
        "Transfer-Encoding: chunked",
        "--data",
        "hello",
        "--write-out",
        "%{http_code}",
    ];
    let Some(text) = curl(&arguments, &["/a", "/b"]) else { return };
    assert_eq!(text.matches("405").count(), 2, "{text}");
}
