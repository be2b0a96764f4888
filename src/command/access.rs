//! The access log of a server: where its lines go, and which there are.

use std::io;
use std::path::PathBuf;

use clap::{Args, value_parser};
use fastrand::Rng;
use helloop::server::{Access, Builder};
use jiff::Timestamp;

use super::access_log::{Entry, Format};
use super::line_writer::{LineWriter, Losses, standard_output};
use super::log_file::{self, Reopener};

/// The access log as typed.
#[derive(Args, Clone, Debug)]
pub(crate) struct AccessArguments {
    /// Write a line to standard output for each answer [default: off, or combined with
    /// --access-log-file]
    #[arg(long, env = "HELLOOP_ACCESS_LOG", value_name = "FORMAT")]
    access_log: Option<Format>,

    /// Append the lines to this file instead.
    ///
    /// SIGHUP opens it anew, for logrotate, and does not drain then. A full disk costs lines, and never an
    /// answer.
    #[arg(long, env = "HELLOOP_ACCESS_LOG_FILE", value_name = "FILE")]
    access_log_file: Option<PathBuf>,

    /// No lines for requests of this path, or of all that begin so: `/static/*`; may be repeated, or
    /// a list with commas
    #[arg(long, env = "HELLOOP_ACCESS_LOG_EXCLUDE", value_name = "PATH", value_delimiter = ',')]
    #[arg(value_parser = Paths::parse)]
    access_log_exclude: Vec<Paths>,

    /// Of answers below 400, write a line for one of N, chosen at random; errors have theirs always.
    ///
    /// In JSON, `weight` says for how many answers a line stands.
    #[arg(long, env = "HELLOOP_ACCESS_LOG_SAMPLE", value_name = "N", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    access_log_sample: u32,
}

/// The access log, or none.
pub(crate) struct AccessLog {
    format: Format,
    /// `None` if the log is off.
    writer: Option<LineWriter>,
    /// `None` if the lines go to no file.
    reopener: Option<Reopener>,
    excluded: Vec<Paths>,
    sample: u32,
}

/// Paths of which there are no lines.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    One(String),
    BeginningWith(String),
}

impl Paths {
    /// # Errors
    /// When no path begins so.
    fn parse(text: &str) -> Result<Paths, String> {
        if !text.starts_with('/') {
            return Err("a path begins with /".into());
        }
        Ok(match text.strip_suffix('*') {
            Some(beginning) => Paths::BeginningWith(beginning.to_owned()),
            None => Paths::One(text.to_owned()),
        })
    }

    fn include(&self, path: &str) -> bool {
        match self {
            Paths::One(one) => one == path,
            Paths::BeginningWith(beginning) => path.starts_with(beginning),
        }
    }
}

/// Which answers have lines.
struct Sample {
    one_of: u32,
    rng: Rng,
}

impl Sample {
    /// For how many answers the line of one with this status stands; `None`: it has none. Chosen at random, because
    /// every N-th could always be the same request of a client's round.
    fn weight(&mut self, status: u16) -> Option<u32> {
        match self.one_of {
            1 => Some(1),
            _ if status >= 400 => Some(1),
            one_of => (self.rng.u32(..one_of) == 0).then_some(one_of),
        }
    }
}

impl AccessArguments {
    /// Starts the log. Requests of `health_path` are none that anybody wants to read of.
    ///
    /// # Errors
    /// When the file cannot be opened, or the system refuses a thread.
    pub(crate) fn start(&self, health_path: Option<&str>) -> io::Result<AccessLog> {
        let is_to_file = self.access_log_file.is_some();
        let format = if is_to_file { Format::Combined } else { Format::Off };
        let format = self.access_log.unwrap_or(format);
        let typed = self.access_log_exclude.iter().cloned();
        let excluded = typed.chain(health_path.map(|path| Paths::One(path.to_owned()))).collect();
        let (writer, reopener) = match &self.access_log_file {
            _ if format == Format::Off => (None, None),
            None => (Some(spawn(standard_output()?)?), None),
            Some(path) => {
                let (file, reopener) = log_file::open(path)?;
                (Some(spawn(file)?), Some(reopener))
            }
        };
        Ok(AccessLog { format, writer, reopener, excluded, sample: self.access_log_sample })
    }
}

fn spawn(out: impl io::Write + Send + 'static) -> io::Result<LineWriter> {
    LineWriter::spawn("access log", Losses::Logged, out)
}

impl AccessLog {
    pub(crate) fn attach(&self, builder: Builder) -> Builder {
        let Some(writer) = self.writer.clone() else { return builder };
        let (format, mut line) = (self.format, String::new());
        let excluded = self.excluded.clone();
        let mut sample = Sample { one_of: self.sample, rng: Rng::new() };
        builder.access_log(move |access: &Access<'_>| {
            let is_excluded = |path: &str| excluded.iter().any(|paths| paths.include(path));
            if !excluded.is_empty() && access.request.is_some_and(|r| is_excluded(r.path())) {
                return;
            }
            let Some(weight) = sample.weight(access.status.code()) else { return };
            line.clear();
            Entry::new(Timestamp::now(), access, weight).write(format, &mut line);
            writer.put(line.as_bytes());
        })
    }

    /// What SIGHUP is to do, if the lines go to a file.
    pub(crate) fn on_hangup(&self) -> Option<Box<dyn FnMut()>> {
        let reopener = self.reopener.clone()?;
        Some(Box::new(move || reopener.reopen()))
    }

    pub(crate) fn finish(self) {
        match self.writer.map_or(0, LineWriter::finish) {
            0 => {}
            lines => log::warn!("lines missing from the access log: {lines}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_meant_exactly_or_by_their_beginning() {
        let include = |text: &str, path| Paths::parse(text).unwrap().include(path);
        assert!(include("/a", "/a") && !include("/a", "/ab") && !include("/a", "/"));
        assert!(include("/a*", "/ab") && include("/a*", "/a") && !include("/a/*", "/a"));
        assert!(Paths::parse("a").unwrap_err().contains("a path begins with /"));
    }

    #[test]
    fn one_of_so_many_has_a_line_and_each_error() {
        const ANSWERS: u32 = 100_000;
        let mut sample = Sample { one_of: 10, rng: Rng::with_seed(7) };
        let weights: u32 = (0..ANSWERS).filter_map(|_| sample.weight(200)).sum();
        assert!(weights.abs_diff(ANSWERS) < ANSWERS / 20, "{weights}");
        assert!([400, 404, 500, 503].iter().all(|status| sample.weight(*status) == Some(1)));
        let mut all = Sample { one_of: 1, rng: Rng::with_seed(7) };
        assert!((0..100).all(|_| all.weight(200) == Some(1)));
    }
}
