//! Which URL is fetched when: who waits for whom, and who does not.

use std::fs;
use std::sync::mpsc::{Receiver, channel};

use super::{fetch, spawn, texts};
use crate::program::run;
use crate::server::{Peer, Script, Server, script};

/// A file with these URLs, one a line.
fn list(urls: &[String]) -> tempfile::NamedTempFile {
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(&list, urls.join("\n")).unwrap();
    list
}

/// Answers all requests of a connection, the first when it may.
fn answering(may: Option<Receiver<()>>) -> Script {
    script(move |peer: &mut Peer| {
        let mut may = may;
        while !peer.request().is_empty() {
            if let Some(may) = may.take() {
                let _ = may.recv();
            }
            peer.answer("ok");
        }
    })
}

/// The targets of the requests that a server saw next. The end of a connection is none.
fn targets(server: &Server, number: usize) -> Vec<String> {
    let target = |request: String| Some(request.split(' ').nth(1)?.to_owned());
    let seen = std::iter::repeat_with(|| server.next_seen());
    seen.filter_map(target).take(number).collect()
}

#[test]
fn one_that_hangs_does_not_keep_thousands_behind_it_from_being_fetched() {
    const OTHERS: usize = 6000;
    let (go, may) = channel();
    let hanging = Server::start(vec![answering(Some(may))]);
    let server = Server::start(vec![answering(None), answering(None)]);
    let urls: Vec<_> = [hanging.url("/")]
        .into_iter()
        .chain((0..OTHERS).map(|number| server.url(&format!("/{number}"))))
        .collect();
    let list = list(&urls);
    let child = spawn(fetch(&["-j", "3", "--order", "input", "-i"]).arg(list.path()));
    hanging.next_seen();
    // All others are asked for while the first is not answered.
    assert_eq!(targets(&server, OTHERS).len(), OTHERS);
    go.send(()).unwrap();
    let (code, output, said) = texts(child.wait_with_output().unwrap());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let told = output.lines().map(|line| line.split(' ').nth(2).unwrap().trim_end_matches(':'));
    assert!(told.eq(urls.iter()), "they are told in order");
}

#[test]
fn in_a_list_sorted_by_host_the_last_host_does_not_wait_for_the_first() {
    let (go, may) = channel();
    let first = Server::start(vec![answering(Some(may))]);
    let last = Server::start(vec![answering(None)]);
    let urls: Vec<_> = (0..3000)
        .map(|number| first.url(&format!("/{number}")))
        .chain([last.url("/last")])
        .collect();
    let list = list(&urls);
    let child = spawn(fetch(&["--per-host", "1", "-i"]).arg(list.path()));
    first.next_seen();
    assert_eq!(targets(&last, 1), ["/last"]);
    assert!(first.seen.try_recv().is_err(), "one at a time");
    go.send(()).unwrap();
    let (code, output, said) = texts(child.wait_with_output().unwrap());
    assert_eq!((code, said.as_str(), output.lines().count()), (Some(0), "", urls.len()));
}

/// A connection on which the first answer is that others are to come later.
fn busy(seconds: u32) -> Script {
    script(move |peer: &mut Peer| {
        peer.request();
        let busy = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n"
        );
        peer.send(busy.as_bytes());
        while !peer.request().is_empty() {
            peer.answer("ok");
        }
    })
}

#[test]
fn who_asks_to_be_left_alone_is_and_holds_up_nobody() {
    let server = Server::start(vec![busy(1), answering(None)]);
    let other = Server::start(vec![answering(None)]);
    let urls = [server.url("/0"), server.url("/1"), other.url("/2")];
    let arguments = ["--retries", "1", "-j", "1", "--order", "done", &urls[0], &urls[1], &urls[2]];
    let (code, output, said) = run(&mut fetch(&arguments));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let told = [&urls[2], &urls[0], &urls[1]]
        .map(|url| format!("Successfully fetched {url}: 2 characters\n"));
    assert_eq!(output, told.concat());
    assert_eq!(targets(&server, 3), ["/0", "/0", "/1"]);
}

#[test]
fn what_waits_for_another_try_is_told_when_all_ends() {
    let server = Server::start(vec![busy(100)]);
    let urls = [server.url("/0"), server.url("/1")];
    let arguments = ["--retries", "1", "-j", "1", "--deadline", "300ms", &urls[0], &urls[1]];
    let (code, output, said) = run(&mut fetch(&arguments));
    assert_eq!((code, output.as_str()), (Some(5), ""));
    let expected = format!(
        "Error fetching {}: cancelled before it was complete\n\
         helloop: the deadline (300ms) has come: 0 fetched, 0 failed, 1 cancelled; nothing more was \
         begun\n",
        urls[0]
    );
    assert_eq!(said, expected);
}
