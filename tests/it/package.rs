//! What `cargo publish` would send: everything that the sources need, tests included. (A pattern in
//! `exclude` that does not begin with a slash matches in every directory.)

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files below `directory` that people write, as paths from `root` on.
fn written_below(root: &Path, directory: &str, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(root.join(directory)).expect("a directory of the sources") {
        let path = entry.expect("an entry").path();
        let relative = path.strip_prefix(root).expect("it is below the root").to_owned();
        if path.join("Cargo.toml").is_file() || path.ends_with("node_modules") {
            // Packages of their own.
            continue;
        }
        if path.is_dir() {
            written_below(root, relative.to_str().expect("our names are text"), found);
        } else if path
            .extension()
            .is_some_and(|kind| ["rs", "md", "js", "css"].contains(&kind.to_str().unwrap_or("")))
        {
            found.insert(relative);
        }
    }
}

#[test]
fn the_package_has_all_sources_and_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["package", "--list", "--allow-dirty", "--offline"]).current_dir(root);
    let output = cargo.output().expect("cargo runs this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let list = String::from_utf8(output.stdout).expect("our names are text");
    let listed: BTreeSet<PathBuf> = list.lines().map(PathBuf::from).collect();
    let mut written = BTreeSet::new();
    for directory in ["src", "tests", "examples", "docs", "benches/fetch"] {
        written_below(root, directory, &mut written);
    }
    assert!(written.len() > 300, "only {} files were found", written.len());
    let missing: Vec<_> = written.difference(&listed).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!list.lines().any(|path| path.starts_with("fuzz/")), "a package of its own");
}
