//! The most memory that brokers take, also between two looks.

use crate::bench::brokers::Brokers;
use crate::bench::reading::Reading;
use crate::bench::usage;

/// What was before does not count.
///
/// # Errors
///
/// Where a broker has ended.
pub(super) fn forget(brokers: &Brokers) -> anyhow::Result<()> {
    brokers.ids().into_iter().try_for_each(usage::forget_peak)
}

/// The most that the broker had which had most, since that was forgotten or since it started.
///
/// # Errors
///
/// Where a broker has ended.
pub(super) fn most(brokers: &Brokers, what: &str) -> anyhow::Result<Option<Reading>> {
    let peaks = brokers.ids().into_iter().map(usage::peak).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(peaks.into_iter().max().map(|bytes| Reading::less(what, "MB", bytes as f64 / 1e6)))
}
