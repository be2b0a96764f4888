//! The log: one line a record.

use std::io::Write;

use env_logger::{Builder, Target, fmt::Formatter};
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

fn write_record(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let (level, target) = (record.level(), record.target());
    writeln!(out, "{:.3} {level:<5} {target}: {}", Timestamp::now(), record.args())
}
