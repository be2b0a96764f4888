use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::client::Client;
use crate::faults::server::PATIENCE;
use crate::program::command;

/// More than a pipe and the server keep of what is told of them.
const REQUESTS: usize = 3000;

/// A server with much to say, and its standard error, which is a pipe.
struct Talker {
    child: Child,
    stderr: BufReader<ChildStderr>,
    port: u16,
}

impl Talker {
    fn start() -> Talker {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0", "-vv", "--explain"]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("Server started at ") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it has ended");
        }
        let port = line.trim_end().trim_end_matches('/').rsplit_once(':').unwrap().1;
        Talker { child, stderr, port: port.parse().unwrap() }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client::new(stream)
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many lines a line says are missing.
fn missing(line: &str) -> Option<usize> {
    line.strip_prefix("helloop: lines missing here: ")?.parse().ok()
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let mut server = Talker::start();
    let mut client = server.client();
    (0..REQUESTS).for_each(|_| client.greet());
    // Somebody reads again: first what was kept, then how much was not.
    let mut lines = (&mut server.stderr).lines().map(Result::unwrap);
    let lost = lines.find_map(|line| missing(&line)).expect("a word of what is missing");
    assert!(lost > 1000, "only {lost} lines: that is hardly a load");
    // From there on the story is told as it happens.
    client.send(b"GET /again HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(lines.any(|line| line.contains("GET /again")));
    server.terminate();
    let rest: Vec<String> = (&mut server.stderr).lines().map(Result::unwrap).collect();
    assert!(rest.iter().all(|line| missing(line).is_none()), "{rest:#?}");
    let answered = format!("requests answered: {}, connections: 1", REQUESTS + 1);
    assert!(rest.iter().any(|line| line.contains(&answered)), "{rest:#?}");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_log_that_nobody_will_read_does_not_keep_the_server_from_ending() {
    let mut server = Talker::start();
    let mut client = server.client();
    (0..REQUESTS).for_each(|_| client.greet());
    drop(client);
    server.terminate();
    assert_eq!(server.ended().code(), Some(0));
    // What the kernel has kept are whole lines, but for the last.
    let mut kept = Vec::new();
    server.stderr.read_to_end(&mut kept).unwrap();
    assert!(kept.len() > 4096 && kept.is_ascii());
}
