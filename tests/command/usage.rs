//! What a user meets who types something else than is understood.

use crate::program::{Program, command, run};

/// Checks that these arguments are a usage error, and that it says all of `texts`.
#[track_caller]
fn refused(arguments: &[&str], texts: &[&str]) {
    let (code, output, said) = run(&mut command(arguments));
    assert_eq!((code, output.as_str()), (Some(2), ""), "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

#[test]
fn mistakes_are_explained() {
    refused(&["serve", "--lisen", "localhost:0"], &["--lisen", "tip", "'--listen'"]);
    refused(&["serve", "--drain-timeout", "25"], &["--drain-timeout", "for example 25s"]);
    refused(&["serve", "--max-body-size", "100"], &["--max-body-size", "for example 100B"]);
    refused(&["serve", "--idle-timeout", "0s"], &["--idle-timeout", "longer than nothing"]);
    refused(&["serve", "--max-head-size", "10B"], &["--max-head-size is 10", "at least 64 bytes"]);
    refused(&["serve", "--access-log", "apache"], &["common", "combined", "json"]);
    refused(&["serve", "--connections", "threads"], &["state-machine", "coroutine"]);
    refused(&["serve", "--text", r"a\d"], &["--text", r"\d means nothing"]);
    refused(&["serve", "--header", "no-store"], &["--header", "no colon"]);
    refused(&["serve", "--header", "Date: now"], &["--header", "belongs to the connection"]);
    refused(&["serve", "--status", "199"], &["--status", "from 200 to 599"]);
    refused(&["serve", "--health-path", "healthz"], &["--health-path is `healthz`", "/healthz"]);
    refused(
        &["serve", "--access-log-exclude", "a"],
        &["'a'", "--access-log-exclude", "begins with /"],
    );
    refused(&["serve", "--log-format", "xml"], &["text", "json"]);
    let both = ["serve", "--admin", "localhost:0", "--connections", "coroutine"];
    refused(&both, &["--admin counts state machines"]);
    refused(&["serve", "--trusted-proxy", "10.0.0.0/33"], &["--trusted-proxy", "10.0.0.0/8"]);
    refused(&["serve", "--proxy-protocol=v1"], &["--proxy-protocol needs --trusted-proxy"]);
    refused(&["serve", "--proxy-protocol", "v3"], &["--proxy-protocol", "v1", "v2"]);
    for sample in ["0", "1%"] {
        refused(&["serve", "--access-log-sample", sample], &["--access-log-sample <N>", sample]);
    }
    refused(&["serve", "--agent", "9091"], &["`9091` is not an address"]);
    refused(&["serve", "--listen", "8080"], &["`8080` is not an address", "localhost:8080"]);
    for loops in ["0", "257", "two"] {
        refused(&["serve", "--loops", loops], &["--loops <NUMBER>", loops]);
    }
    refused(&["serve", "--loops", "2", "--explain"], &["--explain tells", "one event loop"]);
    let too_few = ["serve", "--loops", "3", "--max-connections", "2"];
    refused(&too_few, &["--max-connections is 2", "each of the 3 loops"]);
    refused(&["sevre"], &["'serve'"]);
    refused(&[], &["Usage: helloop <COMMAND>", "serve"]);
}

#[test]
fn a_mistake_in_the_environment_names_its_variable() {
    let (code, _, said) = run(command(&["serve"]).env("PORT", "http"));
    assert!(code == Some(2) && said.contains("PORT is \"http\""), "{said}");
    let (code, _, said) = run(command(&["serve"]).env("HELLOOP_RUN_FOR", "1"));
    assert!(code == Some(2) && said.contains("--run-for") && said.contains("1s"), "{said}");
    let (code, _, said) = run(&mut command(&["serve", "--listen", ""]));
    assert!(code == Some(2) && said.contains("`` is not an address"), "{said}");
}

/// All of them: a template may leave any.
#[test]
fn an_empty_variable_says_nothing() {
    let (_, help, _) = run(&mut command(&["serve", "--help"]));
    let names: Vec<&str> =
        help.split("[env: ").skip(1).map(|rest| rest.split_once('=').unwrap().0).collect();
    assert!(names.len() > 15 && names.contains(&"HELLOOP_TRACE"), "{names:?}");
    let mut all_empty = command(&["serve"]);
    all_empty.envs(names.iter().map(|name| (name, ""))).env("PORT", "0");
    let mut program = Program::start(&mut all_empty);
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn the_environment_counts_where_the_command_line_is_silent() {
    let port_alone = Program::start(command(&["serve"]).env("PORT", "0"));
    port_alone.greet();
    let both = Program::start(
        command(&["serve"]).env("PORT", "http").env("HELLOOP_LISTEN", "127.0.0.1:0"),
    );
    assert_eq!(both.url, format!("http://127.0.0.1:{}/", both.port));
    let flag = Program::start(
        command(&["serve", "-l", "localhost:0"]).env("HELLOOP_LISTEN", "127.0.0.1:0"),
    );
    assert_eq!(flag.url, format!("http://localhost:{}/", flag.port));
}

#[test]
fn connections_may_be_coroutines() {
    let serve = ["serve", "-l", "localhost:0", "--connections", "coroutine"];
    let program = Program::start(&mut command(&serve));
    program.greet();
    program.greet();
}

#[test]
fn help_and_version_are_no_errors() {
    let (code, help, _) = run(&mut command(&["serve", "--help"]));
    assert_eq!(code, Some(0));
    for text in ["--explain", "[env: HELLOOP_LISTEN=]", "Limits:", "[default: 25s]", "Exit codes:"]
    {
        assert!(help.contains(text), "{text:?} is not in: {help}");
    }
    let expected = format!("helloop {}\n", env!("CARGO_PKG_VERSION"));
    let (code, version, _) = run(&mut command(&["-V"]));
    assert_eq!((code, &version), (Some(0), &expected));
    let (code, version, _) = run(&mut command(&["--version"]));
    assert!(code == Some(0) && version.starts_with(&expected), "{version}");
    assert!(version.contains("\ncommit: ") && version.contains("\nfeatures: cli, "), "{version}");
}
