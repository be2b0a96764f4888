//! Batches that end before their end.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{fetch, greeter, names, spawn, texts};
use crate::server::{PATIENCE, Server, script};

/// A server that never answers.
fn hanging() -> Server {
    Server::start(vec![script(|peer| {
        peer.request();
        peer.wait_for_close();
    })])
}

#[test]
fn a_signal_cancels_what_is_under_way_and_tells_what_is_done() {
    for signal in ["INT", "TERM", "QUIT", "HUP"] {
        let (server, hanging) = (greeter(), hanging());
        let (world, never) = (format!("{}World", server.url), hanging.url("/never"));
        // One is done and waits for its turn, one is under way, one has not begun.
        let arguments = ["-j", "1", "--order", "done", &world, &never, &world];
        let child = spawn(&mut fetch(&arguments));
        hanging.next_seen();
        self::signal(&child, signal);
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

/// A server that sends half of a large body, and the rest when it is told to.
fn halting() -> (Server, Sender<()>) {
    let (go, wait) = channel();
    let server = Server::start(vec![script(move |peer| {
        peer.request();
        let half = "x".repeat(500_000);
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{half}").as_bytes());
        if wait.recv().is_ok() {
            peer.send(half.as_bytes());
        }
        peer.wait_for_close();
    })]);
    (server, go)
}

#[track_caller]
fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// Waits for a file with half of a body.
#[track_caller]
fn wait_for_part(directory: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !names(directory).iter().any(|name| name.ends_with(".part")) {
        assert!(Instant::now() < deadline, "no part is written");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn no_signal_leaves_half_a_file_behind() {
    for signals in [&["TERM"][..], &["HUP"], &["QUIT"], &["INT"], &["TERM", "TERM", "HUP"]] {
        let (directory, (server, _go)) = (tempfile::tempdir().unwrap(), halting());
        let mut command = fetch(&[server.url("/")]);
        let child = spawn(command.arg("-O").arg(directory.path()));
        wait_for_part(directory.path());
        signals.iter().for_each(|name| signal(&child, name));
        let (code, _, said) = texts(child.wait_with_output().unwrap());
        assert_eq!((code, names(directory.path())), (Some(130), vec![]), "{signals:?}: {said}");
    }
}

#[test]
fn who_is_to_outlive_the_terminal_does() {
    let (directory, (server, go)) = (tempfile::tempdir().unwrap(), halting());
    // What nohup(1) does.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_helloop"), "fetch"]);
    command.arg("-O").arg(directory.path()).arg(server.url("/"));
    let child = spawn(&mut command);
    wait_for_part(directory.path());
    signal(&child, "HUP");
    go.send(()).unwrap();
    let (code, _, said) = texts(child.wait_with_output().unwrap());
    assert_eq!((code, names(directory.path()).len()), (Some(0), 1), "{said}");
}

#[test]
fn a_reader_that_has_read_enough_ends_it_without_a_word() {
    let (server, list) = (greeter(), tempfile::NamedTempFile::new().unwrap());
    // More than a pipe takes.
    let urls: Vec<_> = (0..5000).map(|number| format!("{}{number}", server.url)).collect();
    fs::write(&list, urls.join("\n")).unwrap();
    for style in [None, Some("--json")] {
        let mut command = fetch(&["-i"]);
        let mut child = spawn(command.arg(list.path()).args(style));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (code, _, said) = texts(child.wait_with_output().unwrap());
        assert_eq!((code, said.as_str()), (Some(3), ""), "{line}");
    }
}

#[test]
fn a_full_disk_is_said() {
    let server = greeter();
    let url = format!("{}World", server.url);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = fetch(&[&url]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let (code, _, said) = texts(output);
    assert_eq!(code, Some(3));
    assert!(said.contains("cannot write to standard output: No space left"), "{said}");
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
    signal(&child, "INT");
    let (code, _, said) = texts(child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{said}");
    drop(stdin);
}
