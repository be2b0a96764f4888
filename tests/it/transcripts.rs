//! The transcripts in `tests/transcripts`: bytes in, bytes and events out. Each case is run
//! straight through an `Exchange` under every cut of its input, and through the whole server on
//! calm and rough simulated networks; all must say what the page says.
//!
//! `BLESS=1 cargo test --test library transcripts` writes what happened into the pages. Read the
//! difference as if somebody else had written it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;

#[cfg(feature = "twin")]
use helloop::server::Builder;

mod exchange;
mod page;
mod server;

pub(crate) use page::Case;

/// What came of a case: exactly what its blocks `out` and `events` say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    output: Vec<u8>,
    /// Requests, responses and the ending, a line each, then what the peer sees.
    events: Vec<String>,
}

/// The last line of `events`.
const STAYS_OPEN: &str = "the connection stays open";
const CLOSES: &str = "the connection closes";

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

/// The cases of one page, `greeting` for `greeting.md`.
pub(crate) fn cases(page: &str) -> Vec<Case> {
    let path = directory().join(format!("{page}.md"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    page::cases(page, &text)
}

/// Runs one case in every way.
#[track_caller]
pub(crate) fn check(case: &Case) {
    let outcome = exchange::whole(case);
    if blessing() {
        return bless(case, &outcome);
    }
    if let Err(difference) = compare(case.expected.as_ref(), &outcome) {
        panic!("{}: {difference}", case.place());
    }
    let ways = exchange::outcomes_of_cuts(case).chain(server::outcomes(case));
    for (way, outcome) in ways {
        if let Err(difference) = compare(case.expected.as_ref(), &outcome) {
            panic!("{}, {way}: {difference}", case.place());
        }
    }
}

fn blessing() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

/// One test per page may write it at a time, and cases of a page may run in several tests.
fn bless(case: &Case, outcome: &Outcome) {
    static WRITING: OnceLock<std::sync::Mutex<()>> = OnceLock::new();
    let _one_at_a_time = WRITING.get_or_init(Default::default).lock();
    let path = directory().join(format!("{}.md", case.page));
    let text = fs::read_to_string(&path).expect("it was read before");
    fs::write(&path, page::blessed(&text, &case.name, outcome)).expect("the page can be written");
}

/// The difference for people, escaped.
fn compare(expected: Option<&Outcome>, found: &Outcome) -> Result<(), String> {
    let Some(expected) = expected else {
        let blocks = page::blocks(found);
        return Err(format!("no `out` and `events` yet. What happened (BLESS=1):\n{blocks}"));
    };
    if expected == found {
        return Ok(());
    }
    let lines = |outcome: &Outcome| page::blocks(outcome).lines().map(String::from).collect();
    let (expected, found): (Vec<String>, Vec<String>) = (lines(expected), lines(found));
    let same = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let mut text = String::from("not as the page says (- page, + found)\n");
    let signed = |sign: char, lines: &[String]| -> String {
        lines.iter().take(12).map(|line| format!("  {sign} {line}\n")).collect()
    };
    text += &signed(' ', &expected[same.saturating_sub(3)..same]);
    text += &signed('-', &expected[same..]);
    text += &signed('+', &found[same..]);
    Err(text)
}

/// Whether the same comes of every case at one server and at another.
#[cfg(feature = "twin")]
pub(crate) fn compare_servers(one: fn() -> Builder, other: fn() -> Builder) {
    for page in PAGES {
        cases(page).iter().for_each(|case| server::compare(case, one, other));
    }
}

/// Tells of every case that is wrong, and not only of the first.
fn check_page(page: &str) {
    let cases = cases(page);
    assert!(!cases.is_empty(), "{page} has no case");
    let check = |case| catch_unwind(AssertUnwindSafe(|| check(case))).err();
    let wrong = cases.iter().filter_map(check).count();
    assert_eq!(wrong, 0, "cases of {page}.md, of {}", cases.len());
}

/// A test per page: a page without a line here fails in `every_page_is_listed`.
macro_rules! pages {
    ($($page:ident)*) => {
        const PAGES: &[&str] = &[$(stringify!($page)),*];
        $(
            #[test]
            fn $page() {
                check_page(stringify!($page));
            }
        )*
    };
}

pages! {
    chunked
    expect
    framing
    heads
    keep_alive
    limits
    pipelining
    services
    smuggling
    targets
    timeouts
}

#[test]
fn every_page_is_listed() {
    let mut found: Vec<String> = fs::read_dir(directory())
        .expect("the directory of the pages")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "README")
        .collect();
    found.sort();
    assert_eq!(found, PAGES);
}

#[test]
fn a_wrong_page_is_noticed_and_the_difference_is_escaped() {
    let text = "# p\n\n## c\n\nWhy.\n\n```in\nGET / HTTP/1.1\\r\\n\nHost: a\\r\\n\\r\\n\n```\n\n\
                ```out\nHTTP/1.1 200 OK\\r\\n\nSerif: \\x00\n```\n\n```events\nnothing\n```\n";
    let case = &page::cases("p", text)[0];
    let outcome = exchange::whole(case);
    let difference = compare(case.expected.as_ref(), &outcome).unwrap_err();
    assert!(difference.contains("  - Serif: \\x00\n"), "{difference}");
    assert!(difference.contains("  + Content-Type: text/plain; charset=utf-8\\r\\n\n"));
    let fixed = &page::cases("p", &page::blessed(text, "c", &outcome))[0];
    assert_eq!(fixed.expected, Some(outcome));
}
