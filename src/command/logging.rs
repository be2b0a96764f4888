//! The log: one line a record, and none that a peer could forge.

use std::io::{self, Write};

use env_logger::{Builder, Target, fmt::Formatter};
use helloop::Printable;
use jiff::Timestamp;
use log::{LevelFilter, Record};

/// Installs the logger, which writes whole records to `out`. Without `-v`, `RUST_LOG` decides, and without that the level is `info`:
/// a server says why it ends, and nothing while all is well.
pub(crate) fn install(verbosity: u8, out: Box<dyn Write + Send>) {
    let mut builder = Builder::new();
    match verbosity {
        0 => {
            builder.filter_level(LevelFilter::Info).parse_default_env();
        }
        1 => {
            builder.filter_level(LevelFilter::Debug);
        }
        _ => {
            builder.filter_level(LevelFilter::Trace);
        }
    }
    // It fails if there is a logger already, and then there is one.
    let _ = builder.format(write_record).target(Target::Pipe(out)).try_init();
}

fn write_record(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    write_line(out, Timestamp::now(), record)
}

fn write_line(out: &mut impl Write, at: Timestamp, record: &Record<'_>) -> io::Result<()> {
    let (level, target, text) = (record.level(), record.target(), Printable(record.args()));
    writeln!(out, "{at:.3} {level:<5} {target}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let mut out = Vec::new();
        let mut record = Record::builder();
        record.level(log::Level::Info).target("here");
        let at = "2026-11-21T07:05:41.123456Z".parse().unwrap();
        write_line(&mut out, at, &record.args(format_args!("\u{1b}[2J\n{}", 7)).build()).unwrap();
        let expected = "2026-11-21T07:05:41.123Z INFO  here: \\u{1b}[2J\\n7\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
