//! The one thread that writes: takes all that waits, writes it, syncs it once, and tells everyone.
//!
//! While it syncs, the next batch gathers. A lone record waits for nothing but its own sync.

use std::{io, sync::Arc, time::Instant};

use crate::{
    AppendError, Position,
    format::{ALIGNMENT, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION},
    journal::Shared,
    recovery::zero,
    segment::{SegmentFile, WriteError},
    state::{Batch, Entry, Status},
};

/// A buffer that grew beyond this for a large batch is not kept.
const KEPT_BUFFER_BYTES: usize = 16 << 20;

/// Writes what is appended.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    segment: SegmentFile,
    /// Where the last record on disk ends.
    end: u64,
    /// A write that failed may have left records before this; they must not join what is written next.
    remains_end: u64,
    buffer: Vec<u8>,
    /// What there is no space for, between two turns.
    stuck: Option<Unwritten>,
}

/// A batch, and how many of its records are on disk.
struct Unwritten {
    batch: Batch,
    written: usize,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, segment: SegmentFile, end: u64) -> Self {
        Self { shared, segment, end, remains_end: end, buffer: Vec::new(), stuck: None }
    }

    /// Writes until the journal is closed or poisoned.
    pub(crate) fn run(mut self) {
        let _guard = PoisonOnPanic(self.shared.clone());
        self.mark();
        while let Some(batch) = self.next_batch() {
            let mut unwritten = Unwritten { batch, written: 0 };
            while let Err(waits) = self.try_write(unwritten) {
                unwritten = waits;
                self.shared.spares.wait_for_space();
            }
        }
        self.refuse_waiting();
    }

    /// Writes one batch, where anything waits; gives whether more does. Waits for nothing.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(unwritten) = self.stuck.take().or_else(|| self.waiting_batch()) else {
            self.rest();
            return false;
        };
        self.stuck = self.try_write(unwritten).err();
        self.stuck.is_none()
    }

    fn waiting_batch(&self) -> Option<Unwritten> {
        let mut state = self.shared.lock();
        if matches!(state.status, Status::Poisoned(_)) || state.is_idle() {
            return None;
        }
        let batch = state.take_batch(self.shared.options.max_batch_bytes);
        Some(Unwritten { batch, written: 0 })
    }

    /// Writes a batch, and tells its calls. Gives it back where there is no space for all of it, as long as the journal is
    /// open: to whoever appends, a full disk is a slow one.
    fn try_write(&mut self, mut unwritten: Unwritten) -> Result<(), Unwritten> {
        let outcome = self.write_batch(&mut unwritten);
        if matches!(outcome, Err(WriteError::StorageFull)) && matches!(self.shared.lock().status, Status::Open) {
            return Err(unwritten);
        }
        self.finish(unwritten, outcome);
        Ok(())
    }

    /// After the last turn: writes what waits, and refuses what came too late.
    pub(crate) fn end(mut self) {
        while self.turn() {}
        if let Some(unwritten) = self.stuck.take() {
            self.finish(unwritten, Err(WriteError::StorageFull));
        }
        self.refuse_waiting();
    }

    /// Nothing waits: proves the tail, or refuses what came after the disk had failed.
    fn rest(&self) {
        let status = self.shared.lock().status.clone();
        match status {
            Status::Open if self.remains_end <= self.end => self.mark(),
            Status::Poisoned(_) => self.refuse_waiting(),
            _ => {}
        }
    }

    /// Waits for something to write; nothing once the journal is closed and all is written, or is poisoned.
    fn next_batch(&mut self) -> Option<Batch> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if state.is_idle() && matches!(state.status, Status::Open) && self.remains_end <= self.end {
            drop(state);
            self.mark();
            state = shared.lock();
        }
        loop {
            match state.status {
                Status::Poisoned(_) => return None,
                Status::Closed if state.is_idle() => return None,
                _ => {}
            }
            if !state.is_idle() {
                return Some(state.take_batch(shared.options.max_batch_bytes));
            }
            state = shared.wait(state);
        }
    }

    /// Writes and syncs the records that are not on disk yet, segment by segment.
    fn write_batch(&mut self, unwritten: &mut Unwritten) -> Result<(), WriteError> {
        let Unwritten { batch, written } = unwritten;
        let entries: Vec<_> = batch.calls.iter().flat_map(|call| &call.entries).skip(*written).collect();
        for chunk in entries.chunk_by(|one, next| one.position.segment == next.position.segment) {
            self.write_chunk(chunk)?;
            *written += chunk.len();
        }
        Ok(())
    }

    fn write_chunk(&mut self, chunk: &[&Entry]) -> Result<(), WriteError> {
        let Some(first) = chunk.first().map(|entry| entry.position) else { return Ok(()) };
        self.clear_remains()?;
        if first.segment != self.segment.number {
            self.rotate()?;
        }
        self.buffer.clear();
        for entry in chunk {
            let Position { segment, offset, length } = entry.position;
            // A segment is smaller than 4 GiB.
            let header = RecordHeader::new(&entry.record, length, entry.payload_crc, first.offset as u32);
            self.buffer.extend_from_slice(&header.encode(segment, offset));
            entry.record.payload.parts().for_each(|part| self.buffer.extend_from_slice(part));
            self.buffer.resize(self.buffer.len().next_multiple_of(ALIGNMENT as usize), 0);
        }
        if let Err(error) = self.segment.file.write_at(&self.buffer, first.offset) {
            self.remains_end = first.offset + self.buffer.len() as u64;
            return Err(WriteError::from_write(error));
        }
        let began = Instant::now();
        // An error here is final: see `DiskFile::sync_data`.
        self.segment.file.sync_data().map_err(WriteError::Fatal)?;
        self.shared.counts.synced(chunk.len(), self.buffer.len(), began.elapsed());
        self.end = first.offset + self.buffer.len() as u64;
        self.remains_end = self.end;
        self.shared.lock().synced(chunk);
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Goes on to the next segment. All of the one before is on disk, so that the header can say where it ends.
    fn rotate(&mut self) -> Result<(), WriteError> {
        let shared = &self.shared;
        let spare = shared.spares.take()?;
        let header = SegmentHeader {
            version: VERSION,
            segment: self.segment.number + 1,
            capacity: shared.options.segment_bytes,
            previous_end: self.end,
        };
        let made = SegmentFile::make(&*shared.disk, &shared.directory, &spare, header);
        self.segment = made.inspect_err(|error| {
            if matches!(error, WriteError::StorageFull) {
                shared.spares.give_back(spare);
            }
        })?;
        self.end = SEGMENT_HEADER_BYTES;
        self.remains_end = self.end;
        shared.lock().rotated(self.segment.clone());
        shared.clear_dead();
        Ok(())
    }

    /// Zeroes what a failed write left. What failed never comes back once something was appended after it.
    fn clear_remains(&mut self) -> Result<(), WriteError> {
        if self.remains_end > self.end {
            zero(&self.segment, self.end, self.remains_end).map_err(WriteError::from_write)?;
            self.segment.file.sync_data().map_err(WriteError::Fatal)?;
            self.remains_end = self.end;
        }
        Ok(())
    }

    /// Tells every call of the batch how it went.
    fn finish(&self, Unwritten { batch, written }: Unwritten, outcome: Result<(), WriteError>) {
        let mut state = self.shared.lock();
        state.finish(&batch, written);
        let failure = match outcome {
            Ok(()) => None,
            Err(WriteError::StorageFull) => Some(AppendError::Closed),
            Err(WriteError::Fatal(error)) => Some(AppendError::Poisoned { source: state.poison(error) }),
        };
        drop(state);
        let mut end = 0;
        for (call, done) in batch.calls.iter().zip(batch.done) {
            end += call.entries.len();
            match &failure {
                Some(failure) if end > written => done(Err(failure.clone())),
                _ => done(Ok(())),
            }
        }
    }

    /// Proves, for whoever opens the journal after a crash, that all up to here was on disk. It is not synced: where it
    /// is lost, only that proof is.
    fn mark(&self) {
        if self.end + RECORD_HEADER_BYTES > self.segment.capacity {
            return;
        }
        let mark = RecordHeader::mark(self.end as u32).encode(self.segment.number, self.end);
        if let Err(error) = self.segment.file.write_at(&mark, self.end) {
            tracing::debug!(%error, "cannot mark the tail of the journal");
        }
    }

    /// Once nothing more is written, refuses what came too late.
    fn refuse_waiting(&self) {
        let (waiting, status) = {
            let mut state = self.shared.lock();
            (state.void(), state.status.clone())
        };
        for done in waiting {
            done(Err(match &status {
                Status::Poisoned(source) => AppendError::Poisoned { source: source.clone() },
                _ => AppendError::Closed,
            }));
        }
        if matches!(status, Status::Closed) && self.remains_end <= self.end {
            self.mark();
            // Makes the mark last.
            if let Err(error) = self.segment.file.sync_data() {
                tracing::warn!(%error, "cannot sync the journal as it is closed; all of it that was acknowledged was synced");
            }
        }
    }
}

/// A panic of the writer, or of what it calls back, must not leave callers waiting.
struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let waiting = {
                let mut state = self.0.lock();
                state.poison(io::Error::other("the journal's writer panicked"));
                state.void()
            };
            drop(waiting);
        }
    }
}
