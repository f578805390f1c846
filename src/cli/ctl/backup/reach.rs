//! To which moments a cluster can be restored.

use ferrymq_archive::{Archive, ArchiveError, Base};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::inspect::last_before;

/// Shards and bases that are asked about at a time.
const AT_A_TIME: usize = 4;

/// To which moments a shard, or a cluster, can be restored: times in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Those behind this one; all of them where its log is there from the beginning.
    pub(super) after: Option<u64>,
    /// To none: the shards whose base is missing.
    pub(super) never: Vec<u32>,
    /// When the last entry was taken.
    pub(super) last: Option<u64>,
    /// Not to those in between.
    pub(super) gaps: Vec<TimeGap>,
}

/// A stretch of time of which an archive has not all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeGap {
    pub(super) shard: u32,
    pub(super) from: Option<u64>,
    pub(super) to: u64,
}

impl Reach {
    /// Of all shards together.
    fn with(mut self, other: Self) -> Self {
        self.after = self.after.max(other.after);
        self.last = self.last.max(other.last);
        self.never.extend(other.never);
        self.gaps.extend(other.gaps);
        self
    }
}

/// To which moments a cluster can be restored. Reads the last part of each shard's log, and what says which bases there are.
pub(super) async fn of_cluster(archive: &Archive) -> Result<Reach, ArchiveError> {
    let shards = stream::iter(archive.groups().await?).map(|group| of_shard(archive, group)).buffered(AT_A_TIME);
    shards.try_fold(Reach::default(), |all, shard| std::future::ready(Ok(all.with(shard)))).await
}

async fn of_shard(archive: &Archive, group: u32) -> Result<Reach, ArchiveError> {
    let ids = archive.bases(group).await?;
    let bases = stream::iter(ids).map(|id| async move { archive.base(group, &id).await }).buffered(AT_A_TIME);
    let bases: Vec<Base> = bases.try_collect().await?;
    let firsts = archive.log_from(group, 0).await?;
    let (mut last, mut ends) = (None, 0);
    if let Some(first) = firsts.last() {
        let part = archive.log_part(group, *first).await?;
        (last, ends) = (last_before(&part, u64::MAX), part.next());
    }
    let gap_of = |base: &Base| {
        let from = Some(base.gap?.complete_until).filter(|from| *from > 0);
        Some(TimeGap { shard: group, from, to: base.complete_at })
    };
    let gaps = bases.iter().filter_map(gap_of).collect();
    Ok(Reach { last, gaps, ..begins(group, &bases, firsts.first().copied(), ends) })
}

/// From when on a shard can be restored, as the brokers choose the base: one serves for moments behind that at which all
/// of it was read, and where the log goes on behind what was given free meanwhile.
fn begins(group: u32, bases: &[Base], first: Option<u64>, ends: u64) -> Reach {
    let after = bases.iter().filter(|base| base.is_whole(ends)).map(|base| base.complete_at).min();
    match (first, after) {
        (Some(0), _) => Reach::default(),
        (None, None) if bases.is_empty() => Reach::default(),
        (_, Some(after)) => Reach { after: Some(after), ..Reach::default() },
        (_, None) => Reach { never: vec![group], ..Reach::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(index: u64, complete_from: u64, complete_at: u64) -> Base {
        Base {
            group: 1,
            id: Base::id(index, 1),
            term: 1,
            index,
            complete_from,
            complete_at,
            log_from: index + 1,
            gap: None,
            entry_parts: 0,
            state_parts: 1,
            bytes: 1,
        }
    }

    #[test]
    fn a_shard_begins_with_its_log_or_with_the_oldest_base_that_is_whole() {
        let bases = [base(10, 12, 100), base(20, 25, 200)];
        assert_eq!(begins(1, &bases, Some(0), 30), Reach::default());
        assert_eq!(begins(1, &bases, Some(11), 30).after, Some(100));
        assert_eq!(begins(1, &bases[1..], Some(11), 25).never, [1], "the log ends before the base is whole");
        assert_eq!(begins(1, &[], Some(11), 30).never, [1]);
        assert_eq!(begins(1, &[], None, 0), Reach::default());
    }

    #[test]
    fn a_cluster_begins_with_its_last_shard() {
        let one = Reach { after: Some(100), last: Some(500), ..Reach::default() };
        let other = Reach { after: Some(300), last: Some(400), never: vec![2], ..Reach::default() };
        let both = Reach { after: Some(300), last: Some(500), never: vec![2], gaps: Vec::new() };
        assert_eq!(one.with(other), both);
    }
}
