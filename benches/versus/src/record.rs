//! Everything that was found: raw runs, and what they come to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::building::Absent;
use crate::case::{CORRECTNESS, Case, Kind};
use crate::figures::Metric;
use crate::gate::{Level, Violation};
use crate::machine::Machine;
use crate::measure::Figures;
use crate::statistics::{Summary, distance, is_more_than_chance, summarise};

/// A whole session. Serialised, it is the raw data of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    /// The command that reproduces it.
    pub(crate) command: String,
    /// When it began.
    pub(crate) began: String,
    pub(crate) machine: Machine,
    pub(crate) warm_up_seconds: f64,
    pub(crate) window_seconds: f64,
    /// Of each server, under load.
    pub(crate) restarts: u32,
    pub(crate) servers: Vec<ServerInfo>,
    pub(crate) absent: Vec<Absent>,
    /// In the order in which they were made.
    pub(crate) runs: Vec<RunRecord>,
    #[serde(skip)]
    pub(crate) cases: Vec<Case>,
}

/// The servers that took part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerInfo {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) notes: String,
    pub(crate) version: String,
    /// What a figure may be at most.
    pub(crate) bars: BTreeMap<Metric, f64>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) case: String,
    pub(crate) server: String,
    /// From 0.
    pub(crate) round: usize,
    /// Of refused runs, too; those do not count.
    pub(crate) figures: Figures,
    /// Why it does not count; empty if it does.
    pub(crate) refused: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Clauses that the server did not keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) violations: Vec<Violation>,
}

/// Two entrants that are the same program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct NoiseFloor {
    pub(crate) a: f64,
    pub(crate) b: f64,
    /// How far they are apart, as a share.
    pub(crate) distance: f64,
}

/// With fewer rounds, any difference may be chance.
const ROUNDS_TO_TELL: usize = 5;

/// What is added to the name of an entrant that takes part a second time.
pub(crate) const AGAIN: &str = " (again)";

impl Record {
    /// What a case is about, for people.
    pub(crate) fn what(&self, case: &Case) -> String {
        match case.kind {
            Kind::Correctness => format!("{} {} restarts of each.", case.what, self.restarts),
            _ => case.what.to_owned(),
        }
    }

    fn runs_of<'a>(
        &'a self,
        case: &'a Case,
        server: &'a str,
    ) -> impl Iterator<Item = &'a RunRecord> {
        self.runs.iter().filter(move |run| run.case == case.name && run.server == server)
    }

    /// What the runs of one server in one case come to; refused ones do not count.
    pub(crate) fn summary(&self, case: &Case, server: &str, metric: Metric) -> Option<Summary> {
        let good = self.runs_of(case, server).filter(|run| run.refused.is_empty());
        summarise(good.filter_map(|run| run.figures.get(&metric).copied()))
    }

    /// Servers with figures in a case, the best one first.
    pub(crate) fn ranking(&self, case: &Case) -> Vec<(&ServerInfo, Summary)> {
        let leading = case.metrics[0];
        let mut ranked: Vec<(&ServerInfo, Summary)> = self
            .servers
            .iter()
            .filter_map(|server| Some((server, self.summary(case, &server.name, leading)?)))
            .collect();
        let sign = if leading.more_is_better() { -1.0 } else { 1.0 };
        ranked.sort_by(|a, b| (sign * a.1.median).total_cmp(&(sign * b.1.median)));
        ranked
    }

    /// Clauses of a level that a server did not keep, or `None` if it was not held against the cases.
    pub(crate) fn broken(&self, server: &str, level: Level) -> Option<usize> {
        let server = server.strip_suffix(AGAIN).unwrap_or(server);
        let mut runs = self.runs.iter().filter(|run| run.case == CORRECTNESS);
        let run = runs.find(|run| run.server == server && run.refused.is_empty())?;
        Some(run.violations.iter().filter(|violation| violation.level == level).count())
    }

    /// Whether a server was held against the cases and keeps every MUST.
    pub(crate) fn is_serving(&self, server: &str) -> bool {
        self.broken(server, Level::Must) == Some(0)
    }

    /// Whether any server was held against the cases.
    pub(crate) fn has_gate(&self) -> bool {
        self.servers.iter().any(|server| self.broken(&server.name, Level::Must).is_some())
    }

    /// Whether the leading figures of two servers differ by more than the same server from itself, and, where there
    /// are enough rounds to say so, in more of them than by chance.
    pub(crate) fn is_distinct(&self, case: &Case, better: &str, worse: &str) -> bool {
        let metric = case.metrics[0];
        let median = |server| Some(self.summary(case, server, metric)?.median);
        let (Some(a), Some(b)) = (median(better), median(worse)) else { return true };
        if distance(a, b) <= self.noise_floor(case).map_or(0.0, |floor| floor.distance) {
            return false;
        }
        let figure = |run: &RunRecord| {
            let value = run.refused.is_empty().then(|| run.figures.get(&metric).copied());
            value.flatten()
        };
        let pairs: Vec<bool> = self
            .runs_of(case, better)
            .filter_map(|one| {
                let other = self.runs_of(case, worse).find(|other| other.round == one.round)?;
                Some((figure(one)? < figure(other)?) != metric.more_is_better())
            })
            .collect();
        let same = pairs.iter().filter(|is_better| **is_better).count();
        pairs.len() < ROUNDS_TO_TELL || is_more_than_chance(same, pairs.len())
    }

    /// The A/A run of a case, if there was one.
    pub(crate) fn noise_floor(&self, case: &Case) -> Option<NoiseFloor> {
        let again = self.servers.iter().find(|server| server.name.ends_with(AGAIN))?;
        let first = again.name.strip_suffix(AGAIN)?;
        let median = |name| Some(self.summary(case, name, case.metrics[0])?.median);
        let (a, b) = (median(first)?, median(&again.name)?);
        Some(NoiseFloor { a, b, distance: distance(a, b) })
    }

    /// Refused runs of a case: server, round, and reasons.
    pub(crate) fn refused<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = &'a RunRecord> {
        self.runs.iter().filter(move |run| run.case == case.name && !run.refused.is_empty())
    }

    /// What is to be known about the runs of a case that count, and of how many runs it is said.
    pub(crate) fn warnings(&self, case: &Case, server: &str) -> Option<String> {
        let runs: Vec<_> = self.runs_of(case, server).filter(|r| !r.warnings.is_empty()).collect();
        let first = runs.first()?.warnings.first()?;
        Some(format!("{server}: {first} ({} runs)", runs.len()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case;

    /// A record of one case with runs `(server, CPU, refused)`.
    pub(crate) fn record(runs: &[(&str, f64, bool)]) -> Record {
        let case = *case::ALL.iter().find(|case| case.name == "keep-alive").unwrap();
        let mut servers: Vec<ServerInfo> = Vec::new();
        for (name, ..) in runs {
            if !servers.iter().any(|server| server.name == *name) {
                let (what, notes, version) = ("<what>".into(), String::new(), "1 & 2".into());
                let bars = BTreeMap::from([(Metric::Cpu, 2.0)]);
                servers.push(ServerInfo { name: (*name).into(), what, notes, version, bars });
            }
        }
        let run = |&(server, cpu, refused): &(&str, f64, bool)| RunRecord {
            case: case.name.into(),
            server: server.into(),
            round: 0,
            figures: Figures::from([(Metric::Cpu, cpu)]),
            refused: if refused { vec!["because".into()] } else { Vec::new() },
            warnings: Vec::new(),
            violations: Vec::new(),
        };
        Record {
            command: "versus".into(),
            began: "now".into(),
            machine: Machine::default(),
            warm_up_seconds: 0.5,
            window_seconds: 2.0,
            restarts: 10,
            servers,
            absent: Vec::new(),
            runs: runs.iter().map(run).collect(),
            cases: vec![case],
        }
    }

    /// Of `helloop`, which keeps every clause, `b`, which does not, and `late`, which was not asked.
    pub(crate) fn gated() -> Record {
        let mut record = record(&[
            ("helloop", 2.0, false),
            ("b", 1.0, false),
            ("late", 3.0, false),
            ("helloop (again)", 2.1, false),
        ]);
        record.cases.insert(0, *case::ALL.iter().find(|case| case.name == CORRECTNESS).unwrap());
        let violation = |name: &str, level| Violation {
            case: name.into(),
            level,
            clause: "RFC 9112 1".into(),
            asks: "ask & do".into(),
            seen: "200".into(),
            line: "printf '&amp; done' | nc".into(),
        };
        for (server, violations) in [
            ("helloop", vec![]),
            ("b", vec![violation("first", Level::Must), violation("second", Level::Should)]),
        ] {
            let must = violations.iter().filter(|v| v.level == Level::Must).count();
            record.runs.push(RunRecord {
                case: CORRECTNESS.into(),
                server: server.into(),
                round: 0,
                figures: Figures::from([(Metric::MustBroken, must as f64)]),
                refused: Vec::new(),
                warnings: Vec::new(),
                violations,
            });
        }
        record
    }

    #[test]
    fn refused_runs_do_not_count() {
        let record = record(&[("a", 2.0, false), ("a", 100.0, true), ("b", 1.0, true)]);
        let case = record.cases[0];
        assert_eq!(record.summary(&case, "a", Metric::Cpu).unwrap().median, 2.0);
        assert_eq!(record.summary(&case, "b", Metric::Cpu), None);
        assert_eq!(record.refused(&case).count(), 2);
        assert_eq!(record.ranking(&case).len(), 1);
    }

    #[test]
    fn the_cheapest_is_first() {
        let record = record(&[("a", 2.0, false), ("b", 1.0, false), ("c", 3.0, false)]);
        let names: Vec<&str> =
            record.ranking(&record.cases[0]).iter().map(|(server, _)| &*server.name).collect();
        assert_eq!(names, ["b", "a", "c"]);
    }

    /// Rounds of two servers, and of the first one again.
    fn rounds(all: &[(f64, f64, f64)]) -> Record {
        let mut joined = record(&[("a", 1.0, false), ("b", 1.0, false), ("a (again)", 1.0, false)]);
        joined.runs.clear();
        for (round, &(a, b, again)) in all.iter().enumerate() {
            let runs = [("a", a, false), ("b", b, false), ("a (again)", again, false)];
            joined
                .runs
                .extend(record(&runs).runs.into_iter().map(|run| RunRecord { round, ..run }));
        }
        joined
    }

    #[test]
    fn what_noise_or_chance_could_do_is_no_difference() {
        let is_distinct = |all: &[(f64, f64, f64)]| {
            let record = rounds(all);
            record.is_distinct(&record.cases[0], "a", "b")
        };
        assert!(is_distinct(&[(1.0, 1.1, 1.0); 5]));
        assert!(is_distinct(&[(1.0, 1.1, 1.05); 2]), "too few rounds for chance to be asked");
        assert!(!is_distinct(&[(1.0, 1.1, 1.2); 5]), "it differs more from itself");
        let mut all = [(1.0, 1.1, 1.0); 5];
        all[1].1 = 0.9;
        assert!(!is_distinct(&all), "four of five");
    }

    #[test]
    fn the_same_program_twice_shows_the_noise() {
        let quiet = record(&[("a", 2.0, false), ("a (again)", 2.5, false)]);
        let floor = quiet.noise_floor(&quiet.cases[0]).unwrap();
        assert_eq!(floor, NoiseFloor { a: 2.0, b: 2.5, distance: 0.25 });
        let none = record(&[("a", 2.0, false)]);
        assert_eq!(none.noise_floor(&none.cases[0]), None);
    }
}
