//! Everything that the first pages of the documentation list is shown in use, by code that is compiled and run:
//! an example in a comment, or a program in `examples/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules whose public names are the first pages.
const FIRST_PAGES: [&str; 5] = [
    "src/lib.rs",
    "src/server/mod.rs",
    "src/http/mod.rs",
    "src/coroutine/mod.rs",
    "src/client/mod.rs",
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files of Rust below `directory`.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of the examples in the comments of `text` that are compiled.
fn examples(text: &str) -> String {
    let (mut code, mut is_code, mut is_fenced) = (String::new(), false, false);
    for line in text.lines().map(str::trim_start) {
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(comment) = comment else {
            (is_code, is_fenced) = (false, false);
            continue;
        };
        if let Some(kind) = comment.trim().strip_prefix("```") {
            is_fenced = !is_fenced;
            is_code = is_fenced && matches!(kind, "" | "no_run");
        } else if is_code {
            code += comment;
            code.push('\n');
        }
    }
    code
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect()
}

/// The public names of a module's first page: what it re-exports, and what it defines.
fn public_names(text: &str) -> BTreeSet<&str> {
    let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let mut names = BTreeSet::new();
    for reexport in text.split("\npub use ").skip(1) {
        let (path, _) = reexport.split_once(';').expect("an import ends");
        let list = path.split_once('{').map_or(path, |(_, list)| list);
        let last = |name: &'_ str| name.rsplit("::").next().map(str::len);
        for name in list.trim_end_matches('}').split(',').map(str::trim) {
            let length = last(name).unwrap_or(0);
            names.insert(&name[name.len() - length..]);
        }
    }
    for kind in ["struct ", "enum ", "trait ", "fn ", "const ", "async fn "] {
        for definition in text.split(&format!("\npub {kind}")).skip(1) {
            names.insert(words_begin(definition));
        }
    }
    names.remove("");
    names
}

fn words_begin(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

#[test]
fn what_the_first_pages_list_is_shown_in_use() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut programs) = (Vec::new(), Vec::new());
    sources(&root.join("src"), &mut files);
    sources(&root.join("examples"), &mut programs);
    let mut code: String = files.iter().map(|path| examples(&read(path))).collect();
    code.extend(programs.iter().map(|path| read(path)));
    let shown = words(&code);
    let mut missing = Vec::new();
    let mut count = 0;
    for page in FIRST_PAGES {
        let text = read(&root.join(page));
        let names = public_names(&text);
        count += names.len();
        let not_shown = names.iter().filter(|name| !shown.contains(*name));
        missing.extend(not_shown.map(|name| format!("{page}: {name}")));
    }
    assert!(count > 110, "only {count} names were found");
    assert!(missing.is_empty(), "no example that runs has these:\n{}", missing.join("\n"));
}

#[test]
fn a_name_that_is_not_shown_is_found() {
    let page =
        "\npub use a::b::{One, two};\npub use c::Three;\npub enum Four<T> {\npub fn five() {\n";
    let names = public_names(page).into_iter().collect::<Vec<_>>();
    assert_eq!(names, ["Four", "One", "Three", "five", "two"]);
    let shown = examples("/// ```text\n/// One\n/// ```\n/// two\n/// ```\n/// Three\n/// ```\n");
    assert_eq!(shown.trim(), "Three");
}
