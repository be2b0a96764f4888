//! The loop's events as a story that a person can follow while it happens.
//!
//! ```text
//! turn 8
//!      512.010  1 timeout  nothing is ready, 2 timers are set: wait at most 29487.990 ms
//!     1734.201  2 wait     the world reports 1 source, after 1222.191 ms
//!     1734.204  3 queue    source 2 is readable
//!     1734.206             task 2 is queued: readable
//!     1734.211  4 resume   task 2 (acceptor) is resumed: readable
//!     1734.230               source 2 accepts a connection
//!     1734.260             task 2 waits
//! ```
//!
//! A heading begins each turn; the four phases are those of
//! [`EventLoop::turn`](crate::event_loop::EventLoop::turn). Between a resume and its end the lines
//! are indented: that is the task at work. A phase in which nothing happened is left out.

use std::fmt::Write as _;
use std::io;

use super::text::{Count, Millis};
use crate::events::{Event, Observer, Timeout};
use crate::world::Time;

/// Tells the story of a loop to `out`, a line an event.
///
/// Each line is written at once, so that the reader sees where the loop is when it stands still.
/// After the first write that fails, it writes nothing more: a reader that has left must not disturb
/// the loop.
#[derive(Debug)]
pub struct Narrator<W> {
    out: W,
    palette: Palette,
    /// What the last line belongs to.
    chapter: Chapter,
    /// A task is at work: between its resume and the end of it.
    is_resuming: bool,
    /// Tasks ready and timers set, when the present turn began.
    ready: usize,
    timers: usize,
    /// What phase 1 of the present turn came to, and when phase 2 began.
    timeout: Timeout,
    wait_began: Time,
    /// The line that is being made; empty in between, kept for its memory.
    line: String,
    /// A write failed: the reader is gone.
    is_deaf: bool,
}

/// Texts that switch colours on and off, for example terminal escapes. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// Before the heading of a turn.
    pub heading: String,
    /// Before the time of an event.
    pub time: String,
    /// Before the name of a phase.
    pub phase: String,
    /// Before the sentence of a request, an answer, or the end of a connection: what it is all for.
    pub purpose: String,
    /// After each of them.
    pub reset: String,
}

/// Told below the first heading.
const LEGEND: &str =
    "  A task is a state machine on the loop; a source is a socket that it waits for.
  Times are milliseconds since the loop began.
";

/// The parts of the story: what happens before the first turn, and the phases of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chapter {
    /// Nothing has been written yet.
    Blank,
    /// Before the first turn.
    Preparing,
    /// The heading of a turn has been written.
    Heading,
    Timeout,
    Wait,
    Queue,
    Resume,
}

impl Chapter {
    /// What stands before the chapter's first sentence; all have the same length.
    fn label(self) -> &'static str {
        match self {
            Chapter::Blank | Chapter::Preparing | Chapter::Heading => "         ",
            Chapter::Timeout => "1 timeout",
            Chapter::Wait => "2 wait   ",
            Chapter::Queue => "3 queue  ",
            Chapter::Resume => "4 resume ",
        }
    }

    /// The chapter to which an event belongs that comes after this one.
    fn of(self, event: &Event) -> Chapter {
        match event {
            Event::TurnBegan { .. } => Chapter::Heading,
            Event::Waiting { .. } => Chapter::Timeout,
            Event::Waited { .. } => Chapter::Wait,
            Event::Ready { .. } | Event::TimerFired { .. } => Chapter::Queue,
            Event::Queued { .. } if self == Chapter::Wait => Chapter::Queue,
            Event::Resumed { .. } => Chapter::Resume,
            _ if self == Chapter::Blank => Chapter::Preparing,
            _ => self,
        }
    }
}

impl<W: io::Write> Narrator<W> {
    /// A narrator without colours.
    pub fn new(out: W) -> Narrator<W> {
        Narrator::with_palette(out, Palette::default())
    }

    /// A narrator with these colours.
    pub fn with_palette(out: W, palette: Palette) -> Narrator<W> {
        Narrator {
            out,
            palette,
            chapter: Chapter::Blank,
            is_resuming: false,
            ready: 0,
            timers: 0,
            timeout: Timeout::Zero,
            wait_began: Time::ZERO,
            line: String::new(),
            is_deaf: false,
        }
    }

    /// For a story that does not begin at the beginning: there is no heading before the first turn.
    #[must_use]
    pub fn from_the_middle(mut self) -> Narrator<W> {
        self.chapter = Chapter::Preparing;
        self
    }

    /// Says that so many events are missing here.
    pub fn gap(&mut self, events: u64) {
        let missing = if events == 1 { "event is" } else { "events are" };
        let _ = write!(self.line, "({events} {missing} missing here)");
        self.is_deaf |= self.end_line().is_err();
        // What was missed may have ended it.
        self.is_resuming = false;
    }

    /// True once a write has failed: nothing more is written.
    pub fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    fn tell(&mut self, at: Time, event: &Event) -> io::Result<()> {
        let before = self.chapter;
        self.chapter = before.of(event);
        match event {
            Event::TurnBegan { turn, ready, timers } => {
                (self.ready, self.timers) = (*ready, *timers);
                return self.heading(format_args!("turn {turn}"));
            }
            Event::Waiting { timeout } => (self.timeout, self.wait_began) = (*timeout, at),
            Event::Suspended { .. } | Event::Finished { .. } => self.is_resuming = false,
            _ if self.chapter == Chapter::Preparing && before == Chapter::Blank => {
                self.heading(format_args!("before the first turn"))?;
                self.line.push_str(LEGEND);
            }
            _ => {}
        }
        let label = if self.chapter == before { Chapter::Blank } else { self.chapter }.label();
        self.begin_line(at, label);
        self.sentence(at, event);
        self.is_resuming |= matches!(event, Event::Resumed { .. });
        self.end_line()
    }

    fn heading(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        let Palette { heading, reset, .. } = &self.palette;
        let _ = write!(self.line, "{heading}{text}{reset}");
        self.end_line()
    }

    fn begin_line(&mut self, at: Time, label: &str) {
        let Palette { time, phase, reset, .. } = &self.palette;
        let indent = if self.is_resuming { "  " } else { "" };
        let _ =
            write!(self.line, "{time}{:>12}{reset}  {phase}{label}{reset}  {indent}", Millis(at));
    }

    /// The event's own sentence, except where the narrator knows more.
    fn sentence(&mut self, at: Time, event: &Event) {
        let Palette { purpose, reset, .. } = &self.palette;
        let line = &mut self.line;
        let _ = match event {
            Event::Waiting { timeout } => write_timeout(line, *timeout, self.ready, self.timers),
            Event::Waited { sources } => {
                let waited = Millis(Time::ZERO + at.since(self.wait_began));
                let ended_otherwise = *sources == 0 && self.timeout != Timeout::Zero;
                let how = if ended_otherwise { ": a deadline, a wake or a signal" } else { "" };
                write!(line, "{event}{how}, after {waited} ms")
            }
            Event::Request { .. } | Event::Response { .. } | Event::Ending { .. } => {
                write!(line, "{purpose}{event}{reset}")
            }
            _ => write!(line, "{event}"),
        };
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line.push('\n');
        let written = self.out.write_all(self.line.as_bytes());
        self.line.clear();
        written
    }
}

/// The reasoning of phase 1.
fn write_timeout(
    line: &mut String,
    timeout: Timeout,
    ready: usize,
    timers: usize,
) -> std::fmt::Result {
    let set = if timers == 1 { "is set" } else { "are set" };
    let timers = Count(timers, "timer");
    match timeout {
        Timeout::Zero if ready == 0 => write!(line, "something is due: do not wait"),
        Timeout::Zero => write!(line, "{} ready: do not wait", Count(ready, "task")),
        Timeout::Until(_) => write!(line, "nothing is ready, {timers} {set}: wait {timeout}"),
        Timeout::Forever => write!(line, "nothing is ready, no timer is set: wait for ever"),
    }
}

impl<W: io::Write> Observer for Narrator<W> {
    fn event(&mut self, at: Time, event: &Event) {
        if !self.is_deaf {
            self.is_deaf = self.tell(at, event).is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::{Cause, Flow};
    use crate::events::Operation;
    use crate::id::{SourceId, TaskId};
    use crate::world::Readiness;
    use std::time::Duration;

    const MILLISECOND: u64 = 1_000_000;

    /// What the narrator writes about these events, which happen a millisecond apart.
    fn story(palette: Palette, events: &[Event]) -> String {
        let mut told = Vec::new();
        let mut narrator = Narrator::with_palette(&mut told, palette);
        for (at, event) in (1..).zip(events) {
            narrator.event(Time::from_nanos(at * MILLISECOND), event);
        }
        String::from_utf8(told).unwrap()
    }

    fn a_turn() -> [Event; 9] {
        let (task, source) = (TaskId::default(), SourceId::from_bits(1 << 32 | 3));
        let timeout = Timeout::Until(Duration::from_secs(30));
        [
            Event::TurnBegan { turn: 7, ready: 0, timers: 1 },
            Event::Waiting { timeout },
            Event::Waited { sources: 1 },
            Event::Ready { source, readiness: Readiness::READABLE },
            Event::Queued { task, cause: Cause::READABLE },
            Event::Resumed { task, kind: "connection", cause: Cause::READABLE },
            Event::Read { source, bytes: 5 },
            Event::WouldBlock { source, operation: Operation::Read },
            Event::Suspended { task, flow: Flow::Wait },
        ]
    }

    #[test]
    fn a_turn_has_a_heading_and_four_phases() {
        let told =
            story(Palette::default(), &a_turn()).replace(&TaskId::default().to_string(), "9");
        assert_eq!(
            told,
            "\
turn 7
       2.000  1 timeout  nothing is ready, 1 timer is set: wait at most 30000.000 ms
       3.000  2 wait     the world reports 1 source, after 1.000 ms
       4.000  3 queue    source 3 is readable
       5.000             task 9 is queued: readable
       6.000  4 resume   task 9 (connection) is resumed: readable
       7.000               source 3: read 5 bytes
       8.000               source 3: read would block
       9.000             task 9 waits
"
        );
    }

    #[test]
    fn what_happens_before_the_first_turn_has_a_heading_of_its_own() {
        let spawned = Event::Spawned { task: TaskId::default(), kind: "acceptor" };
        let told = story(Palette::default(), &[spawned, spawned]);
        assert!(told.starts_with("before the first turn\n  A task is"), "{told}");
        assert_eq!(told.matches("before the first turn").count(), 1);
        assert_eq!(told.lines().count(), 1 + LEGEND.lines().count() + 2);
    }

    #[test]
    fn a_turn_in_which_nothing_happened_is_three_lines() {
        let nothing = [
            Event::TurnBegan { turn: 1, ready: 0, timers: 0 },
            Event::Waiting { timeout: Timeout::Forever },
            Event::Waited { sources: 0 },
        ];
        let told = story(Palette::default(), &nothing);
        assert_eq!(told.lines().count(), 3);
        assert!(
            told.ends_with("nothing: a deadline, a wake or a signal, after 1.000 ms\n"),
            "{told}"
        );
    }

    #[test]
    fn colours_change_nothing_but_the_colours() {
        let palette = Palette {
            heading: "<h>".into(),
            time: "<t>".into(),
            phase: "<p>".into(),
            purpose: "<r>".into(),
            reset: "<0>".into(),
        };
        let mut told = story(palette, &a_turn());
        assert!(told.starts_with("<h>turn 7<0>\n<t>       2.000<0>  <p>1 timeout<0>"), "{told}");
        for colour in ["<h>", "<t>", "<p>", "<r>", "<0>"] {
            told = told.replace(colour, "");
        }
        assert_eq!(told, story(Palette::default(), &a_turn()));
    }

    #[test]
    fn nothing_is_told_after_a_write_that_failed() {
        struct Broken<'a>(&'a mut u32);

        impl io::Write for Broken<'_> {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                *self.0 += 1;
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let mut attempts = 0;
        let mut narrator = Narrator::new(Broken(&mut attempts));
        a_turn().iter().for_each(|event| narrator.event(Time::ZERO, event));
        drop(narrator);
        assert_eq!(attempts, 1);
    }
}
