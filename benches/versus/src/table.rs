//! Tables, as Markdown: on the terminal and for the README.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::case::{Case, Kind};
use crate::figures::Metric;
use crate::gate::{Level, Violation};
use crate::record::{AGAIN, Record};
use crate::statistics::Summary;

/// The table of one case, with what must be known about it.
pub(crate) fn case_table(record: &Record, case: &Case) -> String {
    let mut text = format!("### {}\n\n{}\n\n", case.title, record.what(case));
    let heads = case.metrics.iter().map(|metric| metric.label());
    let places = Places::of(record, case);
    let mut rows: Vec<Vec<String>> =
        vec![["server"].into_iter().chain(heads).map(str::to_owned).collect()];
    rows[0].extend(places.heads().map(str::to_owned));
    for (server, _) in record.ranking(case) {
        let cell = |(index, metric): (usize, &Metric)| {
            let summary = record.summary(case, &server.name, *metric);
            summary.map_or_else(|| "–".to_owned(), |summary| cell(*metric, summary, index == 0))
        };
        let cells = case.metrics.iter().enumerate().map(cell);
        let places = places.cells(&server.name);
        rows.push(std::iter::once(server.name.clone()).chain(cells).chain(places).collect());
    }
    text.push_str(&align(&rows));
    text.push_str(&remarks(record, case));
    text.push_str(&violations(record, case));
    text
}

/// The two rankings of a case: everybody, and those that keep every MUST. Empty where nobody was held
/// against the cases, and in the gate's own table.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<String, [String; 3]>);

impl Places {
    pub(crate) fn of(record: &Record, case: &Case) -> Places {
        let mut places = Places::default();
        if case.kind == Kind::Correctness || !record.has_gate() {
            return places;
        }
        let ranking = record.ranking(case);
        // The second entry of the same program has no place of its own.
        let ranked = ranking.iter().map(|(server, _)| server.name.as_str());
        let ranked: Vec<&str> = ranked.filter(|name| !name.ends_with(AGAIN)).collect();
        let raw = shared(record, case, &ranked);
        let serving: Vec<&str> =
            ranked.iter().copied().filter(|name| record.is_serving(name)).collect();
        let serving = shared(record, case, &serving);
        for (server, _) in &ranking {
            let name = server.name.as_str();
            let place = |places: &BTreeMap<String, String>| {
                places.get(name).cloned().unwrap_or_else(|| "–".to_owned())
            };
            let broken = record.broken(name, Level::Must);
            let broken = broken.map_or_else(|| "?".to_owned(), |broken| broken.to_string());
            places.0.insert(name.to_owned(), [place(&raw), place(&serving), broken]);
        }
        places
    }

    pub(crate) fn heads(&self) -> impl Iterator<Item = &'static str> {
        let heads = ["raw", "serving", "MUST broken"];
        heads.into_iter().filter(|_| !self.0.is_empty())
    }

    pub(crate) fn cells(&self, server: &str) -> impl Iterator<Item = String> {
        self.0.get(server).cloned().into_iter().flatten()
    }
}

/// The places of servers that are in order. Those that do not differ from the first of them share its place.
fn shared(record: &Record, case: &Case, names: &[&str]) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    let mut rest = names;
    while let [first, after @ ..] = rest {
        let tied = after.iter().take_while(|name| !record.is_distinct(case, first, name)).count();
        let place = names.len() - rest.len() + 1;
        let sign = if tied > 0 { "=" } else { "" };
        for name in &rest[..=tied] {
            places.insert((*name).to_owned(), format!("{place}{sign}"));
        }
        rest = &rest[tied + 1..];
    }
    places
}

/// Which clauses each server does not keep, and the line that shows it.
fn violations(record: &Record, case: &Case) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        writeln!(text, "{args}").expect("a String takes everything");
    };
    for run in record.runs.iter().filter(|run| run.case == case.name) {
        if run.violations.is_empty() {
            continue;
        }
        line(format_args!("\n#### {}\n", run.server));
        for level in [Level::Must, Level::Should] {
            for violation in run.violations.iter().filter(|violation| violation.level == level) {
                let Violation { case, clause, asks, seen, line: shell, .. } = violation;
                line(format_args!("- {level}, {clause}: {asks}. {case}: {seen}"));
                line(format_args!("  ```sh\n  {shell}\n  ```"));
            }
        }
    }
    text
}

/// A figure; the leading one with its extremes.
fn cell(metric: Metric, summary: Summary, is_leading: bool) -> String {
    let median = metric.format(summary.median);
    if !is_leading || summary.count == 1 {
        return median;
    }
    format!("**{median}** ({}–{})", metric.format(summary.min), metric.format(summary.max))
}

/// Noise floor, warnings and refusals.
fn remarks(record: &Record, case: &Case) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        writeln!(text, "- {args}").expect("a String takes everything");
    };
    if let Some(floor) = record.noise_floor(case) {
        let metric = case.metrics[0];
        line(format_args!(
            "A/A: the same server twice: {} and {}, {:.1} % apart. What differs by less says \
             nothing.",
            metric.format(floor.a),
            metric.format(floor.b),
            floor.distance * 100.0
        ));
    }
    for server in &record.servers {
        if let Some(warning) = record.warnings(case, &server.name) {
            line(format_args!("{warning}"));
        }
    }
    for server in record.servers.iter().filter(|server| !server.name.ends_with(AGAIN)) {
        for (metric, most) in &server.bars {
            let summary =
                case.metrics.contains(metric).then(|| record.summary(case, &server.name, *metric));
            let Some(summary) = summary.flatten() else { continue };
            let verdict = if summary.median <= *most { "met" } else { "NOT MET" };
            let (median, most) = (metric.format(summary.median), metric.format(*most));
            let (name, label) = (&server.name, metric.label());
            line(format_args!("Bar: {name}, {label}: {median}, at most {most}: {verdict}."));
        }
    }
    for run in record.refused(case) {
        let (server, round) = (&run.server, run.round + 1);
        line(format_args!("REFUSED: {server}, round {round}: {}", run.refused.join("; ")));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// A Markdown table whose columns are aligned for people who read the source. The first row is the
/// head.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width - cell.chars().count());
            let (before, after) = if column == 0 { ("", &*space) } else { (&*space, "") };
            text.push_str(&format!("| {before}{cell}{after} "));
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width - 1);
                text.push_str(&if column == 0 {
                    format!("|:{dashes}- ")
                } else {
                    format!("|-{dashes}: ")
                });
            }
            text.push_str("|\n");
        }
    }
    text
}

/// The whole session as Markdown.
pub(crate) fn markdown(record: &Record) -> String {
    let machine = &record.machine;
    let mut text = format!(
        "# helloop versus others\n\nMeasured {} with `{}` on {} ({} cores, Linux {}); {}. Medians \
         of interleaved rounds, in parentheses the extremes; {}. METHODOLOGY.md says how to read \
         this.\n\n",
        record.began,
        record.command,
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.rustc,
        machine.condition()
    );
    for case in record.cases.iter().filter(|case| record.runs.iter().any(|r| r.case == case.name)) {
        text.push_str(&case_table(record, case));
        text.push('\n');
    }
    text.push_str("### Who took part\n\n");
    let mut rows = vec![vec!["server".to_owned(), "what".to_owned(), "version".to_owned()]];
    for server in record.servers.iter().filter(|server| !server.name.ends_with(AGAIN)) {
        let what = [&*server.what, &*server.notes].join(". ");
        let what = what.trim_end_matches([' ', '.']).to_owned();
        rows.push(vec![server.name.clone(), what, server.version.clone()]);
    }
    text.push_str(&align(&rows));
    for absent in &record.absent {
        text.push_str(&format!("- absent: {}\n", absent_line(absent)));
    }
    text
}

/// Which servers are absent, why, and what to do about it.
pub(crate) fn absent_line(absent: &crate::building::Absent) -> String {
    let cure = match &*absent.install {
        "" => String::new(),
        install => format!(" (to have it: {install})"),
    };
    format!("{}: {}{cure}", absent.name, absent.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{gated, record};

    #[test]
    fn a_table_shows_medians_extremes_noise_and_refusals() {
        let record = record(&[
            ("slow", 2.5, false),
            ("fast", 1.0, false),
            ("fast", 2.0, false),
            ("fast (again)", 1.5, false),
            ("bad", 1.0, true),
        ]);
        let text = case_table(&record, &record.cases[0]);
        assert!(text.contains("**1.50** (1.00–2.00)"), "{text}");
        assert!(text.contains("1.50 and 1.50, 0.0 % apart"), "{text}");
        assert!(text.contains("REFUSED: bad, round 1: because"), "{text}");
        assert!(text.contains("Bar: slow, CPU µs: 2.50, at most 2.00: NOT MET."), "{text}");
        assert!(text.contains("Bar: fast, CPU µs: 1.50, at most 2.00: met."), "{text}");
        assert_eq!(text.matches("Bar: ").count(), 2, "{text}");
        assert!(text.find("| fast").unwrap() < text.find("| slow").unwrap(), "{text}");
    }

    #[test]
    fn who_breaks_a_must_has_no_place_among_those_that_serve() {
        let record = gated();
        let case = record.cases.iter().find(|case| case.name == "keep-alive").unwrap();
        let row = |server| Places::of(&record, case).cells(server).collect::<Vec<_>>();
        assert_eq!(row("b"), ["1", "–", "1"]);
        assert_eq!(row("helloop"), ["2", "1", "0"]);
        assert_eq!(row("helloop (again)"), ["–", "–", "0"]);
        assert_eq!(row("late"), ["3", "–", "?"]);
        let text = case_table(&record, case);
        assert!(text.contains("| raw | serving | MUST broken |"), "{text}");
        let gate = record.cases.iter().find(|case| case.kind == Kind::Correctness).unwrap();
        let text = case_table(&record, gate);
        assert!(text.contains("#### b\n\n- MUST, RFC 9112 1: ask & do. first: 200\n"), "{text}");
        assert!(text.contains("\n  printf '&amp; done' | nc\n"), "{text}");
        assert!(!text.contains("serving"), "{text}");
    }

    #[test]
    fn servers_that_differ_by_less_than_the_noise_share_a_place() {
        let record = record(&[
            ("a", 1.0, false),
            ("b", 1.05, false),
            ("c", 1.2, false),
            ("a (again)", 1.1, false),
        ]);
        let places = shared(&record, &record.cases[0], &["a", "b", "c"]);
        assert_eq!(places.values().collect::<Vec<_>>(), ["1=", "1=", "3"]);
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = align(&[row(["a", "b"]), row(["µµµµ", "1"])]);
        assert_eq!(text, "| a    |   b |\n|:---- |---: |\n| µµµµ |   1 |\n");
    }
}
