//! A journal with small segments, and what was found in it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use ferrymq_journal::{AppendError, Journal, OpenError, Options, Position, ReadError, Record, RecordHead};
use ferrymq_testkit::SimulatedDisk;

pub(crate) const DIRECTORY: &str = "/data/journal";
pub(crate) const SEGMENT_BYTES: u64 = 4096;
/// Three of these fill a segment.
pub(crate) const THIRD: usize = 1300;

pub(crate) type Outcome = mpsc::Receiver<Result<(), AppendError>>;

pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) found: Vec<(Position, Record)>,
}

impl Opened {
    pub(crate) fn sequences(&self) -> Vec<u64> {
        self.found.iter().map(|(_, record)| record.sequence).collect()
    }
}

pub(crate) fn open(disk: &SimulatedDisk) -> Opened {
    try_open(disk).unwrap()
}

pub(crate) fn try_open(disk: &SimulatedDisk) -> Result<Opened, OpenError> {
    open_with(disk, Options { segment_bytes: SEGMENT_BYTES, ..Options::default() })
}

pub(crate) fn open_with(disk: &SimulatedDisk, options: Options) -> Result<Opened, OpenError> {
    let mut found = Vec::new();
    let journal = Journal::open(Arc::new(disk.clone()), Path::new(DIRECTORY), options, &mut |head| {
        let RecordHead { stream, kind, sequence, position, front } = head;
        found.push((position, Record { stream, kind, sequence, payload: front.to_vec().into() }));
        Ok(())
    })?;
    for (position, record) in &mut found {
        let payload = match journal.read(*position) {
            Ok(payload) => payload,
            // The power is gone by then.
            Err(ReadError::Disk { segment, source, .. }) => {
                return Err(OpenError::Disk { action: "read", path: path(segment), source });
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(record.payload, payload.slice(..payload.len().min(32)).into());
        record.payload = payload.into();
    }
    Ok(Opened { journal, found })
}

/// A record whose content follows from its sequence.
pub(crate) fn record(sequence: u64, bytes: usize) -> Record {
    let payload: Vec<u8> = (0..bytes).map(|index| (index as u64 + sequence * 7) as u8).collect();
    Record { stream: sequence % 3, kind: 1, sequence, payload: payload.into() }
}

/// Appends in one call, and gives what will tell its outcome.
pub(crate) fn begin(journal: &Journal, records: Vec<Record>) -> Result<(Vec<Position>, Outcome), AppendError> {
    let (done, outcome) = mpsc::channel();
    let positions = journal.append(records, move |result| {
        let _ = done.send(result);
    })?;
    Ok((positions, outcome))
}

/// Appends, and waits until it is on disk.
pub(crate) fn append(journal: &Journal, records: Vec<Record>) -> Vec<Position> {
    try_append(journal, records).unwrap()
}

pub(crate) fn try_append(journal: &Journal, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
    let (positions, outcome) = begin(journal, records)?;
    outcome.recv().unwrap_or(Err(AppendError::Closed))?;
    Ok(positions)
}

/// A record of this sequence and size, on disk.
pub(crate) fn put(journal: &Journal, sequence: u64, bytes: usize) -> Position {
    append(journal, vec![record(sequence, bytes)])[0]
}

/// Records that fill a third of a segment each, on disk.
pub(crate) fn put_all(journal: &Journal, sequences: Range<u64>) -> Vec<Position> {
    sequences.map(|sequence| put(journal, sequence, THIRD)).collect()
}

pub(crate) fn path(segment: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{segment:020}.journal"))
}

pub(crate) fn segment_numbers(journal: &Journal) -> Vec<u64> {
    journal.segments().iter().map(|segment| segment.segment).collect()
}

/// What the journal's own thread does in the background shows in time.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < patience, "waited too long");
        std::thread::yield_now();
    }
}
