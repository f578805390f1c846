//! Full disks, deleted segments, and what counts as live.

use ferrymq_journal::{AppendError, ReadError};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{
    Opened, SEGMENT_BYTES, THIRD, append, begin, open, put, put_all, record, segment_numbers, try_append, wait_until,
};

#[test]
fn what_a_full_disk_has_no_space_for_waits_and_goes_on_by_itself() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    // One segment more than there is, which was allocated ahead; none after that.
    disk.set_capacity(Some(2 * SEGMENT_BYTES));
    let kept = put_all(&journal, 0..5);
    put(&journal, 5, 200);
    wait_until(|| journal.is_short_of_space());
    // What still fits goes.
    let small = put(&journal, 6, 10);
    let (_, large) = begin(&journal, vec![record(7, 20), record(8, THIRD)]).unwrap();
    let (_, behind) = begin(&journal, vec![record(9, 10)]).unwrap();
    for position in kept.iter().chain([&small]) {
        journal.read(*position).unwrap();
    }
    assert!(large.try_recv().is_err() && behind.try_recv().is_err());
    disk.set_capacity(None);
    large.recv().unwrap().unwrap();
    behind.recv().unwrap().unwrap();
    wait_until(|| !journal.is_short_of_space());
    assert_eq!(open(&disk.kill()).sequences(), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_waits_for_space_is_refused_when_the_journal_is_closed() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    // One segment more than there is, which may have been allocated ahead by now; none after that.
    disk.set_capacity(Some(2 * SEGMENT_BYTES));
    put_all(&journal, 0..6);
    let (_, waits) = begin(&journal, vec![record(6, THIRD)]).unwrap();
    journal.close();
    assert!(matches!(waits.recv().unwrap(), Err(AppendError::Closed)));
    disk.set_capacity(None);
    assert_eq!(open(&disk).sequences(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn space_that_is_released_is_enough_to_go_on() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    disk.set_capacity(Some(3 * SEGMENT_BYTES));
    let mut positions = put_all(&journal, 0..9);
    let (_, waits) = begin(&journal, vec![record(9, THIRD)]).unwrap();
    journal.release_all(positions.drain(..3));
    waits.recv().unwrap().unwrap();
    put_all(&journal, 10..12);
}

#[test]
fn what_a_cut_write_left_is_written_again_whole() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed);
        let journal = open(&disk).journal;
        put(&journal, 1, 50);
        disk.cut_writes(1);
        // The mark behind the first record may be the write that is cut.
        try_append(&journal, (10..13).map(|sequence| record(sequence, 50)).collect()).unwrap();
        put(&journal, 2, 50);
        assert_eq!(open(&disk.kill()).sequences(), [1, 10, 11, 12, 2]);
    }
}

#[test]
fn segments_are_deleted_from_the_oldest_on_only() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions = put_all(&journal, 0..10);
    assert_eq!(segment_numbers(&journal), [1, 2, 3, 4]);
    journal.release_all(positions[3..9].iter().copied());
    assert_eq!(segment_numbers(&journal), [1, 2, 3, 4], "a live record lies before what is dead");
    journal.release_all(positions[..2].iter().copied());
    assert_eq!(segment_numbers(&journal), [1, 2, 3, 4]);
    journal.release(positions[2]);
    assert_eq!(segment_numbers(&journal), [4]);
    assert!(matches!(journal.read(positions[0]), Err(ReadError::Gone { segment: 1 })));
    // The segment that is appended to stays, with nothing live in it.
    journal.release(positions[9]);
    assert_eq!(segment_numbers(&journal), [4]);
}

#[test]
fn what_is_live_is_counted_by_segment() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions = append(&journal, vec![record(1, 64), record(2, 64), record(3, 62)]);
    journal.release(positions[0]);
    let uses = journal.segments();
    assert_eq!((uses[0].capacity, uses[0].bytes, uses[0].live_bytes, uses[0].live_records), (4096, 300, 200, 2));
    journal.close();
    // When it is opened all of it is live again, until its owner says otherwise.
    let uses = open(&disk).journal.segments();
    assert_eq!((uses[0].bytes, uses[0].live_bytes, uses[0].live_records), (300, 300, 3));
}

#[test]
fn a_record_may_be_released_before_it_is_on_disk() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    disk.hold_syncs();
    let (positions, outcome) = begin(&journal, vec![record(1, 10), record(2, 10)]).unwrap();
    journal.release(positions[1]);
    disk.release_syncs();
    outcome.recv().unwrap().unwrap();
    assert_eq!(journal.segments()[0].live_records, 1);
}

#[test]
fn dead_segments_are_used_again_and_never_pile_up() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    for sequence in 0..300 {
        let position = put(&journal, sequence, THIRD);
        journal.release(position);
    }
    assert_eq!(journal.current_segment(), 100);
    wait_until(|| {
        let names = ferrymq_journal::Disk::list(&disk, std::path::Path::new(crate::fixture::DIRECTORY)).unwrap();
        names.len() <= 1 + 2
    });
}

#[test]
fn a_journal_with_other_options_goes_on() {
    let disk = SimulatedDisk::new(1);
    put_all(&open(&disk).journal, 0..4);
    let options = ferrymq_journal::Options { segment_bytes: 2048, ..Default::default() };
    let Opened { journal, found } = crate::fixture::open_with(&disk, options).unwrap();
    assert_eq!(found.len(), 4);
    put_all(&journal, 4..9);
    drop(journal);
    assert_eq!(open(&disk).sequences(), (0..9).collect::<Vec<_>>());
}
