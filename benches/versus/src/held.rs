//! Figures that are committed: a count that grows by more than a little is noticed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::figures::Metric;
use crate::record::Record;
use crate::statistics::Summary;

/// A figure may grow by this: libraries choose their code by the processor.
const GROWTH_MAX: f64 = 1.03;

/// Figures by server.
type Held = BTreeMap<String, BTreeMap<Metric, f64>>;

/// Compares with the figures in a file. Returns a line for each, and whether all are kept.
///
/// # Errors
/// When the file cannot be read, or a figure in it was not measured.
pub(crate) fn check(record: &Record, path: &Path) -> Result<(String, bool)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    judge(record, &text).with_context(|| format!("{} cannot be kept", path.display()))
}

fn judge(record: &Record, text: &str) -> Result<(String, bool)> {
    let held: Held = toml::from_str(text)?;
    ensure!(held.values().any(|figures| !figures.is_empty()), "there is no figure in it");
    let (mut lines, mut all_kept) = (String::new(), true);
    for (server, figures) in &held {
        for (metric, before) in figures {
            // The lowest of the rounds: where a server is disturbed, its turns find fewer requests, and each is dearer.
            let now = figure(record, server, *metric)
                .with_context(|| format!("{server}, {}: not measured", metric.label()))?
                .min;
            let is_kept = now <= before * GROWTH_MAX;
            all_kept &= is_kept;
            let verdict = if is_kept { "kept" } else { "GROWN" };
            let (label, change) = (metric.label(), (now / before - 1.0) * 100.0);
            lines.push_str(&format!(
                "{server}, {label}: {now:.0}, held {before:.0} ({change:+.1} %): {verdict}\n"
            ));
        }
    }
    Ok((lines, all_kept))
}

fn figure(record: &Record, server: &str, metric: Metric) -> Option<Summary> {
    let case = record.cases.iter().find(|case| case.metrics.contains(&metric))?;
    record.summary(case, server, metric)
}

/// Writes the figures of this session into a file, over those that it has; comments stay.
///
/// # Errors
/// As [`check`], and when the file cannot be written.
pub(crate) fn renew(record: &Record, path: &Path) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    fs::write(path, renewed(record, &text)?)
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn renewed(record: &Record, text: &str) -> Result<String> {
    let held: Held = toml::from_str(text)?;
    let comments = text.lines().take_while(|line| line.starts_with('#'));
    let mut renewed: String = comments.map(|line| format!("{line}\n")).collect();
    for (server, figures) in &held {
        renewed.push_str(&format!("\n[{server}]\n"));
        for metric in figures.keys() {
            let now = figure(record, server, *metric)
                .with_context(|| format!("{server}, {}: not measured", metric.label()))?
                .median;
            let name = serde_json::to_value(metric)?;
            let name = name.as_str().context("a metric has a name")?;
            renewed.push_str(&format!("{name} = {now:.0}.0\n"));
        }
    }
    Ok(renewed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn three_per_cent_may_be_more_but_not_four() {
        let record = record(&[("a", 1_030.0, false), ("b", 1_040.0, false)]);
        let (lines, kept) = judge(&record, "[a]\ncpu = 1000.0\n").unwrap();
        assert!(kept && lines.contains("1030, held 1000 (+3.0 %): kept"), "{lines}");
        let (lines, kept) = judge(&record, "[a]\ncpu = 1000.0\n[b]\ncpu = 1000.0\n").unwrap();
        assert!(!kept && lines.contains("b, CPU µs: 1040, held 1000 (+4.0 %): GROWN"), "{lines}");
        let missing = judge(&record, "[c]\ncpu = 1.0\n").unwrap_err();
        assert!(missing.to_string().contains("c, CPU µs: not measured"));
        assert!(judge(&record, "").is_err());
    }

    #[test]
    fn renewed_figures_are_kept() {
        let record = record(&[("a", 1_030.4, false)]);
        let text = renewed(&record, "# why\n# how\n\n[a]\ncpu = 1.0\n").unwrap();
        assert_eq!(text, "# why\n# how\n\n[a]\ncpu = 1030.0\n");
        assert!(judge(&record, &text).unwrap().1);
    }

    #[test]
    fn the_shipped_file_is_right() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("held.toml");
        let held: Held = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let figures = &held["helloop-small"];
        assert!(figures[&Metric::Instructions] > figures[&Metric::InstructionsPipelined]);
    }
}
