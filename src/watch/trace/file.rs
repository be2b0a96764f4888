//! Where the blocks of a recording go.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{HEADER_BYTES, header};

/// Takes whole blocks, or nothing of them.
pub(super) trait Output: Send {
    fn block(&mut self, block: &[u8]) -> io::Result<()>;
}

/// Begins a trace at `path`, in a file that replaces the one that is there, or in what is no file.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn create(path: &Path, size_max: u64) -> io::Result<Box<dyn Output>> {
    // Opening a named pipe waits for its reader. The thread may wait for that; the caller may not.
    if is_pipe(path) {
        return Ok(Box::new(Stream { path: path.to_owned(), file: None }));
    }
    let mut file = File::create(path)?;
    file.write_all(&header())?;
    let path = path.to_owned();
    if file.metadata()?.is_file() {
        let written = HEADER_BYTES as u64;
        return Ok(Box::new(Rotating { path, file, written, full: size_max / 2 }));
    }
    // It has no length that could be limited, and rotating it would rename a device.
    Ok(Box::new(Stream { path, file: Some(file) }))
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

/// A named pipe, or a device.
struct Stream {
    path: PathBuf,
    /// `None` until the first block of a reader's: it needs a header before it.
    file: Option<File>,
}

impl Output for Stream {
    fn block(&mut self, block: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = File::options().write(true).open(&self.path)?;
                file.write_all(&header())?;
                file
            }
        };
        file.write_all(block)?;
        // Not after a failure: the reader of a pipe has left, and the next one begins anew.
        self.file = Some(file);
        Ok(())
    }
}

impl Output for Box<dyn Output> {
    fn block(&mut self, block: &[u8]) -> io::Result<()> {
        (**self).block(block)
    }
}

/// A file of a limited size. When it is full it becomes `FILE.1` (in the place of an older one), and
/// a new one begins: the newest events are always there.
struct Rotating {
    path: PathBuf,
    file: File,
    /// Bytes of whole blocks in it, the header included.
    written: u64,
    /// Bytes at which it is full: half of what both files together may have.
    full: u64,
}

impl Rotating {
    fn rotate(&mut self) -> io::Result<()> {
        let mut old = OsString::from(&self.path);
        old.push(".1");
        match fs::rename(&self.path, &old) {
            // Another program took it away, or an earlier attempt came as far as this.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        let mut file = File::create(&self.path)?;
        if let Err(error) = file.write_all(&header()) {
            let _ = fs::remove_file(&self.path);
            return Err(error);
        }
        (self.file, self.written) = (file, HEADER_BYTES as u64);
        Ok(())
    }
}

impl Output for Rotating {
    fn block(&mut self, block: &[u8]) -> io::Result<()> {
        let is_new = self.written <= HEADER_BYTES as u64;
        if self.written + block.len() as u64 > self.full && !is_new {
            self.rotate()?;
        }
        let written = self.file.write_all(block);
        match written {
            Ok(()) => self.written += block.len() as u64,
            // What comes next, once there is room again, must not follow half a block.
            Err(_) => {
                let cut = self.file.set_len(self.written);
                let _ = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.written)));
            }
        }
        written
    }
}
