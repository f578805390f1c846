//! How far the log of each group that this node leads is archived, and the next part of it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferrymq_archive::{Archive, ClusterRecord, Entry, Gap, LogPart, Put};
use ferrymq_replication::{Committed, Group, Machine, task};
use tokio::{sync::watch, time::Instant};

use super::{
    Archiving, ArchivingError, base,
    contact::Contact,
    figures::{ArchiveFigures, LAG_BOUNDS},
    place::{PART_BYTES, Place, last_time},
};

/// The most parts of a group's log that are written before others have their turn.
const PARTS_IN_TURN: usize = 32;
/// How long entries wait for others to be archived with them.
const GATHER: Duration = Duration::from_secs(1);
/// A base is made when so much of the log was archived since the last one, or twice as much as that had.
const BASE_AFTER_BYTES: u64 = 1 << 30;

/// Archives what this node leads.
pub(crate) struct Archiver {
    /// The cluster's name.
    cluster: String,
    most_held_bytes: u64,
    contact: Contact,
    places: Mutex<HashMap<u32, Place>>,
    /// What was counted.
    figures: Mutex<ArchiveFigures>,
    /// Changes whenever something was archived.
    changes: watch::Sender<u64>,
}

impl Archiver {
    pub(crate) fn new(settings: Archiving) -> Self {
        let Archiving { archive, cluster, most_held_bytes, most_bytes_a_second } = settings;
        Self {
            cluster,
            most_held_bytes,
            contact: Contact::new(archive, most_bytes_a_second),
            places: Mutex::default(),
            figures: Mutex::default(),
            changes: watch::channel(0).0,
        }
    }

    /// The archive, opened anew after it failed.
    pub(crate) fn archive(&self) -> Result<Archive, ArchivingError> {
        self.contact.archive()
    }

    pub(crate) fn figures(&self) -> ArchiveFigures {
        let waits = self.places().values().filter_map(|place| place.waits_since).min();
        let lag = waits.map_or(Duration::ZERO, |since| since.elapsed());
        let (failing, reached) = (self.contact.failing(), self.contact.was_reached());
        ArchiveFigures { lag, failing, reached, ..locked(&self.figures).clone() }
    }

    /// What changes whenever something was archived.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The first entry of a group that is not archived, as its leader knows.
    pub(super) fn next_of(&self, group: u32) -> Option<u64> {
        self.places().get(&group).map(|place| place.next)
    }

    pub(super) fn places(&self) -> MutexGuard<'_, HashMap<u32, Place>> {
        locked(&self.places)
    }

    /// Says whose archive it is. That it is found out at once whether anything can be written there is the point of it.
    pub(crate) async fn begin(&self, cluster_id: &str) -> bool {
        let begun = self.try_begin(cluster_id).await;
        self.contact.note(begun).is_some()
    }

    async fn try_begin(&self, cluster_id: &str) -> Result<(), ArchivingError> {
        let (cluster_id, name) = (cluster_id.to_owned(), self.cluster.clone());
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
        if !leadership.leading || self.contact.is_pausing() {
            return;
        }
        match self.try_step(group, leadership.term).await {
            // The archive was not asked for anything.
            Ok(false) => {}
            stepped => {
                self.contact.note(stepped);
            }
        }
    }

    /// Reads what is there where nothing was written for long, or something failed: that the archive is out of reach, or is
    /// there again, is to be known also where nothing is to go there.
    pub(crate) async fn look_whether_it_is_there(&self) {
        if !self.contact.is_in_doubt() || self.contact.is_pausing() {
            return;
        }
        let looked = async { Ok(self.archive()?.cluster_record().await?) }.await;
        self.contact.note(looked);
    }

    /// So much comes in this group that it is to be looked at more often.
    pub(crate) fn is_busy(&self, group: u32) -> bool {
        self.places().get(&group).is_some_and(Place::is_busy)
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
            self.contact.have_turn(bytes).await;
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
        let (place, gap_at) = Place::find(&self.archive()?, group, term).await?;
        // Another leader made it, or this node before it was started again.
        let mut figures = locked(&self.figures);
        figures.last_gap_at = figures.last_gap_at.max(gap_at);
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
    async fn over_the_gap<M: Machine>(&self, group: &Group<M>, mut place: Place) -> Result<Place, ArchivingError> {
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
        place.begin_anew(base.bytes);
        place.go_on_at(base.index + 1);
        Ok(place)
    }

    async fn new_base<M: Machine>(&self, group: &Group<M>, mut place: Place) -> Result<Place, ArchivingError> {
        let behind = base::Behind { log_from: Some(place.next), gap: None };
        let (base, _) = base::write(&self.archive()?, group, behind, |_| ()).await?;
        place.begin_anew(base.bytes);
        Ok(place)
    }

    /// So many bytes may be held.
    pub(crate) fn may_hold(&self, bytes: u64) -> bool {
        bytes <= self.most_held_bytes
    }

    /// So many bytes are held.
    pub(crate) fn note_held(&self, bytes: u64) {
        locked(&self.figures).held_bytes = bytes;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
