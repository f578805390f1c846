//! A machine's state as a file: `<directory>/<group>.snapshot`, replaced as a whole.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use ferrymq_journal::{Disk, atomic_file};
use ferrymq_wire::{Malformed, Reader, Write};

use crate::{
    blocking::blocking,
    codec,
    types::{Snapshot, SnapshotMeta},
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
    #[error(
        "snapshot {path} is damaged: checksum {found:08x} where {expected:08x} was written; \
         empty this node's data directory, and it fetches everything anew from the others"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was written.
        expected: u32,
        /// What is there.
        found: u32,
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

/// Where a group's snapshot is.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Bytes of the last snapshot written or read: the group's log may grow by about as much before the next one.
    size: Arc<AtomicU64>,
    /// Held while the file is written; false once the replica has stopped, after which nothing more is written.
    open: Arc<Mutex<bool>>,
}

impl SnapshotFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path, size: Arc::default(), open: Arc::new(Mutex::new(true)) }
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

    pub(crate) fn read(&self) -> Result<Option<Snapshot>, SnapshotError> {
        let read = |source| SnapshotError::Read { path: self.path.clone(), source };
        let bytes = match atomic_file::read(&*self.disk, &self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        };
        self.size.store(bytes.len() as u64, Ordering::Relaxed);
        self.parse(bytes).map(Some)
    }

    fn parse(&self, bytes: Bytes) -> Result<Snapshot, SnapshotError> {
        let malformed = |source| SnapshotError::Malformed { path: self.path.clone(), source };
        let mut from = Reader::new(bytes);
        let expected = from.u32("checksum").map_err(malformed)?;
        let body = from.rest();
        let found = checksum(&body);
        if found != expected {
            return Err(SnapshotError::Damaged { path: self.path.clone(), expected, found });
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

    pub(crate) async fn write(&self, meta: SnapshotMeta, bytes: Bytes) -> io::Result<()> {
        let (disk, path, open) = (self.disk.clone(), self.path.clone(), self.open.clone());
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
            atomic_file::replace(&*disk, &path, &out).map(|()| out.len() as u64)
        });
        let size = written.await?;
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
