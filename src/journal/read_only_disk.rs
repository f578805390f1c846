//! The operating system's disk, only read.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use crate::{Disk, DiskFile, SystemDisk, disk::DiskLock};

/// The operating system's disk for who only looks: it needs no right to write, and changes nothing. Whatever would change
/// something is refused with [`io::ErrorKind::ReadOnlyFilesystem`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOnlyDisk;

impl Disk for ReadOnlyDisk {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        refuse()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        SystemDisk.list(directory)
    }

    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        refuse()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ReadOnlyFile(File::open(path)?)))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refuse()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refuse()
    }

    fn remove_directory(&self, _: &Path) -> io::Result<()> {
        refuse()
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        refuse()
    }

    /// A lock file that is not there is held by nobody, and not made.
    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        match File::open(path) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(DiskLock::new(file)),
                Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DiskLock::new(())),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug)]
struct ReadOnlyFile(File);

impl DiskFile for ReadOnlyFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refuse()
    }

    fn sync_data(&self) -> io::Result<()> {
        refuse()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        refuse()
    }
}

fn refuse<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}
