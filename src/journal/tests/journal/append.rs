//! Appending and reading.

use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use ferrymq_journal::{AppendError, Options, Payload, Position, ReadError, Record};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{SEGMENT_BYTES, append, begin, open, open_with, put, record, try_append};

#[test]
fn records_are_found_again_in_the_order_appended() {
    let disk = SimulatedDisk::new(1);
    let opened = open(&disk);
    assert_eq!(opened.found, []);
    let mut appended = Vec::new();
    for sequence in 0..50 {
        let records = vec![record(sequence * 2, 300), record(sequence * 2 + 1, sequence as usize)];
        appended.extend(append(&opened.journal, records.clone()).into_iter().zip(records));
    }
    assert!(opened.journal.current_segment() > 3);
    assert!(appended.is_sorted_by_key(|(position, _)| *position));
    opened.journal.close();
    assert_eq!(open(&disk).found, appended);
}

#[test]
fn appends_that_wait_share_one_sync() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    disk.hold_syncs();
    let (_, first) = begin(&journal, vec![record(0, 10)]).unwrap();
    disk.wait_for_held_sync();
    let waiting: Vec<_> = (1..=20).map(|sequence| begin(&journal, vec![record(sequence, 10)]).unwrap().1).collect();
    let before = disk.syncs();
    disk.release_syncs();
    first.recv().unwrap().unwrap();
    waiting.iter().for_each(|outcome| outcome.recv().unwrap().unwrap());
    assert_eq!(disk.syncs(), before + 1);
}

#[test]
fn a_record_is_read_at_every_stage_of_its_way_to_disk() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let on_disk = put(&journal, 0, 100);
    disk.hold_syncs();
    let (in_flight, first) = begin(&journal, vec![record(1, 100), record(2, 0)]).unwrap();
    disk.wait_for_held_sync();
    begin(&journal, Vec::new()).unwrap();
    let (waiting, second) = begin(&journal, vec![record(3, 5000 / 2), record(4, 5000 / 2)]).unwrap();
    let all: Vec<Position> = [on_disk].into_iter().chain(in_flight).chain(waiting).collect();
    let expected = [record(0, 100), record(1, 100), record(2, 0), record(3, 2500), record(4, 2500)];
    let check = || {
        for (position, record) in all.iter().zip(&expected) {
            assert_eq!(journal.read(*position).unwrap(), record.payload.clone().into_bytes());
        }
    };
    check();
    disk.release_syncs();
    first.recv().unwrap().unwrap();
    second.recv().unwrap().unwrap();
    check();
}

#[test]
fn parts_are_stored_as_one_payload() {
    let journal = open(&SimulatedDisk::new(1)).journal;
    let payload = Payload::of_parts([Bytes::from("head"), Bytes::from(vec![1; 333]), Bytes::from("tail")]);
    let whole = payload.clone().into_bytes();
    let position = append(&journal, vec![Record { stream: 1, kind: 2, sequence: 3, payload }])[0];
    assert_eq!(journal.read(position).unwrap(), whole);
}

#[test]
fn outcomes_come_in_the_order_of_the_calls() {
    let disk = SimulatedDisk::new(1);
    let opened =
        open_with(&disk, Options { segment_bytes: SEGMENT_BYTES, max_batch_bytes: 1000, ..Options::default() });
    let journal = opened.unwrap().journal;
    let order = Arc::new(Mutex::new(Vec::new()));
    for call in 0..200_u64 {
        let order = order.clone();
        // Every tenth is a barrier without records.
        let records = if call % 10 == 0 { Vec::new() } else { vec![record(call, 90)] };
        journal
            .append(records, move |outcome| {
                outcome.unwrap();
                order.lock().unwrap().push(call);
            })
            .unwrap();
    }
    append(&journal, Vec::new());
    assert_eq!(*order.lock().unwrap(), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_record_that_fits_in_no_segment_is_refused_and_the_largest_one_is_not() {
    let journal = open(&SimulatedDisk::new(1)).journal;
    let largest = SEGMENT_BYTES as usize - 100;
    assert!(matches!(
        try_append(&journal, vec![record(1, 1), record(2, largest + 1)]),
        Err(AppendError::TooLarge { bytes, limit }) if bytes == limit + 1
    ));
    let positions = append(&journal, vec![record(1, largest), record(2, largest)]);
    assert_eq!(journal.read(positions[1]).unwrap().len(), largest);
}

#[test]
fn more_than_may_wait_is_refused_and_goes_later() {
    let disk = SimulatedDisk::new(1);
    let options = Options { segment_bytes: SEGMENT_BYTES, max_pending_bytes: 1000, ..Options::default() };
    let journal = open_with(&disk, options).unwrap().journal;
    disk.hold_syncs();
    // One that is larger than all that may wait goes alone.
    let (_, first) = begin(&journal, vec![record(1, 1200)]).unwrap();
    let full = begin(&journal, vec![record(2, 10)]).unwrap_err();
    assert!(matches!(full, AppendError::Full { limit: 1000, .. }), "{full}");
    disk.release_syncs();
    first.recv().unwrap().unwrap();
    put(&journal, 2, 10);
}

#[test]
fn a_sync_that_fails_ends_all_appends() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let kept = put(&journal, 1, 10);
    disk.hold_syncs();
    disk.fail_syncs_from(1);
    let (_, in_flight) = begin(&journal, vec![record(2, 10)]).unwrap();
    disk.wait_for_held_sync();
    let (_, waiting) = begin(&journal, vec![record(3, 10)]).unwrap();
    disk.release_syncs();
    for outcome in [in_flight, waiting] {
        assert!(matches!(outcome.recv().unwrap(), Err(AppendError::Poisoned { .. })));
    }
    let syncs = disk.syncs();
    assert!(matches!(begin(&journal, vec![record(4, 10)]), Err(AppendError::Poisoned { .. })));
    assert!(journal.read(kept).is_ok());
    journal.close();
    assert_eq!(disk.syncs(), syncs, "a sync that failed was tried again");
}

#[test]
fn what_waits_is_finished_when_the_journal_is_closed() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let outcomes: Vec<_> = (0..10).map(|sequence| begin(&journal, vec![record(sequence, 10)]).unwrap().1).collect();
    journal.close();
    outcomes.iter().for_each(|outcome| outcome.try_recv().unwrap().unwrap());
    assert!(matches!(begin(&journal, Vec::new()), Err(AppendError::Closed)));
    journal.close();
    assert_eq!(open(&disk).found.len(), 10);
}

#[test]
fn the_last_clone_may_be_dropped_by_a_callback() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let (done, outcome) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let clone = journal.clone();
    journal
        .append(vec![record(1, 1)], move |_| {
            let _ = gone.recv();
            drop(clone);
            let _ = done.send(());
        })
        .unwrap();
    drop(journal);
    go.send(()).unwrap();
    outcome.recv().unwrap();
}

#[test]
fn a_position_that_was_never_given_is_no_record() {
    let journal = open(&SimulatedDisk::new(1)).journal;
    let position = put(&journal, 1, 10);
    for wrong in [
        Position { offset: position.offset + 4, ..position },
        Position { length: 11, ..position },
        Position { length: u32::MAX, ..position },
        Position { offset: u64::MAX, ..position },
    ] {
        assert!(matches!(journal.read(wrong), Err(ReadError::Damaged { .. })), "{wrong:?}");
    }
    let never = Position { segment: 7, ..position };
    assert!(matches!(journal.read(never), Err(ReadError::Gone { segment: 7 })));
}
