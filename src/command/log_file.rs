//! `--access-log-file`: a file that can be opened anew, after somebody has moved it away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use super::locks::unpoisoned;

/// Where lines go. It is written to by a thread that nobody waits for.
pub(crate) struct LogFile {
    file: File,
    next: Next,
}

/// The file that takes the place of the present one.
type Next = Arc<Mutex<Option<File>>>;

/// Opens the file anew.
#[derive(Clone)]
pub(crate) struct Reopener {
    path: PathBuf,
    next: Next,
}

/// # Errors
/// When it cannot be opened to append to; the text names it.
pub(crate) fn open(path: &Path) -> io::Result<(LogFile, Reopener)> {
    let next = Next::default();
    let file = append_to(path)?;
    let reopener = Reopener { path: path.to_owned(), next: Arc::clone(&next) };
    Ok((LogFile { file, next }, reopener))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
        let text = format!("cannot open the access log {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

impl Reopener {
    /// Whatever is at the path by now takes the lines that come. Never waits: a disk that does not answer holds a
    /// thread of its own up, and no loop. Where the file cannot be opened, the present one stays.
    pub(crate) fn reopen(&self) {
        let Reopener { path, next } = self.clone();
        let opening =
            thread::Builder::new().name("access log".into()).spawn(move || {
                match append_to(&path) {
                    Ok(file) => {
                        unpoisoned(next.lock()).replace(file);
                        log::info!("the access log {} is open anew", path.display());
                    }
                    Err(error) => log::error!("{error}; the one before stays"),
                }
            });
        if let Err(error) = opening {
            log::error!("the access log stays as it is: {error}");
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(next) = unpoisoned(self.next.lock()).take() {
            self.file = next;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
