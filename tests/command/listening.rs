//! Where a server listens, and what it says about that: the same in the full command and in the bare
//! one.

use std::fs;
use std::process::Command;

use crate::program::{Program, command, command_of, run};

fn serve(listen: &str) -> Program {
    Program::start(command(&["serve"]).env("HELLOOP_LISTEN", listen))
}

#[test]
fn the_startup_line_names_what_was_bound() {
    let local = serve("localhost:0");
    assert_eq!(local.url, format!("http://localhost:{}/", local.port));
    for host in ["127.0.0.1", "[::1]", "0.0.0.0", "[::]"] {
        let program = serve(&format!("{host}:0"));
        assert_eq!(program.url, format!("http://{host}:{}/", program.port));
    }
    let platform = Program::start(command(&["serve"]).env("PORT", "0"));
    assert_eq!(platform.url, format!("http://[::]:{}/", platform.port));
    platform.greet();
}

#[test]
fn a_variable_that_is_empty_is_unset() {
    let empty = [("PORT", ""), ("HELLOOP_LOOPS", "")];
    let program = Program::start(command(&["serve"]).envs(empty).env("HELLOOP_LISTEN", "[::1]:0"));
    assert_eq!(program.url, format!("http://[::1]:{}/", program.port));
    let program = Program::start(command(&["serve"]).env("HELLOOP_LISTEN", "").env("PORT", "0"));
    assert_eq!(program.url, format!("http://[::]:{}/", program.port));
}

/// The ports of the superuser begin below this one.
fn unprivileged_ports_from() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

#[test]
fn who_may_not_have_a_port_is_told_the_remedy() {
    if unprivileged_ports_from() < 1024 {
        return println!("skipped: here everybody may have every port");
    }
    // The test may run as the superuser.
    let mut denied = command_of("setpriv".as_ref(), &["--bounding-set=-net_bind_service"]);
    denied.args(["--inh-caps=-all", env!("CARGO_BIN_EXE_helloop"), "serve"]);
    if Command::new("setpriv").args(["--bounding-set=-net_bind_service", "true"]).status().is_err()
    {
        denied = command(&["serve"]);
    }
    let (code, _, said) = run(denied.env("HELLOOP_LISTEN", "127.0.0.1:1023"));
    assert_eq!(code, Some(3), "{said}");
    for text in ["cannot listen on 127.0.0.1:1023", "for example 8080", "setcap", "sysctl"] {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

/// Runs a server as the first process of a namespace (pid_namespaces(7)), which is what it is in a
/// container, and returns what it said. `None`, and the reason on standard output, where there can
/// be none: it takes a privilege that containers often lack.
fn first_process(listen: &str) -> Option<String> {
    let namespace = ["--user", "--map-root-user", "--pid", "--fork", "--"];
    let mut inside = command_of("unshare".as_ref(), &namespace);
    let output = inside.arg("true").output();
    if !output.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no namespace for processes: {output:?}");
        return None;
    }
    // Ending unshare(1) drains the server.
    let mut inside = command_of("unshare".as_ref(), &["--kill-child=TERM"]);
    inside.args(namespace).args([env!("CARGO_BIN_EXE_helloop"), "serve"]);
    let mut program = Program::start(inside.env("HELLOOP_LISTEN", listen));
    program.greet();
    program.signal("KILL");
    program.wait_for("SIGTERM: draining");
    Some(program.said.join("\n"))
}

#[test]
fn a_loopback_address_in_a_container_is_remarked_upon() {
    let remark = "nobody outside can connect. Listen on [::]:";
    if let Some(said) = first_process("localhost:0") {
        assert!(said.contains(remark) && said.contains(" WARN "), "{said}");
    }
    if let Some(said) = first_process("[::]:0") {
        assert!(!said.contains(remark), "{said}");
    }
    let mut outside = serve("localhost:0");
    outside.signal("TERM");
    assert_eq!(outside.end().0, Some(0));
    assert!(!outside.said.join("\n").contains(remark));
}
