use std::fmt;
use std::time::Duration;

use helloop::limits::Limits;
use helloop::world::sim::Faults;

use super::ask::{self, Ask};
use super::draw;

/// What will happen. The same plan happens in the same way every time.
#[derive(Clone)]
pub(crate) struct Plan {
    /// What the network leaves to chance follows from it.
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    /// Where the server listens: at so many addresses.
    pub(crate) listeners: u8,
    pub(crate) clients: Vec<ClientPlan>,
    pub(crate) end: End,
}

/// The end of the server.
#[derive(Clone, Copy)]
pub(crate) struct End {
    /// When it is ordered; `None`: when the last client has gone.
    pub(crate) at: Option<Duration>,
    /// How long it may take; `None`: the server is stopped without a drain.
    pub(crate) drain: Option<Duration>,
}

/// One client.
#[derive(Clone)]
pub(crate) struct ClientPlan {
    /// To which of the listeners it comes.
    pub(crate) listener: u8,
    pub(crate) arrives: Duration,
    pub(crate) asks: Vec<Ask>,
    /// Pauses, and how many bytes are sent after each. Sends all requests, or only the beginning.
    pub(crate) sends: Vec<(Duration, usize)>,
    pub(crate) reads: Reads,
    pub(crate) farewell: Farewell,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Whatever comes, when it comes.
    Eagerly,
    /// Now and then, so many bytes.
    Slowly {
        period: Duration,
        bytes: usize,
    },
    Never,
}

/// What a client does after it has sent what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Waits for all answers, then closes after a pause.
    Closes(Duration),
    /// Finishes sending at once, and waits for all answers and the end.
    HalfCloses,
    /// Waits until the server closes. Then closes as well, after a pause.
    Waits(Duration),
    /// Resets the connection after a pause, whatever was answered.
    Resets(Duration),
    /// Closes after a pause, whatever was answered.
    Leaves(Duration),
}

impl Plan {
    pub(crate) fn drawn(seed: u64) -> Plan {
        let mut random = fastrand::Rng::with_seed(seed);
        let faults = Faults::drawn(random.u64(..));
        let limits = drawn_limits(&mut random);
        let clients_max = if random.bool() { 4 } else { 12 };
        let clients = draw(&mut random, 1..=clients_max);
        // A byte at a time, large answers would only take long.
        let is_wide = faults.tiny_pipe_percent == 0 && faults.short_percent < 50;
        let mut clients: Vec<_> =
            (0..clients).map(|_| ClientPlan::drawn(&mut random, is_wide)).collect();
        let end = End {
            at: (random.u8(0..3) == 0).then(|| millis(&mut random, 4000)),
            drain: (random.u8(0..5) > 0).then(|| millis(&mut random, 25_000)),
        };
        // Drawn last, so that the rest of a plan is what it was before there were several listeners.
        let listeners = if random.u8(0..4) == 0 { random.u8(2..=3) } else { 1 };
        clients.iter_mut().for_each(|client| client.listener = random.u8(0..listeners));
        Plan { seed, faults, limits, listeners, clients, end }
    }

    /// Without faults that may end a connection that has done nothing wrong.
    pub(crate) fn jumps(&self) -> bool {
        self.faults.clock_jump_percent > 0
    }
}

impl ClientPlan {
    fn drawn(random: &mut fastrand::Rng, is_wide: bool) -> ClientPlan {
        let asks = if random.u8(0..12) == 0 {
            (0..draw(random, 20..120)).map(|number| ask::get(&format!("/{number}"))).collect()
        } else {
            let count = draw(random, 0..6);
            (0..count).map(|number| ask::drawn(random, number, is_wide)).collect::<Vec<_>>()
        };
        let total = asks.iter().map(|ask| ask.bytes.len()).sum();
        let until = if random.u8(0..5) == 0 { draw(random, 0..=total) } else { total };
        ClientPlan {
            listener: 0,
            arrives: millis(random, 2000),
            sends: drawn_sends(random, until),
            asks,
            reads: match random.u8(0..10) {
                0 => Reads::Never,
                1..=2 => {
                    Reads::Slowly { period: millis(random, 20_000), bytes: draw(random, 1..3000) }
                }
                _ => Reads::Eagerly,
            },
            farewell: match random.u8(0..10) {
                0..=3 => Farewell::Closes(millis(random, 1000)),
                4..=5 => Farewell::HalfCloses,
                6..=7 => Farewell::Waits(millis(random, 8000)),
                8 => Farewell::Resets(millis(random, 1000)),
                _ => Farewell::Leaves(millis(random, 1000)),
            },
        }
    }

    /// Everything that it would send if it sent all.
    pub(crate) fn stream(&self) -> Vec<u8> {
        self.asks.iter().flat_map(|ask| ask.bytes.iter().copied()).collect()
    }

    /// Bytes that it sends.
    pub(crate) fn sent_bytes(&self) -> usize {
        self.sends.iter().map(|(_, bytes)| bytes).sum()
    }

    /// From its arrival to its last byte.
    pub(crate) fn sending_time(&self) -> Duration {
        self.sends.iter().map(|(pause, _)| *pause).sum()
    }

    /// The longest pause between two bytes.
    pub(crate) fn longest_pause(&self) -> Duration {
        self.sends.iter().map(|(pause, _)| *pause).max().unwrap_or_default()
    }
}

/// Any magnitude up to `most` milliseconds.
fn millis(random: &mut fastrand::Rng, most: u64) -> Duration {
    let most = 1 << random.u32(0..=most.ilog2());
    Duration::from_micros(random.u64(0..=most * 1000))
}

/// Cuts `bytes` bytes into pieces, at once or over some time.
fn drawn_sends(random: &mut fastrand::Rng, bytes: usize) -> Vec<(Duration, usize)> {
    /// Pieces of one client: more would cost time and show nothing new.
    const PIECES_MAX: usize = 150;
    let manner = random.u8(0..10);
    let pieces = match manner {
        0..=3 => 1,
        4..=6 => draw(random, 1..6),
        _ => draw(random, 1..PIECES_MAX),
    };
    let pause_millis_max = match manner {
        0..=3 => random.u64(1..500),
        // Slower than any server waits.
        9 if random.bool() => 20_000,
        _ => 4000 / pieces as u64 + 1,
    };
    let mut cuts: Vec<usize> = (1..pieces).map(|_| draw(random, 0..=bytes)).collect();
    cuts.push(bytes);
    cuts.sort_unstable();
    let mut before = 0;
    let lengths = cuts.into_iter().map(|cut| cut - std::mem::replace(&mut before, cut));
    lengths
        .filter(|length| *length > 0)
        .map(|length| (Duration::from_millis(random.u64(0..pause_millis_max)), length))
        .collect()
}

fn drawn_limits(random: &mut fastrand::Rng) -> Limits {
    let mut limits = Limits::default();
    // Not derived from the descriptors of this process: the same everywhere.
    limits.connections_max = Some(1000);
    let mut rarely = |change: &mut dyn FnMut(&mut fastrand::Rng)| {
        if random.u8(0..4) == 0 {
            change(random);
        }
    };
    rarely(&mut |random| limits.connections_max = Some(draw(random, 1..6)));
    rarely(&mut |random| limits.requests_per_connection_max = Some(random.u32(1..6)));
    rarely(&mut |random| limits.output_bytes_max = draw(random, 1..5000));
    rarely(&mut |random| limits.requests_per_resume_max = draw(random, 1..5));
    rarely(&mut |random| limits.read_bytes_per_resume_max = draw(random, 1..500));
    rarely(&mut |random| limits.accepts_per_resume_max = draw(random, 1..4));
    rarely(&mut |random| limits.idle_timeout = Duration::from_millis(random.u64(5000..60_000)));
    rarely(&mut |random| limits.linger_timeout = Duration::from_millis(random.u64(1500..3000)));
    limits
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = self.faults;
        let faults = faults.by_name().into_iter().filter(|(_, percent)| **percent > 0);
        let faults: Vec<_> = faults.map(|(name, percent)| format!("{name} {percent} %")).collect();
        writeln!(f, "seed {}: {}", self.seed, faults.join(", "))?;
        writeln!(
            f,
            "  end: {:?} after the start (never: when all are gone), drain {:?}",
            self.end.at, self.end.drain
        )?;
        if self.listeners > 1 {
            let of: Vec<_> = self.clients.iter().map(|client| client.listener).collect();
            writeln!(f, "  {} listeners; the clients come to {of:?}", self.listeners)?;
        }
        for (number, client) in self.clients.iter().enumerate() {
            let asks: Vec<_> = client.asks.iter().map(|ask| ask.name).collect();
            writeln!(
                f,
                "  client {number}: arrives after {:?}, sends {} of {} bytes in {} pieces in {:?}, \
                 reads {:?}, then {:?}: {}",
                client.arrives,
                client.sent_bytes(),
                client.asks.iter().map(|ask| ask.bytes.len()).sum::<usize>(),
                client.sends.len(),
                client.sending_time(),
                client.reads,
                client.farewell,
                asks.join(", "),
            )?;
        }
        Ok(())
    }
}
