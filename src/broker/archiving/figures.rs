//! How it is with the archive, in figures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of how long entries waited until they were archived, in milliseconds.
pub const LAG_BOUNDS: [u64; 9] = [100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 120_000];

/// How it is with what a node archives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveFigures {
    /// Why the last thing was not archived, and since when nothing is, in milliseconds since 1970; none where all is well.
    pub failing: Option<(String, u64)>,
    /// The destination was reached at least once since the start.
    pub reached: bool,
    /// All that the shards which this node leads confirmed before this time is archived, in milliseconds since 1970; none
    /// before that is known.
    pub archived_until: Option<u64>,
    /// How long the oldest entry waits that is not archived, of the shards that this node leads.
    pub lag: Duration,
    /// Bytes of the log that are kept on the disk because they are not archived.
    pub held_bytes: u64,
    /// Bytes of the log that were archived since the start, before they are compressed.
    pub bytes: u64,
    /// Parts of the log that were archived since the start.
    pub parts: u64,
    /// Gaps that came into the archive since the start, because it was out of reach for too long.
    pub gaps: u64,
    /// When the last gap came, in milliseconds since 1970.
    pub last_gap_at: Option<u64>,
    /// How long the oldest entry of each part had waited: parts by the bounds 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120 s, and
    /// those above.
    pub lags: [u64; LAG_BOUNDS.len() + 1],
    /// The sum of those waits.
    pub lag_sum: Duration,
}

/// Where a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackupState {
    /// It is being made.
    Running,
    /// It is in the archive.
    Completed,
    /// It was given up.
    Failed,
}

/// A backup that this node makes, or has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupView {
    /// Its name.
    pub name: String,
    /// What it was made for, as was said when it was asked for first.
    pub made_for: Option<String>,
    /// Where it is.
    pub state: BackupState,
    /// Shards that are done, the catalogue among them.
    pub shards_done: u32,
    /// All of them.
    pub shards: u32,
    /// Bytes of its bases so far, before they are compressed.
    pub bytes: u64,
    /// When it was begun, in milliseconds since 1970.
    pub began_at: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_at: Option<u64>,
    /// Why it was given up; else what it is at.
    pub message: String,
}
