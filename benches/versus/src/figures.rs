//! What can be measured, and how it is written.

use serde::{Deserialize, Serialize};

/// A kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// Clauses with MUST that were not kept.
    MustBroken,
    /// Clauses with SHOULD that were not kept.
    ShouldBroken,
    /// The slowest answer to another client beside a slow one, milliseconds.
    BesideSlow,
    /// The slowest answer to another client beside many silent ones, milliseconds.
    BesideSilent,
    /// Growth of anonymous memory by a client that never reads, bytes.
    Unread,
    /// Requests lost or doubled by restarts, but for those that were refused.
    RestartLost,
    /// Connections refused because nobody listened between end and new start.
    RestartRefused,
    /// Requests that were answered while the server was restarted again and again.
    RestartAnswered,
    /// Server CPU for each request, microseconds: user and system.
    Cpu,
    /// Of it in user space.
    CpuUser,
    /// Of it in the kernel.
    CpuSystem,
    /// Answers in a second.
    PerSecond,
    /// Latency, microseconds: median.
    LatencyP50,
    /// 90 of 100 are faster.
    LatencyP90,
    /// 99 of 100 are faster.
    LatencyP99,
    /// 999 of 1,000 are faster.
    LatencyP999,
    /// The slowest.
    LatencyMax,
    /// The server's share of its core, per cent.
    ServerShare,
    /// Answers that the generator received in one turn of its loop.
    AnswersPerTurn,
    /// From starting the program to the end of its first answer, milliseconds.
    Start,
    /// Resident memory after the first answer, bytes.
    Resting,
    /// Growth of anonymous memory for each idle connection, bytes.
    PerIdle,
    /// Size of the executable, bytes.
    Binary,
    /// System calls for each request, with 64 connections.
    CallsMany,
    /// The same with one connection.
    CallsOne,
    /// The same with a connection for each request.
    CallsClose,
    /// User-space instructions for each request.
    Instructions,
    /// The same of requests that come many at a time.
    InstructionsPipelined,
}

impl Metric {
    /// The head of its column.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Metric::MustBroken => "MUST broken",
            Metric::ShouldBroken => "SHOULD broken",
            Metric::BesideSlow => "beside a slow client, ms",
            Metric::BesideSilent => "beside 2,000 silent ones, ms",
            Metric::Unread => "unread answers, kB",
            Metric::RestartLost => "lost by restarts",
            Metric::RestartRefused => "refused meanwhile",
            Metric::RestartAnswered => "answered meanwhile",
            Metric::Cpu => "CPU µs",
            Metric::CpuUser => "user µs",
            Metric::CpuSystem => "system µs",
            Metric::PerSecond => "requests/s",
            Metric::LatencyP50 => "p50 µs",
            Metric::LatencyP90 => "p90 µs",
            Metric::LatencyP99 => "p99 µs",
            Metric::LatencyP999 => "p99.9 µs",
            Metric::LatencyMax => "max µs",
            Metric::ServerShare => "server's core %",
            Metric::AnswersPerTurn => "answers/turn",
            Metric::Start => "start ms",
            Metric::Resting => "at rest MB",
            Metric::PerIdle => "bytes/idle connection",
            Metric::Binary => "binary KB",
            Metric::CallsMany => "64 connections",
            Metric::CallsOne => "1 connection",
            Metric::CallsClose => "connection per request",
            Metric::Instructions => "instructions",
            Metric::InstructionsPipelined => "pipelined",
        }
    }

    /// A value without its unit, which is in the [`label`](Metric::label).
    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Metric::Cpu | Metric::CpuUser | Metric::CpuSystem if value < 10.0 => {
                format!("{value:.2}")
            }
            Metric::CallsMany | Metric::CallsOne | Metric::CallsClose => format!("{value:.2}"),
            Metric::Resting => format!("{:.1}", value / 1e6),
            Metric::Binary | Metric::Unread => thousands(value / 1e3),
            Metric::MustBroken
            | Metric::ShouldBroken
            | Metric::RestartLost
            | Metric::RestartRefused
            | Metric::RestartAnswered => thousands(value),
            Metric::AnswersPerTurn | Metric::Start => format!("{value:.1}"),
            _ if value < 100.0 => format!("{value:.1}"),
            _ => thousands(value),
        }
    }

    /// True if more is better.
    pub(crate) fn more_is_better(self) -> bool {
        self == Metric::PerSecond
    }
}

/// Rounded to a whole number, with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut text = sign.to_owned();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(-1_000.0), "-1,000");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(Metric::Cpu.format(1.734), "1.73");
        assert_eq!(Metric::Cpu.format(27.04), "27.0");
        assert_eq!(Metric::Resting.format(1_940_000.0), "1.9");
        assert_eq!(Metric::PerSecond.format(123_456.0), "123,456");
    }
}
