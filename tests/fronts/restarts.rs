//! Two servers behind a balancer, restarted in turn under load: no request fails.
//!
//! The balancers have the configurations of `packaging/`, with addresses of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[cfg(target_os = "linux")]
use crate::command::upgrade::successor;
use crate::fronts::gateway::{Gateway, Kind, is_installed, unprivileged_nginx};
#[cfg(target_os = "linux")]
use crate::program::run;
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
    /// Requests so far, answered or not.
    asked: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Outcome>>,
}

#[derive(Default)]
struct Outcome {
    answered: usize,
    failed: Vec<String>,
}

impl Load {
    fn start(front: &Path) -> Load {
        let (is_over, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = |_| {
            let (is_over, front) = (Arc::clone(&is_over), front.to_owned());
            let asked = Arc::clone(&asked);
            thread::spawn(move || {
                let mut outcome = Outcome::default();
                while !is_over.load(Ordering::Relaxed) {
                    converse(&front, &mut outcome);
                    asked.fetch_add(REQUESTS_PER_CONNECTION, Ordering::Relaxed);
                }
                outcome
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Load { is_over, asked, clients }
    }

    /// Waits until so many more were asked.
    fn go_on(&self, requests: usize) {
        let enough = self.asked.load(Ordering::Relaxed) + requests;
        let is_so = || self.asked.load(Ordering::Relaxed) >= enough;
        wait_until(is_so, "the clients wait for answers that never come");
    }

    fn stop(self) -> Outcome {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for client in self.clients {
            let Outcome { answered, failed } = client.join().unwrap();
            all.answered += answered;
            all.failed.extend(failed);
        }
        // Seen with `--nocapture`: for docs/operate.md.
        let test = thread::current();
        let (asked, failed) = (all.answered + all.failed.len(), all.failed.len());
        eprintln!("{}: {failed} of {asked} failed", test.name().unwrap_or_default());
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
pub(super) fn wait_until(mut is_so: impl FnMut() -> bool, otherwise: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// What haproxy says of a server: lines of values with commas.
pub(super) fn status_of(stats: &Path, server: &str) -> String {
    let mut stream = UnixStream::connect(stats).unwrap();
    stream.write_all(b"show stat\n").unwrap();
    let mut table = String::new();
    stream.read_to_string(&mut table).unwrap();
    let line = table.lines().find(|line| line.starts_with(&format!("helloop,{server},")));
    line.unwrap().split(',').nth(17).unwrap().to_owned()
}

pub(super) fn is_up(stats: &Path, server: &str) -> bool {
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
    let (Outcome { answered, failed }, _) = restart_under_load(front, sockets, servers, seen);
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), answered + failed.len());
}

/// Returns also how many requests the servers that have ended have answered.
fn restart_under_load(
    front: &Path,
    sockets: &[PathBuf; 2],
    servers: &mut [Program; 2],
    seen: impl Fn(usize),
) -> (Outcome, usize) {
    let load = Load::start(front);
    let mut served = 0;
    for round in 0..RESTARTS {
        let which = round % 2;
        served += end(&mut servers[which]);
        servers[which] = start(&sockets[which]);
        seen(which);
    }
    let outcome = load.stop();
    assert!(outcome.answered > 10 * RESTARTS, "only {} were answered", outcome.answered);
    (outcome, served)
}

/// Ends a server in good order; returns how many requests it has answered.
fn end(server: &mut Program) -> usize {
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0), "{:?}", server.said);
    let said = server.said.iter().find_map(|line| line.split("requests answered: ").nth(1));
    said.unwrap().split(',').next().unwrap().parse().unwrap()
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

/// nginx with the configuration of `packaging/`, changed by `change`.
fn start_nginx(
    directory: TempDir,
    sockets: &[PathBuf; 2],
    change: impl Fn(&str) -> String,
) -> Gateway {
    let front = directory.path().join("front");
    let text = include_str!("../../packaging/nginx/nginx.conf")
        .replace("listen 8080", &format!("listen unix:{}", front.display()))
        .replace("127.0.0.1:8081", &format!("unix:{}", sockets[0].display()))
        .replace("127.0.0.1:8082", &format!("unix:{}", sockets[1].display()));
    let text = unprivileged_nginx(&directory, &change(&text));
    Gateway::start_configured(Kind::Nginx, directory, &text)
}

fn without_retries(text: &str) -> String {
    let changed = text.replace("proxy_next_upstream error timeout;", "proxy_next_upstream off;");
    assert_ne!(changed, text, "the configuration has another line");
    changed
}

#[test]
fn nginx_loses_no_request_to_six_restarts() {
    if !is_installed(Kind::Nginx) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let sockets = ["a", "b"].map(|name| directory.path().join(name));
    let front = directory.path().join("front");
    let mut servers = sockets.each_ref().map(|socket| start(socket));
    let _gateway = start_nginx(directory, &sockets, str::to_owned);
    lose_nothing(&front, &sockets, &mut servers, |_| ());
}

/// It learns that a server is away by a request that fails, and nobody repeats that: some are lost. Of these no server has
/// seen anything: they found no socket, or were in its queue when it was closed.
#[test]
fn nginx_without_retries_loses_what_it_finds_a_server_away_by() {
    if !is_installed(Kind::Nginx) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let sockets = ["a", "b"].map(|name| directory.path().join(name));
    let front = directory.path().join("front");
    let mut servers = sockets.each_ref().map(|socket| start(socket));
    let _gateway = start_nginx(directory, &sockets, without_retries);
    let (outcome, served) = restart_under_load(&front, &sockets, &mut servers, |_| ());
    let Outcome { answered, failed } = outcome;
    assert!(failed.iter().all(|why| why == "status 502"), "{failed:?}");
    let served = served + servers.iter_mut().map(end).sum::<usize>();
    assert_eq!(served, answered, "what was answered, and what clients were told");
}

/// `helloop upgrade` leaves no moment without a server.
#[cfg(target_os = "linux")]
#[test]
fn nginx_without_retries_loses_no_request_to_six_upgrades_in_place() {
    if !is_installed(Kind::Nginx) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let sockets = ["a", "b"].map(|name| directory.path().join(name));
    let front = directory.path().join("front");
    let mut servers = sockets.each_ref().map(|socket| start(socket));
    let _gateway = start_nginx(directory, &sockets, without_retries);
    let mut processes = servers.each_ref().map(|server| server.id().to_string());
    let mut successors = Vec::new();
    let load = Load::start(&front);
    for round in 0..RESTARTS {
        let which = round % 2;
        let (code, _, said) = run(&mut command(&["upgrade", &processes[which]]));
        assert_eq!(code, Some(0), "{said}");
        successors.push(successor(&mut servers[which]));
        processes[which] = successors.last().unwrap().id().to_owned();
        load.go_on(1000);
    }
    let Outcome { answered, failed } = load.stop();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), answered + failed.len());
}
