//! Listening elsewhere than on a port of one's own: on a Unix socket, on a socket that somebody else has opened, beside
//! others.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{Program, command, command_of, run};

fn path_in(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

fn greeted_at(path: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let (path, admin) = (path_in(&directory, "socket"), path_in(&directory, "admin"));
    // One that was left behind.
    drop(UnixListener::bind(&path).unwrap());
    let [listen, second] = [&path, &admin].map(|path| format!("unix:{path}"));
    let flags = ["serve", "--loops=2", "--unix-mode=600", "--listen", &listen, "--admin", &second];
    let mut program = Program::start(&mut command(&flags));
    assert_eq!(program.url, listen);
    program.wait_for(&format!("Admin at {second}"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for _ in 0..4 {
        assert!(greeted_at(&path).ends_with("\r\n\r\nHello, World!\n"));
    }
    let checked = |place: String| run(&mut command(&["check", &place])).0;
    assert_eq!(checked(format!("{listen}:/World")), Some(0));
    assert_eq!(checked(format!("{second}:/ready")), Some(0));
    let (code, _, said) = run(&mut command(&["serve", "--listen", &listen]));
    assert!(code == Some(3) && said.contains("the path is in use by another program"), "{said}");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    assert!(!fs::exists(&path).unwrap() && !fs::exists(&admin).unwrap());
}

/// helloop, started by a shell that has `listener` as its standard input.
fn by_shell(script: &str, listener: impl Into<OwnedFd>) -> Command {
    let mut shell = command_of("sh".as_ref(), &["-c", script, env!("CARGO_BIN_EXE_helloop")]);
    shell.stdin(Stdio::from(listener.into()));
    shell
}

/// As [`Program::start`], with a standard input.
#[track_caller]
fn start(command: &mut Command) -> Program {
    Program::of(command.stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn a_socket_that_is_open_already_is_served_by_its_number() {
    for script in ["exec \"$0\" serve --listen fd:0", "exec \"$0\" serve -l fd:3 3<&0 </dev/null"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut program = start(&mut by_shell(script, listener));
        assert_eq!(program.url, format!("http://{address}/"));
        program.greet();
        program.signal("TERM");
        assert_eq!(program.end().0, Some(0));
    }
}

#[test]
fn what_systemd_hands_over_is_served_by_the_process_that_is_meant() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve 3<&0 </dev/null";
    let program = start(&mut by_shell(script, listener));
    assert_eq!(program.url, format!("http://{address}/"));
    program.greet();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = "LISTEN_FDS=1 LISTEN_PID=1 exec \"$0\" serve -l localhost:0 3<&0 </dev/null";
    let program = start(&mut by_shell(script, listener));
    program.greet();
    assert!(program.url.starts_with("http://localhost:"), "{}", program.url);
}

#[test]
fn what_does_not_listen_is_refused_by_its_number() {
    let (code, _, said) = run(&mut command(&["serve", "--listen", "fd:0"]));
    assert_eq!(code, Some(3));
    assert!(said.contains("cannot listen on fd:0: it is not a socket"), "{said}");
    let (code, _, said) = run(&mut command(&["serve", "--listen", "fd:999"]));
    assert!(code == Some(3) && said.contains("cannot listen on fd:999: Bad file"), "{said}");
    let (code, _, said) = run(&mut command(&["serve", "--listen", "fd:x"]));
    assert!(code == Some(2) && said.contains("`fd:x` is no descriptor"), "{said}");
    let (code, _, said) = run(&mut command(&["serve", "--unix-mode", "rw"]));
    assert!(code == Some(2) && said.contains("permissions look like 660"), "{said}");
}

#[test]
fn two_who_ask_for_it_share_a_port() {
    let flags = |port: u16| {
        let listen = format!("127.0.0.1:{port}");
        command(&["serve", "--reuse-port", "--listen", &listen])
    };
    let first = Program::start(&mut flags(0));
    let mut second = Program::start(&mut flags(first.port));
    assert_eq!(first.url, second.url);
    first.greet();
    drop(first);
    second.greet();
    second.signal("TERM");
    assert_eq!(second.end().0, Some(0));
    let alone = Program::start(&mut command(&["serve", "--listen=127.0.0.1:0"]));
    assert_eq!(run(&mut flags(alone.port)).0, Some(3));
}

/// Kills a program that is none of ours, and whatever it has become.
struct Kills(Child);

impl Drop for Kills {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn systemd_socket_activate_starts_it_for_the_first_client() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory, "socket");
    let mut activate = command_of("systemd-socket-activate".as_ref(), &["--listen", &path]);
    activate.args([env!("CARGO_BIN_EXE_helloop"), "serve"]).stderr(Stdio::null());
    let mut activated = match activate.spawn() {
        Ok(child) => Kills(child),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "systemd-socket-activate: {error}");
            return eprintln!("without systemd-socket-activate: {error}");
        }
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fs::exists(&path).unwrap() || UnixStream::connect(&path).is_err() {
        assert!(Instant::now() < deadline, "systemd-socket-activate never listened");
        thread::sleep(Duration::from_millis(5));
    }
    // It was started for the connection that has gone again.
    assert!(greeted_at(&path).ends_with("\r\n\r\nHello, World!\n"));
    let pid = activated.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    assert_eq!(activated.0.wait().unwrap().code(), Some(0));
}
