//! What goes wrong in a simulated world, and how often.

use std::io;
use std::time::Duration;

use crate::limits::setters;

/// The longest way that a byte takes, where ways are long ([`Faults::latency_percent`]).
pub const LATENCY_MAX: Duration = Duration::from_millis(400);

/// The longest time for which a report of readiness is held back ([`Faults::held_percent`]).
pub const HELD_MAX: Duration = Duration::from_millis(100);

/// The longest time for which accepting fails once it has begun to, for want of descriptors or
/// memory ([`Faults::accept_error_percent`]).
pub const EXHAUSTED_MAX: Duration = Duration::from_secs(2);

/// The furthest that the monotonic clock jumps, as when a process was stopped for a while
/// ([`Faults::clock_jump_percent`]).
pub const CLOCK_JUMP_MAX: Duration = Duration::from_secs(60);

/// The furthest that the wall clock is set, to and fro ([`Faults::wall_jump_percent`]).
pub const WALL_JUMP_MAX: Duration = Duration::from_secs(86_400);

/// The most bytes that a tiny pipe holds ([`Faults::tiny_pipe_percent`]).
pub(super) const TINY_PIPE_BYTES_MAX: usize = 64;

/// The most bytes that pass one way before a connection is cut ([`Faults::cut_percent`]).
pub(super) const CUT_BYTES_MAX: usize = 4096;

/// How rough the simulated network is. Each fault strikes with its own probability, in percent; all
/// follow from the world's seed. Only sockets that a loop has registered suffer from faults of
/// reading and writing: the outside ([`Peer`](super::Peer)) is exact.
///
/// ```
/// use helloop::world::sim::Faults;
/// assert_ne!(Faults::NONE.short_percent(30).cut_percent(5), Faults::NONE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// A read or write moves only a few bytes, often one, although more would fit.
    pub short_percent: u8,
    /// A read or write would block, although it need not. As with a kernel that has just run out of
    /// memory, the source is reported again.
    pub would_block_percent: u8,
    /// A read, write or accept is interrupted by a signal (EINTR).
    pub interrupted_percent: u8,

    /// A source is reported for which nothing happened. It is drawn for each source, whenever
    /// something is reported.
    pub spurious_percent: u8,
    /// A source is reported that was closed a while ago, whose slot may have a new owner.
    pub stale_percent: u8,
    /// A report comes late, by up to [`HELD_MAX`].
    pub held_percent: u8,
    /// The reports of one wait come in any order.
    pub shuffled_percent: u8,
    /// A wait ends before its time, with nothing.
    pub early_percent: u8,

    /// The pipes of a new connection hold only a few bytes, down to one.
    pub tiny_pipe_percent: u8,
    /// A new connection is far away: every packet takes its time, up to [`LATENCY_MAX`], so that
    /// connections overtake each other. Within one connection the order stays.
    pub latency_percent: u8,
    /// The network will reset a new connection, at any byte.
    pub cut_percent: u8,
    /// An accept fails: ECONNABORTED, EPERM, or, for up to [`EXHAUSTED_MAX`] from then on, EMFILE,
    /// ENFILE or ENOBUFS.
    pub accept_error_percent: u8,
    /// A connection that the program opens is refused.
    pub refused_percent: u8,
    /// A connection that the program opens is never answered.
    pub unanswered_percent: u8,

    /// The monotonic clock jumps forward during a wait, by up to [`CLOCK_JUMP_MAX`].
    pub clock_jump_percent: u8,
    /// The wall clock is set during a wait, forward or back, by up to [`WALL_JUMP_MAX`].
    pub wall_jump_percent: u8,

    /// There is an urgent byte somewhere among bytes that arrive: the read that comes to it stops
    /// there, and what comes after it was reported before.
    pub urgent_percent: u8,
}

setters! {
    Faults {
        short_percent: u8,
        would_block_percent: u8,
        interrupted_percent: u8,
        spurious_percent: u8,
        stale_percent: u8,
        held_percent: u8,
        shuffled_percent: u8,
        early_percent: u8,
        tiny_pipe_percent: u8,
        latency_percent: u8,
        cut_percent: u8,
        accept_error_percent: u8,
        refused_percent: u8,
        unanswered_percent: u8,
        clock_jump_percent: u8,
        wall_jump_percent: u8,
    }
}

impl Faults {
    /// A calm network: nothing goes wrong.
    pub const NONE: Faults = Faults {
        short_percent: 0,
        would_block_percent: 0,
        interrupted_percent: 0,
        spurious_percent: 0,
        stale_percent: 0,
        held_percent: 0,
        shuffled_percent: 0,
        early_percent: 0,
        tiny_pipe_percent: 0,
        latency_percent: 0,
        cut_percent: 0,
        accept_error_percent: 0,
        refused_percent: 0,
        unanswered_percent: 0,
        clock_jump_percent: 0,
        wall_jump_percent: 0,
        urgent_percent: 0,
    };

    /// A rough network: all that loses nothing and takes no time happens often.
    pub const ROUGH: Faults = Faults {
        short_percent: 40,
        would_block_percent: 20,
        interrupted_percent: 10,
        spurious_percent: 20,
        stale_percent: 20,
        shuffled_percent: 100,
        urgent_percent: 20,
        ..Faults::NONE
    };

    /// Faults that follow from `seed`: each of them is absent in half of the worlds, and as frequent as
    /// chance has it in the others. It matters that some are absent: one fault can hide what another
    /// would show.
    pub fn drawn(seed: u64) -> Faults {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut up_to = |most: u8| if random.bool() { random.u8(1..=most) } else { 0 };
        // Younger than the others, and drawn apart: half of the worlds that are known by their seeds
        // are still what they were.
        let mut apart = fastrand::Rng::with_seed(seed.rotate_left(26));
        Faults {
            short_percent: up_to(90),
            would_block_percent: up_to(50),
            interrupted_percent: up_to(50),
            spurious_percent: up_to(30),
            stale_percent: up_to(50),
            held_percent: up_to(30),
            shuffled_percent: up_to(100),
            early_percent: up_to(30),
            tiny_pipe_percent: up_to(50),
            latency_percent: up_to(100),
            cut_percent: up_to(20),
            accept_error_percent: up_to(20),
            refused_percent: up_to(20),
            unanswered_percent: up_to(10),
            clock_jump_percent: up_to(2),
            wall_jump_percent: up_to(20),
            urgent_percent: if apart.bool() { apart.u8(1..=20) } else { 0 },
        }
    }

    /// The faults by name, for reports, and for a campaign that takes them away one by one.
    pub fn by_name(&mut self) -> [(&'static str, &mut u8); 17] {
        [
            ("short", &mut self.short_percent),
            ("would block", &mut self.would_block_percent),
            ("interrupted", &mut self.interrupted_percent),
            ("spurious", &mut self.spurious_percent),
            ("stale", &mut self.stale_percent),
            ("held", &mut self.held_percent),
            ("shuffled", &mut self.shuffled_percent),
            ("early", &mut self.early_percent),
            ("tiny pipe", &mut self.tiny_pipe_percent),
            ("latency", &mut self.latency_percent),
            ("cut", &mut self.cut_percent),
            ("accept error", &mut self.accept_error_percent),
            ("refused", &mut self.refused_percent),
            ("unanswered", &mut self.unanswered_percent),
            ("clock jump", &mut self.clock_jump_percent),
            ("wall jump", &mut self.wall_jump_percent),
            ("urgent", &mut self.urgent_percent),
        ]
    }
}

/// True with a probability of `percent`. A fault that never strikes draws nothing, so that it does
/// not change what the others do.
pub(super) fn strikes(random: &mut fastrand::Rng, percent: u8) -> bool {
    percent > 0 && random.u8(0..100) < percent
}

/// A number below `most`. All draws have a fixed width: fastrand's own `usize`, `choice` and `shuffle` give other
/// numbers where `usize` has 32 bits, and a seed is to be one world on every target.
#[allow(clippy::cast_possible_truncation, reason = "it is below a `usize`")]
pub(super) fn below(random: &mut fastrand::Rng, most: usize) -> usize {
    random.u64(0..most as u64) as usize
}

/// Puts `items` into any order, as fastrand's `shuffle` does.
pub(super) fn shuffle<T>(random: &mut fastrand::Rng, items: &mut [T]) {
    for at in 1..items.len() {
        items.swap(at, below(random, at + 1));
    }
}

/// Any duration up to `most`, of any magnitude: short ones are as frequent as long ones.
pub(super) fn duration(random: &mut fastrand::Rng, most: Duration) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    let bits = random.u32(0..=nanos.max(1).ilog2());
    Duration::from_nanos(random.u64(0..=nanos.min((2 << bits) - 1)))
}

/// The number of the error for a process that has no descriptor left, on every Unix that we know.
pub(super) const EMFILE: i32 = 24;

/// Why an accept fails.
#[derive(Clone, Copy)]
pub(super) enum AcceptError {
    /// Of one connection.
    Passing(io::ErrorKind),
    /// Of the process or the machine: the number of the error.
    Exhausted(i32),
}

impl AcceptError {
    pub(super) fn drawn(random: &mut fastrand::Rng) -> AcceptError {
        // The same number on every Unix that we know; that of ENOBUFS is not.
        const ENFILE: i32 = 23;
        const ENOBUFS: i32 =
            if cfg!(any(target_os = "linux", target_os = "android")) { 105 } else { 55 };
        match random.u8(0..5) {
            0 => AcceptError::Passing(io::ErrorKind::ConnectionAborted),
            1 => AcceptError::Passing(io::ErrorKind::PermissionDenied),
            2 => AcceptError::Exhausted(EMFILE),
            3 => AcceptError::Exhausted(ENFILE),
            _ => AcceptError::Exhausted(ENOBUFS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_follow_from_their_seed_and_all_of_them_occur() {
        assert_eq!(Faults::drawn(7), Faults::drawn(7));
        let mut sums = [0_u64; 17];
        let mut absent = [0_u64; 17];
        for seed in 0..200 {
            for (index, (_, percent)) in Faults::drawn(seed).by_name().into_iter().enumerate() {
                assert!(*percent <= 100);
                sums[index] += u64::from(*percent);
                absent[index] += u64::from(*percent == 0);
            }
        }
        assert!(sums.iter().all(|sum| *sum > 0), "{sums:?}");
        assert!(absent.iter().all(|count| (50..150).contains(count)), "{absent:?}");
        let mut none = Faults::NONE;
        assert!(none.by_name().iter().all(|(_, percent)| **percent == 0));
    }

    /// The worlds of all seeds are what they were, and what they are where `usize` has 32 bits.
    #[test]
    fn draws_have_one_width() {
        let mut random = fastrand::Rng::with_seed(1);
        let drawn = [3, 64, 4096, 1 << 20].map(|most| below(&mut random, most));
        assert_eq!(drawn, [1, 34, 981, 816_701]);
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        shuffle(&mut random, &mut items);
        assert_eq!(items, [7, 6, 2, 5, 4, 3, 0, 1]);
    }

    #[test]
    fn durations_are_of_every_magnitude_and_never_too_long() {
        let mut random = fastrand::Rng::with_seed(1);
        let most = Duration::from_secs(1);
        let drawn: Vec<_> = (0..1000).map(|_| duration(&mut random, most)).collect();
        assert!(drawn.iter().all(|duration| *duration <= most));
        assert!(drawn.iter().any(|duration| *duration > most / 2));
        assert!(drawn.iter().any(|duration| *duration < Duration::from_micros(1)));
    }
}
