//! What a service manager hears.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{Program, command};

/// A service manager that hears everything.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manager");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Manager { socket, path, _directory: directory }
    }

    /// The next message, which is there already or comes soon.
    #[track_caller]
    fn next(&self) -> String {
        let mut buffer = [0; 1000];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[test]
fn it_hears_of_the_beginning_and_of_the_end() {
    let manager = Manager::new();
    let mut typed = command(&["serve", "--listen=localhost:0"]);
    let mut program = Program::start(typed.env("NOTIFY_SOCKET", &manager.path));
    assert_eq!(manager.next(), "READY=1\nSTATUS=Serving");
    program.greet();
    program.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=Draining");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn the_watchdog_is_fed_by_the_turns_of_all_loops() {
    let manager = Manager::new();
    let mut typed = command(&["serve", "--listen=localhost:0", "--loops=3"]);
    typed.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "20000");
    let mut program = Program::start(&mut typed);
    let heard: Vec<String> = (0..6).map(|_| manager.next()).collect();
    assert!(heard.contains(&"READY=1\nSTATUS=Serving".to_owned()), "{heard:?}");
    assert_eq!(heard.iter().filter(|text| *text == "WATCHDOG=1").count(), 5, "{heard:?}");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

/// A watchdog that is meant for another process is none, nor is one of a manager that cannot be reached.
#[test]
fn what_is_not_meant_for_it_is_ignored() {
    let manager = Manager::new();
    let mut typed = command(&["serve", "--listen=localhost:0", "--run-for=200ms"]);
    typed.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    assert_eq!(Program::start(&mut typed).end().0, Some(0));
    assert_eq!(manager.next(), "READY=1\nSTATUS=Serving");
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=Draining");
    let mut typed = command(&["serve", "--listen=localhost:0", "--run-for=0s"]);
    let mut program = Program::start(typed.env("NOTIFY_SOCKET", "/nowhere/notify"));
    assert_eq!(program.end().0, Some(0));
    assert!(program.said.join("\n").contains("cannot reach NOTIFY_SOCKET"), "{:?}", program.said);
}
