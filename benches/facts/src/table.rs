//! The table in README.md: read, compared, written.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, ensure};

use crate::ask::{Cell, Column, NAMES};
use crate::questions::QUESTIONS;

const BEGIN: &str = "<!-- what follows is written by `facts --write` -->\n";
const END: &str = "<!-- so far -->\n";

/// What a cell says whose question has no meaning there.
const NO_MEANING: &str = "–";

/// What a cell says of a runtime that was never there.
const NOT_ASKED: &str = "not asked";

/// What was recorded of a runtime.
#[derive(Debug, Default)]
struct Recorded {
    version: String,
    /// By question, as they stand in the table.
    cells: BTreeMap<String, String>,
    /// By question.
    no_meaning: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Table(BTreeMap<&'static str, Recorded>);

/// The part before the table, the table, and the part after it.
fn parts(page: &str) -> anyhow::Result<(&str, &str, &str)> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no line {BEGIN:?}"))?;
    let (table, after) = rest.split_once(END).with_context(|| format!("no line {END:?}"))?;
    Ok((before, table, after))
}

impl Table {
    pub(crate) fn read(page: &str) -> anyhow::Result<Table> {
        let (_, table, _) = parts(page)?;
        let mut columns: BTreeMap<&'static str, Recorded> = BTreeMap::new();
        for line in table.lines() {
            if let Some(row) = line.strip_prefix("| ") {
                let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
                if !cells[0].starts_with(|c: char| c.is_ascii_digit()) {
                    continue;
                }
                ensure!(cells.len() == 2 + NAMES.len(), "a row of the table is broken: {line}");
                let known = NAMES.into_iter().zip(&cells[2..]);
                for (name, cell) in known.filter(|(_, cell)| **cell != NOT_ASKED) {
                    let column = columns.entry(name).or_default();
                    column.cells.insert(cells[0].to_owned(), (*cell).to_owned());
                }
            } else if let Some((name, rest)) = item(line, "- **", "**: ") {
                columns.entry(name).or_default().version = rest.trim_end_matches('.').to_owned();
            } else if let Some((name, rest)) = item(line, "- ", ", ") {
                let (id, why) = rest.split_once(": ").with_context(|| line.to_owned())?;
                let why = why.trim_end_matches('.').to_owned();
                columns.entry(name).or_default().no_meaning.insert(id.to_owned(), why);
            }
        }
        Ok(Table(columns))
    }

    /// Takes over what a runtime answered, and returns in words what that changes.
    pub(crate) fn update(&mut self, name: &'static str, column: &Column) -> Vec<String> {
        let known = self.0.entry(name).or_default();
        let mut new = Recorded { version: column.version.clone(), ..Recorded::default() };
        let mut changes = Vec::new();
        for (id, cell) in &column.cells {
            let text = match cell {
                Cell::Answer(text) => text,
                Cell::NoMeaning(why) => {
                    new.no_meaning.insert(id.clone(), why.clone());
                    NO_MEANING
                }
            };
            let before = known.cells.get(id).map_or("nothing", String::as_str);
            if before != text {
                changes.push(format!("{id} was recorded as {before:?}, and is {text:?}"));
            }
            new.cells.insert(id.clone(), text.to_owned());
        }
        *known = new;
        changes
    }

    /// The page with this table.
    pub(crate) fn written_into(&self, page: &str) -> anyhow::Result<String> {
        let (before, _, after) = parts(page)?;
        Ok(format!("{before}{BEGIN}{}{END}{after}", self.text()?))
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut text = String::from("\n");
        writeln!(text, "| fact | question | {} |", NAMES.join(" | "))?;
        writeln!(text, "|---|---|{}", "---|".repeat(NAMES.len()))?;
        for question in QUESTIONS {
            let cell = |name| {
                let cell = self.0.get(name).and_then(|column| column.cells.get(question.id));
                cell.map_or(NOT_ASKED, String::as_str)
            };
            let cells: Vec<&str> = NAMES.into_iter().map(cell).collect();
            writeln!(text, "| {} | {} | {} |", question.id, question.text, cells.join(" | "))?;
        }
        writeln!(text, "\nRecorded with:\n")?;
        for (name, column) in self.columns() {
            writeln!(text, "- **{name}**: {}.", column.version)?;
        }
        writeln!(text, "\nWhy a question has no meaning ({NO_MEANING}):\n")?;
        for (name, column) in self.columns() {
            for (id, why) in &column.no_meaning {
                writeln!(text, "- {name}, {id}: {why}.")?;
            }
        }
        text.push('\n');
        Ok(text)
    }

    fn columns(&self) -> impl Iterator<Item = (&'static str, &Recorded)> {
        NAMES.into_iter().filter_map(|name| self.0.get(name).map(|column| (name, column)))
    }
}

/// The runtime that a list's item is about, and what it says.
fn item<'a>(line: &'a str, before: &str, after: &str) -> Option<(&'static str, &'a str)> {
    let (name, rest) = line.strip_prefix(before)?.split_once(after)?;
    NAMES.into_iter().find(|known| *known == name).map(|name| (name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(answer: &str) -> Column {
        let answer = |id: &str| match id {
            "02" => Cell::NoMeaning("there is no queue".into()),
            _ => Cell::Answer(answer.into()),
        };
        let cells = QUESTIONS.iter().map(|question| (question.id.to_owned(), answer(question.id)));
        Column { version: "1.2".into(), cells: cells.collect() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let empty = format!("before\n{BEGIN}{END}after\n");
        let mut table = Table::read(&empty).unwrap();
        assert_eq!(table.update("tokio", &column("in order")).len(), QUESTIONS.len());
        let page = table.written_into(&empty).unwrap();
        assert!(page.starts_with("before\n") && page.ends_with("after\n"));

        let mut table = Table::read(&page).unwrap();
        assert_eq!(table.update("tokio", &column("in order")), [""; 0]);
        assert_eq!(table.written_into(&page).unwrap(), page);
    }

    #[test]
    fn a_changed_cell_is_named() {
        let empty = format!("{BEGIN}{END}");
        let mut table = Table::read(&empty).unwrap();
        table.update("node", &column("in order"));
        let mut changed = column("in order");
        changed.cells.insert("07".into(), Cell::Answer("at random".into()));
        let changes = table.update("node", &changed);
        assert_eq!(changes, ["07 was recorded as \"in order\", and is \"at random\""]);
    }
}
