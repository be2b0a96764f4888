//! The ladder: all six servers through the same script. What each of them can do, and what it must
//! fail at, stands in the table of its README, and is true.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::examples::example;
use crate::program::{Program, command_of};

/// A client, and what it waits for.
mod client;
/// What must happen on every rung.
mod conversations;
/// What some rungs must fail at.
mod trials;
/// What a rung costs.
mod costs;

const RUNGS: [&str; 6] =
    ["1_blocking", "2_threads", "3_poll", "4_callbacks", "5_state_machines", "6_coroutines"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ladder")
}

/// A rung of the ladder: what the table says of it.
struct Rung {
    name: &'static str,
    /// The cells of its column, by the first cell of the row.
    cells: BTreeMap<String, String>,
}

impl Rung {
    fn all() -> Vec<Rung> {
        let readme = fs::read_to_string(folder().join("README.md")).unwrap();
        let rows = readme.lines().filter_map(|line| line.strip_prefix("| "));
        let rows = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect::<Vec<_>>());
        let rows: Vec<_> = rows.filter(|cells| cells.len() == 1 + RUNGS.len()).collect();
        let column = |number: usize| {
            let cells = rows.iter().map(|cells| {
                // What a rung fails at is printed in bold.
                (cells[0].to_owned(), cells[number + 1].replace("**", ""))
            });
            cells.collect()
        };
        RUNGS.iter().enumerate().map(|(n, name)| Rung { name, cells: column(n) }).collect()
    }

    #[track_caller]
    fn cell(&self, row: &str) -> &str {
        self.cells.get(row).unwrap_or_else(|| panic!("the table has no row {row:?}"))
    }

    /// Whether the table says that it can do this.
    #[track_caller]
    fn can(&self, row: &str) -> bool {
        match self.cell(row) {
            "yes" => true,
            "no" => false,
            cell => panic!("{}, {row}: {cell:?} is neither yes nor no", self.name),
        }
    }

    fn path(&self) -> PathBuf {
        let command = example(&format!("ladder_{}", self.name), &[]);
        PathBuf::from(command.get_program())
    }

    fn command(&self) -> Command {
        command_of(&self.path(), &["127.0.0.1:0"])
    }

    fn start(&self) -> Program {
        Program::start_on_stdout(&mut self.command())
    }
}

#[test]
fn every_rung_talks_as_it_should() {
    for rung in Rung::all() {
        println!("{}", rung.name);
        conversations::all(&rung.start());
    }
}

#[test]
fn every_rung_can_do_what_the_table_says_and_nothing_more() {
    let rungs = Rung::all();
    let silent: Vec<_> = rungs.iter().map(trials::Silent::begin).collect();
    for rung in &rungs {
        trials::beside_a_silent_client(rung);
        trials::beside_a_client_that_does_not_read(rung);
        trials::beside_a_flood(rung);
        trials::descriptors_used_up_and_freed(rung);
        trials::where_everybody_is(rung);
    }
    for (silent, rung) in silent.into_iter().zip(&rungs) {
        silent.end(rung);
    }
}

#[test]
fn every_rung_costs_what_the_table_says() {
    for rung in Rung::all() {
        costs::lines(&rung);
        costs::system_calls(&rung);
        costs::idle_clients(&rung);
    }
}

/// The loop is the same under rungs 5 and 6, and no rung is longer than can be read in one sitting.
#[test]
fn a_rung_is_one_file_of_at_most_200_lines() {
    for rung in RUNGS {
        let text = fs::read_to_string(folder().join(format!("{rung}.rs"))).unwrap();
        assert!(text.lines().count() <= 200, "{rung} has {} lines", text.lines().count());
        let mut modules: Vec<_> = text.lines().filter(|line| line.starts_with("mod ")).collect();
        modules.retain(|line| !matches!(*line, "mod event_loop;" | "mod http;"));
        assert!(modules.is_empty(), "{rung}: {modules:?}");
        let is_foreign = |line: &&str| {
            let known = ["std::", "mio::", "httparse::", "event_loop::"];
            line.starts_with("use ") && !known.iter().any(|name| line[4..].starts_with(name))
        };
        let foreign: Vec<_> = text.lines().filter(is_foreign).collect();
        assert!(foreign.is_empty(), "{rung}: {foreign:?}");
    }
}
