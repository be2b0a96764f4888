//! Batches that end before their end.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use super::{fetch, greeter, spawn, texts};
use crate::server::{Server, script};

/// A server that never answers.
fn hanging() -> Server {
    Server::start(vec![script(|peer| {
        peer.request();
        peer.wait_for_close();
    })])
}

#[test]
fn a_signal_cancels_what_is_under_way_and_tells_what_is_done() {
    for signal in ["INT", "TERM"] {
        let (server, hanging) = (greeter(), hanging());
        let (world, never) = (format!("{}World", server.url), hanging.url("/never"));
        // One is done and waits for its turn, one is under way, one has not begun.
        let arguments = ["-j", "1", "--order", "done", &world, &never, &world];
        let child = spawn(&mut fetch(&arguments));
        hanging.next_seen();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let (code, output, said) = texts(child.wait_with_output().unwrap());
        assert_eq!(code, Some(130), "{said}");
        assert_eq!(output, format!("Successfully fetched {world}: 14 characters\n"));
        let expected = format!(
            "Error fetching {never}: cancelled before it was complete\n\
             helloop: interrupted: 1 fetched, 0 failed, 1 cancelled; nothing more was begun\n"
        );
        assert_eq!(said, expected);
    }
}

#[test]
fn what_is_done_is_told_although_something_before_it_is_not() {
    let (server, hanging) = (greeter(), hanging());
    let (world, never) = (format!("{}World", server.url), hanging.url("/never"));
    let arguments = ["--deadline", "500ms", &never, &world];
    let (code, output, said) = texts(spawn(&mut fetch(&arguments)).wait_with_output().unwrap());
    assert_eq!(code, Some(5), "{said}");
    assert_eq!(output, format!("Successfully fetched {world}: 14 characters\n"));
    assert!(
        said.contains("the deadline (500ms) has come: 1 fetched, 0 failed, 1 cancelled"),
        "{said}"
    );
}

#[test]
fn a_batch_that_is_done_in_time_has_no_deadline() {
    let server = greeter();
    let url = format!("{}World", server.url);
    let (code, ..) =
        texts(spawn(&mut fetch(&["--deadline", "1h", &url])).wait_with_output().unwrap());
    assert_eq!(code, Some(0));
}

#[test]
fn a_full_disk_and_a_closed_pipe_are_said() {
    let server = greeter();
    let url = format!("{}World", server.url);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = fetch(&[&url]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let (code, _, said) = texts(output);
    assert_eq!(code, Some(3));
    assert!(said.contains("cannot write to standard output: No space left"), "{said}");

    let mut child = spawn(&mut fetch(&[&url]));
    drop(child.stdout.take());
    let (code, _, said) = texts(child.wait_with_output().unwrap());
    // It may have been faster than the close.
    assert!(code == Some(0) || code == Some(3) && said.contains("Broken pipe"), "{said}");
}

#[test]
fn a_signal_ends_it_although_nobody_writes_urls() {
    let server = greeter();
    let url = format!("{}World", server.url);
    let mut child = spawn(&mut fetch(&[&url, "-"]));
    let stdin = child.stdin.take();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let (code, _, said) = texts(child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{said}");
    drop(stdin);
}
