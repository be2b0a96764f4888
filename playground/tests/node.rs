//! One seed is one world, natively and in the page: the module in the page is run by node.

use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use helloop_playground::{
    campaign_events, campaign_line, digest_lines, hostile_line, hostile_lines,
};

/// At most so many bytes are in the file, with the client.
const PAGE_BYTES_MAX: usize = 1_500_000;

const SEEDS: u32 = 1_000;
const STEPS: u32 = 400;

/// Of the hostile worlds.
const HOSTILE_SEEDS: u32 = 200;
const EVENTS_MAX: u64 = 5_000;

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

/// Prints digests, as the module in the page works them out.
fn in_page(page: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digests.mjs");
    let mut node = Command::new("node");
    said(&node.arg(script).arg(page).args(arguments).output().unwrap())
}

fn assert_same(native: &str, in_page: &str) {
    for (native, in_page) in native.lines().zip(in_page.lines()) {
        assert_eq!(native, in_page);
    }
    assert_eq!(native.lines().count(), in_page.lines().count());
}

fn events(lines: &str) -> u64 {
    lines.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
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
    let told = in_page(&page, &["digests", "1", &SEEDS.to_string(), &STEPS.to_string()]);
    let native = native.join().unwrap();
    assert!(events(&native) > 100 * u64::from(SEEDS), "little happened: {}", events(&native));
    assert_same(&native, &told);
    eprintln!("{SEEDS} seeds, {} events, {bytes} bytes", events(&native));

    let native = thread::spawn(|| hostile_lines(1, HOSTILE_SEEDS));
    let told = in_page(&page, &["hostile_digests", "1", &HOSTILE_SEEDS.to_string()]);
    let native = native.join().unwrap();
    assert!(events(&native) > 100 * u64::from(HOSTILE_SEEDS), "{}", events(&native));
    // Where a service panics as planned, the module ends.
    let pairs = native.lines().zip(told.lines());
    let whole: Vec<_> = pairs.filter(|(_, told)| !told.ends_with(" panics")).collect();
    assert!(whole.len() > HOSTILE_SEEDS as usize / 2, "{} of {HOSTILE_SEEDS}", whole.len());
    for (native, told) in whole {
        assert_eq!(native, told);
    }
}

/// The world that is shown is the one in which a campaign has found something.
#[test]
fn a_hostile_world_is_shown_as_a_campaign_saw_it() {
    for seed in 1..=HOSTILE_SEEDS {
        let events = campaign_events(seed).min(EVENTS_MAX);
        assert_eq!(hostile_line(seed, events), campaign_line(seed, events));
    }
}
