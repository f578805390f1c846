//! A machine's state as a file: `<directory>/<group>.snapshot`, replaced as a whole.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use ferrymq_journal::{Disk, DiskFile, atomic_file};
use ferrymq_wire::{Malformed, Reader, Write};

use crate::{
    blocking::blocking,
    codec,
    damage::{Damage, Failure},
    state::{Saved, State},
    types::{GroupId, Snapshot, SnapshotMeta},
};

const MAGIC: u32 = 0x514D_4653;
const FORMAT: u8 = 1;

/// A snapshot could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read at all.
    #[error("cannot read the snapshot {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its checksum is wrong.
    #[error("snapshot {path} is damaged: checksum {found:08x} where {expected:08x} was written")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was written.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// It is not there, and the log that follows it is.
    #[error("snapshot {path} is missing: the log of its group begins behind it")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Its checksum is right, but it is of no known form.
    #[error("snapshot {path} cannot be understood; was it written by a newer version?")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Malformed,
    },
}

impl SnapshotError {
    /// What the disk no longer has as it was written, where that is why.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        match self {
            Self::Damaged { path, .. } | Self::Missing { path } => {
                Some(Damage { path: path.clone(), offset: 0, problem: self.to_string() })
            }
            Self::Read { .. } | Self::Malformed { .. } => None,
        }
    }
}

/// How often a snapshot is tried again where the disk is full.
const FULL_RETRY: Duration = Duration::from_secs(1);
const SUFFIX: &str = ".snapshot";
const INCOMING: &str = "incoming";
/// The checksum of all behind it comes first.
const CHECKSUM_BYTES: u64 = 4;
/// More than what comes before the state takes.
const MAX_HEAD_BYTES: usize = 256 << 10;

/// The name of a group's file.
pub(crate) fn name_of(group: GroupId) -> String {
    format!("{group}{SUFFIX}")
}

/// Whose file has this name.
pub(crate) fn group_of(name: &str) -> Option<GroupId> {
    let group = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (name_of(group) == name).then_some(group)
}

/// A state that comes in goes to a file of such a name.
pub(crate) fn is_incoming(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == INCOMING)
}

/// Where a group's snapshot is.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Bytes of the last snapshot written or read: the group's log may grow by about as much before the next one.
    size: Arc<AtomicU64>,
    /// Held while the file is written; false once the replica has stopped, after which nothing more is written.
    open: Arc<Mutex<bool>>,
    failure: Failure,
}

impl SnapshotFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, failure: Failure) -> Self {
        Self { disk, path, size: Arc::default(), open: Arc::new(Mutex::new(true)), failure }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Waits for what is being written; nothing is written from then on.
    pub(crate) async fn close(&self) {
        let open = self.open.clone();
        let closed = blocking(move || {
            *open.lock().unwrap_or_else(PoisonError::into_inner) = false;
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::warn!(path = %self.path.display(), %error, "a snapshot was not closed");
        }
    }

    /// Removes it, where it is there.
    pub(crate) async fn remove(&self) -> io::Result<()> {
        let (disk, path) = (self.disk.clone(), self.path.clone());
        blocking(move || remove(&*disk, &path)).await
    }

    /// Checks every byte of it. Damage is reported, and ends the node.
    pub(crate) fn read(&self) -> Result<Option<Snapshot>, SnapshotError> {
        let read = read(&*self.disk, &self.path).inspect_err(|error| self.failure.snapshot(error))?;
        let Some((snapshot, size)) = read else { return Ok(None) };
        self.size.store(size, Ordering::Relaxed);
        Ok(Some(snapshot))
    }

    /// Writes it, and gives what lies there then. Waits where the disk is full; anything else that goes wrong ends the node.
    pub(crate) async fn write(&self, meta: SnapshotMeta, state: Box<dyn State>) -> io::Result<Snapshot> {
        let mut told = false;
        let mut state = Some(state);
        loop {
            let (again, written) = self.try_write(meta.clone(), state.take()).await?;
            match written {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    if !told {
                        tracing::warn!(path = %self.path.display(), "the disk is full: a snapshot waits to be written");
                    }
                    told = true;
                    state = again;
                    tokio::time::sleep(FULL_RETRY).await;
                }
                done => return Ok(Snapshot { meta, snapshot: done? }),
            }
        }
    }

    /// Gives back the state, which is to be written again where the disk was full.
    async fn try_write(
        &self,
        meta: SnapshotMeta,
        state: Option<Box<dyn State>>,
    ) -> io::Result<(Option<Box<dyn State>>, io::Result<Saved>)> {
        let (disk, path, open) = (self.disk.clone(), self.path.clone(), self.open.clone());
        let (failure, size) = (self.failure.clone(), self.size.clone());
        blocking(move || {
            let open = open.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(state) = state.filter(|_| *open) else { return Err(io::Error::other("the replica has stopped")) };
            let written = write(&*disk, &path, &meta, &*state).inspect_err(|error| {
                if error.kind() != io::ErrorKind::StorageFull {
                    failure.unwritable(&path, error);
                }
            });
            if let Ok((_, bytes)) = &written {
                size.store(*bytes, Ordering::Relaxed);
            }
            Ok((Some(state), written.map(|(saved, _)| saved)))
        })
        .await
    }

    /// A file for a state that comes in by pieces. It means nothing after a crash.
    pub(crate) fn incoming(&self) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(&self.path.with_extension(INCOMING))
    }

    /// Removes that file.
    pub(crate) fn remove_incoming(&self) -> io::Result<()> {
        match self.disk.remove(&self.path.with_extension(INCOMING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Writes a snapshot in the place of the one before; gives where its state lies, and the file's bytes.
fn write(disk: &dyn Disk, path: &Path, meta: &SnapshotMeta, state: &dyn State) -> io::Result<(Saved, u64)> {
    let replacement = atomic_file::Replacement::begin(disk, path)?;
    let file = replacement.file().clone();
    let mut head = BytesMut::new();
    head.write_u32(MAGIC);
    head.write_u8(FORMAT);
    codec::put_snapshot_meta(&mut head, meta);
    let mut checksum = Checksum::default();
    checksum.add(&head);
    file.write_at(&head, CHECKSUM_BYTES)?;
    let from = CHECKSUM_BYTES + head.len() as u64;
    let mut end = from;
    state.write(&mut |piece| {
        checksum.add(piece);
        file.write_at(piece, end)?;
        end += piece.len() as u64;
        Ok(())
    })?;
    file.write_at(&checksum.sum().to_le_bytes(), 0)?;
    replacement.finish()?;
    Ok((Saved::new(file, from, end - from), end))
}

/// The snapshot in a file, every byte of it checked, and the file's bytes; none where there is no such file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<(Snapshot, u64)>, SnapshotError> {
    let unreadable = |source| SnapshotError::Read { path: path.to_owned(), source };
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(unreadable(source)),
    };
    let bytes = file.length().map_err(unreadable)?;
    let damaged = |expected, found| SnapshotError::Damaged { path: path.to_owned(), expected, found };
    let Some(length) = bytes.checked_sub(CHECKSUM_BYTES) else { return Err(damaged(0, 0)) };
    let mut expected = [0; CHECKSUM_BYTES as usize];
    file.read_at(&mut expected, 0).map_err(unreadable)?;
    let (expected, body) = (u32::from_le_bytes(expected), Saved::new(file.clone(), CHECKSUM_BYTES, length));
    let mut checksum = Checksum::default();
    let add = &mut |piece: &[u8]| {
        checksum.add(piece);
        Ok(())
    };
    body.write(add).map_err(unreadable)?;
    let found = checksum.sum();
    if found != expected {
        return Err(damaged(expected, found));
    }
    let malformed = |source| SnapshotError::Malformed { path: path.to_owned(), source };
    // What says of when it is comes first, and is short.
    let head = body.read(0, MAX_HEAD_BYTES).map_err(unreadable)?;
    let mut from = Reader::new(head.clone());
    let magic = from.u32("magic").map_err(malformed)?;
    let format = from.u8("format").map_err(malformed)?;
    if magic != MAGIC || format != FORMAT {
        return Err(malformed(Malformed::Unknown { field: "format", value: format.into() }));
    }
    let meta = codec::take_snapshot_meta(&mut from).map_err(malformed)?;
    let head = (head.len() - from.left()) as u64;
    Ok(Some((Snapshot { meta, snapshot: Saved::new(file, CHECKSUM_BYTES + head, length - head) }, bytes)))
}

/// Removes a snapshot, where it is there; returns when that is on disk.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => path.parent().map_or(Ok(()), |directory| disk.sync_directory(directory)),
    }
}

#[derive(Debug)]
struct Checksum(crc_fast::Digest);

impl Default for Checksum {
    fn default() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn sum(&self) -> u32 {
        self.0.finalize() as u32
    }
}
