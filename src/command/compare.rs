//! `helloop explain A B`: where two traces first differ.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use helloop::Printable;
use helloop::events::{Event, Timeout};
use helloop::watch::trace::Record;
use helloop::watch::{Kind, Value};
use helloop::world::Time;

use super::trace::input::Input;
use crate::command::run::complain;

/// Common records that are shown before the first difference.
const BEFORE: usize = 8;

/// Records of each trace that are shown from the difference on.
const AFTER: usize = 4;

/// What came of comparing.
struct Difference {
    /// Records that are alike.
    alike: u64,
    /// The turn in which they part; `None` before the first.
    turn: Option<u64>,
    /// The last records that are alike, as the first trace has them.
    before: VecDeque<Record>,
    /// What follows in each; empty where it has ended.
    after: [Vec<Record>; 2],
}

pub(super) fn main(first: Input, second: Input) -> ExitCode {
    let names = [first.name().to_owned(), second.name().to_owned()];
    match compare(first, second) {
        Err(error) => {
            complain(format_args!("{error}"));
            ExitCode::from(1)
        }
        Ok(difference) => {
            let differ = difference.after.iter().any(|after| !after.is_empty());
            // If the output is closed, that is no error.
            let _ = io::stdout().write_all(difference.text(&names).as_bytes());
            ExitCode::from(if differ { 3 } else { 0 })
        }
    }
}

/// Reads both until they differ, or one of them cannot be read on.
fn compare(
    mut first: impl Iterator<Item = Result<Record, String>>,
    mut second: impl Iterator<Item = Result<Record, String>>,
) -> Result<Difference, String> {
    let mut found =
        Difference { alike: 0, turn: None, before: VecDeque::new(), after: Default::default() };
    loop {
        let pair = [first.next().transpose()?, second.next().transpose()?];
        let (Some(left), Some(right)) = (pair[0], pair[1]) else {
            found.after = pair.map(|record| record.into_iter().collect());
            break;
        };
        if without_time(left) != without_time(right) {
            found.after = [vec![left], vec![right]];
            break;
        }
        if let Record::Event(_, Event::TurnBegan { turn, .. }) = left {
            found.turn = Some(turn);
        }
        found.alike += 1;
        if found.before.len() == BEFORE {
            found.before.pop_front();
        }
        found.before.push_back(left);
    }
    let [left, right] = &mut found.after;
    follow(left, &mut first);
    follow(right, &mut second);
    Ok(found)
}

/// What comes after the first record, as far as it can be read.
fn follow(after: &mut Vec<Record>, input: &mut impl Iterator<Item = Result<Record, String>>) {
    if !after.is_empty() {
        after.extend(input.by_ref().take(AFTER - 1).map_while(Result::ok));
    }
}

/// A record with every moment and every duration set to nothing. A wait with an end stays one.
fn without_time(record: Record) -> Record {
    let Record::Event(_, event) = record else { return record };
    let mut values = Vec::new();
    event.fields(|_, value| {
        values.push(match value {
            Value::Moment(_) => Value::Moment(Time::ZERO),
            Value::Span(_) => Value::Span(Duration::ZERO),
            Value::Timeout(Timeout::Until(_)) => Value::Timeout(Timeout::Until(Duration::ZERO)),
            other => other,
        });
    });
    let mut values = values.into_iter();
    let again = Event::build(event.number(), |_, _: Kind| values.next().ok_or(()));
    Record::Event(Time::ZERO, again.unwrap_or(event))
}

impl Difference {
    fn text(&self, names: &[String; 2]) -> String {
        let alike = self.alike;
        if self.after.iter().all(Vec::is_empty) {
            return format!("The traces are alike: {alike} records, times ignored.\n");
        }
        let place = match self.turn {
            None => "before the first turn".to_owned(),
            Some(turn) => format!("in turn {turn}"),
        };
        let mut text = format!("The traces differ {place}, at record {}.\n", alike + 1);
        if !self.before.is_empty() {
            text += "\nWhat led there, in both:\n";
            self.before.iter().for_each(|record| text += &sentence(record));
        }
        for (name, after) in names.iter().zip(&self.after) {
            text += &format!("\nThen, in {}:\n", Printable(name));
            after.iter().for_each(|record| text += &sentence(record));
            if after.is_empty() {
                text += "  it ends here\n";
            }
        }
        if let [Some(left), Some(right)] = [self.after[0].first(), self.after[1].first()] {
            text += &format!("\n{}\n", why(left, right));
        }
        text
    }
}

fn sentence(record: &Record) -> String {
    match record {
        Record::Event(at, event) => {
            let micros = at.as_nanos() / 1_000;
            format!("{:>8}.{:03}  {event}\n", micros / 1_000, micros % 1_000)
        }
        Record::Gap(events) => format!("              ({events} events are missing here)\n"),
    }
}

/// In what two records differ.
fn why(left: &Record, right: &Record) -> String {
    let (Record::Event(_, left), Record::Event(_, right)) =
        (without_time(*left), without_time(*right))
    else {
        return "Events are missing in one of them: it need not be the loop that differs.".into();
    };
    if left.number() != right.number() {
        return format!("Another event: `{}`, not `{}`.", right.name(), left.name());
    }
    let fields = |event: Event| {
        let mut fields = Vec::new();
        event.fields(|name, value| fields.push((name, value)));
        fields
    };
    let (left, right) = (fields(left), fields(right));
    let differing = left.iter().zip(&right).filter(|(l, r)| l != r).map(|((name, _), _)| *name);
    let names: Vec<&str> = differing.collect();
    format!("The same event, with another {}.", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use helloop::TaskId;
    use helloop::event_loop::Cause;

    fn at(nanos: u64, event: Event) -> Result<Record, String> {
        Ok(Record::Event(Time::from_nanos(nanos), event))
    }

    fn turn(turn: u64) -> Event {
        Event::TurnBegan { turn, ready: 0, timers: 0 }
    }

    fn told(first: &[Result<Record, String>], second: &[Result<Record, String>]) -> String {
        let found = compare(first.iter().cloned(), second.iter().cloned()).unwrap();
        found.text(&["A".into(), "B".into()])
    }

    #[test]
    fn times_are_no_difference() {
        let until =
            |millis| Event::Waiting { timeout: Timeout::Until(Duration::from_millis(millis)) };
        let set =
            |nanos| Event::TimerSet { task: TaskId::default(), deadline: Time::from_nanos(nanos) };
        let first = [at(1, turn(1)), at(2, until(30)), at(3, set(5))];
        let second = [at(4, turn(1)), at(5, until(20)), at(6, set(7))];
        assert_eq!(told(&first, &second), "The traces are alike: 3 records, times ignored.\n");
        let forever = [at(4, turn(1)), at(5, Event::Waiting { timeout: Timeout::Forever })];
        assert!(told(&first, &forever).contains("with another timeout."));
    }

    #[test]
    fn the_place_the_sentences_and_the_reason_are_told() {
        let task: TaskId = "7".parse().unwrap();
        let queued = |cause| Event::Queued { task, cause };
        let first = [at(1, turn(1)), at(2_000_000, turn(2)), at(3, queued(Cause::TIMER))];
        let second = [at(1, turn(1)), at(2_000_000, turn(2)), at(3, queued(Cause::WOKEN))];
        assert_eq!(
            told(&first, &second),
            "\
The traces differ in turn 2, at record 3.

What led there, in both:
       0.000  turn 1 begins: 0 tasks ready, 0 timers
       2.000  turn 2 begins: 0 tasks ready, 0 timers

Then, in A:
       0.000  task 7 is queued: timer

Then, in B:
       0.000  task 7 is queued: woken

The same event, with another cause.
"
        );
        let other = [at(1, turn(1)), at(2, Event::Waited { sources: 0 })];
        let text = told(&first, &other);
        assert!(text.contains("Another event: `waited`, not `turn_began`."), "{text}");
        let text = told(&first, &first[..2]);
        assert!(text.ends_with("Then, in B:\n  it ends here\n"), "{text}");
        assert!(told(&first, &[Ok(Record::Gap(1))]).contains("before the first turn"));
    }

    #[test]
    fn a_trace_that_cannot_be_read_is_no_difference() {
        let broken = [at(1, turn(1)), Err("it is cut off".to_owned())];
        let whole = [at(1, turn(1)), at(2, turn(2))];
        let found = compare(whole.iter().cloned(), broken.iter().cloned());
        assert_eq!(found.err().as_deref(), Some("it is cut off"));
    }
}
