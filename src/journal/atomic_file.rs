//! Small files that are replaced as a whole: after a power loss there is the old one or the new one.

use std::{io, path::Path};

use bytes::Bytes;

use crate::Disk;

/// Puts a file with these bytes in the place of what was there. When it returns, the new one is durable.
///
/// One caller at a time for a path: the bytes go to `<path>.tmp` first. A name that ends so may be left behind by a
/// crash, means nothing, and is overwritten the next time.
///
/// # Errors
///
/// The disk's own. The old file is still there, or the new one is; an error of a sync is fatal to the process, as
/// everywhere.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let file = disk.create(temporary)?;
    file.write_at(bytes, 0)?;
    // Before the rename: else the new name could outlive a power loss and its content not.
    file.sync_data()?;
    disk.rename(temporary, path)?;
    disk.sync_directory(directory)
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
