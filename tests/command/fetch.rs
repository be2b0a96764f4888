//! `helloop fetch` against servers that behave, and some that do not.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::program::{Program, command, run};
use crate::server::{Peer, Server, script};

mod endings;
mod files;
mod lists;
mod order;
mod servers;
mod tls;

/// `helloop fetch` with these arguments.
fn fetch<S: AsRef<str>>(arguments: &[S]) -> Command {
    let mut command = command(&["fetch"]);
    command.args(arguments.iter().map(AsRef::as_ref));
    // Nothing of the machine's own: names are those of the tests.
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command
}

/// Starts it, with pipes on all sides.
fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exit code, standard output, standard error.
fn texts(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A server that greets.
fn greeter() -> Program {
    Program::start(&mut command(&["serve", "--listen", "127.0.0.1:0"]))
}

/// A port of this machine on which nobody listens.
fn refused_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The objects, one a line.
fn objects(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn it_says_what_the_documents_program_says_in_the_order_of_the_input() {
    let server = greeter();
    let (base, port) = (&server.url, refused_port());
    let urls = [
        format!("{base}World"),
        format!("http://127.0.0.1:{port}/"),
        format!("{base}J%C3%BCrgen"),
        "http://nobody.invalid/".to_owned(),
        format!("{base}a/b"),
    ];
    let (code, output, said) = run(&mut fetch(&urls));
    assert_eq!(code, Some(1), "{said}");
    let expected = format!(
        "Successfully fetched {base}World: 14 characters\n\
         Successfully fetched {base}J%C3%BCrgen: 15 characters\n\
         Successfully fetched {base}a/b: 35 characters\n"
    );
    assert_eq!(output, expected);
    let lines: Vec<_> = said.lines().collect();
    let refused = format!("Error fetching http://127.0.0.1:{port}/: cannot connect to 127.0.0.1");
    assert!(lines[0].starts_with(&refused), "{said}");
    let nobody = "Error fetching http://nobody.invalid/: cannot resolve nobody.invalid: ";
    assert!(lines[1].starts_with(nobody) && lines.len() == 2, "{said}");
}

#[test]
fn an_error_status_is_a_failure_only_for_who_asks() {
    let server = greeter();
    let (good, missing) = (format!("{}World", server.url), format!("{}a/b", server.url));
    let (code, output, said) = run(&mut fetch(&["--fail", &good, &missing]));
    assert_eq!(code, Some(4), "{said}");
    assert_eq!(output, format!("Successfully fetched {good}: 14 characters\n"));
    assert_eq!(said, format!("Error fetching {missing}: the server answered 404 Not Found\n"));
    let (code, ..) = run(&mut fetch(&["--fail", &missing, "http://nobody.invalid/"]));
    assert_eq!(code, Some(1), "a URL without any answer is worse");
    let (code, ..) = run(&mut fetch(&[&missing]));
    assert_eq!(code, Some(0));
}

#[test]
fn json_tells_everything_of_every_url() {
    let server = greeter();
    let moved = Server::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {}World\r\nContent-Length: 0\r\n\r\n",
        server.url
    ));
    let port = refused_port();
    let urls = [moved.url("/x"), format!("http://127.0.0.1:{port}/"), "nonsense".to_owned()];
    let arguments: Vec<_> = ["--json".to_owned()].into_iter().chain(urls.clone()).collect();
    let (code, output, said) = run(&mut fetch(&arguments));
    assert_eq!((code, said.as_str()), (Some(1), ""));
    let objects = objects(&output);
    let [good, refused, nonsense] = &objects[..] else { panic!("{output}") };
    assert_eq!(good["url"], urls[0]);
    assert_eq!(good["final_url"], format!("{}World", server.url));
    assert_eq!(
        (&good["status"], &good["bytes"], &good["characters"]),
        (&200.into(), &14.into(), &14.into())
    );
    assert_eq!((&good["attempts"], &good["error"]), (&1.into(), &Value::Null));
    let phases = ["queued", "resolve", "connect", "tls", "head", "body"];
    let sum: u64 = phases.iter().map(|phase| good["timings_us"][phase].as_u64().unwrap()).sum();
    // Each is cut to whole microseconds.
    assert!(good["timings_us"]["total"].as_u64().unwrap().abs_diff(sum) <= 6, "{good}");
    assert_eq!((&refused["error"], &refused["phase"]), (&"connect".into(), &"connect".into()));
    assert_eq!((&refused["status"], &refused["timings_us"]), (&Value::Null, &Value::Null));
    assert_eq!((&nonsense["url"], &nonsense["error"]), (&"nonsense".into(), &"url".into()));
    assert!(nonsense["message"].as_str().unwrap().contains("relative URL without a base"));
}

#[test]
fn urls_come_from_files_and_from_standard_input() {
    let server = greeter();
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(&list, format!("# a list\n\n{0}file\n{0}again", server.url)).unwrap();
    let arguments = [format!("{}argument", server.url), "-".into(), "-i".into()];
    let mut command = fetch(&arguments);
    let mut child = spawn(command.arg(list.path()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{}stdin\r\n", server.url).as_bytes()).unwrap();
    drop(stdin);
    let (code, output, said) = texts(child.wait_with_output().unwrap());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let names: Vec<_> = output
        .lines()
        .map(|line| line.rsplit_once('/').unwrap().1.split(':').next().unwrap())
        .collect();
    assert_eq!(names, ["argument", "stdin", "file", "again"]);
}

#[test]
fn the_first_url_of_a_slow_writer_does_not_wait_for_the_second() {
    let server = greeter();
    let mut child = spawn(&mut fetch(&["-"]));
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for name in ["one", "two"] {
        writeln!(stdin, "{}{name}", server.url).unwrap();
        // The next is written only when this one is told.
        assert!(lines.next().unwrap().unwrap().contains(name));
    }
    drop(stdin);
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn thousands_of_urls_keep_their_order() {
    let server = greeter();
    let list = tempfile::NamedTempFile::new().unwrap();
    let urls: Vec<_> = (0..6000).map(|number| format!("{}{number}", server.url)).collect();
    fs::write(&list, urls.join("\n")).unwrap();
    let (code, output, said) = run(fetch(&["-j", "20", "-i"]).arg(list.path()));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(output.lines().count(), urls.len());
    for (line, (number, url)) in output.lines().zip(urls.iter().enumerate()) {
        let characters = "Hello, !\n".len() + number.to_string().len();
        assert_eq!(line, format!("Successfully fetched {url}: {characters} characters"));
    }
}

#[test]
fn no_more_are_fetched_at_once_than_may_be() {
    // Each answers when the test has seen enough.
    let (go, waits): (Vec<_>, Vec<_>) = (0..3).map(|_| std::sync::mpsc::channel::<()>()).unzip();
    let waiting = |wait: std::sync::mpsc::Receiver<()>| {
        script(move |peer: &mut Peer| {
            peer.request();
            let _ = wait.recv();
            peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        })
    };
    let server = Server::start(waits.into_iter().map(waiting).collect());
    let urls = [server.url("/0"), server.url("/1"), server.url("/2")];
    let child = spawn(&mut fetch(&["-j", "2", "--order", "done", &urls[0], &urls[1], &urls[2]]));
    let mut seen = [server.next_seen(), server.next_seen()];
    seen.sort();
    assert!(seen[0].starts_with("GET /0 ") && seen[1].starts_with("GET /1 "), "{seen:?}");
    assert!(server.seen.try_recv().is_err(), "the third waits");
    // Whichever connection was first, its end makes room.
    go[0].send(()).unwrap();
    assert!(server.next_seen().starts_with("GET /2 "));
    drop(go);
    let (code, output, said) = texts(child.wait_with_output().unwrap());
    assert_eq!((code, output.lines().count()), (Some(0), 3), "{said}");
}

#[test]
fn a_failure_that_may_pass_is_tried_again() {
    let busy = |peer: &mut Peer| {
        peer.request();
        peer.send(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        );
        if !peer.request().is_empty() {
            peer.answer("hello");
        }
    };
    let server = Server::start(vec![
        script(|peer| {
            peer.request();
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel");
        }),
        script(busy),
    ]);
    let (code, output, said) = run(&mut fetch(&["--json", "--retries", "3", &server.url("/")]));
    assert_eq!((code, said.as_str()), (Some(0), ""), "{output}");
    let object = &objects(&output)[0];
    assert_eq!((&object["attempts"], &object["characters"]), (&3.into(), &5.into()), "{object}");

    let server = Server::start(vec![script(busy)]);
    let (_, output, _) = run(&mut fetch(&["--json", &server.url("/")]));
    let object = &objects(&output)[0];
    assert_eq!((&object["attempts"], &object["status"]), (&1.into(), &503.into()), "{object}");
}

#[test]
fn servers_that_misbehave_are_told_apart() {
    let hanging = Server::start(vec![script(|peer| {
        peer.request();
        peer.wait_for_close();
    })]);
    let resetting = Server::start(vec![script(|peer| {
        peer.request();
        peer.reset();
    })]);
    let lying = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    let babbling = Server::answering("SSH-2.0-OpenSSH_9.2\r\n");
    for (server, words) in [
        (hanging, "timeout: no reply from 127.0.0.1"),
        (resetting, "failed before the reply: Connection reset by peer"),
        (lying, "truncated, 5 of 10 bytes came"),
        (babbling, "bad reply"),
    ] {
        let url = server.url("/");
        let (code, output, said) = run(&mut fetch(&["--timeout", "300ms", &url]));
        assert_eq!((code, output.as_str()), (Some(1), ""));
        assert!(said.starts_with(&format!("Error fetching {url}: ")), "{said}");
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn each_step_has_a_limit_of_its_own() {
    let silent = || {
        Server::start(vec![script(|peer| {
            peer.wait_for_close();
        })])
    };
    let stalling = Server::start(vec![script(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel");
        peer.wait_for_close();
    })]);
    let (head, tls) = (silent(), silent());
    for (flag, url, words) in [
        ("--head-timeout", head.url("/"), "timeout: no reply from"),
        (
            "--tls-timeout",
            tls.url("/").replace("http:", "https:"),
            "timeout: no TLS handshake with",
        ),
        ("--body-timeout", stalling.url("/"), "timeout: no progress of the body from"),
    ] {
        let (code, output, said) = run(&mut fetch(&[flag, "300ms", &url]));
        assert_eq!((code, output.as_str()), (Some(1), ""), "{flag}");
        assert!(said.contains(words) && said.ends_with("within 300ms\n"), "{flag}: {said}");
    }
}

#[test]
fn requests_are_as_asked_for() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let url = server.url("/x");
    let arguments = ["--head", "-H", "X-One: 1", "-H", "user-agent:me", &url];
    let (code, output, said) = run(&mut fetch(&arguments));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(output, format!("Successfully fetched {url}: 0 characters\n"));
    let request = server.next_seen();
    assert!(request.starts_with("HEAD /x HTTP/1.1\r\n"), "{request}");
    for line in ["X-One: 1\r\n", "user-agent: me\r\n"] {
        assert!(request.contains(line), "{line:?} is not in {request}");
    }
    assert!(!request.contains("helloop/"), "{request}");
}

#[test]
fn a_body_is_as_long_as_it_may_be() {
    let server = greeter();
    let url = format!("{}World", server.url);
    let (code, _, said) = run(&mut fetch(&["--max-body-size", "13B", &url]));
    assert!(code == Some(1) && said.contains("longer than 13 bytes"), "{said}");
    let (code, ..) = run(&mut fetch(&["--max-body-size", "14B", &url]));
    assert_eq!(code, Some(0));
}

/// Checks that these arguments are a usage error, and that it says all of `texts`.
#[track_caller]
fn refused(arguments: &[&str], texts: &[&str]) {
    let (code, output, said) = run(&mut fetch(arguments));
    assert_eq!((code, output.as_str()), (Some(2), ""), "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

#[test]
fn mistakes_are_explained() {
    refused(&[], &["nothing to fetch", "--input"]);
    refused(&["-i", "/no/such/list"], &["/no/such/list", "No such file"]);
    refused(&["-", "-i", "-"], &["only once"]);
    refused(&["-j", "0", "http://h/"], &["--concurrency", "at least 1"]);
    refused(&["-j", "many", "http://h/"], &["--concurrency", "for example 20"]);
    refused(&["--timeout", "5", "http://h/"], &["--timeout", "for example 5s"]);
    refused(&["--timeout", "0s", "http://h/"], &["--timeout", "longer than nothing"]);
    refused(&["--head-timeout", "30", "http://h/"], &["--head-timeout", "for example 30s or 30ms"]);
    refused(&["-H", "no colon", "http://h/"], &["--header", "Name: value"]);
    refused(&["-H", "Bad Name: 1", "http://h/"], &["--header", "not a token"]);
    refused(&["-H", "Host: other", "http://h/"], &["--header"]);
    refused(&["--order", "random", "http://h/"], &["--order", "input", "done"]);
    refused(&["--cacert", "/no/such/ca", "https://h/"], &["/no/such/ca", "No such file"]);
    refused(&["--insecure", "--cacert", "x", "https://h/"], &["--insecure", "--cacert"]);
    refused(&["--heda", "http://h/"], &["--heda", "'--head'"]);
}

#[test]
fn the_help_says_what_the_exit_codes_mean() {
    let (code, help, _) = run(&mut fetch(&["--help"]));
    assert_eq!(code, Some(0));
    for text in ["Exit codes:", "130", "--retries", "[default: 100]", "Examples:"] {
        assert!(help.contains(text), "{text:?} is not in: {help}");
    }
    // A limit that the help does not tell of cannot be known, and one without a flag not be changed.
    for (flag, limit) in [
        ("--timeout", "5m"),
        ("--resolve-timeout", "10s"),
        ("--connect-timeout", "30s"),
        ("--tls-timeout", "10s"),
        ("--head-timeout", "1m"),
        ("--body-timeout", "30s"),
    ] {
        let (_, about) = help.split_once(&format!("{flag} <DURATION>")).expect(flag);
        let (about, _) = about.split_once("<DURATION>").unwrap_or((about, ""));
        let text = format!("[default: {limit}]");
        assert!(about.contains(&text), "{text:?} of {flag} is not in: {help}");
    }
}

/// The names of the files in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
