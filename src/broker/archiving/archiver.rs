//! How far the log of each group that this node leads is archived, and the next part of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferrymq_archive::{Archive, ClusterRecord, Entry, Gap, LogPart, Put};
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
/// How long a group is looked at more often after it had enough for a part.
const BUSY: Duration = Duration::from_secs(1);
/// How long nothing is asked of an archive for which there is nothing.
const QUIET: Duration = Duration::from_secs(30);

/// Archives what this node leads.
pub(crate) struct Archiver {
    settings: Archiving,
    /// As it was opened last; none after it failed.
    open: Mutex<Option<Archive>>,
    places: Mutex<HashMap<u32, Place>>,
    figures: Mutex<ArchiveFigures>,
    /// Nothing is written before.
    next_write: Mutex<Instant>,
    /// When the archive did last what was asked of it.
    reached_at: Mutex<Option<Instant>>,
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
    /// Bytes that wait, as far as they were counted, and the first entry that was not.
    waiting: (usize, u64),
    /// When there was last enough for a part.
    full_at: Option<Instant>,
    /// Bytes archived since the last base.
    since_base: u64,
    /// Bytes of the last base.
    base_bytes: u64,
    /// Others know that it is archived up to here.
    told: u64,
}

impl Place {
    /// All before this entry is archived.
    fn go_on_at(&mut self, next: u64) {
        (self.next, self.waits_since, self.waiting) = (next, None, (0, next));
    }

    /// Enough waits for a part of its own.
    fn has_enough<M: Machine>(&mut self, group: &Group<M>) -> bool {
        const ENOUGH: usize = PART_BYTES / 2;
        let (bytes, next) = self.waiting;
        if bytes < ENOUGH {
            let (more, next) = group.committed_bytes(next, ENOUGH - bytes);
            self.waiting = (bytes + more, next);
        }
        self.waiting.0 >= ENOUGH
    }
}

/// When the last command among these entries was taken, by their times; those that are no commands have none.
fn last_time(times: impl DoubleEndedIterator<Item = u64>) -> u64 {
    times.rev().find(|time| *time > 0).unwrap_or(0)
}

impl Archiver {
    pub(crate) fn new(settings: Archiving) -> Self {
        Self {
            settings,
            open: Mutex::default(),
            places: Mutex::default(),
            figures: Mutex::default(),
            next_write: Mutex::new(Instant::now()),
            reached_at: Mutex::default(),
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

    /// Archives what is to be archived of a group that this node leads.
    pub(crate) async fn step<M: Machine>(&self, group: &Group<M>) {
        let leadership = *group.leadership().borrow();
        if !leadership.leading || self.is_pausing() {
            return;
        }
        match self.try_step(group, leadership.term).await {
            // The archive was not asked for anything.
            Ok(false) => {}
            stepped => {
                self.note(stepped);
            }
        }
    }

    /// Whether what is there is read now and then where nothing is written for long: that the archive is out of reach is to
    /// be known before something is to go there.
    pub(crate) async fn look_whether_it_is_there(&self) {
        let reached = *locked(&self.reached_at);
        let is_quiet = reached.is_none_or(|at| at.elapsed() >= QUIET);
        if !is_quiet && !self.is_failing() || self.is_pausing() {
            return;
        }
        let looked = async { Ok(self.archive()?.cluster_record().await?) }.await;
        self.note(looked);
    }

    fn is_failing(&self) -> bool {
        locked(&self.figures).failing.is_some()
    }

    fn is_pausing(&self) -> bool {
        self.is_failing() && Instant::now() < *locked(&self.next_write)
    }

    /// So much comes in this group that it is to be looked at more often.
    pub(crate) fn is_busy(&self, group: u32) -> bool {
        let full_at = self.places().get(&group).and_then(|place| place.full_at);
        full_at.is_some_and(|at| at.elapsed() < BUSY)
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

    /// Gives whether the archive did anything.
    async fn try_step<M: Machine>(&self, group: &Group<M>, term: u64) -> Result<bool, ArchivingError> {
        let id = group.id();
        let known = self.places().get(&id).filter(|place| place.term == term).cloned();
        let mut reached = known.is_none();
        let mut place = match known {
            Some(place) => place,
            None => self.find(id, term).await?,
        };
        group.hold_from(place.next).await?;
        for _ in 0..PARTS_IN_TURN {
            let now = task::time_of_day();
            if group.applied() < place.next {
                (place.waits_since, place.until) = (None, now);
                break;
            }
            let waits_since = *place.waits_since.get_or_insert_with(Instant::now);
            // Looked at before it is read: what is not archived yet would be read in vain, again and again.
            let is_full = place.has_enough(group);
            if is_full {
                place.full_at = Some(Instant::now());
            }
            self.keep(id, &place);
            if !is_full && waits_since.elapsed() < GATHER {
                break;
            }
            let found = group.committed(place.next, PART_BYTES).await?;
            let bytes: u64 =
                found.entries.iter().map(|entry| entry.command.as_ref().map_or(32, |it| it.len() as u64)).sum();
            if found.first > place.next {
                place = self.over_the_gap(group, place).await?;
                reached = true;
                continue;
            }
            if found.entries.is_empty() {
                break;
            }
            self.have_turn(bytes).await;
            reached = true;
            // Whatever was confirmed before then was taken by the leader before the last of these.
            let last = last_time(found.entries.iter().map(|entry| entry.time));
            place.go_on_at(self.put(id, found).await?);
            place.until = place.until.max(last);
            place.since_base += bytes;
            group.hold_from(place.next).await?;
            self.keep(id, &place);
            if place.since_base >= BASE_AFTER_BYTES.max(2 * place.base_bytes) {
                place = self.new_base(group, place).await?;
            }
        }
        self.keep(id, &place);
        Ok(reached)
    }

    fn keep(&self, group: u32, place: &Place) {
        self.places().insert(group, place.clone());
        self.changes.send_modify(|count| *count += 1);
    }

    /// Where the archive of a group ends.
    async fn find(&self, group: u32, term: u64) -> Result<Place, ArchivingError> {
        let archive = self.archive()?;
        let mut place = Place {
            term,
            next: 0,
            until: 0,
            waits_since: None,
            waiting: (0, 0),
            full_at: None,
            since_base: 0,
            base_bytes: 0,
            told: u64::MAX,
        };
        if let Some(id) = archive.bases(group).await?.last() {
            let base = archive.base(group, id).await?;
            place.base_bytes = base.bytes;
            place.go_on_at(base.log_from);
            if base.gap.is_some() {
                // Another leader made it, or this node before it was started again.
                let mut figures = locked(&self.figures);
                figures.last_gap_at = figures.last_gap_at.max(Some(base.complete_at));
            }
        }
        if let Some(first) = archive.log_from(group, place.next).await?.last() {
            let part = archive.log_part(group, *first).await?;
            place.go_on_at(part.next());
            place.until = last_time(part.entries.iter().map(|entry| entry.time));
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
        let gap = (place.next > 0).then_some(Gap { from: place.next, complete_until: place.until });
        let behind = base::Behind { log_from: None, gap };
        let (base, _) = base::write(&self.archive()?, group, behind, |_| ()).await?;
        if base.gap.is_some() {
            let mut figures = locked(&self.figures);
            figures.gaps += 1;
            figures.last_gap_at = Some(task::time_of_day());
            tracing::warn!(shard = group.id(), from = place.next, to = base.index, "the archive has a gap");
        }
        let mut place = Place { since_base: 0, base_bytes: base.bytes, ..place };
        place.go_on_at(base.index + 1);
        Ok(place)
    }

    async fn new_base<M: Machine>(&self, group: &Group<M>, place: Place) -> Result<Place, ArchivingError> {
        let behind = base::Behind { log_from: Some(place.next), gap: None };
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
        if let Some(base) = self.unchanged(group, log_from).await? {
            let (upto, digest) = base::digest(group).await?;
            self.archived(group, |next| next > upto).await?;
            return Ok((base, upto, digest));
        }
        let behind = base::Behind { log_from: Some(log_from), gap: None };
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

    /// The last base, where nothing came since.
    async fn unchanged<M: Machine>(
        &self,
        group: &Group<M>,
        log_ends: u64,
    ) -> Result<Option<ferrymq_archive::Base>, ArchivingError> {
        if group.applied() >= log_ends {
            return Ok(None);
        }
        let archive = self.archive()?;
        let Some(last) = archive.bases(group.id()).await?.pop() else { return Ok(None) };
        let base = archive.base(group.id(), &last).await?;
        Ok(Some(base).filter(|base| base.index + 1 == log_ends && base.is_whole(log_ends)))
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
                *locked(&self.reached_at) = Some(Instant::now());
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
