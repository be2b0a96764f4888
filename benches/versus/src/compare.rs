//! Two commits of helloop, in one session: is the later one dearer?

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::case::{Case, Kind};
use crate::figures::Metric;
use crate::manifest::{Places, Stanza};
use crate::record::{AGAIN, Record};
use crate::statistics::{is_more_than_chance, summarise};

/// What is compared where no cases are named.
pub(crate) const CASES: [&str; 3] = ["keep-alive", "pipelined", "instructions"];
/// Which server of the manifest is compared where none is named.
pub(crate) const SERVER: &str = "helloop-small";
/// Above this ratio it is a regression.
const DEARER: f64 = 1.02;

/// One figure of both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compared {
    pub(crate) case: &'static str,
    pub(crate) metric: Metric,
    /// Later over earlier, the median over the rounds.
    pub(crate) ratio: f64,
    /// Rounds in which the later one was dearer.
    pub(crate) dearer: usize,
    pub(crate) rounds: usize,
    /// How far the earlier one was from itself, as a share; nothing for counts.
    pub(crate) noise: f64,
}

impl Compared {
    /// More than 2 %, more than the noise, and in more rounds than by chance. Counts need no more than half of them.
    pub(crate) fn is_regression(&self) -> bool {
        let is_counted =
            matches!(self.metric, Metric::Instructions | Metric::InstructionsPipelined);
        let is_systematic = match is_counted {
            true => 2 * self.dearer > self.rounds,
            false => is_more_than_chance(self.dearer, self.rounds),
        };
        self.ratio > DEARER && self.ratio - 1.0 > self.noise && is_systematic
    }
}

/// The stanza of the commit `revision`, in a worktree of its own below `here/target/compare`, which
/// stays for the next time.
///
/// # Errors
/// When git does not know the commit.
pub(crate) fn at_commit(stanza: &Stanza, here: &Path, revision: &str) -> Result<Stanza> {
    let root = here.join("../..");
    let commit = format!("{revision}^{{commit}}");
    let id = git(&root, &["rev-parse", "--verify", "--quiet", "--short=12", &commit])
        .with_context(|| format!("git knows no commit {revision:?}"))?;
    let tree = here.join("target/compare").join(&id);
    if !tree.exists() {
        let path = tree.display().to_string();
        git(&root, &["worktree", "prune"])?;
        git(&root, &["worktree", "add", "--detach", &path, &id])?;
    }
    Ok(moved(stanza, &id, &tree))
}

/// The stanza, with the crate taken from `tree`, and built in a place of its own.
fn moved(stanza: &Stanza, id: &str, tree: &Path) -> Stanza {
    let target = Places::at_rest(Path::new("{here}")).target.join("compare").join(id);
    let target = target.display().to_string();
    let tree = tree.display().to_string();
    let moved = |text: &str| text.replace("{here}/../..", &tree).replace("{target}", &target);
    Stanza {
        name: format!("{} at {id}", stanza.name),
        build: moved(&stanza.build),
        start: moved(&stanza.start),
        version: moved(&stanza.version),
        binary: stanza.binary.as_deref().map(moved),
        ..stanza.clone()
    }
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output()?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the session found, of `earlier` and `later`: pairs of the same round.
pub(crate) fn compare(record: &Record, earlier: &str, later: &str) -> Vec<Compared> {
    let mut all = Vec::new();
    for case in &record.cases {
        for &metric in metrics(case) {
            all.extend(one(record, case, metric, earlier, later));
        }
    }
    all
}

fn metrics(case: &Case) -> &'static [Metric] {
    match case.kind {
        Kind::Instructions => case.metrics,
        _ => &case.metrics[..1],
    }
}

fn one(
    record: &Record,
    case: &Case,
    metric: Metric,
    earlier: &str,
    later: &str,
) -> Option<Compared> {
    let figure = |server: &str, round: usize| {
        let mut runs = record.runs.iter().filter(|run| run.refused.is_empty());
        let run =
            runs.find(|run| run.case == case.name && run.server == server && run.round == round)?;
        run.figures.get(&metric).copied()
    };
    let rounds = record.runs.iter().map(|run| run.round + 1).max().unwrap_or(0);
    let ratios = |server: &str| -> Vec<f64> {
        let ratio = |round| Some(figure(server, round)? / figure(earlier, round)?);
        (0..rounds).filter_map(ratio).collect()
    };
    let pairs = ratios(later);
    let again = summarise(ratios(&format!("{earlier}{AGAIN}")));
    Some(Compared {
        case: case.name,
        metric,
        ratio: summarise(pairs.iter().copied())?.median,
        dearer: pairs.iter().filter(|ratio| **ratio > 1.0).count(),
        rounds: pairs.len(),
        noise: again.map_or(0.0, |again| (again.median - 1.0).abs()),
    })
}

/// For people: a line for each figure.
pub(crate) fn lines(all: &[Compared], earlier: &str, later: &str) -> String {
    let mut text = format!("{later} over {earlier}, pairs of the same round:\n");
    for compared in all {
        let Compared { case, metric, ratio, dearer, rounds, noise } = compared;
        let verdict = if compared.is_regression() { ": REGRESSION" } else { "" };
        text.push_str(&format!(
            "- {case}, {}: {:+.1} %, dearer in {dearer} of {rounds} rounds, A/A {:.1} %{verdict}\n",
            metric.label(),
            (ratio - 1.0) * 100.0,
            noise * 100.0
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    /// Compares `(earlier, again, later)` of each round.
    fn compared(rounds: &[(f64, f64, f64)]) -> Compared {
        let mut all = record(&[]);
        for (round, &(earlier, again, later)) in rounds.iter().enumerate() {
            let runs = [("old", earlier), ("old (again)", again), ("new", later)];
            for (name, cpu) in runs {
                let mut more = record(&[(name, cpu, false)]).runs;
                more[0].round = round;
                all.runs.append(&mut more);
            }
        }
        compare(&all, "old", "new").remove(0)
    }

    #[test]
    fn three_per_cent_are_seen_though_the_machine_drifts() {
        let dearer = compared(&[
            (1.0, 1.001, 1.03),
            (2.0, 1.999, 2.06),
            (4.0, 4.0, 4.12),
            (3.0, 3.0, 3.09),
            (2.0, 2.0, 2.06),
        ]);
        assert!((dearer.ratio - 1.03).abs() < 1e-9, "{dearer:?}");
        assert_eq!((dearer.dearer, dearer.rounds), (5, 5));
        assert!(dearer.is_regression());
        let text = lines(std::slice::from_ref(&dearer), "old", "new");
        assert!(text.contains("keep-alive, CPU µs: +3.0 %, dearer in 5 of 5 rounds"), "{text}");
        assert!(text.contains("REGRESSION"), "{text}");
    }

    #[test]
    fn what_is_small_or_noise_is_no_regression() {
        assert!(!compared(&[(1.0, 1.0, 1.015); 8]).is_regression());
        assert!(!compared(&[(1.0, 1.05, 1.04); 8]).is_regression());
        assert!(!compared(&[(1.0, 1.0, 0.9); 8]).is_regression());
        assert!(compared(&[(1.0, 1.0, 1.1); 8]).is_regression());
        assert!(!compared(&[(1.0, 1.0, 1.1); 4]).is_regression(), "a coin does that");
        let mut rounds = [(1.0, 1.0, 1.1); 8];
        (rounds[2].2, rounds[5].2) = (0.9, 0.8);
        assert!(!compared(&rounds).is_regression(), "dearer in 6 of 8 rounds");
    }

    #[test]
    fn instructions_are_no_matter_of_chance() {
        let counted = Compared {
            case: "instructions",
            metric: Metric::Instructions,
            ratio: 1.03,
            dearer: 2,
            rounds: 2,
            noise: 0.002,
        };
        assert!(counted.is_regression());
        assert!(!Compared { metric: Metric::Cpu, ..counted }.is_regression());
    }

    #[test]
    fn a_commit_is_built_beside_the_work_tree() {
        let stanza: Stanza = toml::from_str(
            "name = \"a\"\nwhat = \"\"\nstart = \"{target}/a {port}\"\n\
             build = \"cargo --manifest-path {here}/../../Cargo.toml --target-dir {target}/s\"\n",
        )
        .unwrap();
        let moved = moved(&stanza, "12ab", Path::new("/tree"));
        assert_eq!(moved.name, "a at 12ab");
        let target = "{here}/target/peers/compare/12ab";
        assert_eq!(moved.start, format!("{target}/a {{port}}"));
        let build = format!("cargo --manifest-path /tree/Cargo.toml --target-dir {target}/s");
        assert_eq!(moved.build, build);
        let error = at_commit(&stanza, Path::new(env!("CARGO_MANIFEST_DIR")), "no-such-commit");
        assert!(format!("{:#}", error.unwrap_err()).contains("no commit \"no-such-commit\""));
    }
}
