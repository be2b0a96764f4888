//! Public controls: the cases of other people's tools, against a server that echoes. `controls/README.md` says what
//! they look like.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::answers::Answer;
use super::cases::{Case, Outcome, RawPiece, Seen, outcome, piece, unescape};
use super::{each, observe};

/// Most of them wait most of the time.
const AT_ONCE: usize = 8;

/// The tools, in the order of the table.
const FILES: [&str; 2] = ["http11probe.toml", "h1spec.toml"];

const HEAD: &str = "\
# Public controls

What [examples/echo.rs](../../examples/echo.rs) does with the cases of two tools by other people, by name.
[controls/](controls/README.md) has their bytes, and what each of them wants. A test holds this page; it is printed by

```sh
cargo run --example echo -- 127.0.0.1:8080 &
cargo run --manifest-path benches/versus/Cargo.toml -- --controls 127.0.0.1:8080 > benches/versus/CONTROLS.md
```

*Passes*, *warns* and *fails* are the tools' own verdicts. *Wanted* is what passes, then what only warns; `none` is no answer at
all, `waits` that the server waits for more. Where the verdict is not *passes*, the last column says why.
";

/// The cases of one tool.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    tool: String,
    /// Where its source was read.
    from: String,
    control: Vec<RawControl>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawControl {
    name: String,
    /// As the tool says.
    #[serde(default)]
    clause: String,
    #[serde(default)]
    level: String,
    /// False if the tool itself does not count it.
    #[serde(default = "yes")]
    scored: bool,
    send: Vec<RawPiece>,
    #[serde(default)]
    methods: Vec<String>,
    pass: Vec<RawWanted>,
    #[serde(default)]
    warn: Vec<RawWanted>,
    /// Why the echo does not pass.
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawWanted {
    Plain(String),
    Closer(Closer),
}

/// An outcome, and what the last answer has to have.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Closer {
    answers: String,
    #[serde(default)]
    with: Vec<String>,
    #[serde(default)]
    without: Vec<String>,
    /// All of it.
    body: Option<String>,
    /// Parts of the body.
    #[serde(default)]
    has: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    /// `Date` has the form that is sent today (RFC 9110 5.6.7).
    #[serde(default)]
    dated: bool,
}

/// One way to pass.
struct Wanted {
    line: String,
    outcome: Outcome,
    closer: Closer,
}

/// One case of a tool.
struct Control {
    raw: RawControl,
    pass: Vec<Wanted>,
    warn: Vec<Wanted>,
    case: Case,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    Warns,
    Fails,
}

/// Holds the server at `address` against all controls of a folder, and returns the page.
///
/// # Errors
/// When a file is wrong, or the server cannot be connected to.
pub(crate) fn hold_controls(folder: &Path, address: SocketAddr) -> Result<String> {
    let mut page = HEAD.to_owned();
    for file in FILES {
        let path = folder.join(file);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let (tool, controls) = parse(&text).with_context(|| format!("{file} is wrong"))?;
        let hold = |control: &Control| {
            let seen = observe::observe(&control.case, address)
                .with_context(|| format!("control {}", control.raw.name))?;
            Ok((control.judge(&seen), seen.to_string()))
        };
        let found = each(&controls, AT_ONCE, hold)?;
        page.push_str(&section(&tool, &controls, &found));
    }
    Ok(page)
}

fn parse(text: &str) -> Result<(Tool, Vec<Control>)> {
    let mut tool: Tool = toml::from_str(text)?;
    let ready = |raw: RawControl| {
        let name = raw.name.clone();
        control(raw).with_context(|| format!("control {name:?}"))
    };
    let controls =
        std::mem::take(&mut tool.control).into_iter().map(ready).collect::<Result<_>>()?;
    Ok((tool, controls))
}

fn control(mut raw: RawControl) -> Result<Control> {
    let wanted = |raw: Vec<RawWanted>| raw.into_iter().map(Wanted::new).collect::<Result<Vec<_>>>();
    let pass = wanted(std::mem::take(&mut raw.pass))?;
    let warn = wanted(std::mem::take(&mut raw.warn))?;
    let send = std::mem::take(&mut raw.send).into_iter().map(piece).collect::<Result<_>>()?;
    let outcomes = pass.iter().chain(&warn).map(|wanted| wanted.outcome.clone()).collect();
    let case = Case::unjudged(&raw.name, send, raw.methods.clone(), outcomes);
    Ok(Control { raw, pass, warn, case })
}

impl Wanted {
    fn new(raw: RawWanted) -> Result<Wanted> {
        let closer = match raw {
            RawWanted::Plain(answers) => Closer { answers, ..Closer::default() },
            RawWanted::Closer(closer) => closer,
        };
        let outcome = outcome(&closer.answers)?;
        for text in closer.body.iter().chain(&closer.has).chain(&closer.lacks) {
            unescape(text)?;
        }
        Ok(Wanted { line: closer.line(), outcome, closer })
    }
}

impl Closer {
    /// For the table.
    fn line(&self) -> String {
        let answers = self.answers.strip_suffix(", any").unwrap_or(&self.answers);
        let mut line = format!("`{answers}`");
        for name in &self.with {
            put(&mut line, format_args!(" with {name}"));
        }
        for name in &self.without {
            put(&mut line, format_args!(" without {name}"));
        }
        if let Some(body) = &self.body {
            put(&mut line, format_args!(" that echoes `{body}`"));
        }
        for part in &self.has {
            put(&mut line, format_args!(" that echoes `{part}`"));
        }
        for part in &self.lacks {
            put(&mut line, format_args!(" without `{part}`"));
        }
        if self.dated {
            line.push_str(" with a date in today's form");
        }
        line
    }

    fn fits(&self, last: Option<&Answer>) -> bool {
        let Some(last) = last else { return true };
        let bytes = |text: &String| unescape(text).expect("it was read once");
        let has = |part: &String| memchr::memmem::find(&last.body, &bytes(part)).is_some();
        self.with.iter().all(|name| last.has(name))
            && !self.without.iter().any(|name| last.has(name))
            && self.body.as_ref().is_none_or(|body| bytes(body) == last.body)
            && self.has.iter().all(has)
            && !self.lacks.iter().any(has)
            && (!self.dated || last.field("date").is_some_and(is_imf_fixdate))
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_imf_fixdate(text: &str) -> bool {
    jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text).is_ok() && text.len() == 29
}

impl Control {
    fn judge(&self, seen: &Seen) -> Verdict {
        let fits =
            |wanted: &Wanted| wanted.outcome.has(seen) && wanted.closer.fits(seen.answers.last());
        match () {
            () if seen.nonsense.is_some() => Verdict::Fails,
            () if self.pass.iter().any(fits) => Verdict::Passes,
            () if self.warn.iter().any(fits) => Verdict::Warns,
            () => Verdict::Fails,
        }
    }
}

fn section(tool: &Tool, controls: &[Control], found: &[(Verdict, String)]) -> String {
    let count = |verdict| found.iter().filter(|(found, _)| *found == verdict).count();
    let (all, passes) = (found.len(), count(Verdict::Passes));
    let (warns, fails) = (count(Verdict::Warns), count(Verdict::Fails));
    let mut text = format!(
        "\n## {}: {passes} of {all} pass, {warns} warn, {fails} fail\n\n{}\n\n\
         | case | clause | wanted | does | verdict | why |\n|---|---|---|---|---|---|\n",
        tool.tool, tool.from
    );
    for (control, (verdict, seen)) in controls.iter().zip(found) {
        let RawControl { name, clause, level, scored, why, .. } = &control.raw;
        let counts = if *scored { "" } else { " (not counted)" };
        let list = |all: &[Wanted]| {
            all.iter().map(|wanted| wanted.line.as_str()).collect::<Vec<_>>().join(" or ")
        };
        let mut wanted = list(&control.pass);
        if !control.warn.is_empty() {
            put(&mut wanted, format_args!("; warns: {}", list(&control.warn)));
        }
        let clause = format!("{clause} {level}");
        let clause = clause.trim();
        let verdict = verdict.word();
        put(
            &mut text,
            format_args!("| {name}{counts} | {clause} | {wanted} | {seen} | {verdict} | {why} |\n"),
        );
    }
    text
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Passes => "passes",
            Verdict::Warns => "**warns**",
            Verdict::Fails => "**fails**",
        }
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a String takes everything");
}

fn yes() -> bool {
    true
}
