//! The log: one line a record, and none that a peer could forge.

use std::io::{self, Write};

use clap::ValueEnum;
use env_logger::{Builder, Target, fmt::Formatter};
use helloop::Printable;
use jiff::Timestamp;
use log::{Level, LevelFilter, Record};

use super::json::Object;

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Installs the logger, which writes whole records to `out` in this format. Without `-v`, `RUST_LOG` decides, and without that the level is `info`:
/// a server says why it ends, and nothing while all is well.
pub(crate) fn install(verbosity: u8, format: LogFormat, out: Box<dyn Write + Send>) {
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
    let write = move |out: &mut Formatter, record: &Record<'_>| match format {
        LogFormat::Text => write_line(out, Timestamp::now(), record),
        LogFormat::Json => {
            let (level, target) = (record.level(), record.target());
            write_json(out, Timestamp::now(), level, target, &record.args().to_string())
        }
    };
    let _ = builder.format(write).target(Target::Pipe(out)).try_init();
}

/// What a program says beside its log, in the format of the log: each write becomes one record.
pub(crate) fn beside(format: LogFormat, out: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
    match format {
        LogFormat::Text => out,
        LogFormat::Json => Box::new(Said(out)),
    }
}

struct Said(Box<dyn Write + Send>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut record = Vec::new();
        write_json(&mut record, Timestamp::now(), Level::Info, "helloop", text.trim_end())?;
        // In one write, as it came.
        self.0.write_all(&record).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn write_json(
    out: &mut impl Write,
    at: Timestamp,
    level: Level,
    target: &str,
    text: &str,
) -> io::Result<()> {
    let mut object = Object::new();
    object.text("time", Some(&format!("{at:.3}")));
    object.text("level", Some(level.as_str()));
    object.text("target", Some(target));
    object.text("message", Some(text));
    writeln!(out, "{}", object.end())
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

    #[test]
    fn as_json_it_is_one_object() {
        let mut out = Vec::new();
        let at = "2026-11-21T07:05:41.123456Z".parse().unwrap();
        write_json(&mut out, at, Level::Warn, "here", "\u{1b}[2J\n\"7\"").unwrap();
        let expected = "{\"time\":\"2026-11-21T07:05:41.123Z\",\"level\":\"WARN\",\
            \"target\":\"here\",\"message\":\"\\u001b[2J\\n\\\"7\\\"\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
