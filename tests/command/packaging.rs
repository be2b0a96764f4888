//! What `packaging/` says of the command is so: names of variables, times that must fit into others, versions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::program::{command, run};

/// Exposure of the unit, in tenths of 10: what `systemd-analyze security` may say at most.
const EXPOSURE_MAX: &str = "12";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text below a folder, with its path.
fn texts(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path, text));
        }
    }
    found
}

/// The names that begin with `HELLOOP_`.
fn variables(text: &str) -> BTreeSet<&str> {
    let of =
        |rest: &str| rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
    let starts = text.match_indices("HELLOOP_").map(|(at, _)| &text[at..]);
    // `HELLOOP_…` stands for all of them.
    starts.map(|rest| &rest[..of(rest)]).filter(|name| *name != "HELLOOP_").collect()
}

#[test]
fn every_variable_that_is_named_is_one_of_the_command() {
    let (code, help, _) = run(&mut command(&["serve", "--help"]));
    assert_eq!(code, Some(0));
    let mut known = variables(&help);
    // The build's.
    known.insert("HELLOOP_COMMIT");
    let mut named = 0;
    let mut pages = texts(&root().join("packaging"));
    pages.extend(texts(&root().join("docs")));
    for (path, text) in &pages {
        for name in variables(text) {
            assert!(known.contains(name), "{}: there is no {name}", path.display());
            named += 1;
        }
    }
    assert!(named > 20, "only {named} were found");
}

/// The duration behind `key`: `25s`, `45`, or with `value: ` before it.
fn seconds(text: &str, key: &str) -> Duration {
    let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("no {key}"));
    let digits: String = rest
        .trim_start_matches(|c: char| !c.is_ascii_digit() && c != '\n')
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Duration::from_secs(digits.parse().unwrap_or_else(|_| panic!("no time at {key}")))
}

/// A supervisor that waits for less than the drain takes would cut it.
#[test]
fn supervisors_wait_longer_than_a_drain_takes() {
    let kubernetes = read("packaging/kubernetes/helloop.yaml");
    let drain = ["seconds: ", "HELLOOP_DRAIN_DELAY", "HELLOOP_DRAIN_TIMEOUT"];
    let drain: Duration = drain.iter().map(|key| seconds(&kubernetes, key)).sum();
    assert!(seconds(&kubernetes, "terminationGracePeriodSeconds") > drain);

    let compose = read("packaging/docker/compose.yaml");
    let drain = ["HELLOOP_DRAIN_DELAY", "HELLOOP_DRAIN_TIMEOUT"];
    let drain: Duration = drain.iter().map(|key| seconds(&compose, key)).sum();
    assert!(seconds(&compose, "stop_grace_period") > drain);

    let (unit, settings) =
        (read("packaging/systemd/helloop.service"), read("packaging/debian/default"));
    let drain = seconds(&unit, "HELLOOP_DRAIN_TIMEOUT=") + seconds(&settings, "DRAIN_DELAY=");
    assert!(seconds(&unit, "TimeoutStopSec=") > drain);
}

#[test]
fn versions_are_this_one() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, image) in [("helloop.yaml", "helloop"), ("hostile-job.yaml", "hostile")] {
        let text = read(&format!("packaging/kubernetes/{file}"));
        assert!(text.contains(&format!("image: {image}:{version}\n")), "{file}");
    }
    let log = read("packaging/debian/changelog");
    assert!(log.starts_with(&format!("helloop ({version}-1) ")), "{log}");
}

/// Otherwise a campaign leaves seeds out, or runs some twice.
#[test]
fn a_campaign_has_as_many_shards_as_it_says() {
    let job = read("packaging/kubernetes/hostile-job.yaml");
    let completions = job.split_once("\n  completions: ").unwrap().1.lines().next().unwrap();
    assert!(job.contains(&format!("--shard, $(JOB_COMPLETION_INDEX)/{completions}]")));
}

/// The two configurations of haproxy differ in their addresses and comments alone.
#[test]
fn the_balancer_in_a_container_is_the_one_that_is_tested() {
    let lines = |path| {
        let text = read(path);
        let is_plain = |line: &&str| !line.contains("    server ") && !line.starts_with('#');
        text.lines().filter(is_plain).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines("packaging/docker/haproxy.cfg"), lines("packaging/haproxy/haproxy.cfg"));
}

/// Nothing where it is not installed. Where everything has to be tested (CI), it must be.
fn analyze(arguments: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(output),
        Err(_) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: systemd-analyze is not installed");
            None
        }
        Err(error) => panic!("systemd-analyze: {error}"),
    }
}

/// The units, with a program that is there.
fn units(change: impl Fn(String) -> String) -> (tempfile::TempDir, [String; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["helloop.service", "helloop.socket"].map(|name| {
        let text = read(&format!("packaging/systemd/{name}"))
            .replace("/usr/bin/helloop", env!("CARGO_BIN_EXE_helloop"));
        let path = directory.path().join(name);
        fs::write(&path, change(text)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    (directory, paths)
}

#[test]
fn systemd_has_no_complaint_about_the_units() {
    let verify = |[service, socket]: &[String; 2]| {
        let output = analyze(&["verify", "--man=no", service, socket])?;
        // What it does not know it ignores, and exits with 0.
        Some((output.status.code(), String::from_utf8(output.stderr).unwrap()))
    };
    let (_directory, paths) = units(|text| text);
    let Some(said) = verify(&paths) else { return };
    assert_eq!(said, (Some(0), String::new()));
    let (_directory, paths) = units(|text| text.replace("WatchdogSec", "WatchDogSec"));
    assert!(verify(&paths).unwrap().1.contains("WatchDogSec"), "a wrong unit is not noticed");
}

#[test]
fn the_unit_is_hardened() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let rate = |path: &str| {
        let output = analyze(&["security", "--no-pager", "--offline=true", &threshold, path])?;
        Some((output.status.success(), String::from_utf8(output.stdout).unwrap()))
    };
    let (_directory, [service, _]) = units(|text| text);
    let Some((is_low, said)) = rate(&service) else { return };
    assert!(is_low, "{said}");
    let (_directory, [service, _]) = units(|text| text.replace("PrivateUsers=yes", ""));
    assert!(!rate(&service).unwrap().0, "a weaker unit is not noticed");
}
