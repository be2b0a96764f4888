//! `docs/asyncio.md` says what is so: every fact has one row, every test a fact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FACTS: usize = 81;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/asyncio.md")).unwrap()
}

/// A row of the table of facts.
struct Row {
    number: usize,
    verdict: String,
    /// A test, a reason, or both.
    remark: String,
}

impl Row {
    /// The test that the row names.
    fn test(&self) -> Option<&str> {
        let is_test = |word: &&str| word.starts_with("fact_") || word.starts_with("differs_");
        self.remark.split('`').find(is_test)
    }
}

fn rows(page: &str) -> Vec<Row> {
    let (_, table) = page.split_once("## The facts").unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let number = cells[0].parse().ok()?;
        assert_eq!(cells.len(), 4, "{line}");
        Some(Row { number, verdict: cells[2].to_owned(), remark: cells[3].to_owned() })
    };
    table.lines().filter(|line| line.starts_with('|')).filter_map(row).collect()
}

/// The test functions of this binary that are about a fact.
fn tests() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("tests/asyncio")).unwrap();
    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    let mut tests = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let after_mark = text.split("#[test]\nfn ").skip(1);
        let names = after_mark.map(|rest| rest.split('(').next().unwrap().to_owned());
        tests
            .extend(names.filter(|name| name.starts_with("fact_") || name.starts_with("differs_")));
    }
    tests
}

#[test]
fn every_fact_has_one_row_in_order() {
    let numbers: Vec<usize> = rows(&page()).iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=FACTS).collect::<Vec<_>>());
}

#[test]
fn every_verdict_is_borne_out() {
    let tests = tests();
    for row in rows(&page()) {
        let (number, remark, test) = (row.number, &row.remark, row.test());
        if let Some(test) = test {
            assert!(tests.contains(test), "{number}: there is no test {test}");
        }
        match (row.verdict.as_str(), test) {
            ("reproduced", Some(test)) => {
                assert!(test.starts_with(&format!("fact_{number:02}_")), "{number}: {test}");
            }
            ("differs on purpose", Some(test)) => {
                assert!(test.starts_with(&format!("differs_{number:02}_")), "{number}: {test}");
                assert!(!remark.starts_with('`'), "{number}: the reason comes first");
            }
            ("differs on purpose" | "not applicable", None) => {
                assert!(remark.len() > 20, "{number}: a reason");
            }
            (verdict, _) => panic!("{number}: {verdict}, {remark}"),
        }
    }
}

#[test]
fn every_test_stands_in_the_table() {
    let page = page();
    let named: BTreeSet<String> =
        rows(&page).iter().filter_map(|row| row.test().map(str::to_owned)).collect();
    assert_eq!(tests(), named);
}

#[test]
fn the_counts_are_right() {
    let page = page();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows(&page) {
        *counts.entry(row.verdict).or_default() += 1;
    }
    let (reproduced, differs) = (counts["reproduced"], counts["differs on purpose"]);
    let rest = counts["not applicable"];
    let sentence = format!(
        "Of the {FACTS} facts, {reproduced} are reproduced, {differs} differ on purpose, and \
         {rest} are not applicable."
    );
    assert!(page.contains(&sentence), "{sentence}");
}

#[test]
fn every_file_of_the_dictionary_is_there() {
    let page = page();
    let files = page.split('`').filter(|word| word.starts_with("src/"));
    let missing: Vec<&str> = files.filter(|file| !root().join(file).is_file()).collect();
    assert_eq!(missing, [""; 0]);
}
