//! Small files that are replaced as a whole: after a power loss there is the old one or the new one.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::{Disk, DiskFile};

/// Puts a file with these bytes in the place of what was there. When it returns, the new one is durable.
///
/// # Errors
///
/// As [`Replacement`].
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let replacement = Replacement::begin(disk, path)?;
    replacement.file().write_at(bytes, 0)?;
    replacement.finish()
}

/// A file that takes the place of another once it is whole.
///
/// One at a time for a path: the bytes go to `<path>.tmp` first. A name that ends so may be left behind by a crash, means
/// nothing, and is overwritten the next time.
///
/// Its errors are the disk's own. The old file is still there, or the new one is; an error of a sync is fatal to the
/// process, as everywhere.
#[derive(Debug)]
pub struct Replacement<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    temporary: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl<'a> Replacement<'a> {
    /// Begins an empty file.
    ///
    /// # Errors
    ///
    /// The disk's own.
    pub fn begin(disk: &'a dyn Disk, path: &'a Path) -> io::Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = disk.create(&temporary)?;
        Ok(Self { disk, path, temporary, file })
    }

    /// The file, to write to.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Puts it in the place of the other. When this returns, it is durable.
    ///
    /// # Errors
    ///
    /// The disk's own.
    pub fn finish(self) -> io::Result<()> {
        let directory = self.path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // Before the rename: else the new name could outlive a power loss and its content not.
        self.file.sync_data()?;
        self.disk.rename(&self.temporary, self.path)?;
        self.disk.sync_directory(directory)
    }
}

/// All bytes of a file.
///
/// # Errors
///
/// The disk's own; [`io::ErrorKind::NotFound`] where there is no such file.
pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open(path)?;
    let length = usize::try_from(file.length()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes.into())
}
