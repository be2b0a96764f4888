//! The habits of the drill's clients.

/// A way to use a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Habit {
    KeepAlive,
    OneEach,
    Pipelined,
    Post,
    Waking,
    Idle,
    SlowReader,
}

/// The methods that clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Habit {
    pub(super) const ALL: [Habit; 7] = [
        Habit::KeepAlive,
        Habit::OneEach,
        Habit::Pipelined,
        Habit::Post,
        Habit::Waking,
        Habit::Idle,
        Habit::SlowReader,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Habit::KeepAlive => "keep-alive",
            Habit::OneEach => "one-each",
            Habit::Pipelined => "pipelined",
            Habit::Post => "post",
            Habit::Waking => "waking",
            Habit::Idle => "idle",
            Habit::SlowReader => "slow-reader",
        }
    }
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }

    /// A letter of a request's id.
    pub(super) fn letter(self) -> char {
        match self {
            Method::Get => 'g',
            Method::Post => 'p',
        }
    }
}
