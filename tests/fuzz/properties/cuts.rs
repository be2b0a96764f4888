//! Ways to cut an input into the pieces in which it arrives.

/// Inputs up to this length are also given byte by byte.
const BYTE_BY_BYTE_MAX: usize = 1024;

/// Where to cut an input of so many bytes: two places that follow from `seed`, a piece per byte,
/// and, around each place, the two bytes alone.
pub(super) fn of(bytes: usize, seed: u8) -> Vec<Vec<usize>> {
    let mut random = fastrand::Rng::with_seed((bytes as u64) << 8 | u64::from(seed));
    let (a, b) = (random.usize(0..=bytes), random.usize(0..=bytes));
    let mut ways = vec![vec![a.min(b), a.max(b)], vec![a, (a + 1).min(bytes)]];
    if bytes <= BYTE_BY_BYTE_MAX {
        ways.push((1..bytes).collect());
    }
    ways
}
