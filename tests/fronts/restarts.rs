//! Two servers behind a balancer, restarted in turn under load: no request fails.
//!
//! The balancers have the configurations of `packaging/`, with addresses of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::fronts::gateway::{Gateway, Kind, is_installed, unprivileged_nginx};
use crate::program::{Program, command};

/// Restarts, of either server by turns.
const RESTARTS: usize = 6;

/// Each is a client of its own.
const CLIENTS: usize = 4;

/// Requests on one connection; then a client opens the next.
const REQUESTS_PER_CONNECTION: usize = 5;

/// At the limit a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clients that ask until they are told to stop.
struct Load {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Outcome>>,
}

#[derive(Default)]
struct Outcome {
    answered: usize,
    failed: Vec<String>,
}

impl Load {
    fn start(front: &Path) -> Load {
        let is_over = Arc::<AtomicBool>::default();
        let client = |_| {
            let (is_over, front) = (Arc::clone(&is_over), front.to_owned());
            thread::spawn(move || {
                let mut outcome = Outcome::default();
                while !is_over.load(Ordering::Relaxed) {
                    converse(&front, &mut outcome);
                }
                outcome
            })
        };
        Load { clients: (0..CLIENTS).map(client).collect(), is_over }
    }

    fn stop(self) -> Outcome {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for client in self.clients {
            let Outcome { answered, failed } = client.join().unwrap();
            all.answered += answered;
            all.failed.extend(failed);
        }
        all
    }
}

/// One connection to the balancer, and some requests on it.
fn converse(front: &Path, outcome: &mut Outcome) {
    let mut stream = UnixStream::connect(front).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for number in 0..REQUESTS_PER_CONNECTION {
        let asked = stream.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n");
        match asked.and_then(|()| answer(&mut reader)) {
            Ok((200, _)) => outcome.answered += 1,
            Ok((status, true)) => outcome.failed.push(format!("status {status}")),
            Ok((status, false)) => return outcome.failed.push(format!("status {status}, closed")),
            Err(error) => return outcome.failed.push(format!("request {number}: {error}")),
        }
    }
}

/// The status of an answer, and whether the connection stays open. Its body has a length.
fn answer(reader: &mut impl BufRead) -> std::io::Result<(u16, bool)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mut body = vec![0; field("content-length:").unwrap_or("0").parse().unwrap()];
    reader.read_exact(&mut body)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((status, field("connection:") != Some("close")))
}

fn start(socket: &Path) -> Program {
    let listen = format!("unix:{}", socket.display());
    let flags = ["serve", "--listen", &listen, "--health-path", "/healthz", "--drain-delay", "2s"];
    Program::start(&mut command(&flags))
}

/// Waits until the balancer takes the server for one that it may send requests to.
fn wait_until(mut is_so: impl FnMut() -> bool, otherwise: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// What haproxy says of a server: lines of values with commas.
fn status_of(stats: &Path, server: &str) -> String {
    let mut stream = UnixStream::connect(stats).unwrap();
    stream.write_all(b"show stat\n").unwrap();
    let mut table = String::new();
    stream.read_to_string(&mut table).unwrap();
    let line = table.lines().find(|line| line.starts_with(&format!("helloop,{server},")));
    line.unwrap().split(',').nth(17).unwrap().to_owned()
}

fn is_up(stats: &Path, server: &str) -> bool {
    status_of(stats, server) == "UP"
}

#[test]
fn haproxy_is_told_by_the_agent_that_a_server_drains() {
    if !is_installed(Kind::Haproxy) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (front, stats) = (directory.path().join("front"), directory.path().join("stats"));
    let socket = directory.path().join("a");
    let listen = format!("unix:{}", socket.display());
    let flags = ["serve", "--listen", &listen, "--agent=127.0.0.1:0", "--drain-delay=1h"];
    let mut server = Program::start(&mut command(&flags));
    let agent = server.wait_for("Agent at 127.0.0.1:");
    let agent = agent.rsplit_once(':').unwrap().1;
    let text = format!(
        "global\n nbthread 1\n stats socket unix@{}\n\
         defaults\n mode http\n timeout connect 2s\n timeout server 9s\n timeout client 9s\n\
         frontend front\n bind unix@{}\n default_backend helloop\n\
         backend helloop\n server a unix@{} weight 100 agent-check agent-inter 50ms \
         agent-addr 127.0.0.1 agent-port {agent}\n",
        stats.display(),
        front.display(),
        socket.display()
    );
    let _gateway = Gateway::start_configured(Kind::Haproxy, directory, &text);
    let is = |status: &str| status_of(&stats, "a").starts_with(status);
    wait_until(|| is("UP") || is("no check"), "haproxy never sent anything there");
    server.signal("TERM");
    server.wait_for("not ready any more");
    wait_until(|| is("DRAIN"), "haproxy never heard of the drain");
}

/// Restarts the servers in turn under load, each after the balancer has seen the other one (`seen`). No request fails.
fn lose_nothing(
    front: &Path,
    sockets: &[PathBuf; 2],
    servers: &mut [Program; 2],
    seen: impl Fn(usize),
) {
    let load = Load::start(front);
    for round in 0..RESTARTS {
        let which = round % 2;
        servers[which].signal("TERM");
        assert_eq!(servers[which].end().0, Some(0), "{:?}", servers[which].said);
        servers[which] = start(&sockets[which]);
        seen(which);
    }
    let Outcome { answered, failed } = load.stop();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), answered + failed.len());
    assert!(answered > 10 * RESTARTS, "only {answered} requests were asked");
}

#[test]
fn haproxy_without_retries_loses_no_request_to_six_restarts() {
    if !is_installed(Kind::Haproxy) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let sockets = ["a", "b"].map(|name| directory.path().join(name));
    let (front, stats) = (directory.path().join("front"), directory.path().join("stats"));
    let text = include_str!("../../packaging/haproxy/haproxy.cfg")
        .replace("bind :8080", &format!("bind unix@{}", front.display()))
        .replace("127.0.0.1:8081", &format!("unix@{}", sockets[0].display()))
        .replace("127.0.0.1:8082", &format!("unix@{}", sockets[1].display()));
    let text = format!("global\n    nbthread 1\n    stats socket unix@{}\n{text}", stats.display());
    let mut servers = sockets.each_ref().map(|socket| start(socket));
    let _gateway = Gateway::start_configured(Kind::Haproxy, directory, &text);
    let up = |server| wait_until(|| is_up(&stats, server), "haproxy never saw that it is ready");
    ["a", "b"].into_iter().for_each(up);
    lose_nothing(&front, &sockets, &mut servers, |which| up(["a", "b"][which]));
}

#[test]
fn nginx_loses_no_request_to_six_restarts() {
    if !is_installed(Kind::Nginx) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let sockets = ["a", "b"].map(|name| directory.path().join(name));
    let front = directory.path().join("front");
    let text = unprivileged_nginx(
        &directory,
        &include_str!("../../packaging/nginx/nginx.conf")
            .replace("listen 8080", &format!("listen unix:{}", front.display()))
            .replace("127.0.0.1:8081", &format!("unix:{}", sockets[0].display()))
            .replace("127.0.0.1:8082", &format!("unix:{}", sockets[1].display())),
    );
    let mut servers = sockets.each_ref().map(|socket| start(socket));
    let _gateway = Gateway::start_configured(Kind::Nginx, directory, &text);
    lose_nothing(&front, &sockets, &mut servers, |_| ());
}
