//! The access log of a server: where its lines go, and which there are.

use std::io;
use std::path::PathBuf;

use clap::Args;
use helloop::server::{Access, Builder};
use jiff::Timestamp;

use super::access_log::{Entry, Format};
use super::line_writer::{LineWriter, Losses, standard_output};
use super::log_file::{self, Reopener};
use super::trust::TrustArguments;

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
    access_log_exclude: Vec<String>,
}

/// The access log, or none.
pub(crate) struct AccessLog {
    format: Format,
    /// `None` if the log is off.
    writer: Option<LineWriter>,
    /// `None` if the lines go to no file.
    reopener: Option<Reopener>,
    excluded: Vec<Paths>,
    trust: TrustArguments,
}

/// Paths of which there are no lines.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    One(String),
    BeginningWith(String),
}

impl Paths {
    /// # Errors
    /// When no path begins so: a sentence that names the flag.
    fn parse(text: &str) -> Result<Paths, String> {
        if !text.starts_with('/') {
            return Err(format!("--access-log-exclude is `{text}`: a path begins with /"));
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

impl AccessArguments {
    /// # Errors
    /// When a path is none; the text names the flag.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.access_log_exclude.iter().try_for_each(|text| Paths::parse(text).map(drop))
    }

    /// Starts the log. Requests of `health_path` are none that anybody wants to read of.
    ///
    /// # Errors
    /// When the file cannot be opened, or the system refuses a thread.
    pub(crate) fn start(
        &self,
        health_path: Option<&str>,
        trust: &TrustArguments,
    ) -> io::Result<AccessLog> {
        let is_to_file = self.access_log_file.is_some();
        let format = if is_to_file { Format::Combined } else { Format::Off };
        let format = self.access_log.unwrap_or(format);
        let typed = self.access_log_exclude.iter().flat_map(|text| Paths::parse(text));
        let excluded = typed.chain(health_path.map(|path| Paths::One(path.to_owned()))).collect();
        let (writer, reopener) = match &self.access_log_file {
            _ if format == Format::Off => (None, None),
            None => (Some(spawn(standard_output()?)?), None),
            Some(path) => {
                let (file, reopener) = log_file::open(path)?;
                (Some(spawn(file)?), Some(reopener))
            }
        };
        Ok(AccessLog { format, writer, reopener, excluded, trust: trust.clone() })
    }
}

fn spawn(out: impl io::Write + Send + 'static) -> io::Result<LineWriter> {
    LineWriter::spawn("access log", Losses::Logged, out)
}

impl AccessLog {
    pub(crate) fn attach(&self, builder: Builder) -> Builder {
        let Some(writer) = self.writer.clone() else { return builder };
        let (format, mut line) = (self.format, String::new());
        let (excluded, trust) = (self.excluded.clone(), self.trust.clone());
        builder.access_log(move |access: &Access<'_>| {
            let is_excluded = |path: &str| excluded.iter().any(|paths| paths.include(path));
            if !excluded.is_empty() && access.request.is_some_and(|r| is_excluded(r.path())) {
                return;
            }
            line.clear();
            Entry::new(Timestamp::now(), access, trust.client(access)).write(format, &mut line);
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
        assert!(Paths::parse("a").unwrap_err().contains("--access-log-exclude is `a`"));
    }
}
