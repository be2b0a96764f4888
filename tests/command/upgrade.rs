//! A server is replaced by a new process, and nobody is refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, process::Command};

use crate::program::{Program, command, command_of, get_from, run};
use crate::strace::has_strace;

/// Sends a signal to a process that is no child of ours, and may be gone.
fn kill(pid: &str, signal: &str) {
    let _ = Command::new("kill").args(["-s", signal, pid]).output();
}

/// A process that is no child of ours: it is killed in the end, and waited for by whoever has adopted it.
pub(crate) struct Adopted(String);

impl Adopted {
    /// The number of its process.
    pub(crate) fn id(&self) -> &str {
        &self.0
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        kill(&self.0, "KILL");
    }
}

/// Waits until the server says who has taken over, and until the old process has ended.
#[track_caller]
pub(crate) fn successor(program: &mut Program) -> Adopted {
    let line = program.wait_for(" has taken over: draining");
    let words = line.split("process ").nth(1).unwrap();
    Adopted(words.split(' ').next().unwrap().to_owned())
}

fn upgrade(program: &Program) -> (Option<i32>, String) {
    let (code, _, said) = run(&mut command(&["upgrade", &program.id().to_string()]));
    (code, said)
}

/// Asks on a new connection each time until it is told to stop; returns how often, and what failed.
fn load(port: u16, is_over: &Arc<AtomicBool>) -> thread::JoinHandle<(usize, Vec<String>)> {
    let is_over = Arc::clone(is_over);
    let ask = move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer.ends_with("Hello, World!\n"))
    };
    thread::spawn(move || {
        let (mut asked, mut failed) = (0, Vec::new());
        while !is_over.load(Ordering::Relaxed) {
            asked += 1;
            match ask() {
                Ok(true) => {}
                outcome => failed.push(format!("{outcome:?}")),
            }
        }
        (asked, failed)
    })
}

#[test]
fn nobody_is_refused_while_a_server_is_replaced() {
    let flags = ["serve", "--listen=127.0.0.1:0", "--loops=2", "--admin=127.0.0.1:0"];
    let mut program = Program::start(&mut command(&flags));
    let admin = program.wait_for("Admin at http://127.0.0.1:");
    let admin: u16 = admin.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let is_over = Arc::<AtomicBool>::default();
    let clients = [load(program.port, &is_over), load(program.port, &is_over)];
    program.greet();
    assert_eq!(upgrade(&program), (Some(0), String::new()));
    let first = successor(&mut program);
    assert_eq!(program.end_alone(), Some(0));
    // The successor can have one, too.
    let second = run(&mut command(&["upgrade", &first.0]));
    assert_eq!((second.0, second.2), (Some(0), String::new()));
    let second = successor(&mut program);
    assert_ne!(first.0, second.0);
    assert!(get_from(program.port, "/World").ends_with("Hello, World!\n"));
    assert!(get_from(admin, "/ready").ends_with("ready\n"));
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        let (asked, failed) = client.join().unwrap();
        assert!(failed.is_empty(), "{} of {asked}: {failed:?}", failed.len());
    }
    kill(&second.0, "TERM");
    wait_until(|| TcpStream::connect(("127.0.0.1", program.port)).is_err());
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never was so");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The program, where another file can take its place.
struct Installed(PathBuf);

impl Installed {
    fn new(name: &str) -> Installed {
        let built = Path::new(env!("CARGO_BIN_EXE_helloop"));
        // On the same disk, so that it can be a link: what this process has written could not be executed while
        // another thread's child has it open.
        let name = format!("helloop-{name}-{}", std::process::id());
        let installed = Installed(built.with_file_name(name));
        let _ = fs::remove_dir_all(&installed.0);
        fs::create_dir(&installed.0).unwrap();
        installed.restore();
        installed
    }

    fn program(&self) -> PathBuf {
        self.0.join("helloop")
    }

    /// From now on it is this script.
    fn replace(&self, script: &str) {
        let new = self.0.join("new");
        let write = "printf %s \"$1\" >\"$2\"; chmod 755 \"$2\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", write, "sh", script]).arg(&new);
        assert!(shell.status().unwrap().success());
        fs::rename(new, self.program()).unwrap();
    }

    /// From now on it is helloop.
    fn restore(&self) {
        let new = self.0.join("new");
        fs::hard_link(env!("CARGO_BIN_EXE_helloop"), &new).unwrap();
        fs::rename(new, self.program()).unwrap();
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_successor_that_does_not_come_to_serve_changes_nothing() {
    let installed = Installed::new("fails");
    let flags = ["serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let mut program = Program::start(&mut command_of(&installed.program(), &flags));
    for (script, why) in [
        ("#!/bin/sh\nexit 7\n", "exit status: 7"),
        ("#!/bin/sh\nexec <&-; sleep 60\n", "signal: 9"),
        ("no program at all", "Exec format error"),
    ] {
        installed.replace(script);
        program.signal("USR2");
        let line = program.wait_for("this one goes on");
        assert!(line.contains(why), "{line}");
        program.greet();
    }
    installed.restore();
    let (code, said) = upgrade(&program);
    assert_eq!(code, Some(0), "{said}");
    let _successor = successor(&mut program);
    program.greet();
}

#[test]
fn what_is_no_server_is_left_alone() {
    let mut program = Program::start(&mut command(&["serve", "--listen=127.0.0.1:0"]));
    let (code, _, said) = run(&mut command(&["upgrade", &std::process::id().to_string()]));
    assert!(code == Some(1) && said.contains("does not wait for SIGUSR2"), "{said}");
    let (code, _, said) = run(&mut command(&["upgrade", "999999999"]));
    assert!(code == Some(1) && said.contains("there is no process 999999999"), "{said}");
    for wrong in ["0", "-1", "helloop", ""] {
        assert_eq!(run(&mut command(&["upgrade", "--", wrong])).0, Some(2), "{wrong}");
    }
    program.greet();
    program.signal("TERM");
    program.wait_for("draining");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn the_file_of_a_unix_socket_stays_and_a_service_manager_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let [socket, manager] = ["socket", "manager"].map(|name| directory.path().join(name));
    let heard = UnixDatagram::bind(&manager).unwrap();
    heard.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let next = || {
        let mut buffer = [0; 200];
        let length = heard.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let listen = format!("unix:{}", socket.display());
    let mut typed = command(&["serve", "--listen", &listen]);
    let mut program = Program::start(typed.env("NOTIFY_SOCKET", &manager));
    assert!(next().starts_with("READY=1"));
    assert_eq!(upgrade(&program).0, Some(0));
    let successor = successor(&mut program);
    // The new one is ready, then the old one gives way, and says nothing of an end.
    assert!(next().starts_with("READY=1"));
    assert_eq!(next(), format!("MAINPID={}", successor.0));
    assert_eq!(run(&mut command(&["check", &format!("{listen}:/World")])).0, Some(0));
    kill(&successor.0, "TERM");
    assert!(next().starts_with("STOPPING=1"));
}

#[test]
fn a_server_that_does_not_know_its_program_serves_and_is_not_replaced() {
    if !has_strace() {
        return;
    }
    // As where /proc is not mounted: nobody knows by what program this is.
    let unknown = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=readlink"];
    let mut traced = command_of(Path::new("strace"), &unknown);
    traced.args(["-e", "inject=readlink:error=ENOENT"]).arg(command(&[]).get_program());
    let mut server = Program::start(traced.args(["serve", "-v", "--listen", "127.0.0.1:0"]));
    server.greet();
    let children = format!("/proc/{0}/task/{0}/children", server.id());
    // Of strace, which does not end it.
    let child = Adopted(fs::read_to_string(children).unwrap().trim().to_owned());
    kill(child.id(), "USR2");
    server.wait_for("the system does not say which program this is");
    server.greet();
}
