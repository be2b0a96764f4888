//! What the clients of a lab do: each scenario as scripts, one for each of its clients.
//!
//! The same scripts are played by coroutines over real sockets (`helloop lab`), and by peers in a simulated world
//! ([`history`](super::history)).

use std::fmt::{self, Write};
use std::str::FromStr;
use std::time::Duration;

/// Pause between two bytes of a dribbled request.
const DRIBBLE_PAUSE: Duration = Duration::from_millis(100);

/// How long a slow reader reads nothing.
const STANDSTILL: Duration = Duration::from_secs(2);

/// Reads of a slow reader before it reads as fast as it can, and the pause after each.
const SLOW_READS: usize = 20;

/// How long a connection stays open for another request, which does not come.
const IDLE: Duration = Duration::from_secs(3);

/// A head start.
const MOMENT: Duration = Duration::from_millis(100);

/// How long a process is without descriptors: the acceptor tries again some times meanwhile.
const SHORTAGE: Duration = Duration::from_secs(2);

/// Clients of the crowd.
const CROWD: usize = 100;

/// Bytes of an answer that a note shows; the rest is counted.
const SHOWN_BYTES_MAX: usize = 1_000;

/// What clients can be made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// A request, and a pause in which the connection is idle.
    One,
    /// Two requests at once on one connection.
    Pair,
    /// A request byte by byte.
    Dribble,
    /// A long answer, and a client that does not read it.
    SlowReader,
    /// A hundred connections at once.
    Hundred,
    /// A request, and then the end of sending.
    HalfClose,
    /// A request within a request, for servers that disagree about where the first one ends.
    Smuggle,
    /// A handler that sleeps, and others.
    Sleep,
    /// A handler that blocks, and others.
    Block,
    /// A handler that fetches from its own server.
    Gather,
    /// A client that comes when the process has no descriptor left.
    Descriptors,
    /// A handler that has its work done by another thread, and others.
    Thread,
}

/// A step of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Does nothing for so long.
    Pause(Duration),
    /// Says something about itself.
    Note(String),
    /// Makes its receive buffer small, so that its server feels sooner that it does not read.
    NarrowReceiveBuffer,
    /// Says that it sends no more.
    ShutWrite,
    /// Reads an answer with a Content-Length.
    ReadAnswer,
    /// Reads what is there, at most one buffer of it, and says nothing of it.
    ReadSome,
    /// Reads until the server closes.
    ReadToEnd,
    /// The same, and says only how many bytes came in all.
    CountToEnd,
}

/// What one client does: it connects, takes its steps, and closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The time before it connects.
    pub after: Duration,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

impl Script {
    fn now(steps: Vec<Step>) -> Script {
        Script { after: Duration::ZERO, steps }
    }

    fn asks(after: Duration, path: &str) -> Script {
        Script { after, steps: vec![Step::Send(last_request(path)), Step::ReadToEnd] }
    }
}

impl Scenario {
    /// All of them, in the order in which a page offers them.
    pub const ALL: [Scenario; 12] = [
        Scenario::One,
        Scenario::Pair,
        Scenario::Dribble,
        Scenario::SlowReader,
        Scenario::Hundred,
        Scenario::HalfClose,
        Scenario::Smuggle,
        Scenario::Sleep,
        Scenario::Block,
        Scenario::Gather,
        Scenario::Descriptors,
        Scenario::Thread,
    ];

    /// As pages and recipes write it.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::One => "one",
            Scenario::Pair => "pair",
            Scenario::Dribble => "dribble",
            Scenario::SlowReader => "slow-reader",
            Scenario::Hundred => "hundred",
            Scenario::HalfClose => "half-close",
            Scenario::Smuggle => "smuggle",
            Scenario::Sleep => "sleep",
            Scenario::Block => "block",
            Scenario::Gather => "gather",
            Scenario::Descriptors => "descriptors",
            Scenario::Thread => "thread",
        }
    }

    /// True if it asks for a path that only a lab's own server knows, or for what no other server should have to bear.
    pub fn needs_lessons(self) -> bool {
        use Scenario::{Block, Descriptors, Gather, Sleep, SlowReader, Thread};
        matches!(self, SlowReader | Sleep | Block | Gather | Descriptors | Thread)
    }

    /// True if its clients are too many for the notes of each: only how many were answered is of interest.
    pub fn is_crowd(self) -> bool {
        self == Scenario::Hundred
    }

    /// How long the process of the server has no descriptor left, from when the clients begin.
    pub fn shortage(self) -> Option<Duration> {
        (self == Scenario::Descriptors).then_some(SHORTAGE)
    }

    /// What each of its clients does.
    pub fn scripts(self) -> Vec<Script> {
        let request = || Step::Send(b"GET /World HTTP/1.1\r\nHost: lab\r\n\r\n".to_vec());
        let note = |text: &str| Step::Note(text.into());
        match self {
            Scenario::One => vec![Script::now(vec![
                request(),
                Step::ReadAnswer,
                Step::Note(format!("stays open for {IDLE:?}, and asks no more")),
                Step::Pause(IDLE),
            ])],
            Scenario::Pair => {
                let mut both = b"GET /first HTTP/1.1\r\nHost: lab\r\n\r\n".to_vec();
                both.extend(last_request("/second"));
                vec![Script::now(vec![Step::Send(both), Step::ReadToEnd])]
            }
            Scenario::Dribble => {
                let bytes = last_request("/Dribble").into_iter();
                let sends = bytes.flat_map(|b| [Step::Send(vec![b]), Step::Pause(DRIBBLE_PAUSE)]);
                vec![Script::now(sends.chain([Step::ReadToEnd]).collect())]
            }
            Scenario::SlowReader => {
                let mut steps = vec![
                    Step::NarrowReceiveBuffer,
                    Step::Send(last_request("/big/")),
                    Step::Note(format!("reads nothing for {STANDSTILL:?}")),
                    Step::Pause(STANDSTILL),
                    note("reads a little, now and then"),
                ];
                for _ in 0..SLOW_READS {
                    steps.extend([Step::ReadSome, Step::Pause(MOMENT)]);
                }
                steps.extend([note("reads as fast as it can"), Step::CountToEnd]);
                vec![Script::now(steps)]
            }
            Scenario::Hundred => (0..CROWD)
                .map(|number| Script::asks(Duration::ZERO, &format!("/number-{number}")))
                .collect(),
            Scenario::HalfClose => vec![Script::now(vec![
                request(),
                Step::ShutWrite,
                note("sends no more, and reads on"),
                Step::ReadToEnd,
            ])],
            Scenario::Smuggle => {
                let request = b"POST /World HTTP/1.1\r\nHost: lab\r\nContent-Length: 36\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /secret HTTP/1.1\r\nX: ";
                vec![Script::now(vec![Step::Send(request.to_vec()), Step::ReadToEnd])]
            }
            Scenario::Sleep => beside("/sleep/2"),
            Scenario::Block => beside("/block/"),
            Scenario::Gather => vec![Script::asks(Duration::ZERO, "/gather/")],
            Scenario::Descriptors => vec![Script::asks(Duration::ZERO, "/World")],
            Scenario::Thread => beside("/thread/"),
        }
    }
}

/// One that asks for `path`, and two others that come a little later.
fn beside(path: &str) -> Vec<Script> {
    let others = ["/World", "/Others"].map(|path| Script::asks(MOMENT, path));
    [Script::asks(Duration::ZERO, path)].into_iter().chain(others).collect()
}

/// A request that asks to close.
fn last_request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").into_bytes()
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no scenario with this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchScenario;

impl fmt::Display for NoSuchScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scenario::ALL.map(Scenario::name).join(", ");
        write!(f, "there is no scenario with this name; there are {names}")
    }
}

impl std::error::Error for NoSuchScenario {}

impl FromStr for Scenario {
    type Err = NoSuchScenario;

    fn from_str(name: &str) -> Result<Scenario, NoSuchScenario> {
        let named = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name);
        named.ok_or(NoSuchScenario)
    }
}

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Of the client: each has one connection. Zero for a crowd.
    pub id: u64,
    /// See [`Scenario::name`].
    pub scenario: &'static str,
    /// `sent`, `received`, `ended`, or `note`.
    pub step: &'static str,
    /// What was sent or received, or how it ended.
    pub bytes: String,
}

impl Note {
    /// The line for a page, said at `at_nanos` on the watched loop's clock.
    pub fn to_json(&self, at_nanos: u64) -> String {
        let Note { id, scenario, step, bytes } = self;
        serde_json::json!({
            "id": id,
            "scenario": scenario,
            "step": step,
            "bytes": bytes,
            "at": at_nanos,
        })
        .to_string()
    }
}

/// The beginning of what was sent or received as a line that can be read, and how much more it was.
pub fn shown(bytes: &[u8]) -> String {
    let (shown, rest) = bytes.split_at(bytes.len().min(SHOWN_BYTES_MAX));
    let mut text = readable(shown);
    if !rest.is_empty() {
        text += &format!(" ... and {} bytes more", rest.len());
    }
    text
}

/// True if the head of an answer is here, and as much after it as that says.
pub fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

/// True if the answer of a crowd's client is good.
pub fn is_good(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200 ")
}

/// How a crowd ended of whose clients so many were answered.
pub fn crowd_ended(good: usize) -> String {
    format!("{good} of {CROWD} were answered 200")
}

/// How a crowd begins.
pub fn crowd_begins() -> String {
    format!("{CROWD} clients connect and ask")
}

/// Bytes as a line that can be read: `\r\n` for the end of one.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    write!(text, "\\u{{{:x}}}", u32::from(control)).expect("a String takes it");
                }
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a String takes it");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_and_somebody_who_plays() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
            assert!(scenario.scripts().iter().all(|script| !script.steps.is_empty()));
            assert_eq!(scenario.is_crowd(), scenario.scripts().len() == CROWD);
        }
        assert_eq!("two".parse::<Scenario>(), Err(NoSuchScenario));
    }

    #[test]
    fn bytes_are_one_line() {
        assert_eq!(readable(b"GET / HTTP/1.1\r\n"), "GET / HTTP/1.1\\r\\n");
        assert_eq!(readable("J\u{fc}rgen \\ \u{1b}".as_bytes()), "J\u{fc}rgen \\\\ \\u{1b}");
        assert_eq!(readable(b"\xff\xfe."), "\\xff\\xfe.");
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert!(is_whole(answer));
        assert!(!is_whole(&answer[..answer.len() - 1]));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"));
    }
}
