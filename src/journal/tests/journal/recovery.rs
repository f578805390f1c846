//! What opening makes of a crash, and of damage.

use std::{error::Error, path::Path, sync::Arc};

use ferrymq_journal::{Journal, OpenError, Options, RecordHead};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{DIRECTORY, THIRD, append, begin, open, path, put, put_all, record, try_open};

#[test]
fn a_torn_tail_is_cut_and_never_joins_what_is_appended_later() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    put(&journal, 1, 50);
    disk.hold_syncs();
    let (torn, _) = begin(&journal, vec![record(2, 50), record(3, 50), record(4, 50)]).unwrap();
    disk.wait_for_held_sync();
    let disk = disk.kill();
    drop(journal);
    // Of the batch that was never acknowledged the first record did not reach the disk, and the others did.
    assert!(disk.flip_bit(&path(1), torn[0].offset + 40, 3));
    let opened = open(&disk);
    assert_eq!(opened.sequences(), [1]);
    // As long as the one that was torn: what follows the torn one would follow this. Killed before there is a mark.
    disk.hold_syncs();
    let (positions, _) = begin(&opened.journal, vec![record(5, 50)]).unwrap();
    assert_eq!(positions, torn[..1]);
    disk.wait_for_held_sync();
    let disk = disk.kill();
    assert_eq!(open(&disk).sequences(), [1, 5]);
}

#[test]
fn damage_to_any_byte_that_was_acknowledged_is_refused() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions: Vec<_> = (0..3).map(|sequence| put(&journal, sequence, 21)).collect();
    // The last record is proven by the mark behind it, which closing makes last.
    journal.close();
    let mut disk = disk;
    for position in positions {
        // What pads a payload is not covered.
        for byte in 0..36 + 21 {
            assert!(disk.flip_bit(&path(1), position.offset + byte, 5));
            match try_open(&disk) {
                Err(OpenError::Damaged { segment: 1, offset, path: file, .. }) => {
                    assert_eq!((offset, file), (position.offset, path(1)));
                }
                other => panic!("byte {byte} of {position:?}: {:?}", other.map(|opened| opened.sequences())),
            }
            assert!(disk.flip_bit(&path(1), position.offset + byte, 5));
            disk = disk.kill();
        }
    }
    assert_eq!(open(&disk).sequences(), [0, 1, 2]);
}

#[test]
fn damage_in_an_earlier_segment_is_refused() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions = put_all(&journal, 0..7);
    journal.close();
    // The last record of a segment, which no record follows there.
    let last = positions[2];
    assert_eq!((last.segment, positions[3].segment), (1, 2));
    assert!(disk.flip_bit(&path(1), last.offset + 100, 0));
    let refused = try_open(&disk).map(|opened| opened.sequences()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { segment: 1, offset, .. } if offset == last.offset), "{refused}");
    let told = format!("byte {} of {}", last.offset, path(1).display());
    assert!(refused.to_string().contains(&told), "{refused}");
}

#[test]
fn damage_to_a_header_is_refused() {
    let disk = SimulatedDisk::new(1);
    put(&open(&disk).journal, 1, 1);
    for byte in 0..64 {
        let disk = disk.kill();
        assert!(disk.flip_bit(&path(1), byte, 1));
        let refused = try_open(&disk).map(|opened| opened.sequences()).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { segment: 1, offset: 0, .. }), "byte {byte}: {refused}");
        assert!(disk.flip_bit(&path(1), byte, 1));
    }
}

#[test]
fn a_segment_that_is_cut_or_missing_is_refused() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    put_all(&journal, 0..8);
    journal.close();
    assert!(disk.cut_file(&path(3), 2000));
    let cut = try_open(&disk).map(|opened| opened.sequences()).unwrap_err();
    assert!(matches!(cut, OpenError::Cut { segment: 3, found: 2000, .. }), "{cut}");
    let disk = disk.kill();
    ferrymq_journal::Disk::remove(&disk, &path(2)).unwrap();
    let missing = try_open(&disk).map(|opened| opened.sequences()).unwrap_err();
    assert!(matches!(missing, OpenError::Missing { segment: 2, .. }), "{missing}");
}

#[test]
fn a_directory_that_cannot_be_read_is_not_an_empty_one() {
    let disk = SimulatedDisk::new(1);
    put(&open(&disk).journal, 1, 1);
    disk.refuse_listing();
    assert!(matches!(try_open(&disk), Err(OpenError::Disk { action: "list", .. })));
}

#[test]
fn a_directory_that_is_open_is_refused() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    assert!(matches!(try_open(&disk), Err(OpenError::Locked { .. })));
    drop(journal);
    open(&disk);
}

#[test]
fn records_are_on_disk_once_they_were_found() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let journal = open(&disk).journal;
        // The sync fails, and the kernel takes the pages for clean; the process is restarted, and finds the record.
        disk.fail_syncs_from(1);
        let (_, outcome) = begin(&journal, vec![record(1, 2000)]).unwrap();
        outcome.recv().unwrap().unwrap_err();
        let disk = disk.kill();
        assert_eq!(open(&disk).sequences(), [1]);
        assert_eq!(open(&disk.power_loss()).sequences(), [1]);
    }
}

#[test]
fn stale_records_of_a_recycled_file_are_not_found() {
    let mut disk = SimulatedDisk::new(1);
    let mut sequence = 0;
    for round in 0..12 {
        let opened = open(&disk);
        assert!(opened.found.len() <= 3 * 5, "round {round}: {:?}", opened.sequences());
        assert!(opened.sequences().is_sorted());
        opened.journal.release_all(opened.found.iter().map(|(position, _)| *position));
        // Records of one size, so that old ones begin where new ones end.
        for _ in 0..14 {
            let position = put(&opened.journal, sequence, THIRD);
            opened.journal.release(position);
            sequence += 1;
        }
        disk = disk.kill();
    }
}

#[test]
fn an_owner_can_refuse_what_it_finds() {
    let disk = SimulatedDisk::new(1);
    let position = append(&open(&disk).journal, vec![record(1, 10)])[0];
    let refuse = &mut |_: RecordHead<'_>| Err(Box::<dyn Error + Send + Sync>::from("no such stream"));
    let refused = Journal::open(Arc::new(disk), Path::new(DIRECTORY), Options::default(), refuse).unwrap_err();
    assert!(matches!(&refused, OpenError::Refused { offset, .. } if *offset == position.offset));
    assert_eq!(refused.source().unwrap().to_string(), "no such stream");
}
