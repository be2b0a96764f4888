//! Bodies into files: whole, or not at all.
//!
//! A disk may be slow, and the loop does not wait: files are written on a thread of their own. A
//! body goes into a temporary file in the same directory, which gets its name when the body is
//! complete (rename(2) is atomic), and is removed when it will never be.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use helloop::coroutine::{Executor, JoinError};
use tempfile::{Builder, NamedTempFile};

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// What a new file may be at most; the umask of the process takes some of it away.
const MODE: u32 = 0o666;

/// Why a body is in no file.
#[derive(Debug)]
pub(super) enum NotWritten {
    /// The others may still be: the disk is full, or there is a directory in the place of the file.
    This(io::Error),
    /// The directory is gone: no other will be, either.
    Any(io::Error),
}

/// A directory for bodies.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: Rc<Path>,
    /// One thread, so that everything given to it is done when the last thing is.
    executor: Executor,
}

/// A body on its way into a file. Dropped before it is finished, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Part {
    store: Store,
    name: String,
    /// `None` until there is something to write.
    file: Option<NamedTempFile>,
    /// Bytes that are not written yet.
    waiting: Vec<u8>,
}

impl Store {
    /// The directory is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made, or nothing can be made in it.
    pub(super) fn open(directory: &str) -> io::Result<Store> {
        let directory = Path::new(directory);
        fs::create_dir_all(directory).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        })?;
        // Now, and not after the first thousand fetches. The file has no name, so a signal leaves none behind.
        tempfile::tempfile_in(directory)?;
        Ok(Store { directory: directory.into(), executor: Executor::new(1) })
    }

    /// A file for a body. `name` is the name of a file, without directories.
    pub(super) fn part(&self, name: &str) -> Part {
        debug_assert!(!name.contains('/') && !name.starts_with('.'));
        Part { store: self.clone(), name: name.to_owned(), file: None, waiting: Vec::new() }
    }

    /// Returns when everything is written or removed that was given up before.
    pub(super) async fn settle(&self) {
        // Only a panic could be wrong, and there is none.
        let _ = self.executor.run(|| ()).await;
    }
}

impl Part {
    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// When it cannot be written. Nothing is left of the body then.
    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), NotWritten> {
        self.waiting.extend_from_slice(piece);
        if self.waiting.len() < WRITE_BYTES {
            return Ok(());
        }
        let (file, waiting) = (self.file.take(), std::mem::take(&mut self.waiting));
        let directory = self.directory();
        let write = move || {
            write(&directory, file, waiting).map_err(|error| NotWritten::into(&directory, error))
        };
        let written = self.store.executor.run(write).await;
        let (file, mut waiting) = written.unwrap_or_else(no_thread)?;
        waiting.clear();
        (self.file, self.waiting) = (Some(file), waiting);
        Ok(())
    }

    /// The body is complete: the file gets its name.
    ///
    /// # Errors
    /// As [`write`](Part::write).
    pub(super) async fn finish(mut self) -> Result<(), NotWritten> {
        let (file, waiting) = (self.file.take(), std::mem::take(&mut self.waiting));
        let (directory, path) = (self.directory(), self.store.directory.join(&self.name));
        let finish = move || {
            let renamed = write(&directory, file, waiting)
                .and_then(|(file, _)| file.persist(path).map_err(|error| error.error));
            renamed.map(drop).map_err(|error| NotWritten::into(&directory, error))
        };
        self.store.executor.run(finish).await.unwrap_or_else(no_thread)
    }

    fn directory(&self) -> PathBuf {
        self.store.directory.to_path_buf()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Removed where it was written.
            drop(self.store.executor.run(move || drop(file)));
        }
    }
}

fn write(
    directory: &Path,
    file: Option<NamedTempFile>,
    bytes: Vec<u8>,
) -> io::Result<(NamedTempFile, Vec<u8>)> {
    let mut file = file.map_or_else(|| temporary(directory), Ok)?;
    file.write_all(&bytes)?;
    Ok((file, bytes))
}

fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    let permissions = Permissions::from_mode(MODE);
    Builder::new()
        .prefix(".helloop-")
        .suffix(".part")
        .permissions(permissions)
        .tempfile_in(directory)
}

fn no_thread<T>(error: JoinError) -> Result<T, NotWritten> {
    Err(NotWritten::This(io::Error::other(error)))
}

impl NotWritten {
    /// Because of `error`, in `directory`. Blocks.
    fn into(directory: &Path, error: io::Error) -> NotWritten {
        if directory.is_dir() { NotWritten::This(error) } else { NotWritten::Any(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helloop::coroutine;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Elsewhere such a file has a name for a moment.
    #[cfg(target_os = "linux")]
    #[test]
    fn to_look_whether_a_directory_can_be_written_to_leaves_no_name_at_any_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let looks = std::thread::spawn(move || {
            (0..300).for_each(|_| drop(Store::open(path.to_str().unwrap()).unwrap()));
        });
        while !looks.is_finished() {
            assert_eq!(names(directory.path()), Vec::<String>::new());
        }
        looks.join().unwrap();
    }

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        let inside = path.clone();
        coroutine::run(|_| async move {
            let store = Store::open(inside.to_str().unwrap()).unwrap();
            let piece = vec![b'x'; 100_000];
            let mut part = store.part("whole");
            for _ in 0..5 {
                part.write(&piece).await.unwrap();
            }
            assert!(names(&inside).iter().all(|name| name.starts_with(".helloop-")));
            part.finish().await.unwrap();
            store.part("empty").finish().await.unwrap();
            let mut given_up = store.part("given up");
            for _ in 0..5 {
                given_up.write(&piece).await.unwrap();
            }
            drop(given_up);
            store.settle().await;
        })
        .unwrap();
        assert_eq!(names(&path), ["empty", "whole"]);
        assert_eq!(fs::metadata(path.join("whole")).unwrap().len(), 500_000);
    }

    #[test]
    fn what_is_in_the_way_of_one_file_is_not_in_that_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        fs::create_dir(path.join("taken")).unwrap();
        coroutine::run(|_| async move {
            let store = Store::open(path.to_str().unwrap()).unwrap();
            let taken = store.part("taken").finish().await;
            assert!(
                matches!(&taken, Err(NotWritten::This(error)) if error.kind() == io::ErrorKind::IsADirectory)
            );
            store.part("free").finish().await.unwrap();
            assert_eq!(names(&path), ["free", "taken"]);
            fs::remove_dir_all(&path).unwrap();
            let gone = store.part("free").finish().await;
            assert!(
                matches!(&gone, Err(NotWritten::Any(error)) if error.kind() == io::ErrorKind::NotFound)
            );
        })
        .unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_is_known_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Store::open(file.path().join("below").to_str().unwrap()).is_err());
    }
}
