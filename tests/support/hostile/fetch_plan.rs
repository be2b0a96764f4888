use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use helloop::limits::FETCH_HEAD_TIMEOUT;
use helloop::world::sim::{Faults, HELD_MAX};

use super::ask::{echo, pattern};
use super::script::{POISON_STATUS, Script, site_address};

/// Hostile servers in each world.
pub(super) const SITES: u8 = 3;

/// What will be fetched, from whom, in which world.
#[derive(Clone)]
pub(crate) struct FetchPlan {
    pub(crate) seed: u64,
    pub(super) faults: Faults,
    pub(super) connections_max: usize,
    pub(super) per_host_max: Option<usize>,
    pub(super) fetches: Vec<Fetch>,
}

/// One fetch.
#[derive(Clone)]
pub(super) struct Fetch {
    pub(super) begins: Duration,
    /// A hostile server by its number; `None`: ours.
    pub(super) site: Option<u8>,
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) body: Option<Vec<u8>>,
    pub(super) script: Script,
    /// It is cancelled after this time.
    pub(super) gives_up: Option<Duration>,
}

impl FetchPlan {
    pub(crate) fn drawn(seed: u64) -> FetchPlan {
        // Another world than that of the server's plan with the same seed.
        let mut random = fastrand::Rng::with_seed(seed ^ 0x0066_6574_6368);
        let faults = Faults::drawn(random.u64(..));
        let count = random.usize(1..=16);
        FetchPlan {
            seed,
            faults,
            connections_max: random.usize(1..=8),
            per_host_max: random.bool().then(|| random.usize(1..=3)),
            fetches: (0..count).map(|number| Fetch::drawn(&mut random, number)).collect(),
        }
    }

    /// Something may fail that has done nothing wrong.
    pub(super) fn is_unreliable(&self) -> bool {
        let Faults { cut_percent, refused_percent, unanswered_percent, clock_jump_percent, .. } =
            self.faults;
        cut_percent + refused_percent + unanswered_percent + clock_jump_percent > 0
    }

    /// Somebody keeps connections so long that others may wait in vain.
    pub(super) fn is_slow(&self) -> bool {
        self.crawls() || self.fetches.iter().any(|fetch| fetch.script.is_slow)
    }

    /// A body may take longer than a reply is waited for: byte by byte, and each of them reported late.
    fn crawls(&self) -> bool {
        let bodies = self.fetches.iter().filter_map(|fetch| fetch.body.as_ref());
        let bytes = u32::try_from(bodies.map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX);
        let held = HELD_MAX.saturating_mul(bytes) * self.faults.held_percent.into() / 100;
        self.faults.tiny_pipe_percent > 0 && held > FETCH_HEAD_TIMEOUT
    }

    /// A server sends what nobody has asked for: whoever asks next may be told that.
    pub(super) fn is_poisoned(&self, site: Option<u8>) -> bool {
        self.of_site(site).any(|fetch| fetch.script.poisons)
    }

    /// Whether this can be a reply to somebody else. After an answer to nobody, on the same
    /// connection, each may be given what was meant for the one before.
    pub(super) fn may_be_misplaced(&self, fetch: &Fetch, status: u16, body: &[u8]) -> bool {
        // What follows the head of a reply to HEAD, which has no body, looks like that body.
        let is_garbled = self.of_site(fetch.site).any(|other| other.method == "HEAD");
        let is_others = || self.of_site(fetch.site).any(|other| other.script.fate.gives(body));
        self.is_poisoned(fetch.site) && (status == POISON_STATUS || is_garbled || is_others())
    }

    fn of_site(&self, site: Option<u8>) -> impl Iterator<Item = &Fetch> {
        self.fetches.iter().filter(move |fetch| fetch.site == site)
    }
}

impl Fetch {
    fn drawn(random: &mut fastrand::Rng, number: usize) -> Fetch {
        let site = (random.u8(0..4) > 0).then(|| random.u8(0..SITES));
        let method = ["GET", "GET", "GET", "GET", "HEAD", "POST"][random.usize(0..6)];
        let body = (method == "POST").then(|| {
            let most = if random.u8(0..4) == 0 { 40_000 } else { 500 };
            pattern(random.usize(1..most))
        });
        let (target, script) = match site {
            Some(_) => (format!("/{number}"), Script::drawn(random, number, method)),
            None => ours(random, number, method, body.as_deref().unwrap_or_default()),
        };
        let most = random.choice([1, 300, 20_000]).expect("three");
        let begins = Duration::from_millis(random.u64(0..most));
        let gives_up = (random.u8(0..8) == 0).then(|| Duration::from_millis(random.u64(0..2000)));
        Fetch { begins, site, method, target, body, script, gives_up }
    }

    pub(super) fn url(&self) -> String {
        let address = self.site.map_or(ours_address(), site_address);
        format!("http://{address}{}", self.target)
    }
}

pub(super) fn ours_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

/// A target at our own server, and what must come of it.
fn ours(random: &mut fastrand::Rng, number: usize, method: &str, body: &[u8]) -> (String, Script) {
    let (target, answer) = match random.u8(0..4) {
        0 => {
            let bytes = random.usize(0..3000);
            (format!("/size/{bytes}"), pattern(bytes))
        }
        1 => {
            let (pieces, bytes) = (random.usize(0..5), random.usize(1..800));
            (format!("/pieces/{pieces}/{bytes}"), pattern(bytes).repeat(pieces))
        }
        2 => {
            let target = format!("/later/{}", random.u32(0..900));
            (target.clone(), echo(method, &target, body).into_bytes())
        }
        _ => {
            let target = format!("/{number}");
            (target.clone(), echo(method, &target, body).into_bytes())
        }
    };
    let answer = if method == "HEAD" { Vec::new() } else { answer };
    (target, Script::of_our_own(answer))
}

impl fmt::Display for FetchPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = self.faults;
        let faults = faults.by_name().into_iter().filter(|(_, percent)| **percent > 0);
        let faults: Vec<_> = faults.map(|(name, percent)| format!("{name} {percent} %")).collect();
        writeln!(f, "seed {}: {}", self.seed, faults.join(", "))?;
        let Self { connections_max, per_host_max, .. } = self;
        writeln!(f, "  at most {connections_max} connections, {per_host_max:?} to a host")?;
        for (number, fetch) in self.fetches.iter().enumerate() {
            writeln!(
                f,
                "  fetch {number}: after {:?}, {} {}: {}, given up after {:?}",
                fetch.begins,
                fetch.method,
                fetch.url(),
                fetch.script,
                fetch.gives_up,
            )?;
        }
        Ok(())
    }
}

impl FetchPlan {
    /// The plans that are a little smaller.
    pub(super) fn smaller(&self) -> Vec<FetchPlan> {
        let mut plans = Vec::new();
        let mut change = |change: &dyn Fn(&mut FetchPlan)| {
            let mut smaller = self.clone();
            change(&mut smaller);
            plans.push(smaller);
        };
        for fetch in 0..self.fetches.len() {
            change(&|plan| drop(plan.fetches.remove(fetch)));
        }
        let mut faults = self.faults;
        for (fault, (_, percent)) in faults.by_name().into_iter().enumerate() {
            if *percent > 0 {
                change(&|plan| *plan.faults.by_name()[fault].1 = 0);
            }
        }
        for fetch in 0..self.fetches.len() {
            if self.fetches[fetch].begins > Duration::ZERO {
                change(&|plan| plan.fetches[fetch].begins = Duration::ZERO);
            }
        }
        plans
    }
}
