//! haproxy says who its client is, by the PROXY protocol: of its clients, and of itself when it asks for health.
//!
//! Its own clients introduce themselves in the same way (`accept-proxy`), so that the test chooses their addresses.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use serde_json::Value;

use crate::fronts::gateway::{Gateway, Kind, is_installed};
use crate::fronts::restarts::{is_up, status_of, wait_until};
use crate::program::{Program, command};

fn configuration(directory: &Path, server: &str) -> String {
    let here = directory.display();
    format!(
        "global\n nbthread 1\n stats socket unix@{here}/stats\n\
         defaults\n mode http\n retries 0\n timeout connect 2s\n timeout server 9s\n timeout client 9s\n\
         frontend front\n bind unix@{here}/front accept-proxy\n default_backend helloop\n\
         backend helloop\n option httpchk GET /healthz\n http-check expect status 200\n \
         http-reuse never\n server a {server} check inter 50ms\n"
    )
}

fn serve(flags: &[&str], log: &Path) -> Program {
    let always = ["serve", "--health-path=/healthz", "--access-log=json"];
    Program::start(command(&[&always, flags].concat()).stdout(File::create(log).unwrap()))
}

/// Asks haproxy for two clients; returns the lines of the server's access log.
#[track_caller]
fn lines_of_two_clients(listen: &str, flags: &[&str], words: &str) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().to_owned();
    let listen = listen.replace("HERE", &here.display().to_string());
    let log = here.join("server.json");
    let mut server = serve(&[&["--listen", &listen], flags].concat(), &log);
    let place = match listen.strip_prefix("unix:") {
        Some(path) => format!("unix@{path}"),
        None => format!("127.0.0.1:{}", server.port),
    };
    let text = configuration(&here, &format!("{place} {words}"));
    let gateway = Gateway::start_configured(Kind::Haproxy, directory, &text);
    // Its checks have said for whom they ask, too.
    wait_until(|| is_up(&here.join("stats"), "a"), "haproxy never saw that it is ready");
    for client in ["TCP4 192.0.2.7 192.0.2.8 50000", "TCP6 2001:db8::7 2001:db8::8 50001"] {
        let mut stream = gateway.connect();
        let request = "GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        stream.write_all(format!("PROXY {client} 80\r\n{request}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    let refused = server.said.iter().find(|line| line.contains("before its first request"));
    assert_eq!(refused, None);
    let text = fs::read_to_string(&log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn check(listen: &str, flags: &[&str], words: &str) {
    if !is_installed(Kind::Haproxy) {
        return;
    }
    let lines = lines_of_two_clients(listen, flags, words);
    let clients: Vec<_> =
        lines.iter().map(|line| (&line["client"], &line["client_port"])).collect();
    let expected = [("192.0.2.7", 50000), ("2001:db8::7", 50001)]
        .map(|(ip, port)| (Value::from(ip), Value::from(port)));
    assert_eq!(clients, expected.each_ref().map(|(ip, port)| (ip, port)), "{words}");
}

#[test]
fn send_proxy_is_understood() {
    let flags = ["--trusted-proxy=127.0.0.1", "--proxy-protocol=v1"];
    check("127.0.0.1:0", &flags, "send-proxy");
}

#[test]
fn send_proxy_v2_is_understood_on_a_unix_socket() {
    let flags = ["--trusted-proxy=unix", "--proxy-protocol=v2"];
    check("unix:HERE/socket", &flags, "send-proxy-v2");
}

#[test]
fn send_proxy_v2_with_tlvs_is_understood_by_coroutines() {
    let flags =
        ["--trusted-proxy=127.0.0.0/8", "--proxy-protocol=v1,v2", "--connections=coroutine"];
    check("127.0.0.1:0", &flags, "send-proxy-v2 proxy-v2-options crc32c,unique-id");
}

#[test]
fn a_balancer_that_says_nothing_finds_no_server_and_the_log_says_why() {
    if !is_installed(Kind::Haproxy) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().to_owned();
    let flags = ["--listen=127.0.0.1:0", "--trusted-proxy=127.0.0.1", "--proxy-protocol=v1,v2"];
    let mut server = serve(&flags, &here.join("log"));
    let text = configuration(&here, &format!("127.0.0.1:{}", server.port));
    let _gateway = Gateway::start_configured(Kind::Haproxy, directory, &text);
    let is_down = || status_of(&here.join("stats"), "a").starts_with("DOWN");
    wait_until(is_down, "haproxy never saw that it is closed");
    let line = server.wait_for("is closed before its first request");
    assert!(line.contains("WARN") && line.contains("(haproxy: send-proxy)"), "{line}");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    let later = server.said.iter().filter(|line| line.contains("before its first request")).count();
    assert!(later < 20, "a line a second, at most, and not {later}");
}
