//! The log of a shard, read back from an archive: in order, without a hole, up to the end that is wanted.

use ferrymq_archive::{Archive, ArchiveError, Base, Entry, LogPart};
use futures::{Stream, StreamExt as _, stream};

use crate::catalogue::{ShardSource, Upto};

/// Parts that are read ahead.
const AHEAD: usize = 4;

/// The log cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// Something in the archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Something is not there.
    #[error("entries {from} to {} of the log of shard {group} are not in the archive: object {name} is missing", before - 1)]
    Hole {
        /// The shard.
        group: u32,
        /// The first that is missing.
        from: u64,
        /// The first after that.
        before: u64,
        /// What it would be in.
        name: String,
    },
}

/// What an archive has of a shard.
pub(crate) struct Replay {
    archive: Archive,
    group: u32,
    upto: Upto,
    /// What it begins with.
    pub(crate) base: Option<Base>,
    /// The parts of the log, by their first entries.
    firsts: Vec<u64>,
}

impl Replay {
    /// Looks what there is.
    pub(crate) async fn open(archive: &Archive, group: u32, source: &ShardSource) -> Result<Self, ReplayError> {
        let base = match &source.base {
            Some(id) => Some(archive.base(group, id).await?),
            None => None,
        };
        let firsts = archive.log_from(group, base.as_ref().map_or(0, |base| base.log_from)).await?;
        Ok(Self { archive: archive.clone(), group, upto: source.upto, base, firsts })
    }

    /// The first entry behind the base.
    pub(crate) fn first(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.index + 1)
    }

    /// The entries from `next` on, part by part, up to the end that is wanted. Nothing comes after an error.
    pub(crate) fn parts(&self, next: u64) -> impl Stream<Item = Result<LogPart, ReplayError>> + Send + '_ {
        let skipped = self.firsts.partition_point(|first| *first <= next).saturating_sub(1);
        let firsts = self.firsts.iter().skip(skipped).copied();
        let read = move |first| async move { (first, self.archive.log_part(self.group, first).await) };
        let read = stream::iter(firsts).map(read).buffered(AHEAD).map(Some);
        // The end of the list is looked at as well: it may be too early.
        let read = read.chain(stream::iter([None]));
        read.scan(Some(next), |next, part| {
            let at = *next;
            let part = at.and_then(|at| self.wanted_of(at, part));
            *next = part
                .as_ref()
                .and_then(|part| part.as_ref().ok())
                .filter(|(_, more)| *more)
                .map(|(part, _)| part.next());
            std::future::ready(at.map(|_| part.map(|part| part.map(|(part, _)| part))))
        })
        .filter_map(std::future::ready)
    }

    /// What is wanted of a part, and whether more may be; nothing where the end was before it.
    fn wanted_of(
        &self,
        next: u64,
        read: Option<(u64, Result<LogPart, ArchiveError>)>,
    ) -> Option<Result<(LogPart, bool), ReplayError>> {
        let hole = |before| {
            let name = self.archive.name_of_log(self.group, next);
            ReplayError::Hole { group: self.group, from: next, before, name }
        };
        if matches!(self.upto, Upto::Index(upto) if next > upto) {
            return None;
        }
        let Some((first, read)) = read else {
            return match self.upto {
                Upto::Index(upto) => Some(Err(hole(upto + 1))),
                Upto::Time(_) | Upto::Latest => None,
            };
        };
        if first > next {
            return Some(Err(hole(first)));
        }
        let mut part = match read {
            Ok(part) => part,
            Err(error) => return Some(Err(error.into())),
        };
        let skip = usize::try_from(next - first).unwrap_or(usize::MAX).min(part.entries.len());
        if let Some(before) = skip.checked_sub(1).and_then(|last| part.entries.get(last)) {
            part.term_before = before.term;
        }
        part.entries.drain(..skip);
        part.first += skip as u64;
        let wanted = match self.upto {
            Upto::Latest => part.entries.len(),
            Upto::Index(upto) => usize::try_from((upto + 1).saturating_sub(part.first)).unwrap_or(usize::MAX),
            Upto::Time(time) => {
                let later = |entry: &Entry| entry.command.is_some() && entry.time >= time;
                part.entries.iter().position(later).unwrap_or(part.entries.len())
            }
        };
        let more = wanted >= part.entries.len();
        part.entries.truncate(wanted);
        Some(Ok((part, more)))
    }
}
