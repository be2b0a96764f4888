//! Traces from files, in either form.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use helloop::events::Event;
use helloop::watch::json;
use helloop::watch::trace::{MAGIC, Reader, Record};

use crate::command::file_id::FileId;

/// Bytes of a line of JSON. At the limit: an error. An event has a few hundred.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Records that are looked at for the number of the first turn.
const LOOK_AHEAD: usize = 1000;

/// The records of a file. After an error there is nothing more.
pub(crate) struct Input {
    /// What to call it in errors.
    name: String,
    /// `None` if it is no regular file.
    file: Option<FileId>,
    source: Source,
    /// Records that were looked at.
    ahead: VecDeque<Result<Record, String>>,
}

enum Source {
    Binary(Reader<Box<dyn Read>>),
    Lines(Lines),
}

/// Lines of JSON.
struct Lines {
    input: BufReader<Box<dyn Read>>,
    line: String,
    number: u64,
    has_ended: bool,
}

impl Input {
    /// Opens a trace, of which the first byte says in which form it is. `-` is standard input.
    ///
    /// # Errors
    /// A sentence for people.
    pub(crate) fn open(path: &Path) -> Result<Input, String> {
        if path.as_os_str() == "-" {
            let file = FileId::of(&io::stdin());
            return Input::new("standard input".into(), Box::new(io::stdin()))
                .map(|input| Input { file, ..input });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| format!("cannot read {name}: {error}"))?;
        let id = FileId::of(&file);
        Input::new(name, Box::new(file)).map(|input| Input { file: id, ..input })
    }

    /// A trace from anywhere.
    pub(crate) fn new(name: String, mut input: Box<dyn Read>) -> Result<Input, String> {
        let mut first = Vec::new();
        let read = input.by_ref().take(1).read_to_end(&mut first);
        read.map_err(|error| format!("cannot read {name}: {error}"))?;
        let is_binary = first.starts_with(&MAGIC[..1]);
        let whole: Box<dyn Read> = Box::new(io::Cursor::new(first).chain(input));
        let source = if is_binary {
            Source::Binary(Reader::new(whole).map_err(|error| format!("{name}: {error}"))?)
        } else {
            let input = BufReader::new(whole);
            Source::Lines(Lines { input, line: String::new(), number: 0, has_ended: false })
        };
        Ok(Input { name, file: None, source, ahead: VecDeque::new() })
    }

    /// Refuses to be written over while it is read.
    ///
    /// # Errors
    /// A sentence for people, if `output` is the same file.
    pub(crate) fn keep_apart_from(&self, output: Option<FileId>) -> Result<(), String> {
        match output {
            Some(_) if output == self.file => Err(format!(
                "{} is read, and would be written over: write to another file",
                self.name
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_binary(&self) -> bool {
        matches!(self.source, Source::Binary(_))
    }

    /// True if the trace begins with the loop, as far as its first turn shows.
    pub(crate) fn begins_with_the_loop(&mut self) -> bool {
        while self.ahead.len() < LOOK_AHEAD {
            let Some(record) = self.read() else { return true };
            let turn = match record {
                Ok(Record::Event(_, Event::TurnBegan { turn, .. })) => Some(turn),
                _ => None,
            };
            self.ahead.push_back(record);
            if let Some(turn) = turn {
                return turn == 1;
            }
        }
        true
    }

    fn read(&mut self) -> Option<Result<Record, String>> {
        let name = &self.name;
        match &mut self.source {
            Source::Binary(reader) => {
                let record = reader.next()?;
                Some(record.map_err(|error| format!("{name}: {error}")))
            }
            Source::Lines(lines) => {
                let number = lines.number + 1;
                let record = lines.next()?;
                Some(record.map_err(|error| format!("{name}, line {number}: {error}")))
            }
        }
    }
}

impl Iterator for Input {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Result<Record, String>> {
        self.ahead.pop_front().or_else(|| self.read())
    }
}

impl Iterator for Lines {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Result<Record, String>> {
        if self.has_ended {
            return None;
        }
        self.line.clear();
        self.number += 1;
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_line(&mut self.line);
        let record = match read {
            Ok(0) => None,
            Ok(bytes) if bytes as u64 == LINE_BYTES_MAX && !self.line.ends_with('\n') => {
                Some(Err("it is too long".to_owned()))
            }
            Ok(_) => Some(json::read(self.line.trim_end())),
            Err(error) => Some(Err(error.to_string())),
        };
        self.has_ended = !matches!(record, Some(Ok(_)));
        record
    }
}
