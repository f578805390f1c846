//! A base, written: the state of a group, and the entries that it needs.

use ferrymq_archive::{Archive, Base, Gap, StateDigest};
use ferrymq_replication::{Group, Machine, task};

use super::ArchivingError;

/// Bytes of a part.
const PART_BYTES: usize = 2 << 20;

/// Where the log goes on behind a base.
pub(super) struct Behind {
    /// The part that has the entry behind the base begins with this one; where there is a gap, the one behind the base.
    pub(super) log_from: Option<u64>,
    /// What the archive has not got up to the base, where it had the log before that.
    pub(super) gap: Option<Gap>,
}

/// Writes a base of a group, and tells how many bytes that is so far. Gives it, and the digest of its state.
pub(super) async fn write<M: Machine>(
    archive: &Archive,
    group: &Group<M>,
    behind: Behind,
    progress: impl Fn(u64),
) -> Result<(Base, String), ArchivingError> {
    let state = group.base().await?;
    let ((term, index), number) = (state.last(), group.id());
    let id = Base::id(index, rand::random());
    let (mut bytes, mut next, mut entry_parts) = (0, 0, 0);
    loop {
        let entries = state.entries(next, PART_BYTES).await?;
        let Some((last, _)) = entries.last() else { break };
        next = last + 1;
        bytes += entries.iter().map(|(_, record)| record.len() as u64).sum::<u64>();
        archive.put_base_entries(number, &id, entry_parts, entries).await?;
        entry_parts += 1;
        progress(bytes);
    }
    // What is given free from now on was read.
    let (complete_from, complete_at) = (group.view().applied, task::time_of_day());
    let (mut at, mut state_parts, mut digest) = (0, 0, StateDigest::default());
    loop {
        let part = state.state(at, PART_BYTES).await?;
        if part.is_empty() {
            break;
        }
        at += part.len() as u64;
        digest.update(&part);
        archive.put_base_state(number, &id, entry_parts + state_parts, part).await?;
        state_parts += 1;
        progress(bytes + at);
    }
    bytes += at;
    let log_from = behind.log_from.unwrap_or(index + 1);
    let gap = behind.gap.filter(|gap| gap.from <= index);
    let base = Base {
        group: number,
        id,
        term,
        index,
        complete_from,
        complete_at,
        log_from,
        gap,
        entry_parts,
        state_parts,
        bytes,
    };
    archive.put_base(&base).await?;
    tracing::info!(shard = number, index, bytes, ?gap, "a base is in the archive");
    Ok((base, digest.finish()))
}

/// The index of the last entry in the state that a group has now, or a little later, and the digest of that state.
pub(crate) async fn digest<M: Machine>(group: &Group<M>) -> std::io::Result<(u64, String)> {
    let state = group.base().await?;
    let (mut at, mut digest) = (0, StateDigest::default());
    loop {
        let part = state.state(at, PART_BYTES).await?;
        if part.is_empty() {
            return Ok((state.last().1, digest.finish()));
        }
        at += part.len() as u64;
        digest.update(&part);
    }
}
