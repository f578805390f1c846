//! Which bases and ends make a cluster as it was.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use ferrymq_archive::{Archive, ArchiveError, Base, Entry, Gap, LogPart, ShardCut, StateDigest, Trouble};
use ferrymq_replication::{Applied, Machine as _, StateReader};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{ArchiveOpener, Replay, ReplayError};
use crate::catalogue::{CATALOGUE_GROUP, CatalogueMachine, Restoration, ShardSource, Upto};

/// The most bytes of a catalogue's state.
const MOST_STATE_BYTES: u64 = 1 << 30;

/// As of when a cluster is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreTarget {
    /// A backup of this name.
    Backup(String),
    /// What there was right before this time, in milliseconds since 1970.
    Time(u64),
    /// All that is in the archive.
    Latest,
}

/// What is in an archive makes no cluster.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The archive cannot be opened.
    #[error("{0}")]
    Open(String),
    /// Something cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The log of the catalogue cannot be read to its end.
    #[error("{0}")]
    Catalogue(String),
    /// There is no archive of that cluster.
    #[error("there is no archive of a cluster in {0}")]
    Nothing(String),
    /// The archive begins later, or with something that is gone.
    #[error(
        "the archive of shard {group} has no base that serves for this: {reason}; restore to a later time, or from a backup"
    )]
    NoBase {
        /// The shard; 0 is the catalogue.
        group: u32,
        /// Why none does.
        reason: String,
    },
    /// Some of the log is not in the archive, and was confirmed around that time.
    #[error(
        "the archive of shard {group} has a gap at that time; restore to an earlier or a later time, or from a backup"
    )]
    Gap {
        /// The shard; 0 is the catalogue.
        group: u32,
    },
    /// The backup names a shard twice, or not the catalogue.
    #[error("backup {0} has no catalogue in it")]
    NoCatalogue(String),
}

impl SourceError {
    /// What is wanted may be in another folder.
    fn is_elsewhere(&self) -> bool {
        match self {
            Self::Nothing(_) | Self::NoBase { .. } => true,
            Self::Archive(ArchiveError::Destination(error)) => error.trouble == Trouble::NotFound,
            _ => false,
        }
    }
}

/// What a cluster is to be made of.
#[derive(Clone)]
pub(crate) struct Found {
    /// The catalogue, as its snapshot.
    pub(crate) saved: Bytes,
    /// No node had this number, or a higher one.
    pub(crate) first_node: u64,
    pub(crate) restoration: Restoration,
}

/// Finds what makes a cluster as it was: in the folder that is named, or in the last of those in it that have that.
pub(crate) async fn find_in(
    opener: &ArchiveOpener,
    target: &RestoreTarget,
    allow_partial: bool,
) -> Result<Found, SourceError> {
    let named = opener.open().map_err(SourceError::Open)?;
    let folders = named.destination().folders(named.cluster()).await.map_err(ArchiveError::from)?;
    let is_one = |folder: &String| folder.strip_prefix(named.cluster()).is_some_and(|rest| rest == "/shards");
    if folders.iter().any(is_one) {
        return find(&named, target, allow_partial).await;
    }
    let mut archives = Vec::new();
    for folder in folders {
        let archive = named.of(&folder);
        let began_at = archive.cluster_record().await?.began_at;
        archives.push((began_at, archive));
    }
    archives.sort_by_key(|(began_at, _)| std::cmp::Reverse(*began_at));
    let mut why = SourceError::Nothing(format!("{} of {}", named.cluster(), named.destination().place()));
    for (tried, (_, archive)) in archives.iter().enumerate() {
        match find(archive, target, allow_partial).await {
            Err(error) if error.is_elsewhere() => why = if tried == 0 { error } else { why },
            found => return found,
        }
    }
    Err(why)
}

/// Finds what makes a cluster as it was.
async fn find(archive: &Archive, target: &RestoreTarget, allow_partial: bool) -> Result<Found, SourceError> {
    let (what, mut sources) = match target {
        RestoreTarget::Backup(name) => {
            let backup = archive.backup(name).await?;
            let source = |cut: ShardCut| {
                let (upto, digest) = (Upto::Index(cut.upto), Some(cut.digest));
                (cut.group, ShardSource { base: Some(cut.base), upto, digest })
            };
            let cuts = backup.shards.into_iter().map(source);
            (format!("backup {name}"), cuts.collect())
        }
        RestoreTarget::Time(time) => {
            ("what there was at a time".to_owned(), sources(archive, Upto::Time(*time)).await?)
        }
        RestoreTarget::Latest => ("all that is archived".to_owned(), sources(archive, Upto::Latest).await?),
    };
    let catalogue = sources.remove(&CATALOGUE_GROUP).ok_or_else(|| match target {
        RestoreTarget::Backup(name) => SourceError::NoCatalogue(name.clone()),
        _ => SourceError::Nothing(format!("{} of {}", archive.cluster(), archive.destination().place())),
    })?;
    let mut missing = Vec::new();
    let machine = replay_catalogue(archive, &catalogue, allow_partial, &mut missing).await?;
    let known = &machine.catalogue.records.shards;
    // One that was made after what the catalogue is restored to.
    sources.retain(|shard, _| known.contains_key(shard));
    let restoration = Restoration {
        cluster: archive.cluster().to_owned(),
        what,
        allow_partial,
        shards: u32::try_from(sources.len()).unwrap_or(u32::MAX),
        left: sources,
        missing,
        problems: BTreeMap::new(),
    };
    Ok(Found { saved: machine.saved(), first_node: machine.catalogue.records.next_node + 1, restoration })
}

/// For each shard, the base to begin with.
async fn sources(archive: &Archive, upto: Upto) -> Result<BTreeMap<u32, ShardSource>, SourceError> {
    let groups = stream::iter(archive.groups().await?);
    let found = groups.map(|group| async move { Ok((group, source(archive, group, upto).await?)) }).buffer_unordered(4);
    found.try_filter_map(|(group, source)| async move { Ok(source.map(|source| (group, source))) }).try_collect().await
}

async fn source(archive: &Archive, group: u32, upto: Upto) -> Result<Option<ShardSource>, SourceError> {
    let firsts = archive.log_from(group, 0).await?;
    let log_ends = match firsts.last() {
        Some(first) => archive.log_part(group, *first).await?.next(),
        None => 0,
    };
    let bases = archive.bases(group).await?;
    // Behind what serves.
    let mut gap = None;
    for id in bases.iter().rev() {
        let base = archive.base(group, id).await?;
        if base.is_whole(log_ends) && serves(&base, upto) {
            let upto = before_gap(archive, group, &firsts, gap, upto).await?;
            return Ok(Some(ShardSource { base: Some(id.clone()), upto, digest: None }));
        }
        gap = base.gap.or(gap);
    }
    match (firsts.first(), upto) {
        (Some(0), _) => {
            let upto = before_gap(archive, group, &firsts, gap, upto).await?;
            Ok(Some(ShardSource { base: None, upto, digest: None }))
        }
        (None, _) if bases.is_empty() => Ok(None),
        // It had nothing then, or what it had is not kept any more: whoever asks for a time is not to get less than there was.
        (_, Upto::Time(_)) => Err(SourceError::NoBase { group, reason: "it begins after that time".to_owned() }),
        _ => Err(SourceError::NoBase { group, reason: "its log does not go on behind any".to_owned() }),
    }
}

/// Where the log is to end that has a gap behind it. That a time is over before the gap begins has to be known: where the log
/// ends in between, nobody knows what there was then.
async fn before_gap(
    archive: &Archive,
    group: u32,
    firsts: &[u64],
    gap: Option<Gap>,
    upto: Upto,
) -> Result<Upto, SourceError> {
    let (Some(gap), Upto::Time(time)) = (gap, upto) else { return Ok(upto) };
    if time > gap.complete_until {
        return Err(SourceError::Gap { group });
    }
    if let Some(first) = firsts.iter().rfind(|first| **first < gap.from) {
        let part = archive.log_part(group, *first).await?;
        if part.entries.iter().any(|entry| entry.command.is_some() && entry.time >= time) {
            return Ok(upto);
        }
    }
    // Nothing came between that time and the gap: all before it is wanted.
    Ok(gap.from.checked_sub(1).map_or(upto, Upto::Index))
}

fn serves(base: &Base, upto: Upto) -> bool {
    match upto {
        Upto::Index(upto) => base.complete_from <= upto,
        Upto::Time(time) => base.complete_at < time,
        Upto::Latest => true,
    }
}

async fn replay_catalogue(
    archive: &Archive,
    source: &ShardSource,
    allow_partial: bool,
    missing: &mut Vec<String>,
) -> Result<CatalogueMachine, SourceError> {
    let replay = Replay::open(archive, CATALOGUE_GROUP, source).await.map_err(of_replay)?;
    let (mut machine, _) = CatalogueMachine::new();
    if let Some(base) = &replay.base {
        let state = whole_state(archive, base).await?;
        machine.restore(&mut StateReader::of(state)).map_err(SourceError::Catalogue)?;
    }
    let mut parts = std::pin::pin!(replay.parts(replay.first()));
    while let Some(part) = parts.next().await {
        match part {
            Ok(part) => apply(&mut machine, part),
            Err(error) if allow_partial => missing.push(error.to_string()),
            Err(error) => return Err(of_replay(error)),
        }
    }
    let now = StateDigest::of(&machine.saved());
    if let Some(then) = source.digest.as_ref().filter(|then| StateDigest::differ(then, &now)) {
        let different = format!("the catalogue is not as it was backed up: its digest is {now}, and was {then}");
        if !allow_partial {
            return Err(SourceError::Catalogue(different));
        }
        missing.push(different);
    }
    Ok(machine)
}

fn apply(machine: &mut CatalogueMachine, part: LogPart) {
    for (index, Entry { term, time, command }) in (part.first..).zip(part.entries) {
        if let Some(command) = command {
            machine.apply(Applied { index, term, time }, command, &mut Vec::new());
        }
    }
}

async fn whole_state(archive: &Archive, base: &Base) -> Result<Bytes, SourceError> {
    if base.bytes > MOST_STATE_BYTES {
        return Err(SourceError::Catalogue(format!("a catalogue of {} bytes is too much", base.bytes)));
    }
    let mut state = BytesMut::new();
    for number in base.entry_parts..base.entry_parts + base.state_parts {
        state.extend_from_slice(&archive.base_state(base, number).await?);
    }
    Ok(state.freeze())
}

fn of_replay(error: ReplayError) -> SourceError {
    match error {
        ReplayError::Archive(error) => SourceError::Archive(error),
        hole @ ReplayError::Hole { .. } => SourceError::Catalogue(hole.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use ferrymq_archive::{Destination, Place};
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn no_time_in_a_gap_is_restored_also_where_nothing_came_behind_it() {
        let directory = TempDir::new().unwrap();
        let place = Place::Directory { path: directory.path().to_owned() };
        let archive = Archive::new(Destination::open(place).unwrap(), "shop/orders/1", None);
        let entry = |time| Entry { term: 1, time, command: Some(Bytes::from_static(b"publish")) };
        let part = LogPart { group: 7, first: 0, term_before: 0, entries: [10, 20].map(entry).into() };
        archive.put_log(part).await.unwrap();
        let base = Base {
            group: 7,
            id: Base::id(9, 1),
            term: 1,
            index: 9,
            complete_from: 9,
            complete_at: 100,
            log_from: 10,
            gap: Some(Gap { from: 2, complete_until: 50 }),
            entry_parts: 0,
            state_parts: 0,
            bytes: 0,
        };
        archive.put_base(&base).await.unwrap();
        let of = async |time| source(&archive, 7, Upto::Time(time)).await;
        assert_eq!(of(15).await.unwrap().unwrap().base, None);
        assert_eq!(of(20).await.unwrap().unwrap().base, None);
        // Nothing came between the last entry and then; what is behind the gap is not missed.
        let behind = LogPart { group: 7, first: 10, term_before: 1, entries: [entry(110)].into() };
        archive.put_log(behind).await.unwrap();
        for (time, entries) in [(15, 1), (20, 1), (21, 2), (50, 2)] {
            let replay = Replay::open(&archive, 7, &of(time).await.unwrap().unwrap()).await.unwrap();
            let parts: Vec<LogPart> = replay.parts(replay.first()).map(Result::unwrap).collect().await;
            assert_eq!(parts.iter().map(|part| part.entries.len()).sum::<usize>(), entries, "before {time}");
        }
        for within in [51, 100] {
            let error = of(within).await.unwrap_err();
            assert!(error.to_string().contains("has a gap at that time"), "{error}");
        }
        assert_eq!(of(101).await.unwrap().unwrap().base, Some(base.id));
        assert!(source(&archive, 7, Upto::Latest).await.unwrap().unwrap().base.is_some());
    }
}
