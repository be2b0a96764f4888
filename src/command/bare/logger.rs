//! The log of the bare command: the lines of the full one, without its crates.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use helloop::Printable;
use helloop::http::DateCache;
use log::{LevelFilter, Log, Metadata, Record};

use crate::command::locks::unpoisoned;

struct Logger {
    /// Takes whole lines, and never waits.
    out: Mutex<Box<dyn Write + Send>>,
}

/// Installs the logger, which writes whole records to `out`. `RUST_LOG` may name a level; without that
/// it is `info`: a server says why it ends, and nothing while all is well.
pub(super) fn install(out: Box<dyn Write + Send>) {
    let named = std::env::var("RUST_LOG").ok().and_then(|name| name.parse().ok());
    let level = named.unwrap_or(LevelFilter::Info);
    let logger: &'static Logger = Box::leak(Box::new(Logger { out: Mutex::new(out) }));
    // It fails if there is a logger already, and then there is one.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (at, level, target) = (timestamp(since_epoch), record.level(), record.target());
        let line = format!("{at} {level:<5} {target}: {}\n", Printable(record.args()));
        // If standard error is closed, that is no error.
        let _ = unpoisoned(self.out.lock()).write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// A time as RFC 3339 has it, of the parts of the other date that is known here.
fn timestamp(since_epoch: Duration) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut dates = DateCache::new();
    let date = String::from_utf8_lossy(dates.at(0, || UNIX_EPOCH + since_epoch));
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    let month = MONTHS.iter().position(|name| *name == &date[8..11]).map_or(0, |at| at + 1);
    let (year, day, time) = (&date[12..16], &date[5..7], &date[17..25]);
    format!("{year}-{month:02}-{day}T{time}.{:03}Z", since_epoch.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        let of = |milliseconds| timestamp(Duration::from_millis(milliseconds));
        assert_eq!(of(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(of(784_111_777_042), "1994-11-06T08:49:37.042Z");
        assert_eq!(of(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
    }
}
