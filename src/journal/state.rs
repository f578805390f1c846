//! What appends, reads and the writer share, under one lock that nobody holds while the disk works.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    io,
    sync::Arc,
};

use crate::{
    AppendError, Payload, Position, Record, SegmentUse,
    format::{SEGMENT_HEADER_BYTES, record_bytes},
    segment::{Contents, SegmentFile},
};

/// Told when a call's records are on disk, or never will be.
pub(crate) type Done = Box<dyn FnOnce(Result<(), AppendError>) + Send>;

/// A record with its place.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) payload_crc: u32,
    pub(crate) record: Record,
}

/// The records of one call, in the order of their positions.
#[derive(Debug)]
pub(crate) struct Call {
    start: Tail,
    pub(crate) entries: Vec<Entry>,
}

/// What the writer takes at a time.
pub(crate) struct Batch {
    pub(crate) calls: Arc<Vec<Call>>,
    /// One for each call.
    pub(crate) done: Vec<Done>,
    bytes: u64,
}

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tail {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl From<Position> for Tail {
    fn from(position: Position) -> Self {
        Self { segment: position.segment, offset: position.offset }
    }
}

/// Whether appends are taken.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    Open,
    Closed,
    Poisoned(Arc<io::Error>),
}

/// A segment with what is live in it.
#[derive(Debug)]
pub(crate) struct Segment {
    file: SegmentFile,
    end: u64,
    live_bytes: u64,
    live_records: u64,
    /// It has an index, or none is to be written.
    indexed: bool,
}

#[derive(Debug)]
struct Waiting {
    call: Call,
    bytes: u64,
}

/// What appends, reads and the writer share.
pub(crate) struct State {
    pub(crate) status: Status,
    /// Capacity of segments to come.
    segment_bytes: u64,
    /// Where the next record goes, and how much its segment takes.
    tail: Tail,
    tail_capacity: u64,
    /// All before this is on disk.
    durable: Tail,
    waiting: VecDeque<Waiting>,
    waiting_done: VecDeque<Done>,
    in_flight: Option<Arc<Vec<Call>>>,
    /// Bytes waiting and in flight.
    pending_bytes: u64,
    segments: BTreeMap<u64, Segment>,
    /// Released before they were on disk; they are never counted as live.
    released_early: HashSet<Position>,
}

impl State {
    /// `last` is the last of the segments; it is appended to from `end` on.
    pub(crate) fn new(segments: Vec<Segment>, last: &SegmentFile, end: u64, segment_bytes: u64) -> Self {
        let tail = Tail { segment: last.number, offset: end };
        Self {
            status: Status::Open,
            segment_bytes,
            tail,
            tail_capacity: last.capacity,
            durable: tail,
            waiting: VecDeque::new(),
            waiting_done: VecDeque::new(),
            in_flight: None,
            pending_bytes: 0,
            segments: segments.into_iter().map(|segment| (segment.file.number, segment)).collect(),
            released_early: HashSet::new(),
        }
    }

    pub(crate) fn durable(&self) -> Tail {
        self.durable
    }

    /// Gives each record its place and queues the call, or takes nothing.
    pub(crate) fn admit(
        &mut self,
        mut entries: Vec<Entry>,
        limit: u64,
        done: Done,
    ) -> Result<Vec<Position>, AppendError> {
        match &self.status {
            Status::Open => {}
            Status::Closed => return Err(AppendError::Closed),
            Status::Poisoned(source) => return Err(AppendError::Poisoned { source: source.clone() }),
        }
        let bytes = entries.iter().map(|entry| record_bytes(entry.position.length)).sum::<u64>();
        // A single call that is larger than all that may wait goes alone, or it never would.
        if self.pending_bytes > 0 && self.pending_bytes + bytes > limit {
            return Err(AppendError::Full { pending: self.pending_bytes, limit });
        }
        let mut positions = Vec::with_capacity(entries.len());
        for entry in &mut entries {
            entry.position = self.place(entry.position.length);
            positions.push(entry.position);
        }
        let start = positions.first().map_or(self.tail, |first| Tail::from(*first));
        self.pending_bytes += bytes;
        self.waiting.push_back(Waiting { call: Call { start, entries }, bytes });
        self.waiting_done.push_back(done);
        Ok(positions)
    }

    fn place(&mut self, length: u32) -> Position {
        let bytes = record_bytes(length);
        if self.tail.offset + bytes > self.tail_capacity {
            self.tail = Tail { segment: self.tail.segment + 1, offset: SEGMENT_HEADER_BYTES };
            self.tail_capacity = self.segment_bytes;
        }
        let position = Position { segment: self.tail.segment, offset: self.tail.offset, length };
        self.tail.offset += bytes;
        position
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes whole calls, at least one where any waits, up to about this many bytes.
    pub(crate) fn take_batch(&mut self, max_bytes: u64) -> Batch {
        let (mut bytes, mut count) = (0, 0);
        for waiting in &self.waiting {
            if count > 0 && bytes + waiting.bytes > max_bytes {
                break;
            }
            bytes += waiting.bytes;
            count += 1;
        }
        let calls = Arc::new(self.waiting.drain(..count).map(|waiting| waiting.call).collect::<Vec<_>>());
        self.in_flight = Some(calls.clone());
        Batch { calls, done: self.waiting_done.drain(..count).collect(), bytes }
    }

    /// These records of one segment are on disk.
    pub(crate) fn synced(&mut self, entries: &[&Entry]) {
        let Some(last) = entries.last() else { return };
        self.durable = Tail { segment: last.position.segment, offset: last.position.end() };
        let Some(segment) = self.segments.get_mut(&last.position.segment) else { return };
        segment.end = last.position.end();
        for entry in entries {
            if self.released_early.is_empty() || !self.released_early.contains(&entry.position) {
                segment.live_bytes += record_bytes(entry.position.length);
                segment.live_records += 1;
            }
        }
    }

    /// The batch in flight is decided: so many of its records are on disk. Those of them whose call failed nevertheless
    /// are nobody's.
    pub(crate) fn finish(&mut self, batch: &Batch, written: usize) {
        self.in_flight = None;
        self.pending_bytes = self.pending_bytes.saturating_sub(batch.bytes);
        let mut end = 0;
        for call in &*batch.calls {
            let start = end;
            end += call.entries.len();
            let orphans = if end > written { written.saturating_sub(start) } else { 0 };
            for (index, entry) in call.entries.iter().enumerate() {
                let released = !self.released_early.is_empty() && self.released_early.remove(&entry.position);
                if index < orphans && !released {
                    self.release(entry.position);
                }
            }
        }
    }

    /// Takes no more appends, for good. The first reason stays.
    pub(crate) fn poison(&mut self, error: io::Error) -> Arc<io::Error> {
        if let Status::Poisoned(source) = &self.status {
            return source.clone();
        }
        let source = Arc::new(error);
        self.status = Status::Poisoned(source.clone());
        source
    }

    /// Voids all positions that are not on disk, and gives the calls that waited for theirs.
    pub(crate) fn void(&mut self) -> Vec<Done> {
        self.tail = self.durable;
        self.tail_capacity =
            self.segments.get(&self.durable.segment).map_or(self.segment_bytes, |segment| segment.file.capacity);
        self.waiting.clear();
        self.pending_bytes = 0;
        self.released_early.clear();
        self.waiting_done.drain(..).collect()
    }

    /// A segment was made; it is empty, and all before it is on disk.
    pub(crate) fn rotated(&mut self, file: SegmentFile) {
        self.durable = Tail { segment: file.number, offset: SEGMENT_HEADER_BYTES };
        self.segments.insert(file.number, Segment::empty(file));
    }

    /// This record is dead.
    pub(crate) fn release(&mut self, position: Position) {
        if Tail::from(position) >= self.durable {
            self.released_early.insert(position);
        } else if let Some(segment) = self.segments.get_mut(&position.segment) {
            segment.live_bytes = segment.live_bytes.saturating_sub(record_bytes(position.length));
            segment.live_records = segment.live_records.saturating_sub(1);
        }
    }

    /// Removes the segments before the first one that has anything live, and gives their files, the oldest first.
    ///
    /// Only such a prefix goes: a record that speaks of earlier ones must not go before them.
    pub(crate) fn take_dead(&mut self) -> Vec<SegmentFile> {
        let mut dead = Vec::new();
        while let Some(first) = self.segments.first_entry() {
            if *first.key() >= self.durable.segment || first.get().live_records > 0 {
                break;
            }
            dead.push(first.remove().file);
        }
        dead
    }

    /// The oldest segment that was sealed and has no index, and where it ends: gives each once, and none once closed.
    pub(crate) fn take_unindexed(&mut self) -> Option<(SegmentFile, u64)> {
        if !matches!(self.status, Status::Open) {
            return None;
        }
        let mut sealed = self.segments.range_mut(..self.durable.segment).map(|(_, segment)| segment);
        let segment = sealed.find(|segment| !segment.indexed && segment.end > SEGMENT_HEADER_BYTES)?;
        segment.indexed = true;
        Some((segment.file.clone(), segment.end))
    }

    /// The payload of a record that is not known to be on disk yet.
    pub(crate) fn pending(&self, position: Position) -> Option<Payload> {
        let at = Tail::from(position);
        let find = |call: &Call| {
            let index = call.entries.binary_search_by_key(&at, |entry| entry.position.into()).ok()?;
            call.entries.get(index).filter(|entry| entry.position == position).map(|entry| entry.record.payload.clone())
        };
        let waiting = self.waiting.partition_point(|waiting| waiting.call.start <= at).checked_sub(1);
        if let Some(payload) = waiting.and_then(|index| find(&self.waiting.get(index)?.call)) {
            return Some(payload);
        }
        let calls = self.in_flight.as_ref()?;
        let index = calls.partition_point(|call| call.start <= at).checked_sub(1)?;
        find(calls.get(index)?)
    }

    pub(crate) fn segment(&self, number: u64) -> Option<&SegmentFile> {
        Some(&self.segments.get(&number)?.file)
    }

    pub(crate) fn uses(&self) -> Vec<SegmentUse> {
        let uses = self.segments.values().map(|segment| SegmentUse {
            segment: segment.file.number,
            capacity: segment.file.capacity,
            bytes: segment.end.saturating_sub(SEGMENT_HEADER_BYTES),
            live_bytes: segment.live_bytes,
            live_records: segment.live_records,
        });
        uses.collect()
    }
}

impl Segment {
    fn empty(file: SegmentFile) -> Self {
        Self { file, end: SEGMENT_HEADER_BYTES, live_bytes: 0, live_records: 0, indexed: false }
    }

    /// A segment that was there; all of its records are live until they are released.
    pub(crate) fn recovered(file: SegmentFile, contents: &Contents) -> Self {
        let Contents { end, records, indexed, .. } = *contents;
        Self { file, end, live_bytes: end.saturating_sub(SEGMENT_HEADER_BYTES), live_records: records, indexed }
    }
}
