//! What is asked of a disk: few operations, so that a simulated one can stand in for the real one.

use std::{any::Any, fmt::Debug, io, path::Path, sync::Arc};

use crate::Turns;

/// A disk. [`SystemDisk`](crate::SystemDisk) is the real one.
///
/// Names in a directory are durable only after [`Disk::sync_directory`], bytes only after [`DiskFile::sync_data`].
/// Every error is the operating system's own; a full disk is [`io::ErrorKind::StorageFull`].
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a directory and those above it, durably; no error where it is there.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// The names of the files in a directory, in no particular order; directories in it are left out.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file to read and write; what was there under that name is emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there, to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, at once and in place of what had it. Where that is in another directory, both are to be
    /// synced, the new one first.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory that is empty.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which names are in a directory.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Bytes that are free where a directory is; none where that is not known.
    fn free_bytes(&self, _directory: &Path) -> Option<u64> {
        None
    }

    /// Takes a lock on a file, which is made where it is missing, for as long as what is returned lives.
    /// [`io::ErrorKind::WouldBlock`] where another holds it, in this process or in another one.
    fn lock(&self, path: &Path) -> io::Result<DiskLock>;

    /// Who does the work of a journal on this disk, where that is not for threads of the journal's own: a simulation,
    /// which must know what comes after what.
    fn hand(&self) -> Option<Arc<dyn Hand>> {
        None
    }
}

/// Does a journal's work turn by turn, in place of its threads.
pub trait Hand: Send + Sync + 'static {
    /// A journal was opened; these are its turns.
    fn begin(&self, turns: Turns);

    /// There is something to do, from the next turn on. Called within appends: must not take the turn itself.
    fn wake(&self);
}

/// An open file. Every call names its place, so that threads can share one.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer from this place on. [`io::ErrorKind::UnexpectedEof`] where the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of the bytes at this place. After an error any part of them may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes durable what was written, and the length (`fdatasync`). An error means that any of it may be lost, for
    /// good: trying again proves nothing, because the kernel may by then take the lost pages for clean.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the file this long, with zeros for which there is space on the disk, durably: writes within it then change
    /// no metadata and cannot run out of space.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
}

/// A lock that is held until this is dropped.
pub struct DiskLock(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

impl DiskLock {
    /// A lock that dropping this value gives back.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}

impl Debug for DiskLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiskLock")
    }
}
