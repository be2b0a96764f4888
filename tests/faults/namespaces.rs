//! A network, and a view of the files, that a test has for itself: namespaces(7).

use std::env;
use std::io::ErrorKind;
use std::process::Command;

/// Set in the process that runs a test in namespaces of its own.
const INSIDE: &str = "HELLOOP_TEST_INSIDE";
/// What unshare(1) may be allowed to do here: as anybody, or only as root.
const WAYS: [&[&str]; 2] = [&["--map-root-user", "--net", "--mount"], &["--net", "--mount"]];

/// Runs the test with this name, of this module, once more, in namespaces of its own. True if this is
/// there. Says why not if there can be none: it takes a privilege that containers often lack.
pub(crate) fn is_inside(module: &str, test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let refusals = WAYS.map(|way| (way, refusal(way)));
    let Some((way, _)) = refusals.iter().find(|(_, refusal)| refusal.is_none()) else {
        println!("skipped: no network of one's own: {refusals:?}");
        return false;
    };
    let (_, module) = module.split_once("::").unwrap();
    let mut inside = Command::new("unshare");
    inside.args(*way).arg("--").arg(env::current_exe().unwrap());
    inside.args(["--exact", &format!("{module}::{test}"), "--nocapture"]).env(INSIDE, "1");
    let output = inside.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "it was not run: {said}");
    false
}

/// Why there can be no such network, if there is a reason. That the tools are missing is none on the
/// machines of the project.
fn refusal(way: &[&str]) -> Option<String> {
    let mut probe = Command::new("unshare");
    probe.args(way).args(["--", "ip", "link", "add", "near", "type", "veth"]);
    let refusal = match probe.output() {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let is_missing = [["unshare", "--version"], ["ip", "-Version"]].iter().any(|[tool, flag]| {
        let output = Command::new(tool).arg(flag).output();
        output.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
    let is_missed = is_missing && env::var_os("CI").is_some();
    assert!(!is_missed, "{refusal}: apt-get install iproute2 util-linux");
    Some(refusal)
}

#[track_caller]
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}
