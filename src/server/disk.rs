//! How full a broker's disk is.

use std::path::Path;

use ferrymq_admin_api::DiskUse;

/// What is used of the file system that a directory is in, as `df` counts it: what only root may still take is not there
/// for a broker. None where that cannot be found out.
pub(crate) fn used(directory: &Path) -> Option<DiskUse> {
    let found = rustix::fs::statvfs(directory).ok()?;
    let used = found.f_blocks.saturating_sub(found.f_bfree).saturating_mul(found.f_frsize);
    let left = found.f_bavail.saturating_mul(found.f_frsize);
    Some(DiskUse { used_bytes: used, capacity_bytes: used.saturating_add(left) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_something_on_it_and_no_more_than_it_holds() {
        let disk = used(Path::new("/")).unwrap();
        assert!(disk.used_bytes > 0 && disk.used_bytes <= disk.capacity_bytes, "{disk:?}");
        assert_eq!(used(Path::new("/nowhere/at/all")), None);
    }
}
