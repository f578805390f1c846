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

use bytes::{Bytes, BytesMut};
use ferrymq_journal::{Disk, atomic_file};
use ferrymq_wire::{Malformed, Reader, Write};

use crate::{
    blocking::blocking,
    codec,
    damage::{Damage, Failure},
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

/// The name of a group's file.
pub(crate) fn name_of(group: GroupId) -> String {
    format!("{group}{SUFFIX}")
}

/// Whose file has this name.
pub(crate) fn group_of(name: &str) -> Option<GroupId> {
    let group = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (name_of(group) == name).then_some(group)
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

    /// Damage is reported, and ends the node.
    pub(crate) fn read(&self) -> Result<Option<Snapshot>, SnapshotError> {
        let read = read(&*self.disk, &self.path).inspect_err(|error| self.failure.snapshot(error))?;
        let Some((snapshot, size)) = read else { return Ok(None) };
        self.size.store(size, Ordering::Relaxed);
        Ok(Some(snapshot))
    }

    /// Writes it. Waits where the disk is full; anything else that goes wrong ends the node.
    pub(crate) async fn write(&self, meta: SnapshotMeta, bytes: Bytes) -> io::Result<()> {
        let mut told = false;
        loop {
            match self.try_write(meta.clone(), bytes.clone()).await {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    if !told {
                        tracing::warn!(path = %self.path.display(), "the disk is full: a snapshot waits to be written");
                    }
                    told = true;
                    tokio::time::sleep(FULL_RETRY).await;
                }
                done => return done,
            }
        }
    }

    async fn try_write(&self, meta: SnapshotMeta, bytes: Bytes) -> io::Result<()> {
        let (disk, path, open) = (self.disk.clone(), self.path.clone(), self.open.clone());
        let failure = self.failure.clone();
        let written = blocking(move || {
            let open = open.lock().unwrap_or_else(PoisonError::into_inner);
            if !*open {
                return Err(io::Error::other("the replica has stopped"));
            }
            let mut out = BytesMut::with_capacity(bytes.len() + 256);
            out.write_u32(0);
            out.write_u32(MAGIC);
            out.write_u8(FORMAT);
            codec::put_snapshot_meta(&mut out, &meta);
            out.extend_from_slice(&bytes);
            let sum = checksum(&out[4..]);
            out[..4].copy_from_slice(&sum.to_le_bytes());
            atomic_file::replace(&*disk, &path, &out)
                .inspect_err(|error| {
                    if error.kind() != io::ErrorKind::StorageFull {
                        failure.unwritable(&path, error);
                    }
                })
                .map(|()| out.len() as u64)
        });
        let size = written.await?;
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }
}

/// The snapshot in a file, and the file's bytes; none where there is no such file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<(Snapshot, u64)>, SnapshotError> {
    let bytes = match atomic_file::read(disk, path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SnapshotError::Read { path: path.to_owned(), source }),
    };
    let size = bytes.len() as u64;
    parse(path, bytes).map(|snapshot| Some((snapshot, size)))
}

/// Removes a snapshot, where it is there; returns when that is on disk.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => path.parent().map_or(Ok(()), |directory| disk.sync_directory(directory)),
    }
}

fn parse(path: &Path, bytes: Bytes) -> Result<Snapshot, SnapshotError> {
    let malformed = |source| SnapshotError::Malformed { path: path.to_owned(), source };
    let damaged = |expected, found| SnapshotError::Damaged { path: path.to_owned(), expected, found };
    let mut from = Reader::new(bytes);
    let expected = from.u32("checksum").map_err(|_| damaged(0, 0))?;
    let body = from.rest();
    let found = checksum(&body);
    if found != expected {
        return Err(damaged(expected, found));
    }
    let mut from = Reader::new(body);
    let magic = from.u32("magic").map_err(malformed)?;
    let format = from.u8("format").map_err(malformed)?;
    if magic != MAGIC || format != FORMAT {
        return Err(malformed(Malformed::Unknown { field: "format", value: format.into() }));
    }
    let meta = codec::take_snapshot_meta(&mut from).map_err(malformed)?;
    Ok(Snapshot { meta, snapshot: from.rest() })
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
