//! `helloop drill` on real servers: on helloop, alone and behind the balancers, and on nginx.

use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::fronts::gateway::{Kind, is_installed};
use crate::program::{command, run};

const HELLOOP: &str = env!("CARGO_BIN_EXE_helloop");

/// The exit code and what the drill reports.
fn drill(flags: &[&str], server: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["drill", "--json", "--clients=1"], flags, &["--"], server].concat();
    let (code, output, said) = run(&mut command(&arguments));
    let report = serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}{said}"));
    (code, report)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Everything was carried out, and no request was lost.
#[track_caller]
fn loses_nothing(rounds: u64, flags: &[&str], server: &[&str]) {
    let (code, report) = drill(flags, server);
    let is_whole = report["restarts"] == rounds && report["trouble"].is_null();
    assert!(code == Some(0) && is_whole, "{code:?}: {report:#}");
}

#[test]
fn an_upgrade_loses_nothing_and_no_successor_stays() {
    let restart = format!("{HELLOOP} upgrade {{pid}}");
    let port = free_port();
    let flag = format!("--port={port}");
    let flags = [&flag, "--rounds=3", "--restart", &restart, "--access-log=-", "--idle-timeout=1s"];
    let listen = ["serve", "--listen=127.0.0.1:{port}", "--access-log=common"];
    loses_nothing(3, &flags, &[&[HELLOOP], &listen[..], &["--idle-timeout=1s"]].concat());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "a successor is still there");
}

/// What is lost is what comes while nobody listens, or in the moment between the last look at the accept queue and its
/// end, which no server can avoid.
#[test]
fn a_server_that_is_ended_and_started_anew_loses_nothing_that_it_has_accepted() {
    let server = [HELLOOP, "serve", "--listen=127.0.0.1:{port}"];
    let (code, report) = drill(&["--rounds=2"], &server);
    let kinds = report["kinds"].as_object().unwrap();
    let is_on_the_doorstep = |kind: &String| kind == "refused" || kind == "not-accepted";
    assert!(code == Some(1) && kinds.keys().all(is_on_the_doorstep), "{code:?}: {report:#}");
    assert!(kinds.contains_key("refused"), "{report:#}");
}

#[test]
fn two_servers_behind_haproxy_lose_nothing() {
    if !is_installed(Kind::Haproxy) {
        return;
    }
    let flags = ["--rounds=2", "--behind=haproxy", "--health-path=/healthz", "--idle-timeout=1s"];
    let server = ["serve", "--listen=127.0.0.1:{port}", "--health-path=/healthz"];
    loses_nothing(2, &flags, &[&[HELLOOP], &server[..], &["--drain-delay=2s"]].concat());
}

#[test]
fn two_servers_behind_nginx_lose_nothing() {
    if !is_installed(Kind::Nginx) {
        return;
    }
    let server = [HELLOOP, "serve", "--listen=127.0.0.1:{port}"];
    loses_nothing(2, &["--rounds=2", "--behind=nginx"], &server);
}

/// nginx is restarted, and never refuses a connection meanwhile. What else it loses, it loses.
#[test]
fn nginx_is_reloaded() {
    if !is_installed(Kind::Nginx) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().display();
    let paths = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"]
        .map(|name| format!("{name}_temp_path {here}/{name};"))
        .concat();
    let port = free_port();
    let configuration = directory.path().join("configuration");
    let text = format!(
        "daemon off; worker_processes 2; pid {here}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; {paths}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 $uri; }} }} }}\n"
    );
    std::fs::write(&configuration, text).unwrap();
    let port = format!("--port={port}");
    let flags = ["--rounds=2", "--restart=kill -HUP {pid}", &port];
    let server = ["nginx", "-e", "stderr", "-c", configuration.to_str().unwrap()];
    let (code, report) = drill(&flags, &server);
    let is_whole = report["restarts"] == 2 && report["trouble"].is_null();
    let refused = &report["kinds"]["refused"];
    assert!(code < Some(3) && is_whole && refused.is_null(), "{code:?}: {report:#}");
}
