//! In which order the lines come, and what they amount to.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::outcome::{Failure, Outcome};

/// Bytes of lines that may wait for an earlier one, with what they take besides their text. At the
/// limit: nothing is begun but what they wait for. Room for 200,000 to 400,000 lines.
const EARLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that a line takes besides its text.
const LINE_BYTES: usize = size_of::<(u64, Line)>() + 48;

/// In which order the lines come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// As the URLs came in
    Input,
    /// As the fetches are done
    Done,
}

/// What is written for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Text,
    Json,
}

/// A line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// For standard output.
    Output(String),
    /// For standard error.
    Error(String),
}

/// Outcomes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) fetched: u64,
    /// No usable reply.
    pub(super) failed: u64,
    /// With `--fail`: a status of 400 or more.
    pub(super) refused: u64,
    /// The batch ended first.
    pub(super) cancelled: u64,
}

/// Puts outcomes into order, and counts them.
#[derive(Debug)]
pub(super) struct Report {
    order: Order,
    style: Style,
    /// The place in the input whose line comes next.
    next: u64,
    /// Lines that wait for an earlier one.
    early: BTreeMap<u64, Line>,
    /// What they take.
    early_bytes: usize,
    ready: Vec<Line>,
    tally: Tally,
}

impl Report {
    pub(super) fn new(order: Order, style: Style) -> Report {
        let (early, ready, tally) = (BTreeMap::new(), Vec::new(), Tally::default());
        Report { order, style, next: 0, early, early_bytes: 0, ready, tally }
    }

    /// What became of the URL at this place of the input.
    pub(super) fn add(&mut self, number: u64, outcome: &Outcome) {
        self.tally.count(outcome);
        let line = match (self.style, &outcome.result) {
            (Style::Json, _) => Line::Output(outcome.json()),
            (Style::Text, Ok(_)) => Line::Output(outcome.text()),
            (Style::Text, Err(_)) => Line::Error(outcome.text()),
        };
        match self.order {
            Order::Done => self.ready.push(line),
            Order::Input => {
                self.early_bytes += line.bytes();
                self.early.insert(number, line);
                while let Some(line) = self.early.remove(&self.next) {
                    self.early_bytes -= line.bytes();
                    self.ready.push(line);
                    self.next += 1;
                }
            }
        }
    }

    /// The gaps between outcomes will never be filled: lines wait for nothing any more.
    pub(super) fn close_gaps(&mut self) {
        self.ready.extend(std::mem::take(&mut self.early).into_values());
        self.early_bytes = 0;
        self.order = Order::Done;
    }

    /// The place in the input for which so many lines wait that there is no room for others.
    pub(super) fn awaited(&self) -> Option<u64> {
        (self.early_bytes >= EARLY_BYTES_MAX).then_some(self.next)
    }

    /// How many lines can be written now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Lines that can be written now.
    pub(super) fn take(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.ready)
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }
}

impl Line {
    fn bytes(&self) -> usize {
        let (Line::Output(text) | Line::Error(text)) = self;
        LINE_BYTES + text.len()
    }
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        let counter = match &outcome.result {
            Ok(_) => &mut self.fetched,
            Err(Failure::Status(_)) => &mut self.refused,
            Err(Failure::Cancelled) => &mut self.cancelled,
            Err(
                Failure::Fetch(_) | Failure::Input(_) | Failure::Disk(_) | Failure::NoDirectory(_),
            ) => &mut self.failed,
        };
        *counter += 1;
    }

    /// All of them.
    pub(super) fn done(&self) -> u64 {
        self.fetched + self.unfetched()
    }

    /// Those that are no success.
    pub(super) fn unfetched(&self) -> u64 {
        self.failed + self.refused + self.cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::super::characters::Count;
    use super::super::outcome::Body;
    use super::*;

    fn outcome(result: Result<Body, Failure>) -> Outcome {
        Outcome { url: "u".into(), attempts: 1, reply: None, result }
    }

    fn good(characters: u64) -> Outcome {
        let count = Some(Count { characters, undecodable: 0 });
        outcome(Ok(Body { count, ..Body::default() }))
    }

    fn line(characters: u64) -> Line {
        Line::Output(format!("Successfully fetched u: {characters} characters"))
    }

    #[test]
    fn lines_wait_for_earlier_ones() {
        let mut report = Report::new(Order::Input, Style::Text);
        report.add(2, &good(2));
        report.add(1, &good(1));
        assert_eq!(report.take(), []);
        report.add(0, &good(0));
        report.add(4, &good(4));
        assert_eq!(report.take(), [line(0), line(1), line(2)]);
        report.add(3, &outcome(Err(Failure::Cancelled)));
        let last = report.take();
        assert!(matches!(&last[0], Line::Error(text) if text.contains("cancelled")));
        assert_eq!(last[1], line(4));
    }

    #[test]
    fn so_many_lines_wait_for_an_earlier_one_as_there_is_room_for() {
        let mut report = Report::new(Order::Input, Style::Json);
        let mut number = 0;
        while report.awaited().is_none() {
            number += 1;
            report.add(number, &good(number));
        }
        assert!(number > 100_000, "{number}");
        assert_eq!((report.awaited(), report.ready()), (Some(0), 0));
        report.add(0, &good(0));
        assert_eq!((report.awaited(), report.early_bytes), (None, 0));
        assert_eq!(report.ready() as u64, number + 1);
        report.add(number + 2, &good(0));
        report.close_gaps();
        assert_eq!((report.early_bytes, report.take().len() as u64), (0, number + 2));
    }

    #[test]
    fn lines_do_not_wait_for_what_will_never_come() {
        let mut report = Report::new(Order::Input, Style::Text);
        report.add(3, &good(3));
        report.add(1, &good(1));
        report.close_gaps();
        report.add(4, &good(4));
        assert_eq!(report.take(), [line(1), line(3), line(4)]);
    }

    #[test]
    fn or_come_as_they_are_done() {
        let mut report = Report::new(Order::Done, Style::Text);
        report.add(2, &good(2));
        report.add(0, &good(0));
        assert_eq!(report.take(), [line(2), line(0)]);
        assert_eq!(report.take(), []);
    }

    #[test]
    fn every_kind_of_end_is_counted() {
        let mut report = Report::new(Order::Done, Style::Json);
        report.add(0, &good(0));
        report.add(1, &outcome(Err(Failure::Status(404))));
        report.add(2, &outcome(Err(Failure::Cancelled)));
        report.add(3, &outcome(Err(Failure::Input("no".into()))));
        let tally = report.tally();
        assert_eq!(tally, Tally { fetched: 1, failed: 1, refused: 1, cancelled: 1 });
        assert_eq!((tally.done(), tally.unfetched()), (4, 3));
        // In JSON a failure is a line like others.
        assert!(report.take().iter().all(|line| matches!(line, Line::Output(_))));
    }
}
