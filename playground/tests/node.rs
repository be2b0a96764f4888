//! One seed is one world, natively and in the page: the module in the page is run by node.

use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use helloop_playground::digest_lines;

/// At most so many bytes are in the file, with the client.
const PAGE_BYTES_MAX: usize = 1_500_000;

const SEEDS: u32 = 1_000;
const STEPS: u32 = 400;

/// True if there is node. Without it says so, and panics where the variable `CI` is set.
fn is_installed() -> bool {
    let is_there = Command::new("node").arg("--version").output().is_ok();
    if !is_there {
        let advice = "node is not installed; install it with `apt-get install nodejs`";
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        eprintln!("skipped: {advice}");
    }
    is_there
}

#[track_caller]
fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_seed_is_the_same_world_in_the_page() {
    if !is_installed() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("playground.html");
    let mut write = Command::new(env!("CARGO_BIN_EXE_helloop-playground"));
    said(&write.arg("--output").arg(&page).output().unwrap());
    let bytes = std::fs::metadata(&page).unwrap().len();
    assert!(bytes <= PAGE_BYTES_MAX as u64, "{bytes} bytes");

    let native = thread::spawn(|| digest_lines(1, SEEDS, STEPS));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digests.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(&page).args(["1", &SEEDS.to_string(), &STEPS.to_string()]);
    let in_page = said(&node.output().unwrap());
    let native = native.join().unwrap();
    let events: u64 =
        native.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert!(events > 100 * u64::from(SEEDS), "little happened: {events} events");
    for (native, in_page) in native.lines().zip(in_page.lines()) {
        assert_eq!(native, in_page);
    }
    assert_eq!(native.lines().count(), in_page.lines().count());
    eprintln!("{SEEDS} seeds, {events} events, {bytes} bytes");
}
