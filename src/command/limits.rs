//! The limits of the server as flags.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::Args;
use helloop::limits::{
    BODY_BYTES_MAX, BODY_PROGRESS_TIMEOUT, FIELDS_MAX, HEAD_BYTES_MAX, HEAD_TIMEOUT, IDLE_TIMEOUT,
    LINGER_TIMEOUT, Limits, REQUEST_LINE_BYTES_MAX, WRITE_PROGRESS_TIMEOUT,
};

use super::units::{PositiveSpan, Size, Span};

/// The limits as typed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArguments {
    /// A request head must be complete this long after its first byte; else 408
    #[arg(long, env = "HELLOOP_HEAD_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value_t = PositiveSpan(HEAD_TIMEOUT))]
    head_timeout: PositiveSpan,

    /// A connection may be open this long without a request
    #[arg(long, env = "HELLOOP_IDLE_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value_t = PositiveSpan(IDLE_TIMEOUT))]
    idle_timeout: PositiveSpan,

    /// A request body must advance by 1KiB in each such time; else 408
    #[arg(long, env = "HELLOOP_BODY_PROGRESS_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value_t = PositiveSpan(BODY_PROGRESS_TIMEOUT))]
    body_progress_timeout: PositiveSpan,

    /// A peer must take 1KiB of its answers in each such time; else it is reset
    #[arg(long, env = "HELLOOP_WRITE_PROGRESS_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value_t = PositiveSpan(WRITE_PROGRESS_TIMEOUT))]
    write_progress_timeout: PositiveSpan,

    /// After the last answer of a connection, wait this long for the peer to close it too
    #[arg(long, env = "HELLOOP_LINGER_TIMEOUT", value_name = "DURATION")]
    #[arg(default_value_t = Span(LINGER_TIMEOUT))]
    linger_timeout: Span,

    /// Size of a request head; above it 431
    #[arg(long, env = "HELLOOP_MAX_HEAD_SIZE", value_name = "SIZE")]
    #[arg(default_value_t = Size(HEAD_BYTES_MAX as u64))]
    max_head_size: Size,

    /// Size of a request line; above it 414 [default: 8KiB, or the size of a head if that is less]
    #[arg(long, env = "HELLOOP_MAX_REQUEST_LINE_SIZE", value_name = "SIZE")]
    max_request_line_size: Option<Size>,

    /// Header fields of a request; above it 431
    #[arg(long, env = "HELLOOP_MAX_FIELDS", value_name = "NUMBER")]
    #[arg(default_value_t = FIELDS_MAX)]
    max_fields: usize,

    /// Size of a request body; above it 413
    #[arg(long, env = "HELLOOP_MAX_BODY_SIZE", value_name = "SIZE")]
    #[arg(default_value_t = Size(BODY_BYTES_MAX))]
    max_body_size: Size,

    /// Requests on one connection; the answer to the last one says `Connection: close` [default: any
    /// number]
    #[arg(long, env = "HELLOOP_MAX_REQUESTS_PER_CONNECTION", value_name = "NUMBER")]
    max_requests_per_connection: Option<NonZeroU32>,

    /// Open connections; above that, the one that has been idle longest is closed for the next, and
    /// while none is idle, others wait [default: what the descriptor limit allows]
    #[arg(long, env = "HELLOOP_MAX_CONNECTIONS", value_name = "NUMBER")]
    max_connections: Option<NonZeroUsize>,
}

/// How the limits that a flag can set are called in the library, and on the command line. The
/// longer name first where one contains another.
const FLAGS: [(&str, &str); 6] = [
    ("request_line_bytes_max", "--max-request-line-size"),
    ("requests_per_connection_max", "--max-requests-per-connection"),
    ("connections_max", "--max-connections"),
    ("fields_max", "--max-fields"),
    ("head_bytes_max", "--max-head-size"),
    ("body_bytes_max", "--max-body-size"),
];

impl LimitArguments {
    /// What was typed means these limits.
    ///
    /// # Errors
    /// When they contradict each other; the text names the flags.
    pub(crate) fn limits(&self) -> Result<Limits, String> {
        let mut limits = Limits::default();
        limits.head_timeout = self.head_timeout.0;
        limits.idle_timeout = self.idle_timeout.0;
        limits.body_progress_timeout = self.body_progress_timeout.0;
        limits.write_progress_timeout = self.write_progress_timeout.0;
        limits.linger_timeout = self.linger_timeout.0;
        limits.head_bytes_max = memory(self.max_head_size);
        limits.request_line_bytes_max = self.request_line_bytes_max();
        limits.fields_max = self.max_fields;
        limits.body_bytes_max = self.max_body_size.0;
        limits.requests_per_connection_max = self.max_requests_per_connection.map(NonZeroU32::get);
        limits.connections_max = self.max_connections.map(NonZeroUsize::get);
        match limits.check() {
            Ok(()) => Ok(limits),
            Err(error) => Err(in_flags(&error.to_string())),
        }
    }

    /// A user who makes heads smaller need not know that there are request lines, too.
    fn request_line_bytes_max(&self) -> usize {
        let smaller = || REQUEST_LINE_BYTES_MAX.min(memory(self.max_head_size));
        self.max_request_line_size.map_or_else(smaller, memory)
    }
}

/// A size of something in memory. What does not fit is refused by `Limits::check`.
fn memory(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// The library's sentence with the names of the flags.
fn in_flags(sentence: &str) -> String {
    FLAGS.iter().fold(sentence.to_owned(), |text, (field, flag)| text.replace(field, flag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        arguments: LimitArguments,
    }

    fn limits_of(flags: &[&str]) -> Result<Limits, String> {
        let typed = [&["test"], flags].concat();
        Only::try_parse_from(typed).unwrap().arguments.limits()
    }

    #[test]
    fn without_flags_the_limits_are_the_library_s() {
        assert_eq!(limits_of(&[]), Ok(Limits::default()));
    }

    #[test]
    fn each_flag_sets_its_limit() {
        let limits = limits_of(&[
            "--idle-timeout=75s",
            "--max-head-size=4KiB",
            "--max-body-size=0B",
            "--max-requests-per-connection=3",
            "--max-connections=100",
        ]);
        let limits = limits.unwrap();
        assert_eq!(limits.idle_timeout.as_secs(), 75);
        assert_eq!((limits.head_bytes_max, limits.request_line_bytes_max), (4096, 4096));
        assert_eq!(limits.body_bytes_max, 0);
        assert_eq!(limits.requests_per_connection_max, Some(3));
        assert_eq!(limits.connections_max, Some(100));
    }

    #[test]
    fn contradictions_are_told_in_flags() {
        let error = limits_of(&["--max-head-size=10B"]).unwrap_err();
        assert_eq!(error, "--max-head-size is 10: a head needs at least 64 bytes");
        let error = limits_of(&["--max-request-line-size=1MiB"]).unwrap_err();
        assert_eq!(error, "--max-request-line-size is 1048576: more than --max-head-size (16384)");
        assert!(limits_of(&["--max-fields=1000"]).unwrap_err().starts_with("--max-fields is"));
    }
}
