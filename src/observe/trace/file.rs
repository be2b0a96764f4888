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

/// A file of a limited size. When it is full it becomes `FILE.1` (in the place of an older one), and
/// a new one begins: the newest events are always there.
pub(super) struct Rotating {
    path: PathBuf,
    file: File,
    /// Bytes of whole blocks in it, the header included.
    written: u64,
    /// Bytes at which it is full: half of what both files together may have.
    full: u64,
}

impl Rotating {
    pub(super) fn create(path: &Path, size_max: u64) -> io::Result<Rotating> {
        let mut file = File::create(path)?;
        file.write_all(&header())?;
        let written = HEADER_BYTES as u64;
        Ok(Rotating { path: path.to_owned(), file, written, full: size_max / 2 })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut old = OsString::from(&self.path);
        old.push(".1");
        match fs::rename(&self.path, &old) {
            // Somebody took it away, or an earlier attempt came as far as this.
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
            // So that what comes next, once there is room again, does not stand behind half a block.
            Err(_) => {
                self.file.set_len(self.written)?;
                self.file.seek(SeekFrom::Start(self.written))?;
            }
        }
        written
    }
}
