//! Which file it is, whatever it is called: by another path, a symbolic or a hard link, or as a
//! standard stream.

use std::fs::{self, File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A regular file. Others (pipes, terminals, devices) may well be read and written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file behind a descriptor.
    pub(crate) fn of(file: &impl AsFd) -> Option<FileId> {
        let file = file.as_fd().try_clone_to_owned().map(File::from);
        file.and_then(|file| file.metadata()).ok().and_then(|metadata| FileId::new(&metadata))
    }

    /// The file at `path`, if there is one.
    pub(crate) fn at(path: &Path) -> Option<FileId> {
        fs::metadata(path).ok().and_then(|metadata| FileId::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Option<FileId> {
        let (device, inode) = (metadata.dev(), metadata.ino());
        metadata.is_file().then_some(FileId { device, inode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_itself_by_every_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::write(path("other"), "").unwrap();
        symlink("file", path("symbolic")).unwrap();
        fs::hard_link(path("file"), path("hard")).unwrap();
        let file = FileId::at(&path("file"));
        assert!(file.is_some());
        assert_eq!(FileId::at(&path("symbolic")), file);
        assert_eq!(FileId::at(&path("hard")), file);
        assert_eq!(FileId::of(&File::open(path("hard")).unwrap()), file);
        assert_ne!(FileId::at(&path("other")), file);
        assert_eq!(FileId::at(&path("nothing")), None);
        assert_eq!(FileId::at(directory.path()), None);
        assert_eq!(FileId::at(Path::new("/dev/null")), None);
    }
}
