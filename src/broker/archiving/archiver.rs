//! How far the log of each group that this node leads is archived, and the next part of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferrymq_archive::{Archive, ClusterRecord, Entry, LogPart, Put};
use ferrymq_replication::{Committed, Group, Machine, task};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Archiving, ArchivingError, base, figures::ArchiveFigures, figures::LAG_BOUNDS};

/// Bytes of a part of the log, before it is compressed. A part is read by whichever thread is idle, and the allocator keeps
/// for each of them what it needed for that: large parts take many times their size of memory.
const PART_BYTES: usize = 2 << 20;
/// The most parts of a group's log that are written before others have their turn.
const PARTS_IN_TURN: usize = 32;
/// How long entries wait for others to be archived with them.
const GATHER: Duration = Duration::from_secs(1);
/// A base is made when so much of the log was archived since the last one, or twice as much as that had.
const BASE_AFTER_BYTES: u64 = 1 << 30;
/// How long nothing is tried after something failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Archives what this node leads.
pub(crate) struct Archiver {
    settings: Archiving,
    /// As it was opened last; none after it failed.
    open: Mutex<Option<Archive>>,
    places: Mutex<HashMap<u32, Place>>,
    figures: Mutex<ArchiveFigures>,
    /// Nothing is written before.
    next_write: Mutex<Instant>,
    /// Changes whenever something was archived.
    changes: watch::Sender<u64>,
}

/// How far a group's log is archived, as its leader of this term found and made it.
#[derive(Debug, Clone)]
struct Place {
    term: u64,
    /// Index of the first entry that is not archived.
    next: u64,
    /// What was confirmed before this time is archived, in milliseconds since 1970; 0 where that is not known.
    until: u64,
    /// Since when something waits.
    waits_since: Option<Instant>,
    /// Bytes archived since the last base.
    since_base: u64,
    /// Bytes of the last base.
    base_bytes: u64,
    /// Others know that it is archived up to here.
    told: u64,
}

impl Archiver {
    pub(crate) fn new(settings: Archiving) -> Self {
        Self {
            settings,
            open: Mutex::default(),
            places: Mutex::default(),
            figures: Mutex::default(),
            next_write: Mutex::new(Instant::now()),
            changes: watch::channel(0).0,
        }
    }

    /// The archive, opened anew after it failed.
    pub(crate) fn archive(&self) -> Result<Archive, ArchivingError> {
        let mut open = locked(&self.open);
        if let Some(archive) = &*open {
            return Ok(archive.clone());
        }
        let archive = self.settings.archive.open().map_err(ArchivingError::Open)?;
        Ok(open.insert(archive).clone())
    }

    pub(crate) fn figures(&self) -> ArchiveFigures {
        let waits = self.places().values().filter_map(|place| place.waits_since).min();
        let lag = waits.map_or(Duration::ZERO, |since| since.elapsed());
        ArchiveFigures { lag, ..locked(&self.figures).clone() }
    }

    /// The first entry of a group that is not archived, as its leader knows.
    fn next_of(&self, group: u32) -> Option<u64> {
        self.places().get(&group).map(|place| place.next)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<u32, Place>> {
        locked(&self.places)
    }

    /// Says whose archive it is. That it is found out at once whether anything can be written there is the point of it.
    pub(crate) async fn begin(&self, cluster_id: &str) -> bool {
        let begun = self.try_begin(cluster_id).await;
        self.note(begun).is_some()
    }

    async fn try_begin(&self, cluster_id: &str) -> Result<(), ArchivingError> {
        let (cluster_id, name) = (cluster_id.to_owned(), self.settings.cluster.clone());
        let record = ClusterRecord { cluster_id, name, began_at: task::time_of_day() };
        let archive = self.archive()?;
        let there = archive.put_cluster(&record).await?;
        if there.cluster_id == record.cluster_id {
            return Ok(());
        }
        Err(ArchivingError::Open(format!(
            "folder {} of {} is the archive of another cluster, {}",
            archive.cluster(),
            archive.destination().place(),
            there.cluster_id
        )))
    }

    /// Archives what is to be archived of a group that this node leads; gives the first entry that is not.
    pub(crate) async fn step<M: Machine>(&self, group: &Group<M>) {
        let leadership = *group.leadership().borrow();
        if !leadership.leading || Instant::now() < *locked(&self.next_write) && self.is_failing() {
            return;
        }
        let stepped = self.try_step(group, leadership.term).await;
        self.note(stepped);
    }

    fn is_failing(&self) -> bool {
        locked(&self.figures).failing.is_some()
    }

    /// All of these groups, which this node leads, were looked at.
    pub(crate) fn looked_at(&self, led: &[u32]) {
        let places = self.places();
        let until = led.iter().map(|group| places.get(group).map_or(0, |place| place.until)).min();
        drop(places);
        let mut figures = locked(&self.figures);
        figures.archived_until = Some(until.unwrap_or_else(task::time_of_day));
    }

    /// Groups that this node leads no more are as far as their leaders say.
    pub(crate) fn keep_only(&self, led: &[u32]) {
        self.places().retain(|group, _| led.contains(group));
    }

    /// What others do not know yet of how far is archived; or all, where `all`.
    pub(crate) fn to_tell(&self, all: bool) -> Vec<(u32, u64)> {
        let mut places = self.places();
        let news = places.iter_mut().filter(|(_, place)| all || place.told != place.next);
        news.map(|(group, place)| {
            place.told = place.next;
            (*group, place.next)
        })
        .collect()
    }

    async fn try_step<M: Machine>(&self, group: &Group<M>, term: u64) -> Result<(), ArchivingError> {
        let id = group.id();
        let known = self.places().get(&id).filter(|place| place.term == term).cloned();
        let mut place = match known {
            Some(place) => place,
            None => self.find(id, term).await?,
        };
        group.hold_from(place.next).await?;
        for _ in 0..PARTS_IN_TURN {
            let now = task::time_of_day();
            if group.view().applied < place.next {
                (place.waits_since, place.until) = (None, now);
                break;
            }
            let waits_since = *place.waits_since.get_or_insert_with(Instant::now);
            self.keep(id, &place);
            // Looked at before it is read: what is not archived yet would be read in vain, again and again.
            let waits_long = waits_since.elapsed() >= GATHER;
            if !waits_long && group.committed_bytes(place.next, PART_BYTES).await? * 2 < PART_BYTES {
                break;
            }
            let found = group.committed(place.next, PART_BYTES).await?;
            let bytes: u64 =
                found.entries.iter().map(|entry| entry.command.as_ref().map_or(32, |it| it.len() as u64)).sum();
            if found.first > place.next {
                place = self.over_the_gap(group, place).await?;
                continue;
            }
            if found.entries.is_empty() {
                break;
            }
            self.have_turn(bytes).await;
            // Whatever was confirmed before then was taken by the leader before the last of these.
            let last = found.entries.iter().rev().find(|entry| entry.command.is_some()).map_or(0, |entry| entry.time);
            place.next = self.put(id, found).await?;
            place.until = place.until.max(last);
            place.waits_since = None;
            place.since_base += bytes;
            group.hold_from(place.next).await?;
            self.keep(id, &place);
            if place.since_base >= BASE_AFTER_BYTES.max(2 * place.base_bytes) {
                place = self.new_base(group, place).await?;
            }
        }
        self.keep(id, &place);
        Ok(())
    }

    fn keep(&self, group: u32, place: &Place) {
        self.places().insert(group, place.clone());
        self.changes.send_modify(|count| *count += 1);
    }

    /// Where the archive of a group ends.
    async fn find(&self, group: u32, term: u64) -> Result<Place, ArchivingError> {
        let archive = self.archive()?;
        let mut place =
            Place { term, next: 0, until: 0, waits_since: None, since_base: 0, base_bytes: 0, told: u64::MAX };
        if let Some(id) = archive.bases(group).await?.last() {
            let base = archive.base(group, id).await?;
            place.base_bytes = base.bytes;
            place.next = base.log_from;
            if base.gap_from.is_some() {
                // Another leader made it, or this node before it was started again.
                let mut figures = locked(&self.figures);
                figures.last_gap_at = figures.last_gap_at.max(Some(base.complete_at));
            }
        }
        if let Some(first) = archive.log_from(group, place.next).await?.last() {
            place.next = archive.log_part(group, *first).await?.next();
        }
        Ok(place)
    }

    /// Writes a part; gives the index of what comes next.
    async fn put(&self, group: u32, found: Committed) -> Result<u64, ArchivingError> {
        let archive = self.archive()?;
        let entries: Vec<Entry> = found
            .entries
            .into_iter()
            .map(|entry| Entry { term: entry.term, time: entry.time, command: entry.command })
            .collect();
        let oldest = entries.iter().find(|entry| entry.command.is_some()).map(|entry| entry.time);
        let part = LogPart { group, first: found.first, term_before: found.term_before, entries };
        let (first, next) = (part.first, part.next());
        let bytes = part.entries.iter().map(LogPart::bytes_of).sum::<usize>() as u64;
        match archive.put_log(part).await? {
            Put::Written => {
                self.count(bytes, oldest);
                Ok(next)
            }
            // Another leader was here, or an answer was lost: what is there has the same entries, if more or fewer of them.
            Put::Exists => Ok(archive.log_part(group, first).await?.next()),
        }
    }

    fn count(&self, bytes: u64, oldest: Option<u64>) {
        let waited = oldest.map_or(0, |time| task::time_of_day().saturating_sub(time));
        let bucket = LAG_BOUNDS.iter().position(|bound| waited <= *bound).unwrap_or(LAG_BOUNDS.len());
        let mut figures = locked(&self.figures);
        figures.bytes += bytes;
        figures.parts += 1;
        figures.lag_sum += Duration::from_millis(waited);
        if let Some(count) = figures.lags.get_mut(bucket) {
            *count += 1;
        }
    }

    /// What comes next is gone from here: a base is made, behind which the log goes on.
    async fn over_the_gap<M: Machine>(&self, group: &Group<M>, place: Place) -> Result<Place, ArchivingError> {
        // Where nothing was archived yet there is no gap in anything.
        let gap_from = (place.next > 0).then_some(place.next);
        let behind = base::Behind { log_from: None, gap_from };
        let (base, _) = base::write(&self.archive()?, group, behind, |_| ()).await?;
        if base.gap_from.is_some() {
            let mut figures = locked(&self.figures);
            figures.gaps += 1;
            figures.last_gap_at = Some(task::time_of_day());
            tracing::warn!(shard = group.id(), from = place.next, to = base.index, "the archive has a gap");
        }
        Ok(Place { next: base.index + 1, since_base: 0, base_bytes: base.bytes, ..place })
    }

    async fn new_base<M: Machine>(&self, group: &Group<M>, place: Place) -> Result<Place, ArchivingError> {
        let behind = base::Behind { log_from: Some(place.next), gap_from: None };
        let (base, _) = base::write(&self.archive()?, group, behind, |_| ()).await?;
        Ok(Place { since_base: 0, base_bytes: base.bytes, ..place })
    }

    /// Makes a base for a backup. Gives it when the log is archived to where the backup ends in this group, with the index of
    /// that entry and the digest of the state after it.
    pub(super) async fn base_for_backup<M: Machine>(
        &self,
        group: &Group<M>,
        progress: impl Fn(u64),
    ) -> Result<(ferrymq_archive::Base, u64, String), ArchivingError> {
        let id = group.id();
        let log_from = self.archived(group, |_| true).await?;
        let behind = base::Behind { log_from: Some(log_from), gap_from: None };
        let (base, digest) = base::write(&self.archive()?, group, behind, progress).await?;
        // Where nothing came meanwhile, the state is that of the base.
        let unchanged = base.complete_from == base.index;
        let (upto, digest) = if unchanged { (base.index, digest) } else { base::digest(group).await? };
        self.archived(group, |next| next > upto).await?;
        if let Some(place) = self.places().get_mut(&id) {
            (place.since_base, place.base_bytes) = (0, base.bytes);
        }
        Ok((base, upto, digest))
    }

    /// Waits until a group that this node leads is archived so far, and gives how far it is.
    async fn archived<M: Machine>(
        &self,
        group: &Group<M>,
        enough: impl Fn(u64) -> bool,
    ) -> Result<u64, ArchivingError> {
        let (mut changes, mut leadership) = (self.changes.subscribe(), group.leadership());
        let not_leader = || ArchivingError::NotLeader(group.id());
        loop {
            changes.borrow_and_update();
            if !leadership.borrow_and_update().leading {
                return Err(not_leader());
            }
            if let Some(next) = self.next_of(group.id()).filter(|next| enough(*next)) {
                return Ok(next);
            }
            let changed = tokio::select! {
                changed = changes.changed() => changed,
                changed = leadership.changed() => changed,
            };
            changed.map_err(|_| not_leader())?;
        }
    }

    /// Waits until so many bytes may go to the archive.
    async fn have_turn(&self, bytes: u64) {
        let Some(rate) = self.settings.most_bytes_a_second else { return };
        let turn = {
            let mut next = locked(&self.next_write);
            let turn = (*next).max(Instant::now());
            *next = turn + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            turn
        };
        sleep_until(turn).await;
    }

    /// Bytes that are held may not be more than were allowed: gives whether they are.
    pub(crate) fn holds_too_much(&self, held: &BTreeMap<u32, u64>) -> bool {
        let bytes = held.values().sum();
        locked(&self.figures).held_bytes = bytes;
        bytes > self.settings.most_held_bytes
    }

    fn note<T>(&self, result: Result<T, ArchivingError>) -> Option<T> {
        let mut figures = locked(&self.figures);
        match result {
            Ok(done) => {
                if figures.failing.take().is_some() {
                    tracing::info!("the archive takes what is written again");
                }
                figures.reached = true;
                Some(done)
            }
            Err(ArchivingError::NotLeader(_)) => None,
            Err(error) => {
                let sentence = error.to_string();
                if figures.failing.as_ref().is_none_or(|(before, _)| *before != sentence) {
                    tracing::warn!(error = sentence, "not archived");
                }
                let since = figures.failing.take().map_or_else(task::time_of_day, |(_, since)| since);
                figures.failing = Some((sentence, since));
                drop(figures);
                *locked(&self.open) = None;
                let mut next = locked(&self.next_write);
                *next = (*next).max(Instant::now() + PAUSE);
                None
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
