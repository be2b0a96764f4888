use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tests that the page names: the first word in code of each row's last cell.
fn named() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.trim_matches('|').split('|').collect::<Vec<_>>());
    let tests = cells.filter_map(|cells| {
        assert_eq!(cells.len(), 4, "{cells:?}");
        cells[3].split('`').nth(1).map(str::to_owned)
    });
    tests.collect()
}

/// The test functions of the files in `folder` and below, but for those of this file.
fn tests(folder: &Path) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            tests.append(&mut self::tests(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("faults/page.rs") {
            let text = fs::read_to_string(path).unwrap();
            let after_mark = text.split("#[test]\n").skip(1);
            let names = after_mark.filter_map(|rest| rest.split_once("fn ")?.1.split_once('('));
            tests.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
    tests
}

#[test]
fn every_test_of_the_page_exists() {
    let tests = tests(&root().join("tests"));
    let named = named();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !tests.contains(*name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_fault_stands_on_the_page() {
    let named: BTreeSet<String> = named().into_iter().collect();
    let tests = tests(&root().join("tests/faults"));
    let untold: Vec<_> = tests.difference(&named).collect();
    assert_eq!(untold, [""; 0]);
}
