//! Looking at a journal offline.

use std::path::Path;

use ferrymq_journal::{OpenError, Report, verify};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{DIRECTORY, begin, open, path, put_all, record};

fn look_at(disk: &SimulatedDisk) -> Report {
    verify(disk, Path::new(DIRECTORY)).unwrap()
}

#[test]
fn a_whole_journal_has_no_problems() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    put_all(&journal, 0..7);
    assert!(matches!(verify(&disk, Path::new(DIRECTORY)), Err(OpenError::Locked { .. })));
    journal.close();
    let before = disk.operations();
    let report = look_at(&disk);
    assert!(report.problems.is_empty() && report.torn_tail.is_none());
    assert_eq!(report.segments.iter().map(|segment| segment.records).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(disk.operations(), before);
}

#[test]
fn all_that_is_damaged_is_told_with_its_place() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions = put_all(&journal, 0..13);
    journal.close();
    disk.flip_bit(&path(1), positions[1].offset + 50, 1);
    disk.flip_bit(&path(4), positions[9].offset + 2, 1);
    ferrymq_journal::Disk::remove(&disk, &path(3)).unwrap();
    let report = look_at(&disk);
    assert_eq!(report.problems.len(), 3, "{:?}", report.problems);
    assert!(matches!(report.problems[0], OpenError::Missing { segment: 3, .. }));
    assert!(
        matches!(report.problems[1], OpenError::Damaged { segment: 1, offset, .. } if offset == positions[1].offset)
    );
    assert!(matches!(report.problems[2], OpenError::Damaged { segment: 4, offset: 64, .. }));
    assert_eq!(report.segments.iter().map(|segment| segment.records).collect::<Vec<_>>(), [1, 3, 0, 1]);
}

#[test]
fn an_index_is_compared_with_its_segment_byte_for_byte() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    put_all(&journal, 0..7);
    journal.write_indexes().unwrap();
    journal.close();
    let report = look_at(&disk);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.indexes.iter().map(|index| (index.records, index.bytes)).collect::<Vec<_>>(), [(3, 223); 2]);
    let index = path(2).with_extension("index");
    for byte in 0..223 {
        disk.flip_bit(&index, byte, 2);
        let report = look_at(&disk);
        let problem = report.problems.first().and_then(OpenError::damage);
        assert_eq!((report.problems.len(), problem), (1, Some((&*index, byte))));
        disk.flip_bit(&index, byte, 2);
    }
    disk.cut_file(&index, 100);
    assert_eq!(look_at(&disk).problems.first().and_then(OpenError::damage), Some((&*index, 100)));
}

#[test]
fn a_torn_tail_is_no_damage() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    disk.hold_syncs();
    let (positions, _) = begin(&journal, vec![record(1, 50), record(2, 50)]).unwrap();
    disk.wait_for_held_sync();
    let disk = disk.kill();
    disk.flip_bit(&path(1), positions[0].offset + 8, 1);
    let report = look_at(&disk);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let torn = report.torn_tail.unwrap();
    assert_eq!((torn.offset, torn.end), (positions[0].offset, positions[1].offset + 36 + 52));
}
