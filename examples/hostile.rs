//! A long campaign of hostile worlds: each seed is a server among badly behaved peers on a bad network.
//!
//! ```text
//! cargo run --release --example hostile -- --seeds 1000000     until the first failure
//! cargo run --release --example hostile -- --seed 17 --explain  one seed, as a story
//! ```

use std::fmt;
use std::io;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use helloop::events::Observer;
use helloop::watch::Narrator;

#[path = "../tests/support/checkers/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod checkers;
#[path = "../tests/support/hostile/mod.rs"]
mod hostile;

use hostile::{Failure, FetchPlan, Plan, Tally, run_before, run_fetches, shrink, shrink_fetches};

const USAGE: &str = "\
usage: hostile [--fetch] [--seeds N] [--from N] [--shard I/N] [--no-shrink]
       hostile [--fetch] --seed N [--explain]

  --fetch      our client among hostile servers, instead of our server among hostile clients
  --seeds N    run so many seeds (default 100000), stop at the first failure
  --from N     begin with this seed (default 0)
  --shard I/N  run the part I (from 0 on) of N parts of these seeds
  --no-shrink  do not look for a smaller plan that fails in the same way
  --seed N     run one seed, and say what is planned
  --explain    tell everything that happens, as `helloop serve --explain` does";

/// How often a campaign says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// What was asked for.
struct Options {
    from: u64,
    seeds: u64,
    /// Which part of the seeds, from 0 on, and of how many parts.
    shard: (u64, u64),
    /// One seed alone.
    seed: Option<u64>,
    explains: bool,
    shrinks: bool,
    /// The client is tried, not the server.
    fetches: bool,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Options> {
        let mut options = Options {
            from: 0,
            seeds: 100_000,
            shard: (0, 1),
            seed: None,
            explains: false,
            shrinks: true,
            fetches: false,
        };
        while let Some(word) = words.next() {
            if word == "--shard" {
                options.shard = Options::read_shard(&words.next()?)?;
                continue;
            }
            let mut number = || words.next().and_then(|word| word.replace('_', "").parse().ok());
            match word.as_str() {
                "--seeds" => options.seeds = number()?,
                "--from" => options.from = number()?,
                "--seed" => options.seed = Some(number()?),
                "--explain" => options.explains = true,
                "--fetch" => options.fetches = true,
                "--no-shrink" => options.shrinks = false,
                _ => return None,
            }
        }
        Some(options)
    }

    fn read_shard(text: &str) -> Option<(u64, u64)> {
        let (index, of) = text.split_once('/')?;
        let (index, of) = (index.parse().ok()?, of.parse().ok()?);
        (index < of).then_some((index, of))
    }

    /// The seeds of a campaign. Those of all shards together are all seeds, each once.
    fn range(&self) -> Range<u64> {
        let (index, of) = self.shard;
        let boundary = |part: u64| {
            let seeds = u128::from(self.seeds) * u128::from(part) / u128::from(of);
            // It is a part of `seeds`, so it fits.
            self.from.saturating_add(u64::try_from(seeds).unwrap_or(u64::MAX))
        };
        boundary(index)..boundary(index + 1)
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match options.seed {
        Some(seed) => one(seed, &options),
        None => campaign(&options),
    }
}

fn campaign(options: &Options) -> ExitCode {
    let (mut tally, began) = (Tally::default(), Instant::now());
    let mut told = began;
    for seed in options.range() {
        match try_seed(seed, options, None) {
            Ok(one) => tally.add(one),
            Err(failure) => {
                println!("seed {seed} failed after {} runs: {failure}", tally.runs);
                if options.shrinks {
                    println!(
                        "\nsmaller, but wrong in the same way: {}",
                        smallest(seed, options, &failure)
                    );
                }
                let mode = if options.fetches { " --fetch" } else { "" };
                println!(
                    "again: cargo run --release --example hostile --{mode} --seed {seed} --explain"
                );
                if !options.fetches {
                    println!("step by step, forwards and back: {}", link(seed));
                }
                return ExitCode::FAILURE;
            }
        }
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            eprintln!("{}", Progress(&tally, began.elapsed()));
        }
    }
    let Range { start, end } = options.range();
    println!("seeds {start}..{end}: {}; nothing failed", Progress(&tally, began.elapsed()));
    ExitCode::SUCCESS
}

/// What leads to a world of the server in the playground's page (docs/playground.md).
fn link(seed: u64) -> String {
    format!("playground.html#world=hostile&seed={seed}")
}

/// Runs one seed, before an audience if there is one.
fn try_seed(
    seed: u64,
    options: &Options,
    audience: Option<Box<dyn Observer>>,
) -> Result<Tally, Failure> {
    if options.fetches {
        run_fetches(&FetchPlan::drawn(seed), audience)
    } else {
        run_before(&Plan::drawn(seed), audience)
    }
}

/// How the smallest plan fails that could be found, and the plan.
fn smallest(seed: u64, options: &Options, failure: &Failure) -> String {
    if options.fetches {
        let (plan, failure) = shrink_fetches(&FetchPlan::drawn(seed), failure);
        format!("{failure}\n{plan}")
    } else {
        let (plan, failure) = shrink(&Plan::drawn(seed), failure);
        format!("{failure}\n{plan}")
    }
}

fn one(seed: u64, options: &Options) -> ExitCode {
    match options.fetches {
        true => print!("{}", FetchPlan::drawn(seed)),
        false => print!("{}", Plan::drawn(seed)),
    }
    let narrator = || Box::new(Narrator::new(io::stdout().lock())) as Box<dyn Observer>;
    match try_seed(seed, options, options.explains.then(narrator)) {
        Ok(tally) => {
            println!("{}; nothing failed", Progress(&tally, Duration::ZERO));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            if !options.fetches {
                println!("step by step, forwards and back: {}", link(seed));
            }
            ExitCode::FAILURE
        }
    }
}

/// How far a campaign is, and how fast.
struct Progress<'a>(&'a Tally, Duration);

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress(tally, took) = self;
        write!(
            f,
            "{} seeds: {} connections, {} answers, {} clients fully answered, {} events, {} virtual hours",
            tally.runs,
            tally.connections,
            tally.answers,
            tally.satisfied,
            tally.events,
            tally.time.as_secs() / 3600,
        )?;
        if took.is_zero() {
            return Ok(());
        }
        write!(f, "; {:.0} seeds a second", tally.runs as f64 / took.as_secs_f64())
    }
}
