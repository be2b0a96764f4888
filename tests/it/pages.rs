//! What the pages say of the repository is so: links lead somewhere, the README's lines of the loop are in
//! the source, the path of `docs/learn.md` is as long as it says.

use std::fs;
use std::path::{Path, PathBuf};

/// So that it can be read standing.
const README_LINES_MAX: usize = 130;

/// Lines and minutes of each half of the path.
const LADDER_MAX: (usize, usize) = (700, 30);
const SOURCE_MAX: (usize, usize) = (900, 30);

/// What is said of a file may be wrong by a tenth, or by so many lines.
const LINES_OFF_MAX: usize = 10;

/// How many words the glossary explains.
const WORDS_MIN: usize = 30;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Markdown file that we wrote.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let folders =
        ["", "docs", "docs/operate", "packaging", "benches/facts", "benches/versus", "fuzz"];
    for directory in folders {
        pages.extend(entries(&root().join(directory)).into_iter().filter(|path| is_page(path)));
    }
    for directory in ["examples", "tests", "src"] {
        collect(&root().join(directory), &mut pages);
    }
    assert!(pages.len() > 25, "only {} pages were found", pages.len());
    pages
}

fn collect(directory: &Path, pages: &mut Vec<PathBuf>) {
    for path in entries(directory) {
        if path.is_dir() {
            collect(&path, pages);
        } else if is_page(&path) {
            pages.push(path);
        }
    }
}

/// Nothing where the directory is not in the package.
/// What is in a directory, but for packages that others have written.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| !path.ends_with("node_modules")).collect()
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The lines of a page that are prose: outside of fences.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_fenced = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    })
}

/// The targets of `[text](target)` and of `![text](target)`.
fn links(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(page) {
        // What stands between backticks is code.
        for text in line.split('`').step_by(2) {
            let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            found.extend(targets.map(|(target, _)| target));
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
        text.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in pages() {
        let page = read(&path);
        for link in links(&page) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("a file is in a directory").join(file)
            };
            let is_there = target.exists()
                && (anchor.is_empty()
                    || anchors(&read(&target)).iter().any(|known| known == anchor));
            if !is_there {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these links lead nowhere:\n{}", wrong.join("\n"));
}

/// `src/limits.rs` in a page is a file that is there: from the root, or from the page's folder.
#[test]
fn files_that_are_named_are_there() {
    let folders = ["src/", "tests/", "examples/", "docs/", "benches/", "fuzz/"];
    let is_path = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let is_below = folders.iter().any(|folder| text.starts_with(folder));
        is_below && text.contains('.') && text.chars().all(is_plain)
    };
    let mut missing = Vec::new();
    // What the changelog names was there once.
    for path in pages().iter().filter(|path| !path.ends_with("CHANGELOG.md")) {
        let page = read(path);
        for line in prose(&page) {
            let code = line.split('`').skip(1).step_by(2);
            let beside = path.parent().expect("a file is in a folder");
            let is_there = |text: &str| root().join(text).exists() || beside.join(text).exists();
            let gone = code.filter(|text| is_path(text) && !is_there(text));
            missing.extend(gone.map(|text| format!("{}: {text}", path.display())));
        }
    }
    assert!(missing.is_empty(), "these are not there:\n{}", missing.join("\n"));
}

/// Every question of `benches/facts` is about a fact of `docs/asyncio.md`, and is asked of all runtimes.
#[test]
fn what_other_loops_are_asked_are_facts() {
    let (facts, compared) = (read("docs/asyncio.md"), read("benches/facts/README.md"));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = |page: &str| -> Vec<Vec<String>> {
        let rows = page.lines().filter(|line| line.starts_with("| ")).map(cells);
        rows.filter(|row| row[0].starts_with(|c: char| c.is_ascii_digit())).collect()
    };
    let known: Vec<String> = rows(&facts).into_iter().map(|row| row[0].clone()).collect();
    let compared = rows(&compared);
    let number = |row: &Vec<String>| row[0].trim_end_matches(char::is_alphabetic).to_owned();
    let unknown: Vec<String> =
        compared.iter().map(number).filter(|number| !known.contains(number)).collect();
    assert!(unknown.is_empty(), "docs/asyncio.md has no facts {unknown:?}");
    // A fact counts where six runtimes or more have an answer.
    let is_answered = |cell: &&String| !["–", "varies", "not asked"].contains(&cell.as_str());
    let is_broad = |row: &&Vec<String>| row[2..].iter().filter(is_answered).count() >= 6;
    let mut broad: Vec<String> = compared.iter().filter(is_broad).map(number).collect();
    broad.dedup();
    assert!(broad.len() >= 40, "{} facts are compared on six runtimes or more", broad.len());
}

#[test]
fn the_readme_is_short_and_shows_the_turn_as_it_is() {
    let readme = read("README.md");
    let lines = readme.lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");

    let (_, rest) = readme.split_once("```rust,ignore\n").expect("the lines of the turn");
    let (excerpt, _) = rest.split_once("```").expect("a fence ends");
    let turn = read("src/event_loop/turn.rs");
    let mut source = turn.lines().map(str::trim);
    // A comment may go on after what is shown of it. Where nothing is left out, the next line is next.
    let is_this = |shown: &str, line: &str| {
        line == shown || (shown.starts_with("//") && line.starts_with(shown))
    };
    let mut is_gap = true;
    for shown in excerpt.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if shown == "// …" {
            is_gap = true;
            continue;
        }
        let found = if is_gap || shown.starts_with("pub fn ") {
            source.any(|line| is_this(shown, line))
        } else {
            source.find(|line| !line.is_empty()).is_some_and(|line| is_this(shown, line))
        };
        assert!(found, "turn.rs does not have this line here: {shown}");
        is_gap = false;
    }
}

/// The figures for our own programs are those of the programs, and none of the others is shorter.
#[test]
fn programs_are_as_long_as_the_table_says() {
    let (table, programs) = (read("docs/embed.md"), read("docs/lines.md"));
    let (_, table) = table.split_once("\n## How long a program is\n").expect("the table's part");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let figures = |row: &str| -> Vec<usize> {
        let cells = row.split('|').map(str::trim);
        // What does less than the title says is no rival.
        cells.filter_map(|cell| cell.parse().ok()).collect()
    };
    let rows: Vec<Vec<usize>> = rows.map(figures).take_while(|row| !row.is_empty()).collect();
    let parts: Vec<&str> = programs.split("\n## ").skip(1).collect();
    assert_eq!(rows.len(), parts.len());
    assert!(rows.len() >= 8);
    for (row, part) in rows.iter().zip(parts) {
        let title = part.lines().next().expect("a title");
        let lines: Vec<usize> = part.split("```rust,").skip(1).map(lines_of_a_program).collect();
        let least = row[1..].iter().min().expect("there is a rival");
        assert_eq!((lines[0], lines[1]), (row[0], *least), "{title}");
        assert!(row[0] <= *least, "{title}: {row:?}");
    }
}

/// Without imports, blank lines and comments. `text` begins with the rest of a fence.
fn lines_of_a_program(text: &str) -> usize {
    let (program, _) = text.split_once("\n```").expect("a fence ends");
    let mut is_import = false;
    let lines = program.lines().skip(1).filter(|line| {
        let begins = line.starts_with("use ");
        let counts =
            !begins && !is_import && !line.trim().is_empty() && !line.trim().starts_with("//");
        is_import = (begins || is_import) && !line.ends_with(';');
        counts
    });
    lines.count()
}

/// A stop of the path: what it says of itself.
struct Stop<'a> {
    heading: &'a str,
    /// The file, from the root on.
    path: &'a str,
    lines: usize,
    minutes: usize,
}

impl<'a> Stop<'a> {
    /// `### 8. [source.rs](../src/event_loop/source.rs), up to `fn read` (84 lines, 4 minutes)`
    fn of(heading: &'a str) -> Stop<'a> {
        let parts = || {
            let (_, rest) = heading.split_once("](../")?;
            let (path, _) = rest.split_once(')')?;
            let (_, size) = heading.rsplit_once('(')?;
            let (lines, minutes) = size.strip_suffix(" minutes)")?.split_once(" lines, ")?;
            Some(Stop { heading, path, lines: lines.parse().ok()?, minutes: minutes.parse().ok()? })
        };
        parts().unwrap_or_else(|| panic!("{heading:?} does not say how long it is"))
    }

    /// The text between the backticks that follow `word`.
    fn bound(&self, word: &str) -> Option<&'a str> {
        let (_, rest) = self.heading.split_once(&format!("{word} `"))?;
        Some(rest.split_once('`').expect("a backtick is closed").0)
    }

    /// What is really to be read: without the tests, and only the part that it names.
    fn lines_of_the_file(&self) -> usize {
        let text = read(self.path);
        let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let has = |bound: &'a str| move |line: &&str| line.contains(bound);
        let lines: Vec<&str> = text.lines().collect();
        let find = |bound| lines.iter().position(|line| has(bound)(line));
        let from = self.bound("from").map_or(Some(0), find);
        let from = from.unwrap_or_else(|| panic!("{}: nothing to begin at", self.heading));
        let Some(bound) = self.bound("up to") else { return lines.len() - from };
        let up_to = lines[from..].iter().position(|line| has(bound)(line));
        up_to.unwrap_or_else(|| panic!("{}: nothing to stop at", self.heading))
    }
}

#[test]
fn the_path_is_as_long_as_it_says() {
    let page = read("docs/learn.md");
    let halves: Vec<&str> = page.split("\n## ").collect();
    let half = |title: &str| {
        let half = halves.iter().find(|half| half.starts_with(title));
        half.unwrap_or_else(|| panic!("docs/learn.md has no part {title:?}"))
    };
    let (ladder, source) = (half("The first half hour"), half("The second half hour"));
    for (text, (lines_max, minutes_max)) in [(ladder, LADDER_MAX), (source, SOURCE_MAX)] {
        let stops: Vec<Stop<'_>> =
            text.lines().filter(|line| line.starts_with("### ")).map(Stop::of).collect();
        assert!(stops.len() >= 4, "only {} stops", stops.len());
        let (mut lines, mut minutes) = (0, 0);
        for stop in &stops {
            let there = stop.lines_of_the_file();
            let is_near = there.abs_diff(stop.lines) <= (stop.lines / 10).max(LINES_OFF_MAX);
            assert!(is_near, "{}: it has {there} lines", stop.heading);
            (lines, minutes) = (lines + there, minutes + stop.minutes);
        }
        assert!(lines <= lines_max, "{lines} lines are more than {lines_max}");
        assert!(minutes <= minutes_max, "{minutes} minutes are more than {minutes_max}");
        assert!(text.contains("**Stop here**"), "a place to stop at");
    }
}

/// Each stop says what to look for and what to press, and asks something.
#[test]
fn each_stop_has_its_four_parts() {
    let page = read("docs/learn.md");
    for stop in page.split("\n### ").skip(1) {
        let title = stop.lines().next().unwrap_or_default();
        for part in ["**Look for**", "**Press**", "<details><summary>", "</details>"] {
            assert!(stop.contains(part), "{title} has no {part}");
        }
    }
}

/// What the path says to press is a button or a lesson of the lab.
#[test]
fn what_is_to_be_pressed_is_there() {
    let mut page_of_the_lab = String::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| {
                ["js", "html", "json"].iter().any(|of_page| extension == *of_page)
            }) {
                page_of_the_lab += &read(&path);
            }
        }
    }
    let page = read("docs/learn.md");
    let mut buttons = 0;
    for paragraph in page.split("\n\n").filter(|text| text.trim_start().starts_with("**Press**")) {
        for button in paragraph.replace("**", "").split('*').skip(1).step_by(2) {
            let is_there = [
                format!("'{button}'"),
                format!(">{button} <kbd>"),
                format!("\"name\": \"{button}\""),
            ];
            let is_there = is_there.iter().any(|text| page_of_the_lab.contains(text));
            assert!(is_there, "the lab has no {button:?}");
            buttons += 1;
        }
    }
    assert!(buttons >= 11, "only {buttons} buttons were found");
}

#[test]
fn the_glossary_is_in_order_and_is_used() {
    let glossary = read("docs/glossary.md");
    let words: Vec<&str> = glossary.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert!(words.len() >= WORDS_MIN, "only {} words", words.len());
    assert!(words.is_sorted_by_key(|word| word.to_lowercase()), "{words:?}");
    let linked = pages().iter().filter(|path| read(path).contains("glossary.md")).count();
    assert!(linked >= 8, "only {linked} pages lead to the glossary");
}
