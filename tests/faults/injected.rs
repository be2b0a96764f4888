use std::io;

use rustix::io::Errno;

use crate::faults::client::{Client, End, REQUEST};
use crate::faults::server::{PATIENCE, Server};
use crate::strace::{Strace, has_strace};

impl Strace {
    /// `injection` is what strace(1) calls so: `accept4:error=EMFILE:when=1..3`. Calls are counted
    /// from now on.
    #[track_caller]
    fn attach(server: &Server, injection: &str) -> Strace {
        Strace::attach_to(server.program.id(), injection).unwrap()
    }

    /// As [`attach`](Strace::attach), to one thread alone.
    #[track_caller]
    fn attach_to_thread(thread: u32, injection: &str) -> Strace {
        let thread = thread.to_string();
        Strace::run(&["-p", &thread, "-e", &format!("inject={injection}")]).unwrap()
    }

    /// Waits until so many calls were made to fail, and lets the server go.
    #[track_caller]
    fn detach(mut self, calls: usize) {
        self.wait_for_failures(calls);
        self.interrupt();
    }

    /// Waits until so many more calls were made to fail.
    #[track_caller]
    fn wait_for_failures(&self, calls: usize) {
        let mut lines = Vec::new();
        let mut failed = 0;
        while failed < calls {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("{failed} calls have failed, not {calls}: {lines:#?}");
            };
            failed += usize::from(line.ends_with("(INJECTED)"));
            lines.push(line);
        }
    }
}

/// The first `times` calls of `call` fail with each of these errors in turn, while `talk` talks
/// to the server, first of all on a connection that it has made before. The log names the error in
/// so many lines.
#[track_caller]
fn fail(
    call: &str,
    errors: &[(&str, Errno)],
    times: usize,
    lines: std::ops::RangeInclusive<usize>,
    talk: impl Fn(&Server, Client),
) {
    if !has_strace() {
        return;
    }
    for (name, errno) in errors {
        let server = Server::start(&["-v"]);
        let mut kept = server.client();
        kept.greet();
        let strace = Strace::attach(&server, &format!("{call}:error={name}:when=1..{times}"));
        talk(&server, kept);
        strace.detach(times);
        let said = server.recovers_and_ends();
        let text = io::Error::from(*errno).to_string();
        let count = said.count(&text);
        assert!(lines.contains(&count), "{call} and {name}: {count} lines with {text:?}");
    }
}

fn greet_anew(server: &Server, kept: Client) {
    server.program.greet();
    drop(kept);
}

/// A refusal is read in peace: the server half-closes after it, and closes when the client has.
fn be_refused(server: &Server, kept: Client) {
    assert!(server.program.ask(b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    drop(kept);
}

fn greet_on(_: &Server, mut kept: Client) {
    kept.greet();
}

/// Asks on the connection that was there before; it is closed without an answer.
fn lose(_: &Server, mut kept: Client) {
    kept.send(REQUEST);
    assert_eq!(kept.until_end().0, "");
}

#[test]
fn accept_fails_for_one_connection() {
    let errors = [("ECONNABORTED", Errno::CONNABORTED), ("EPERM", Errno::PERM)];
    // Lines for who asked to be told more.
    fail("accept4", &errors, 3, 3..=3, greet_anew);
}

#[test]
fn accept_fails_for_want_of_something() {
    let errors = [
        ("EMFILE", Errno::MFILE),
        ("ENFILE", Errno::NFILE),
        ("ENOBUFS", Errno::NOBUFS),
        ("ENOMEM", Errno::NOMEM),
        ("EPROTO", Errno::PROTO),
    ];
    fail("accept4", &errors, 3, 1..=1, greet_anew);
}

#[test]
fn accept_fails_again_and_again() {
    let errors = [("ECONNABORTED", Errno::CONNABORTED)];
    // 64 lines for who asked to be told more, and the one that says that it is not one connection.
    fail("accept4", &errors, 64, 65..=65, greet_anew);
}

#[test]
fn reading_fails() {
    let errors =
        [("ECONNRESET", Errno::CONNRESET), ("ETIMEDOUT", Errno::TIMEDOUT), ("EIO", Errno::IO)];
    fail("recvfrom", &errors, 1, 1..=1, lose);
}

#[test]
fn writing_fails() {
    let errors = [
        ("EPIPE", Errno::PIPE),
        ("ECONNRESET", Errno::CONNRESET),
        ("ENOBUFS", Errno::NOBUFS),
        ("EIO", Errno::IO),
    ];
    fail("sendto", &errors, 1, 1..=1, lose);
}

#[test]
fn every_call_is_interrupted() {
    let interrupted = [("EINTR", Errno::INTR)];
    fail("accept4", &interrupted, 5, 0..=0, greet_anew);
    fail("recvfrom", &interrupted, 5, 0..=0, greet_on);
    fail("sendto", &interrupted, 5, 0..=0, greet_on);
    fail("epoll_wait", &interrupted, 1, 0..=0, greet_on);
    fail("epoll_wait", &interrupted, 100, 0..=0, greet_on);
}

#[test]
fn a_connection_cannot_be_watched() {
    let errors = [("ENOMEM", Errno::NOMEM), ("ENOSPC", Errno::NOSPC)];
    fail("epoll_ctl", &errors, 3, 1..=1, |server, kept| {
        for _ in 0..3 {
            assert_eq!(server.client().until_end(), (String::new(), End::Finished));
        }
        greet_anew(server, kept);
    });
}

/// The poller of one loop is broken. What this loop had is lost; the others end in peace.
#[test]
fn one_loop_of_several_breaks() {
    if !has_strace() {
        return;
    }
    for broken in [1, 2] {
        let mut server = Server::start(&["--loops", "2"]);
        let mut crowd = server.clients(64);
        let (head, rest) = REQUEST.split_at(10);
        crowd.iter_mut().for_each(|client| client.send(head));
        server.wait_for_connections(crowd.len());
        let thread = server.threads()[broken - 1];
        let strace = Strace::attach_to_thread(thread, "epoll_wait:error=EBADF:when=1");
        let answers = crowd.iter_mut().map(|client| {
            client.send_until_it_stalls(rest);
            client.answer()
        });
        let answered = answers.filter(Result::is_ok).count();
        assert!((1..64).contains(&answered), "{answered} were answered");
        strace.detach(1);
        assert_eq!(server.program.end().0, Some(1));
        let said = &server.program.said;
        assert_eq!(said.last().unwrap(), "helloop: Bad file descriptor (os error 9)");
        assert_eq!(said.iter().any(|line| line.contains("loop 2 broke")), broken == 2);
    }
}

#[test]
fn half_closing_fails() {
    fail("shutdown", &[("ENOTCONN", Errno::NOTCONN)], 1, 0..=0, be_refused);
}

/// The reset of a peer that does not read becomes an ordinary close.
#[test]
fn setting_an_option_fails() {
    if !has_strace() {
        return;
    }
    let server = Server::start(&["--write-progress-timeout", "300ms"]);
    let strace = Strace::attach(&server, "setsockopt:error=ENOBUFS:when=1");
    let mut greedy = server.client();
    greedy.send_until_it_stalls(&REQUEST.repeat(400_000));
    server.wait_for_connections(0);
    strace.detach(1);
    server.recovers_and_ends().no_warnings();
}

/// close(2) frees the descriptor even if it fails. One that strace fails is not made at all, so
/// the descriptor stays: only that the server lives is to be seen.
#[test]
fn closing_fails() {
    if !has_strace() {
        return;
    }
    for name in ["EINTR", "EIO"] {
        let server = Server::start(&[]);
        let strace = Strace::attach(&server, &format!("close:error={name}:when=1"));
        be_refused(&server, server.client());
        server.program.greet();
        strace.detach(1);
        server.end().no_warnings();
    }
}

#[test]
fn logging_fails() {
    if !has_strace() {
        return;
    }
    for name in ["ENOSPC", "EIO", "EPIPE"] {
        let server = Server::start(&["-v"]);
        let strace = Strace::attach(&server, &format!("write:error={name}:when=1..3"));
        for _ in 0..3 {
            server.program.greet();
            strace.wait_for_failures(1);
        }
        strace.detach(0);
        let said = server.recovers_and_ends();
        assert!((11..14).contains(&said.count("ends: the request asked to close")), "of 14");
        assert_eq!(said.count("helloop: lines missing here: "), 1);
    }
}
