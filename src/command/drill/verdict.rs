//! What became of a request, judged by what its client saw. Pure: no socket, no clock.
//!
//! RFC 9112 lets a server close a kept connection at any time (section 9.5), and a client send a request again on
//! another one, if the method is idempotent (section 9.3.1). So a GET whose kept connection was closed before the
//! first byte of an answer is sent once more, and only counted as repeated. A POST is not: it may have been processed.

use std::fmt;
use std::time::Duration;

/// What the client knows of one request when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The method may be sent again (RFC 9110 section 9.2.2).
    pub(super) is_idempotent: bool,
    /// Answers that had come on the connection before. Zero: the request was sent on a new one.
    pub(super) answers_before: u64,
    pub(super) end: End,
}

/// How a request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answered(Answer),
    /// connect(2) was refused.
    Refused,
    /// No connection came about for another reason.
    NotConnected(String),
    Closed {
        how: Closing,
        got: Got,
    },
    /// The client has waited for so long.
    Late {
        limit: Duration,
        got: Got,
    },
    /// What came is no answer.
    NotHttp(String),
    /// The answer before it said `Connection: close`: the server does not look at this one (RFC 9112 section 9.6).
    AfterClose,
    /// It was answered, although the answer before it said `Connection: close`.
    AnsweredAfterClose,
}

/// How a peer closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// FIN: in order.
    InOrder,
    /// RST: what was on its way is gone.
    Reset,
}

/// What there was of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Got {
    #[default]
    Nothing,
    /// So many bytes of a head.
    Head(usize),
    /// So many bytes of a body; how many were announced, if they were.
    Body { received: u64, announced: Option<u64> },
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What such a request was answered before the first restart.
    pub(super) expected: u16,
    /// The server's answers have the id of their request in them, and this one does not.
    pub(super) is_anothers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answered,
    /// To be sent again, once, on a connection of its own.
    Repeat,
    Lost(Kind),
    Doubled(Kind),
}

/// What can go wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Refused,
    NotConnected,
    NotAccepted,
    ClosedUnanswered,
    Crossed,
    Truncated,
    CutByReset,
    NoAnswer,
    WrongStatus,
    AnotherAnswer,
    NotHttp,
    AnsweredTwice,
    AnsweredAfterClose,
    ProcessedTwice,
}

/// The judgement.
pub(super) fn judge(seen: &Seen) -> Verdict {
    let is_kept = seen.answers_before > 0;
    match &seen.end {
        End::Answered(answer) if answer.is_anothers => Verdict::Lost(Kind::AnotherAnswer),
        End::Answered(answer) if answer.status != answer.expected => {
            Verdict::Lost(Kind::WrongStatus)
        }
        End::Answered(_) => Verdict::Answered,
        End::Refused => Verdict::Lost(Kind::Refused),
        End::NotConnected(_) => Verdict::Lost(Kind::NotConnected),
        End::Closed { got: Got::Nothing, .. } if is_kept && seen.is_idempotent => Verdict::Repeat,
        End::Closed { got: Got::Nothing, .. } if is_kept => Verdict::Lost(Kind::Crossed),
        End::Closed { got: Got::Nothing, how: Closing::Reset } => Verdict::Lost(Kind::NotAccepted),
        End::Closed { got: Got::Nothing, how: Closing::InOrder } => {
            Verdict::Lost(Kind::ClosedUnanswered)
        }
        End::Closed { how: Closing::Reset, .. } => Verdict::Lost(Kind::CutByReset),
        End::Closed { how: Closing::InOrder, .. } => Verdict::Lost(Kind::Truncated),
        End::Late { .. } => Verdict::Lost(Kind::NoAnswer),
        End::NotHttp(_) => Verdict::Lost(Kind::NotHttp),
        // Whatever its method: the server has not looked at it.
        End::AfterClose => Verdict::Repeat,
        End::AnsweredAfterClose => Verdict::Doubled(Kind::AnsweredAfterClose),
    }
}

impl Kind {
    /// A word for programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Refused => "refused",
            Kind::NotConnected => "not-connected",
            Kind::NotAccepted => "not-accepted",
            Kind::ClosedUnanswered => "closed-unanswered",
            Kind::Crossed => "crossed",
            Kind::Truncated => "truncated",
            Kind::CutByReset => "cut-by-reset",
            Kind::NoAnswer => "no-answer",
            Kind::WrongStatus => "wrong-status",
            Kind::AnotherAnswer => "another-answer",
            Kind::NotHttp => "not-http",
            Kind::AnsweredTwice => "answered-twice",
            Kind::AnsweredAfterClose => "answered-after-close",
            Kind::ProcessedTwice => "processed-twice",
        }
    }

    /// What it says about the server.
    pub(super) fn diagnosis(self) -> &'static str {
        match self {
            Kind::Refused => "the connection was refused: nobody listened",
            Kind::NotConnected => "no connection came about",
            Kind::NotAccepted => {
                "a new connection was reset before any answer: the listener was closed with connections in its \
                 accept queue, or they were accepted and dropped"
            }
            Kind::ClosedUnanswered => {
                "a new connection was closed without an answer: it was accepted, and its request ignored"
            }
            Kind::Crossed => {
                "a kept connection was closed while a POST was on its way: it may have been processed, so it cannot \
                 be sent again; idle connections need a grace period before they are closed"
            }
            Kind::Truncated => {
                "the answer ended too early: the connection was closed in the midst of it"
            }
            Kind::CutByReset => {
                "the answer was cut by a reset: the server exited before all was sent, or closed with unread input"
            }
            Kind::NoAnswer => "no answer came, and the connection stayed open",
            Kind::WrongStatus => "the answer had another status than before the first restart",
            Kind::AnotherAnswer => "the answer was that of another request",
            Kind::NotHttp => "what came was no answer of HTTP/1.1",
            Kind::AnsweredTwice => "one request had two answers",
            Kind::AnsweredAfterClose => {
                "an answer said `Connection: close`, and the server went on: a client sends what follows again \
                 (RFC 9112 section 9.6), so it is processed twice"
            }
            Kind::ProcessedTwice => "a POST stands twice in the access log",
        }
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Closing::InOrder => "closed by the server",
            Closing::Reset => "reset by the server",
        })
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Got::Nothing => f.write_str("no byte of an answer had come"),
            Got::Head(bytes) => write!(f, "{bytes} bytes of a head had come"),
            Got::Body { received, announced: Some(all) } => {
                write!(f, "{received} of {all} bytes of the body had come")
            }
            Got::Body { received, announced: None } => {
                write!(f, "{received} bytes of the body had come, and no end")
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Answered(answer) if answer.is_anothers => {
                f.write_str("answered with what belongs to another request")
            }
            End::Answered(Answer { status, expected, .. }) => {
                write!(f, "answered {status} instead of {expected}")
            }
            End::Refused => f.write_str("the connection was refused"),
            End::NotConnected(error) => write!(f, "no connection: {error}"),
            End::Closed { how, got } => write!(f, "{how}, {got}"),
            End::Late { limit, got } => write!(f, "given up after {limit:?}, {got}"),
            End::NotHttp(error) => write!(f, "not understood: {error}"),
            End::AfterClose => f.write_str("after an answer that said `Connection: close`"),
            End::AnsweredAfterClose => {
                f.write_str("answered after an answer that said `Connection: close`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(how: Closing, got: Got) -> End {
        End::Closed { how, got }
    }

    /// On a new connection, and on a kept one; each with a method that may be repeated, and with another.
    fn verdicts(end: &End) -> [Verdict; 4] {
        [(true, 0), (false, 0), (true, 7), (false, 7)].map(|(is_idempotent, answers_before)| {
            judge(&Seen { is_idempotent, answers_before, end: end.clone() })
        })
    }

    #[test]
    fn only_an_idempotent_request_on_a_kept_connection_is_repeated() {
        use Verdict::{Lost, Repeat};
        for how in [Closing::InOrder, Closing::Reset] {
            let fresh = Lost(match how {
                Closing::InOrder => Kind::ClosedUnanswered,
                Closing::Reset => Kind::NotAccepted,
            });
            let expected = [fresh, fresh, Repeat, Lost(Kind::Crossed)];
            assert_eq!(verdicts(&closed(how, Got::Nothing)), expected, "{how:?}");
        }
    }

    #[test]
    fn after_the_first_byte_of_an_answer_nothing_is_excused() {
        for got in [Got::Head(1), Got::Body { received: 0, announced: Some(9) }] {
            let cut = [Verdict::Lost(Kind::Truncated); 4];
            assert_eq!(verdicts(&closed(Closing::InOrder, got)), cut);
            let cut = [Verdict::Lost(Kind::CutByReset); 4];
            assert_eq!(verdicts(&closed(Closing::Reset, got)), cut);
        }
    }

    #[test]
    fn what_has_nothing_to_do_with_the_connection_before() {
        let limit = Duration::from_secs(1);
        for (end, kind) in [
            (End::Refused, Kind::Refused),
            (End::NotConnected("no route".into()), Kind::NotConnected),
            (End::Late { limit, got: Got::Nothing }, Kind::NoAnswer),
            (End::Late { limit, got: Got::Head(3) }, Kind::NoAnswer),
            (End::NotHttp("SSH".into()), Kind::NotHttp),
        ] {
            assert_eq!(verdicts(&end), [Verdict::Lost(kind); 4], "{end}");
        }
        assert_eq!(verdicts(&End::AfterClose), [Verdict::Repeat; 4]);
        let twice = [Verdict::Doubled(Kind::AnsweredAfterClose); 4];
        assert_eq!(verdicts(&End::AnsweredAfterClose), twice);
    }

    #[test]
    fn an_answer_counts_if_it_is_the_one_that_was_expected() {
        let answered = |status, is_anothers| {
            verdicts(&End::Answered(Answer { status, expected: 405, is_anothers }))
        };
        assert_eq!(answered(405, false), [Verdict::Answered; 4]);
        assert_eq!(answered(503, false), [Verdict::Lost(Kind::WrongStatus); 4]);
        assert_eq!(answered(405, true), [Verdict::Lost(Kind::AnotherAnswer); 4]);
    }

    #[test]
    fn what_is_told_is_one_sentence() {
        let got = Got::Body { received: 3, announced: Some(14) };
        let text = closed(Closing::Reset, got).to_string();
        assert_eq!(text, "reset by the server, 3 of 14 bytes of the body had come");
        let answer = Answer { status: 503, expected: 200, is_anothers: false };
        assert_eq!(End::Answered(answer).to_string(), "answered 503 instead of 200");
    }
}
