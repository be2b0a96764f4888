//! The command that was built without its command line.

use crate::program::{Program, command, run};

#[test]
fn it_greets_where_the_environment_says_and_drains() {
    let mut program = Program::start(command(&[]).env("HELLOOP_LISTEN", "127.0.0.1:0,[::1]:0"));
    assert_eq!(program.url, format!("http://127.0.0.1:{}/", program.port));
    program.wait_for("Server started at http://[::1]:");
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn a_platform_s_port_is_listened_on() {
    let mut program = Program::start(command(&[]).env("PORT", "0"));
    program.greet();
    program.signal("INT");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn arguments_are_refused_but_for_serve_help_and_version() {
    let (code, _, said) = run(&mut command(&["serve", "--loops", "2"]));
    assert_eq!(code, Some(2));
    assert!(said.contains("\"--loops\" is not understood"), "{said}");
    let (code, help, _) = run(&mut command(&["--help"]));
    assert!(code == Some(0) && help.contains("HELLOOP_LISTEN"), "{help}");
    let (code, version, _) = run(&mut command(&["--version"]));
    assert!(code == Some(0) && version.starts_with("helloop "), "{version}");
}

#[test]
fn what_cannot_be_listened_on_has_its_exit_codes() {
    let (code, _, said) = run(command(&[]).env("PORT", "http"));
    assert!(code == Some(2) && said.contains("PORT"), "{said}");
    let (code, _, said) = run(command(&[]).env("HELLOOP_LISTEN", "8080"));
    assert!(code == Some(2) && said.contains("HOST:PORT"), "{said}");
    let first = Program::start(command(&[]).env("HELLOOP_LISTEN", "127.0.0.1:0"));
    let taken = format!("127.0.0.1:{}", first.port);
    let (code, _, said) = run(command(&[]).env("HELLOOP_LISTEN", &taken));
    assert!(code == Some(3) && said.contains(&taken), "{said}");
}

#[test]
fn several_loops_share_a_port_and_end_together() {
    let three = [("HELLOOP_LISTEN", "127.0.0.1:0"), ("HELLOOP_LOOPS", "3")];
    let mut program = Program::start(command(&[]).envs(three));
    (0..64).for_each(|_| program.greet());
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let (code, _, said) = run(command(&[]).env("HELLOOP_LOOPS", "0"));
    assert_eq!(code, Some(2));
    assert!(said.contains("HELLOOP_LOOPS is \"0\": a number from 1 to 256"), "{said}");
}
