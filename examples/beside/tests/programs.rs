//! The built programs, each with a real client.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// At the limit a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Program {
    fn start(path: &str, arguments: &[&str]) -> Program {
        let mut child =
            Command::new(path).args(arguments).stdout(Stdio::piped()).spawn().expect("it is built");
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Program { child, lines }
    }

    /// The next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn terminate(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("kill is there").success());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("text");
        assert!(self.child.wait().expect("it ends").success());
        rest
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing, if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut client = connect(address);
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    client.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an orderly end");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.to_owned()
}

fn address(line: &str) -> String {
    line.trim_end_matches('/').rsplit(['/', ' ']).next().expect("an address").to_owned()
}

fn health_beside(flavour: &str) {
    let mut program = Program::start(env!("CARGO_BIN_EXE_tokio_health"), &[flavour]);
    let (echo, health) = (address(&program.line()), address(&program.line()));
    let mut client = connect(&echo);
    client.write_all(b"hello").expect("it reads");
    let mut echoed = [0; 5];
    client.read_exact(&mut echoed).expect("it echoes");
    assert_eq!(&echoed, b"hello");
    assert_eq!(ask(&health, "GET", "/health", ""), "ok\n");
    assert_eq!(ask(&health, "GET", "/echoed", ""), "5");
    drop(client);
    let last = program.terminate();
    assert!(last.starts_with("Report {") && last.contains("requests: 2, cut: 0"), "{last}");
    assert!(last.ends_with("echoes in time: true\n"), "{last}");
}

#[test]
fn health_beside_one_thread_of_tokio() {
    health_beside("one");
}

#[test]
fn health_beside_many_threads_of_tokio() {
    health_beside("many");
}

#[test]
fn notes_stay_in_the_database() {
    let path = std::env::temp_dir().join(format!("notes-{}.sqlite", std::process::id()));
    let text = path.to_str().expect("text");
    for round in 1..=2 {
        let mut program = Program::start(env!("CARGO_BIN_EXE_sqlite"), &[text, "localhost:0"]);
        let server = address(&program.line());
        assert_eq!(ask(&server, "POST", "/", "it's a note"), format!("{round}\n"));
        let all = ask(&server, "GET", "/", "");
        assert_eq!(all.lines().count(), round);
        assert!(all.starts_with("1: it's a note\n"), "{all}");
        program.terminate();
    }
    std::fs::remove_file(path).expect("it is there");
}
