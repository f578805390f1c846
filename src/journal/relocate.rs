//! Moves a journal that nobody has open to another directory, as it is.

use std::{io, path::Path};

use crate::{
    Disk, OpenError, journal,
    layout::{self, Entry},
    recovery::failed,
};

/// Moves the segments of a journal, and their indexes, to another directory, which is made where it is missing. Files
/// that were allocated ahead stay, and go when a journal begins in their place. Called again after a crash, it goes on where it was.
///
/// # Errors
///
/// [`OpenError::Locked`] where the journal is in use; [`OpenError::Disk`].
pub fn relocate(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), OpenError> {
    let names = match disk.list(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(|source| failed("list", from, source))?,
    };
    let _lock = journal::lock(disk, from)?;
    disk.create_directory(to).map_err(|source| failed("create", to, source))?;
    for name in names.iter().filter(|name| matches!(layout::entry(name), Entry::Segment(_) | Entry::Index(_))) {
        disk.rename(&from.join(name), &to.join(name)).map_err(|source| failed("move", &from.join(name), source))?;
    }
    for directory in [to, from] {
        disk.sync_directory(directory).map_err(|source| failed("sync", directory, source))?;
    }
    Ok(())
}
