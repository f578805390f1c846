//! The journal, as its owners see it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, JoinHandle},
};

use bytes::Bytes;

use crate::{
    AppendError, Disk, OpenError, Options, Position, ReadError, Record,
    disk::{DiskLock, Hand},
    format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION, payload_crc},
    index, layout,
    recovery::{self, failed},
    segment::{self, Contents, ReadFault, SegmentFile, Visit, WriteError},
    spares::Spares,
    state::{Entry, Segment, State, Status},
    statistics::{Counts, Statistics},
    turns::Turns,
    writer::Writer,
};

/// The number of the first segment of a new journal.
const FIRST_SEGMENT: u64 = 1;

/// One append-only journal, shared by all streams of a node. Cheap to clone; closed when the last clone goes.
#[derive(Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

/// How a segment is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentUse {
    /// Its number.
    pub segment: u64,
    /// Bytes that its file takes on disk.
    pub capacity: u64,
    /// Bytes of all records on disk in it, live or not.
    pub bytes: u64,
    /// Bytes of those that were not released.
    pub live_bytes: u64,
    /// How many were not released.
    pub live_records: u64,
}

/// Told of damage.
type OnDamage = Box<dyn Fn(&ReadError) + Send + Sync>;

/// What the journal and its threads share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) options: Options,
    pub(crate) spares: Spares,
    pub(crate) counts: Counts,
    state: Mutex<State>,
    work: Condvar,
    on_damage: OnceLock<OnDamage>,
    hand: Option<Arc<dyn Hand>>,
}

struct Handle {
    shared: Arc<Shared>,
    workers: Mutex<Option<Workers>>,
}

/// Who does the work.
enum Workers {
    Threads {
        writer: JoinHandle<()>,
        spares: JoinHandle<()>,
        /// Given back when both have ended.
        _lock: DiskLock,
    },
    Hand {
        turns: Turns,
        _lock: DiskLock,
    },
}

impl Journal {
    /// Opens the journal in a directory, which is made where it is missing, and tells `visit` the head of every record, in
    /// the order in which they were appended. Each counts as live until it is released. All of them are on disk by the time
    /// this returns, also those whose append was never acknowledged.
    ///
    /// A batch that was torn by a crash is cut off. Blocks; to be called where that is allowed.
    ///
    /// # Errors
    ///
    /// Every other damage is an error: see [`OpenError`]. A directory that cannot be read is never an empty one.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        options: Options,
        visit: &mut Visit<'_>,
    ) -> Result<Self, OpenError> {
        let options = options.within_bounds();
        disk.create_directory(directory).map_err(|source| failed("create", directory, source))?;
        let lock = lock(&*disk, directory)?;
        let recovered = recovery::recover(&*disk, directory, visit)?;
        let unusable = |source| failed("prepare spare segments in", directory, source);
        let spares =
            Spares::new(disk.clone(), directory, options.segment_bytes, &recovered.spares).map_err(unusable)?;
        let mut segments = recovered.segments;
        let (last, contents) = match segments.last() {
            Some((file, contents)) => (file.clone(), *contents),
            None => {
                let first = first_segment(&*disk, directory, &spares, &options).map_err(unusable)?;
                segments.push((first.clone(), Contents::NOTHING));
                (first, Contents::NOTHING)
            }
        };
        let segments = segments.into_iter().map(|(file, contents)| Segment::recovered(file, &contents)).collect();
        let state = State::new(segments, &last, contents.end, options.segment_bytes);
        let hand = disk.hand();
        let shared = Arc::new(Shared {
            disk,
            directory: directory.to_owned(),
            options,
            spares,
            counts: Counts::default(),
            state: Mutex::new(state),
            work: Condvar::new(),
            on_damage: OnceLock::new(),
            hand,
        });
        shared.clear_dead();
        let workers = Workers::start(&shared, Writer::new(shared.clone(), last, contents.end), lock)
            .map_err(|source| failed("start the threads of the journal in", directory, source))?;
        Ok(Self { handle: Arc::new(Handle { shared, workers: Mutex::new(Some(workers)) }) })
    }

    /// Appends records, one behind the other, and gives their positions at once. Positions rise in the order of the
    /// calls.
    ///
    /// `done` is told when they are on disk, or that they never will be, on the writer's thread and in the order of the
    /// calls: it must be quick, and must not block. It is not told where this returns an error. Without records it is
    /// told when everything appended before is on disk.
    ///
    /// Never blocks on the disk.
    ///
    /// # Errors
    ///
    /// What was not done at all. Where the disk is full, nothing fails: what was appended waits until there is space, and
    /// [`AppendError::Full`] bounds what waits.
    pub fn append(
        &self,
        records: Vec<Record>,
        done: impl FnOnce(Result<(), AppendError>) + Send + 'static,
    ) -> Result<Vec<Position>, AppendError> {
        let shared = &self.handle.shared;
        let limit = shared.options.segment_bytes - SEGMENT_HEADER_BYTES - RECORD_HEADER_BYTES;
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            let bytes = record.payload.len() as u64;
            let length = u32::try_from(bytes).ok().filter(|_| bytes <= limit);
            let length = length.ok_or(AppendError::TooLarge { bytes, limit })?;
            // Checksums are computed here, by as many threads as append, and before the lock.
            let payload_crc = payload_crc(&record.payload);
            entries.push(Entry { position: Position { segment: 0, offset: 0, length }, payload_crc, record });
        }
        let mut state = shared.lock();
        let was_idle = state.is_idle();
        let positions = state.admit(entries, shared.options.max_pending_bytes, Box::new(done))?;
        drop(state);
        // A writer that has something waiting already looks again by itself.
        if was_idle {
            shared.wake();
        }
        Ok(positions)
    }

    /// The payload of a record, whether it is on disk yet or not. Blocks for a read of the disk where it is.
    ///
    /// # Errors
    ///
    /// [`ReadError::Gone`] where the segment was deleted, [`ReadError::Damaged`] where the bytes are not those that were
    /// written.
    pub fn read(&self, position: Position) -> Result<Bytes, ReadError> {
        let Position { segment, offset, .. } = position;
        let shared = &self.handle.shared;
        let file = {
            let state = shared.lock();
            if let Some(payload) = state.pending(position) {
                drop(state);
                return Ok(payload.into_bytes());
            }
            state.segment(segment).ok_or(ReadError::Gone { segment })?.file.clone()
        };
        segment::read(&*file, position).map_err(|fault| {
            // Recycled while it was read.
            if shared.lock().segment(segment).is_none() {
                return ReadError::Gone { segment };
            }
            match fault {
                ReadFault::Mismatch(mismatch) => shared.damaged(ReadError::Damaged {
                    segment,
                    offset,
                    expected: mismatch.expected,
                    found: mismatch.found,
                    path: layout::segment_path(&shared.directory, segment),
                }),
                ReadFault::Disk(source) => ReadError::Disk { segment, offset, source },
            }
        })
    }

    /// From now on `tell` is told of damage that is found in a segment, before whoever found it is: an owner must end then,
    /// and not serve from what is left. Only the first call counts.
    ///
    /// Called on the thread that read.
    pub fn on_damage(&self, tell: impl Fn(&ReadError) + Send + Sync + 'static) {
        // Only the first: what an earlier caller relies on stays.
        let _ = self.handle.shared.on_damage.set(Box::new(tell));
    }

    /// Says that a record is dead: once for each, and never for one whose append failed. A segment is deleted when
    /// neither it nor any before it has a live record.
    pub fn release(&self, position: Position) {
        self.release_all([position]);
    }

    /// Says that these records are dead; see [`Journal::release`].
    pub fn release_all(&self, positions: impl IntoIterator<Item = Position>) {
        let shared = &self.handle.shared;
        let mut state = shared.lock();
        positions.into_iter().for_each(|position| state.release(position));
        drop(state);
        shared.clear_dead();
    }

    /// Writes the indexes of segments that were sealed and have none, so that opening reads these and not the segments.
    /// To be called every few seconds, where blocking is allowed: it reads those segments once, and so proves that what
    /// was written is there. A segment that is dead by then is left out.
    ///
    /// # Errors
    ///
    /// [`ReadError`] where a segment is not what was written. An index that cannot be written is none: opening then takes
    /// longer.
    pub fn write_indexes(&self) -> Result<(), ReadError> {
        let shared = &self.handle.shared;
        loop {
            let Some((file, end)) = shared.lock().take_unindexed() else { return Ok(()) };
            let segment = file.number;
            let built = index::build(&file, end);
            // Recycled while it was read.
            if shared.lock().segment(segment).is_none() {
                continue;
            }
            let built = built.map_err(|error| shared.damaged(ReadError::of_segment(segment, error)));
            let Some(bytes) = built? else { continue };
            let (disk, directory) = (&*shared.disk, &shared.directory);
            let mut written = index::write(disk, directory, segment, &bytes);
            // Removed by who recycled it, before it was there.
            if shared.lock().segment(segment).is_none() {
                written = index::remove(disk, directory, segment);
            }
            if let Err(error) = written {
                tracing::warn!(segment, %error, "the index of a segment of the journal was not written");
            }
        }
    }

    /// How each segment is used, the oldest first. The last one is being appended to.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentUse> {
        self.handle.shared.lock().uses()
    }

    /// What it has done since it was opened, and how much it holds. Takes the lock once, for as long as it takes to go
    /// through the segments.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.handle.shared.counts.read();
        for segment in self.segments() {
            statistics.segments += 1;
            statistics.capacity_bytes += segment.capacity;
            statistics.bytes += segment.bytes;
            statistics.live_bytes += segment.live_bytes;
        }
        statistics
    }

    /// The number of the segment that is being appended to. When it has risen, an owner of few small records that must
    /// not hold back old segments appends these anew, and releases the old ones.
    #[must_use]
    pub fn current_segment(&self) -> u64 {
        self.handle.shared.lock().durable().segment
    }

    /// There is no space on disk for another segment: what is left of the current one, or of a spare, is all that can be
    /// appended until there is. Time to take no more messages, while it can still be written down which are done with.
    #[must_use]
    pub fn is_short_of_space(&self) -> bool {
        self.handle.shared.spares.is_short()
    }

    /// Takes no more appends, finishes those that wait, and gives the directory back. Blocks. Does nothing the second
    /// time, nor when called by a `done`, which only stops appends.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("directory", &self.handle.shared.directory).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be work for the writer.
    pub(crate) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.work.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the segments in which nothing is live any more.
    pub(crate) fn clear_dead(&self) {
        // Handed over under the lock: two that do so at a time must not change the order.
        let mut state = self.lock();
        let dead = state.take_dead();
        if !dead.is_empty() {
            self.spares.recycle(dead);
            if let Some(hand) = &self.hand {
                hand.wake();
            }
        }
    }

    /// Tells of damage.
    fn damaged(&self, error: ReadError) -> ReadError {
        if let (ReadError::Damaged { .. }, Some(tell)) = (&error, self.on_damage.get()) {
            tell(&error);
        }
        error
    }

    /// There is something to write.
    fn wake(&self) {
        match &self.hand {
            Some(hand) => hand.wake(),
            None => self.work.notify_one(),
        }
    }

    pub(crate) fn poison(&self, error: io::Error) {
        self.lock().poison(error);
        self.wake();
    }
}

impl Workers {
    fn start(shared: &Arc<Shared>, writer: Writer, lock: DiskLock) -> io::Result<Self> {
        if let Some(hand) = &shared.hand {
            let turns = Turns::new(shared.clone(), writer);
            hand.begin(turns.clone());
            return Ok(Self::Hand { turns, _lock: lock });
        }
        let keeper = shared.clone();
        let spares = thread::Builder::new()
            .name("journal-spares".to_owned())
            .spawn(move || keeper.spares.run(|error| keeper.poison(error)))?;
        let writer = thread::Builder::new().name("journal-writer".to_owned()).spawn(move || writer.run());
        let writer = writer.inspect_err(|_| shared.spares.stop())?;
        Ok(Self::Threads { writer, spares, _lock: lock })
    }
}

impl Handle {
    fn close(&self) {
        {
            let mut state = self.shared.lock();
            if matches!(state.status, Status::Open) {
                state.status = Status::Closed;
            }
        }
        self.shared.wake();
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        // A `done` that holds the last clone drops it on the writer's thread, which cannot wait for itself.
        let is_writer = |workers: &mut Workers| match workers {
            Workers::Threads { writer, .. } => writer.thread().id() == thread::current().id(),
            Workers::Hand { .. } => false,
        };
        match workers.take_if(|workers| !is_writer(workers)) {
            Some(Workers::Threads { writer, spares, _lock }) => {
                // A panic was reported by its thread.
                let _ = writer.join();
                self.shared.spares.stop();
                let _ = spares.join();
            }
            Some(Workers::Hand { turns, _lock }) => turns.end(),
            None => {}
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// Takes the directory for this process.
pub(crate) fn lock(disk: &dyn Disk, directory: &Path) -> Result<DiskLock, OpenError> {
    let path = directory.join(layout::LOCK);
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { directory: directory.to_owned() },
        _ => failed("lock", &path, source),
    })
}

fn first_segment(disk: &dyn Disk, directory: &Path, spares: &Spares, options: &Options) -> io::Result<SegmentFile> {
    let spare = spares.make()?;
    let header =
        SegmentHeader { version: VERSION, segment: FIRST_SEGMENT, capacity: options.segment_bytes, previous_end: 0 };
    SegmentFile::make(disk, directory, &spare, header).map_err(|error| match error {
        WriteError::StorageFull => io::ErrorKind::StorageFull.into(),
        WriteError::Fatal(error) => error,
    })
}
