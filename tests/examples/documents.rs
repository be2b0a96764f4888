//! The programs with which documents explain asyncio.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Barrier};

use rustix::io::Errno;

use crate::authority::{Authority, answer, over_tls};
use crate::examples::{example, refused};
use crate::program::{Program, run};
use crate::server::{Peer, Server, script};

/// One request, answered with the status 200 and this body.
fn good(body: &'static str) -> Server {
    Server::start(vec![script(move |peer| {
        peer.request();
        peer.answer(body);
    })])
}

/// What an example prints that fetches these URLs, and its exit code.
fn fetch(name: &str, urls: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = example(name, urls);
    let (code, output, complaints) = run(command.envs(environment.iter().copied()));
    assert_eq!(complaints, "");
    (code, output)
}

#[test]
fn the_server_says_where_it_is_and_greets() {
    let server = Program::start_on_stdout(&mut example("documents_server", &["localhost:0"]));
    assert_eq!(server.said, [format!("Server started at http://localhost:{}/", server.port)]);
    for (request, status, body) in [
        ("GET /", "200 OK", "Hello, Anonymous!\n"),
        ("GET /World", "200 OK", "Hello, World!\n"),
        ("GET /J%C3%BCrgen?x=y", "200 OK", "Hello, Jürgen!\n"),
        ("GET /a+b", "200 OK", "Hello, a+b!\n"),
        ("HEAD /World", "200 OK", ""),
        ("POST /World", "405 Method Not Allowed", "Try GET.\n"),
        ("GET /a/b", "404 Not Found", "Try /World.\n"),
    ] {
        let answer = server
            .ask(format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{request}: {answer}");
        let says_what_is_allowed = answer.contains("\r\nAllow: GET, HEAD\r\n");
        assert_eq!(says_what_is_allowed, status.starts_with("405 "), "{request}: {answer}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, output, complaint) = run(&mut example("documents_server", &[&address]));
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(complaint.contains(&address), "{complaint}");
}

/// The server takes one connection and no other: two fetches at once would need two. What is counted
/// is characters, and not bytes.
#[test]
fn two_fetches_are_made_one_after_the_other() {
    let server = Server::start(vec![script(|peer| {
        peer.request();
        peer.answer("ten bytes.");
        peer.request();
        peer.answer("Jürgen");
    })]);
    let url = |path| format!("http://localhost:{}{path}", server.address.port());
    let urls = [url("/a"), url("/b")];
    let (code, output) = fetch("documents_two_fetches", &[&urls[0], &urls[1]], &[]);
    assert_eq!((code, output.as_str()), (Some(0), "Localhost length: 10\nLocalhost length: 6\n"));
    assert!(server.next_seen().starts_with("GET /a "));
    assert!(server.next_seen().starts_with("GET /b "));
}

#[test]
fn of_two_fetches_one_may_fail() {
    let (nobody, server) = (refused(), good("still here"));
    let urls = [format!("http://{nobody}/"), server.url("/")];
    let (code, output) = fetch("documents_two_fetches", &[&urls[0], &urls[1]], &[]);
    let expected = format!(
        "Error fetching http://{nobody}/: {}\n127.0.0.1 length: 10\n",
        refusal(&nobody.to_string())
    );
    assert_eq!((code, output), (Some(1), expected));
}

/// What is said when nobody listens there.
pub(crate) fn refusal(host: &str) -> String {
    format!("cannot connect to {host} ({host}: {})", os_error(Errno::CONNREFUSED))
}

pub(crate) fn not_of_the_web(url: &str) -> String {
    format!("`{url}` is not a URL of the web: it does not begin with http:// or https://")
}

/// The system's words.
fn os_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

/// No server answers before all have been asked; then the last answers first.
#[test]
fn gathered_fetches_are_made_at_once_and_printed_in_order() {
    let asked = Arc::new(Barrier::new(3));
    let answered: Vec<Barrier> = (0..2).map(|_| Barrier::new(2)).collect();
    let answered = Arc::new(answered);
    let servers: Vec<Server> = (0..3)
        .map(|place| {
            let (asked, answered) = (Arc::clone(&asked), Arc::clone(&answered));
            Server::start(vec![script(move |peer: &mut Peer| {
                peer.request();
                asked.wait();
                if place < 2 {
                    answered[place].wait();
                }
                let body = ["ä", "", "ccc"][place];
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n");
                peer.send(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
                // It closes when it has read the answer.
                peer.wait_for_close();
                if place > 0 {
                    answered[place - 1].wait();
                }
            })])
        })
        .collect();
    let urls: Vec<String> = servers.iter().map(|server| server.url("/")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let (code, output) = fetch("documents_gather", &urls, &[]);
    let line =
        |place: usize, count| format!("Successfully fetched {}: {count} characters\n", urls[place]);
    assert_eq!((code, output), (Some(0), [line(0, 1), line(1, 0), line(2, 3)].concat()));
}

#[test]
fn every_url_has_its_own_error_in_its_place() {
    let nobody = refused();
    let resets = Server::start(vec![script(|peer| {
        peer.request();
        peer.reset();
    })]);
    let lies = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    let babbles = Server::answering("220 mail.example ESMTP\r\n");
    let missing = Server::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
    let urls = [
        format!("http://{nobody}/"),
        resets.url("/"),
        lies.url("/"),
        babbles.url("/"),
        missing.url("/"),
        "http://name.invalid/".to_owned(),
        "ftp://localhost/".to_owned(),
    ];
    let (code, output) = fetch("documents_gather", &urls.each_ref().map(String::as_str), &[]);
    assert_eq!(code, Some(1));
    let error = |place: usize, words: &str| format!("Error fetching {}: {words}", urls[place]);
    let reset = os_error(Errno::CONNRESET);
    let expected = [
        error(0, &refusal(&nobody.to_string())),
        error(1, &format!("the connection to {} failed before the reply: {reset}", resets.address)),
        error(2, &format!("bad reply from {}: body: truncated, 5 of 100 bytes came", lies.address)),
        error(
            3,
            &format!(
                "bad reply from {}: status line: does not begin with `HTTP/`",
                babbles.address
            ),
        ),
        format!("Successfully fetched {}: 4 characters", urls[4]),
        error(5, "cannot resolve name.invalid: "),
        error(6, &not_of_the_web("ftp://localhost/")),
    ];
    let mut lines: Vec<&str> = output.lines().collect();
    // Successes come when all fetches have ended.
    assert_eq!(lines.last(), Some(&expected[4].as_str()));
    // Errors come as they happen, whichever is first.
    lines.sort_by_key(|line| expected.iter().position(|expected| line.starts_with(expected)));
    // Behind that, it is the system's words, which depend on how it looks names up.
    let unresolved = lines[5].find("failed to").unwrap();
    lines[5] = &lines[5][..unresolved];
    assert_eq!(lines, expected);
}

/// The second is answered, wrongly, before the first.
#[test]
fn errors_are_printed_when_they_happen() {
    let (first, second) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (waits, passes) = (Arc::clone(&first), Arc::clone(&second));
    let late = Server::start(vec![script(move |peer: &mut Peer| {
        peer.request();
        waits.wait();
        peer.send(b"220 late\r\n");
        peer.wait_for_close();
    })]);
    let early = Server::start(vec![script(move |peer: &mut Peer| {
        peer.request();
        passes.wait();
        peer.send(b"220 early\r\n");
        peer.wait_for_close();
    })]);
    let urls = [late.url("/"), early.url("/")];
    let mut command = example("documents_gather", &[&urls[0], &urls[1]]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    second.wait();
    assert!(lines.next().unwrap().starts_with(&format!("Error fetching {}: ", urls[1])));
    first.wait();
    assert!(lines.next().unwrap().starts_with(&format!("Error fetching {}: ", urls[0])));
    assert_eq!((lines.next(), child.wait().unwrap().code()), (None, Some(1)));
}

/// The authorities of the system are where `SSL_CERT_FILE` says.
#[test]
fn https_is_believed_if_the_system_believes_its_authority() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    let (authority, stranger) = (Authority::new("one"), Authority::new("another"));
    let serve = |authority: &Authority, name: &str| {
        let config = authority.server(name, false);
        Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))])
    };
    let servers = [
        serve(&authority, "localhost"),
        serve(&stranger, "localhost"),
        serve(&authority, "elsewhere.example"),
    ];
    let urls = servers.each_ref().map(|s| format!("https://localhost:{}/", s.address.port()));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples-authority.pem");
    fs::write(&file, &authority.pem).unwrap();
    let environment = [("SSL_CERT_FILE", file.to_str().unwrap())];
    let (code, output) =
        fetch("documents_gather", &urls.each_ref().map(String::as_str), &environment);
    let error = |place: usize, words: &str| {
        let host = format!("localhost:{}", servers[place].address.port());
        format!("Error fetching https://{host}/: TLS handshake with {host}: {words}\n")
    };
    let unknown = "its certificate is signed by no trusted authority; if you know the server, \
                   trust that certificate or its authority: --cacert FILE (in a program, \
                   TlsConfig::add_roots_pem)";
    let wrong_name = "invalid peer certificate: certificate not valid for name \"localhost\"; \
                      certificate is only valid for DnsName(\"elsewhere.example\")";
    let expected = [
        error(1, unknown),
        error(2, wrong_name),
        format!("Successfully fetched {}: 6 characters\n", urls[0]),
    ];
    // The errors come as they happen, whichever is first.
    let mut lines: Vec<&str> = output.split_inclusive('\n').collect();
    lines.sort_by_key(|line| expected.iter().position(|expected| expected == line));
    assert_eq!((code, lines.concat()), (Some(1), expected.concat()));
}
