//! Medians, their company, and the order of rounds.

use serde::Serialize;

/// What several runs of the same thing come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// How many there were.
    pub(crate) count: usize,
}

/// Sums up `values`; `None` if there are none.
pub(crate) fn summarise(values: impl IntoIterator<Item = f64>) -> Option<Summary> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    Some(Summary { median: median_of_sorted(&values), min, max, count: values.len() })
}

/// The middle one, or the mean of the two in the middle.
fn median_of_sorted(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// How far two medians of the same thing lie apart, as a share of the smaller one.
pub(crate) fn distance(a: f64, b: f64) -> f64 {
    let smaller = a.min(b);
    if smaller > 0.0 { (a - b).abs() / smaller } else { 0.0 }
}

/// The order of measuring: `(round, entrant)`. Rounds alternate their direction, A B C C B A, so that
/// a machine that becomes slower or faster steadily does so for all alike.
pub(crate) fn interleave(entrants: usize, rounds: usize) -> Vec<(usize, usize)> {
    let order = |round: usize| -> Vec<(usize, usize)> {
        let forth = (0..entrants).map(|entrant| (round, entrant));
        if round.is_multiple_of(2) { forth.collect() } else { forth.rev().collect() }
    };
    (0..rounds).flat_map(order).collect()
}

/// By Little's law (requests in the system = throughput × time in the system), the number of
/// requests that were under way, from requests per second and seconds.
pub(crate) fn under_way(per_second: f64, mean_seconds: f64) -> f64 {
    per_second * mean_seconds
}

/// What chance shows more often than this is no difference. Five pairs are the least that can show one.
const CHANCE_MAX: f64 = 0.05;

/// Whether a difference that has the same sign in so many of these pairs is more than a coin would do.
pub(crate) fn is_more_than_chance(same: usize, pairs: usize) -> bool {
    by_chance(same, pairs) <= CHANCE_MAX
}

/// How probable it is that of so many tosses of a coin at least `heads` are heads: of equal servers, the later one
/// is dearer in half of the rounds.
fn by_chance(heads: usize, tosses: usize) -> f64 {
    let mut ways = 1.0;
    let mut sum = 0.0;
    for count in 0..=tosses {
        if count >= heads {
            sum += ways;
        }
        ways *= (tosses - count) as f64 / (count + 1) as f64;
    }
    sum / 2f64.powf(tosses as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(summarise([]), None);
        let of = |values: &[f64]| summarise(values.iter().copied()).unwrap();
        assert_eq!(of(&[3.0]), Summary { median: 3.0, min: 3.0, max: 3.0, count: 1 });
        assert_eq!(of(&[9.0, 1.0, 2.0]), Summary { median: 2.0, min: 1.0, max: 9.0, count: 3 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
    }

    #[test]
    fn rounds_go_forth_and_back() {
        let entrants: String = interleave(3, 4)
            .iter()
            .map(|&(_, entrant)| char::from(b'A' + u8::try_from(entrant).unwrap()))
            .collect();
        assert_eq!(entrants, "ABCCBAABCCBA");
        assert_eq!(interleave(2, 2), [(0, 0), (0, 1), (1, 1), (1, 0)]);
    }

    #[test]
    fn each_entrant_has_the_same_mean_position() {
        for entrants in 1..6 {
            let order = interleave(entrants, 4);
            let position_sum = |who| -> usize {
                order.iter().enumerate().filter(|(_, (_, e))| *e == who).map(|(at, _)| at).sum()
            };
            assert!((0..entrants).all(|who| position_sum(who) == position_sum(0)));
        }
    }

    #[test]
    fn little_s_law() {
        // 64 connections, a millisecond each: 64,000 a second.
        assert!((under_way(64_000.0, 0.001) - 64.0).abs() < 1e-9);
    }

    #[test]
    fn distance_is_relative_and_symmetric() {
        assert_eq!(distance(2.0, 3.0), 0.5);
        assert_eq!(distance(3.0, 2.0), 0.5);
        assert_eq!(distance(0.0, 2.0), 0.0);
    }

    #[test]
    fn chance_is_reckoned() {
        for (heads, tosses, wanted) in [(0, 3, 1.0), (5, 5, 1.0 / 32.0), (7, 8, 9.0 / 256.0)] {
            let found = by_chance(heads, tosses);
            assert!((found - wanted).abs() < 1e-12, "{heads} of {tosses}: {found}");
        }
    }
}
