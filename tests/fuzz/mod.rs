//! The properties that the fuzz targets hold the code against, on every input that is known: the
//! corpus in `fuzz/corpus` and what is made of the transcripts. `fuzz/README.md` says how inputs
//! come to be there.

/// The readers of the command.
#[cfg(feature = "cli")]
#[allow(dead_code, reason = "they can more than read")]
pub(crate) mod command;
/// What must hold of any bytes.
pub(crate) mod properties;
/// Bytes that are worth beginning with.
mod seeds;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use properties::Property;

fn fuzz_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// First bytes with which every seed is tried, besides its own: each bit that some property knows,
/// alone and with others.
const CHOICES: [u8; 8] = [1, 2, 4, 7, 8, 12, 19, 31];

/// Holds `property` against all inputs that are known, and tells of every one that violates it.
fn check(property: &Property) {
    let seeds = seeds::of(property);
    assert!(seeds.len() >= 10, "hardly a seed for {}", property.name);
    let mut inputs = corpus(property);
    for (place, seed) in seeds {
        let (first, rest) = seed.split_first().expect("a seed begins with a choice");
        let choices = CHOICES.iter().chain([first]);
        inputs.extend(choices.map(|choice| (place.clone(), [&[*choice], rest].concat())));
    }
    let violates = |(name, input): &&(String, Vec<u8>)| {
        let violated = catch_unwind(AssertUnwindSafe(|| (property.hold)(input))).is_err();
        if violated {
            eprintln!("{name} violates {}: \"{}\"", property.name, input.escape_ascii());
        }
        violated
    };
    let violations = inputs.iter().filter(violates).count();
    assert_eq!(violations, 0, "inputs, of {}, that violate {}", inputs.len(), property.name);
}

/// The files of the corpus. A packaged crate has none, because `fuzz` is a package of its own.
fn corpus(property: &Property) -> Vec<(String, Vec<u8>)> {
    if !fuzz_directory().exists() {
        return Vec::new();
    }
    let directory = fuzz_directory().join("corpus").join(property.name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a file of the corpus")))
        .collect();
    files.sort();
    files
}

/// A test per property: a property without a line here fails in `every_property_is_listed`.
macro_rules! properties {
    ($($(#[$condition:meta])? $name:ident)*) => {
        const LISTED: &[&str] = &[$($(#[$condition])? stringify!($name)),*];
        $(
            $(#[$condition])?
            #[test]
            fn $name() {
                check(properties::find(stringify!($name)));
            }
        )*
    };
}

properties! {
    chunks
    #[cfg(feature = "gzip")]
    content
    #[cfg(feature = "cli")]
    events
    exchange
    framing
    head
    percent
    #[cfg(feature = "proxies")]
    proxies
    #[cfg(feature = "cli")]
    ps
    reply
    server
    trace
}

#[test]
fn every_property_is_listed_and_has_a_target() {
    let mut names: Vec<&str> = properties::ALL.iter().map(|property| property.name).collect();
    names.sort_unstable();
    assert_eq!(names, LISTED);
    for name in names.iter().filter(|_| fuzz_directory().exists()) {
        let target = fuzz_directory().join(format!("fuzz_targets/{name}.rs"));
        assert!(target.exists(), "{target:?}");
    }
}

/// Writes the seeds of every property where a fuzzer looks for them: into `SEEDS/<target>/`.
#[test]
#[ignore = "writes files: SEEDS=directory cargo test --test library seeds_as_files -- --ignored"]
fn seeds_as_files() {
    let directory = PathBuf::from(std::env::var_os("SEEDS").expect("SEEDS=directory"));
    for property in properties::ALL {
        let directory = directory.join(property.name);
        fs::create_dir_all(&directory).expect("a directory for the seeds");
        for (number, (_, seed)) in seeds::of(property).iter().enumerate() {
            fs::write(directory.join(format!("seed-{number:04}")), seed).expect("a seed");
        }
    }
}
