//! The referee's own audit: a run that cannot be believed is refused, with the reason.

use std::time::Duration;

use crate::generator::{Load, Measured, Pace};
use crate::statistics::under_way;

/// How far the number of requests under way may be from what Little's law says.
const LITTLE_TOLERANCE: f64 = 0.05;
/// More than a core: the clocks or the pinning are wrong.
const CORE_SHARE_MAX: f64 = 1.02;
/// Below this, others had too much of a shared core for a quiet figure.
const SHARED_CORE_USED_MIN: f64 = 0.9;
/// Above this, a generator is saturated.
const SATURATED_SHARE: f64 = 0.95;
/// An open loop may notice one request in a hundred later than this.
const LATENESS_P99_MAX: Duration = Duration::from_micros(250);
/// Fewer answers say nothing.
const ANSWERS_MIN: u64 = 200;

/// What the audit says of a run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Opinion {
    /// Why it does not count; empty if it does.
    pub(crate) refusals: Vec<String>,
    /// What the reader must know.
    pub(crate) warnings: Vec<String>,
}

/// What a run claims, whichever generator made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) answers: u64,
    pub(crate) window: Duration,
    /// Mean latency, seconds.
    pub(crate) latency_mean: f64,
    /// The longest latency, seconds.
    pub(crate) latency_max: f64,
    /// CPU time.
    pub(crate) server: Duration,
    pub(crate) generator: Duration,
    /// Requests that are under way at the same time, at most.
    pub(crate) concurrency: usize,
    /// True if there are always that many.
    pub(crate) is_constant: bool,
    pub(crate) same_core: bool,
}

impl Claim {
    /// What a run of the lean generator claims.
    pub(crate) fn of(measured: &Measured, load: Load, same_core: bool) -> Claim {
        let (concurrency, is_constant) = match load {
            Load::Closed { connections, depth } => (connections * depth, depth == 1),
            Load::PerRequest { connections } => (connections, false),
            // Requests wait for a connection outside the server.
            Load::Open { .. } => (usize::MAX, false),
        };
        Claim {
            answers: measured.answers,
            window: measured.window,
            latency_mean: measured.latency.mean() / 1e9,
            latency_max: measured.latency.max() as f64 / 1e9,
            server: Duration::from_nanos(measured.server.nanos),
            generator: measured.generator,
            concurrency,
            is_constant,
            same_core,
        }
    }

    fn share(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.window.as_secs_f64()
    }
}

/// Judges a run.
pub(crate) fn audit(claim: &Claim, pace: Option<&Pace>) -> Opinion {
    let mut opinion = Opinion::default();
    opinion.refusals.extend(too_few(claim));
    opinion.refusals.extend(against_little(claim));
    opinion.refusals.extend(too_much_cpu(claim));
    opinion.refusals.extend(pace.and_then(off_pace));
    opinion.warnings.extend(disturbed(claim));
    if pace.is_none() {
        opinion.warnings.extend(saturated(claim));
    }
    opinion
}

fn too_few(claim: &Claim) -> Option<String> {
    let answers = claim.answers;
    (answers < ANSWERS_MIN)
        .then(|| format!("only {answers} answers came, fewer than {ANSWERS_MIN}"))
}

fn against_little(claim: &Claim) -> Option<String> {
    let per_second = claim.answers as f64 / claim.window.as_secs_f64();
    let under_way = under_way(per_second, claim.latency_mean);
    let most = claim.concurrency as f64;
    // Requests that lie across the beginning of the window count whole, those across its end not.
    let tolerance = LITTLE_TOLERANCE + claim.latency_max / claim.window.as_secs_f64();
    let too_many = under_way > most * (1.0 + tolerance);
    let too_few = claim.is_constant && under_way < most * (1.0 - tolerance);
    (too_many || too_few).then(|| {
        format!("Little's law: {under_way:.1} requests must have been under way, but it was {most}")
    })
}

fn too_much_cpu(claim: &Claim) -> Option<String> {
    let server = claim.share(claim.server);
    let both = server + claim.share(claim.generator);
    if claim.server.is_zero() {
        return Some("the server's CPU time did not move".into());
    }
    let (share, who) =
        if claim.same_core { (both, "server and generator") } else { (server, "it") };
    (share > CORE_SHARE_MAX).then(|| format!("{who} used {share:.2} cores, but had one"))
}

fn off_pace(pace: &Pace) -> Option<String> {
    let lateness = Duration::from_nanos(pace.lateness.value_at_quantile(0.99));
    if lateness > LATENESS_P99_MAX {
        return Some(format!(
            "the generator was late by itself: 1 request in 100 by more than {lateness:.0?}"
        ));
    }
    let lost = pace.due.saturating_sub(pace.answered);
    (lost > 0).then(|| format!("{lost} of {} requests were not answered in time", pace.due))
}

fn disturbed(claim: &Claim) -> Option<String> {
    let used = claim.share(claim.server) + claim.share(claim.generator);
    (claim.same_core && used < SHARED_CORE_USED_MIN)
        .then(|| format!("others had {:.0} % of the core", (1.0 - used) * 100.0))
}

fn saturated(claim: &Claim) -> Option<String> {
    let (server, generator) = (claim.share(claim.server), claim.share(claim.generator));
    let is_generator_s = generator > SATURATED_SHARE && server < SATURATED_SHARE;
    (!claim.same_core && is_generator_s).then(|| {
        format!("the generator was saturated and the server not ({:.0} %)", server * 100.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::histogram;

    const GOOD: Claim = Claim {
        answers: 64_000,
        window: Duration::from_secs(1),
        latency_mean: 0.001,
        latency_max: 0.002,
        server: Duration::from_millis(500),
        generator: Duration::from_millis(480),
        concurrency: 64,
        is_constant: true,
        same_core: true,
    };

    fn refused(claim: Claim) -> String {
        audit(&claim, None).refusals.join("; ")
    }

    fn warned(claim: Claim) -> String {
        audit(&claim, None).warnings.join("; ")
    }

    #[test]
    fn a_good_run_is_believed() {
        assert_eq!(audit(&GOOD, None), Opinion::default());
    }

    #[test]
    fn little_s_law_is_kept_in_both_directions() {
        assert!(refused(Claim { latency_mean: 0.0011, ..GOOD }).contains("70.4 requests"));
        // Some connections are silent.
        assert!(refused(Claim { latency_mean: 0.0009, ..GOOD }).contains("57.6 requests"));
        assert_eq!(refused(Claim { latency_mean: 0.0009, is_constant: false, ..GOOD }), "");
        assert_eq!(refused(Claim { latency_mean: 0.00102, ..GOOD }), "");
        // Long latencies in a short window: the edges weigh more.
        assert_eq!(refused(Claim { latency_mean: 0.0011, latency_max: 0.06, ..GOOD }), "");
    }

    #[test]
    fn too_few_answers_and_impossible_clocks_are_refused() {
        let few = Claim { answers: 100, latency_mean: 0.64, latency_max: 0.64, ..GOOD };
        assert!(refused(few).contains("only 100 answers"));
        assert!(refused(Claim { server: Duration::ZERO, ..GOOD }).contains("did not move"));
        let both = Claim { generator: Duration::from_millis(600), ..GOOD };
        assert!(refused(both).contains("used 1.10 cores"));
        assert_eq!(refused(Claim { same_core: false, ..both }), "");
        let server = Claim { server: Duration::from_millis(1_100), same_core: false, ..GOOD };
        assert!(refused(server).contains("it used 1.10 cores"));
    }

    #[test]
    fn disturbance_and_saturation_are_told() {
        assert!(warned(Claim { server: Duration::from_millis(300), ..GOOD }).contains("had 22 %"));
        let busy = Claim { generator: Duration::from_millis(990), same_core: false, ..GOOD };
        assert!(warned(busy).contains("the generator was saturated and the server not (50 %)"));
        assert_eq!(warned(Claim { server: Duration::from_millis(990), ..busy }), "");
    }

    #[test]
    fn an_open_loop_keeps_its_pace_or_is_refused() {
        let claim = Claim { concurrency: usize::MAX, is_constant: false, same_core: false, ..GOOD };
        let refused = |late_nanos, answered| {
            let mut lateness = histogram();
            lateness.record_n(late_nanos, 1_000).unwrap();
            audit(&claim, Some(&Pace { due: 1_000, answered, lateness })).refusals.join("; ")
        };
        assert_eq!(refused(10_000, 1_000), "");
        assert!(refused(300_000, 1_000).contains("the generator was late"));
        assert!(refused(10_000, 999).contains("1 of 1000 requests"));
    }
}
