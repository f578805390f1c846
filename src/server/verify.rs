//! Looking at the data of a broker that does not run.

use std::{path::Path, sync::Arc};

use ferrymq_broker::{DataReport, VerifyError};
use ferrymq_journal::{Disk, ReadOnlyDisk};

/// Verifies every byte of a broker's data, and changes nothing: it needs no right to write. `directory` is its data
/// directory, one in it that was set aside, or only that of its journal. Blocks.
///
/// # Errors
///
/// [`VerifyError`]: it cannot be looked at. Damage is in the report.
pub fn verify(directory: &Path) -> Result<DataReport, VerifyError> {
    let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
    ferrymq_broker::verify(&disk, directory)
}
