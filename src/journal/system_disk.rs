//! The operating system's disk.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use crate::{Disk, DiskFile, disk::DiskLock};

/// Zeros are written this many at a time.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Zeros are synced after this many, so that a sync of another file never waits behind more than that.
const ALLOCATE_SYNC_BYTES: u64 = 8 << 20;

/// The operating system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_directory(parent)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => return Err(error),
            _ => {}
        }
        self.sync_directory(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn free_bytes(&self, directory: &Path) -> Option<u64> {
        let found = rustix::fs::statvfs(directory).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(DiskLock::new(file))
    }
}

/// An open file of the operating system.
#[derive(Debug)]
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// Writes the zeros. `fallocate` would be quicker, but leaves extents that the file system marks as unwritten, and
    /// turning these into written ones makes every later `fdatasync` pay for metadata.
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let (mut offset, mut synced) = (0, 0);
        while offset < bytes {
            let step = ZEROS.len().min(usize::try_from(bytes - offset).unwrap_or(usize::MAX));
            self.0.write_all_at(ZEROS.split_at(step).0, offset)?;
            offset += step as u64;
            if offset - synced >= ALLOCATE_SYNC_BYTES {
                self.0.sync_data()?;
                synced = offset;
            }
        }
        self.0.set_len(bytes)?;
        self.0.sync_all()
    }
}
