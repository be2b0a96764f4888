//! `docs/conformance.md` says what is so: every test that it names is there, every claim names one,
//! and the numbers are right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use helloop::limits;

const VERDICTS: [&str; 4] = ["yes", "stricter", "no, because", "not applicable"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn page() -> String {
    fs::read_to_string(directory().join("conformance.md")).expect("the page")
}

/// One clause.
struct Row<'a> {
    clause: &'a str,
    verdict: &'a str,
    here: &'a str,
    shown_by: &'a str,
}

/// The clauses in a part of the page.
fn rows(part: &str) -> Vec<Row<'_>> {
    let row = |line| {
        let cells = cells(line);
        let &[clause, asks, verdict, here, shown_by] = cells.as_slice() else {
            panic!("{} cells: {line}", cells.len());
        };
        assert!(!asks.is_empty(), "{line}");
        Row { clause, verdict, here, shown_by }
    };
    let is_clause = |line: &&str| line.starts_with("| 91");
    part.lines().filter(is_clause).map(row).collect()
}

/// The cells of a line of a table. No cell here has a `|` in it.
fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).expect("a line");
    inner.split('|').map(str::trim).collect()
}

/// The text and the address of each link in a cell.
fn links(cell: &str) -> Vec<(&str, &str)> {
    let link = |part: &'_ str| -> Option<(usize, usize)> {
        let middle = part.find("](")?;
        Some((middle, middle + part[middle..].find(')')?))
    };
    let mut links = Vec::new();
    for part in cell.split('[').skip(1) {
        let (middle, end) = link(part).unwrap_or_else(|| panic!("a broken link: {part}"));
        links.push((&part[..middle], &part[middle + 2..end]));
    }
    links
}

/// What a heading's address is: small letters, hyphens for spaces, and no other signs.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Whether a link of the column `shown by` leads to a test of that name.
///
/// # Errors
/// Says what is missing.
fn follow(text: &str, address: &str) -> Result<(), String> {
    let (path, place) = address.split_once('#').unwrap_or((address, ""));
    let target = fs::read_to_string(directory().join(path)).map_err(|e| format!("{path}: {e}"))?;
    let is_there = match text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
        Some(function) => place.is_empty() && is_test(&target, function),
        None => {
            let title = text.strip_prefix("catalogue, ").unwrap_or(text);
            anchor(title) == place && target.contains(&format!("\n## {title}\n"))
        }
    };
    if is_there { Ok(()) } else { Err(format!("{path} has no `{text}`")) }
}

/// Whether `source` has a test function of this name.
fn is_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let mut before = source.split(&head);
    let before = before.next().filter(|before| before.len() < source.len());
    let attributes = before.and_then(|before| before.rsplit('}').next());
    attributes.is_some_and(|attributes| attributes.contains("#[test]"))
}

/// The page from one `##` heading to the next.
fn part<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).expect("the heading");
    rest.split("\n## ").next().unwrap_or(rest)
}

#[test]
fn every_test_that_is_named_is_there() {
    let page = page();
    let links: Vec<_> = rows(&page).into_iter().flat_map(|row| links(row.shown_by)).collect();
    assert!(links.len() > 200, "only {} links were found", links.len());
    let missing: Vec<_> =
        links.into_iter().filter_map(|(text, address)| follow(text, address).err()).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_verdict_is_borne_out() {
    for Row { clause, verdict, here, shown_by } in rows(&page()) {
        assert!(VERDICTS.contains(&verdict), "{clause}: {verdict}");
        let has_reason = here.len() > 20;
        match verdict {
            "not applicable" => assert!(has_reason, "{clause}: why not?"),
            "no, because" => assert!(has_reason && !shown_by.is_empty(), "{clause}: why not?"),
            _ => assert!(!links(shown_by).is_empty(), "{clause}: who shows it?"),
        }
    }
}

#[test]
fn the_counts_are_right() {
    let page = page();
    let words: String = page.split_whitespace().flat_map(|word| [word, " "]).collect();
    for who in ["server", "client"] {
        let rows = rows(part(&page, &format!("The {who}")));
        let mut counts = BTreeMap::from(VERDICTS.map(|verdict| (verdict, 0)));
        rows.iter().for_each(|row| *counts.entry(row.verdict).or_default() += 1);
        let [yes, stricter, no, rest] = VERDICTS.map(|verdict| counts[verdict]);
        let sentence = format!(
            "Of the {} clauses for the {who}, {yes} are kept, {stricter} more strictly than asked, \
             {no} are not kept, and {rest} are not applicable.",
            rows.len()
        );
        assert!(words.contains(&sentence), "{sentence}");
    }
}

/// Where the page tells a number, the tests that it names go by a constant of the same value.
#[test]
fn the_numbers_are_the_limits() {
    let page = page();
    let here = |text: &str| assert!(page.contains(text), "the page does not say {text:?}");
    here("8,192 with CRLF, by default");
    assert_eq!(limits::REQUEST_LINE_BYTES_MAX, 8192);
    here("16 KiB a body, then 413");
    assert_eq!(limits::CHUNK_OVERHEAD_BYTES_MAX, 16 * 1024);
    here("read for at most two seconds");
    assert_eq!(limits::LINGER_TIMEOUT, Duration::from_secs(2));
    here("100 in total");
    assert_eq!(limits::FETCH_CONNECTIONS_MAX, 100);
    here("up to 16 of them");
    assert_eq!(limits::INTERIM_REPLIES_MAX, 16);
}

#[test]
fn a_test_that_is_missing_is_noticed() {
    let heads = "../tests/transcripts/heads.md";
    assert_eq!(follow("no Host", &format!("{heads}#no-host")), Ok(()));
    assert!(follow("no Host", &format!("{heads}#two-hosts")).is_err());
    assert!(follow("no such case", &format!("{heads}#no-such-case")).is_err());
    assert!(follow("no Host", "../tests/transcripts/none.md#no-host").is_err());
    let here = "../tests/it/conformance.rs";
    assert_eq!(follow("`the_counts_are_right`", here), Ok(()));
    assert!(follow("`a_function_that_is_not_there`", here).is_err());
    assert!(follow("`anchor`", here).is_err(), "it is no test");
    assert_eq!(links("[a](b#c), [`d`](e)"), [("a", "b#c"), ("`d`", "e")]);
}
