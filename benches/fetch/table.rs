//! What comes out: a table for people, or JSON lines.

use std::time::Duration;

use serde_json::json;

use crate::measure::Figures;
use crate::roles::DELAY;
use crate::{Case, Client, Manner};

/// What curl (seen with 7.88) makes of a larger `--parallel-max`.
const CURL_PARALLEL_MAX: usize = 300;

pub(crate) struct Table<'a> {
    case: &'a Case,
    clients: &'a [Client],
    /// By client, then by round.
    runs: Vec<Vec<Figures>>,
}

/// The middle of some figures, and their ends.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(runs: &[Figures], figure: impl Fn(&Figures) -> f64) -> Spread {
        let mut sorted: Vec<f64> = runs.iter().map(figure).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Spread { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

impl Table<'_> {
    pub(crate) fn new<'a>(case: &'a Case, clients: &'a [Client]) -> Table<'a> {
        Table { case, clients, runs: clients.iter().map(|_| Vec::new()).collect() }
    }

    pub(crate) fn add(&mut self, client: usize, figures: Figures) {
        self.runs[client].push(figures);
    }

    fn cpu(&self, figures: &Figures) -> f64 {
        microseconds(figures.cpu) / self.case.fetches as f64
    }

    pub(crate) fn print_run(&self, client: usize, round: usize, figures: &Figures) {
        let line = json!({
            "kind": "run", "case": self.case.name, "client": self.clients[client].name,
            "round": round, "cpu_us_per_fetch": self.cpu(figures),
            "wall_ms": milliseconds(figures.wall), "peak_kib": figures.peak_kib,
        });
        println!("{line}");
    }

    pub(crate) fn print(&self, is_json: bool) {
        let is_slow = self.case.manner == Manner::Slow;
        if !is_json {
            println!("\n{} (median, in brackets min to max)", self.case.title);
            let last = if is_slow { "wall / ideal" } else { "" };
            println!(
                "  {:<12} {:>26} {:>8} {:>26} {:>9}  {last}",
                "", "CPU µs per fetch", "× bare", "wall ms", "peak MB"
            );
        }
        // The bare client is the first, unless it is not wanted.
        let bare = self.clients.iter().position(|client| client.name == "bare");
        let bare = bare.filter(|index| !self.runs[*index].is_empty());
        let bare = bare.map(|index| Spread::of(&self.runs[index], |run| self.cpu(run)).median);
        for (client, runs) in self.clients.iter().zip(&self.runs) {
            match &client.command {
                Ok(_) => self.print_row(client.name, runs, bare, is_json),
                Err(why) if is_json => {
                    let case = self.case.name;
                    println!(
                        "{}",
                        json!({"kind": "absent", "case": case, "client": client.name, "why": why})
                    );
                }
                Err(why) => println!("  {:<12} {why}", client.name),
            }
        }
        if self.case.limit > CURL_PARALLEL_MAX && !is_json {
            println!("  (curl may take at most {CURL_PARALLEL_MAX} at a time)");
        }
    }

    fn print_row(&self, name: &str, runs: &[Figures], bare: Option<f64>, is_json: bool) {
        let cpu = Spread::of(runs, |run| self.cpu(run));
        let wall = Spread::of(runs, |run| milliseconds(run.wall));
        let peak = Spread::of(runs, |run| run.peak_kib as f64);
        let of_bare = bare.map(|bare| cpu.median / bare);
        let is_slow = self.case.manner == Manner::Slow;
        let of_ideal = is_slow.then(|| wall.median / milliseconds(DELAY));
        if is_json {
            let line = json!({
                "kind": "median", "case": self.case.name, "client": name, "rounds": runs.len(),
                "cpu_us_per_fetch": [cpu.median, cpu.min, cpu.max], "of_bare": of_bare,
                "wall_ms": [wall.median, wall.min, wall.max], "peak_kib": peak.median,
                "wall_of_ideal": of_ideal,
            });
            println!("{line}");
            return;
        }
        let cpu = format!("{:.2} ({:.2} to {:.2})", cpu.median, cpu.min, cpu.max);
        let wall = format!("{:.0} ({:.0} to {:.0})", wall.median, wall.min, wall.max);
        let of_bare = of_bare.map_or(String::new(), |times| format!("{times:.2}"));
        let of_ideal = of_ideal.map_or(String::new(), |times| format!("{times:.2}"));
        let peak = peak.median / 1024.0;
        println!("  {name:<12} {cpu:>26} {of_bare:>8} {wall:>26} {peak:>9.1}  {of_ideal}");
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
