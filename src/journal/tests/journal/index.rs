//! The indexes of sealed segments: used where they are right, and never believed where they are not.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use ferrymq_journal::{Disk, Journal, Options, Position, ReadError, atomic_file};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{DIRECTORY, SEGMENT_BYTES, open, path, put, put_all, record, segment_numbers, wait_until};

fn index(segment: u64) -> PathBuf {
    path(segment).with_extension("index")
}

fn indexes(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.list(Path::new(DIRECTORY)).unwrap();
    names.retain(|name| name.contains(".index"));
    names.sort();
    names
}

/// A closed journal of four sealed segments with indexes, and a fifth; and where its records are.
fn indexed(disk: &SimulatedDisk, first: u64) -> Vec<Position> {
    let journal = open(disk).journal;
    let positions = put_all(&journal, first..first + 13);
    journal.write_indexes().unwrap();
    journal.close();
    positions
}

/// Opens without reading any payload.
fn heads(disk: &SimulatedDisk) -> (Journal, Vec<(u64, Position)>) {
    let mut found = Vec::new();
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::default() };
    let journal = Journal::open(Arc::new(disk.clone()), Path::new(DIRECTORY), options, &mut |head| {
        let payload = record(head.sequence, head.position.length as usize).payload.into_bytes();
        assert_eq!(head.front, &payload[..payload.len().min(32)]);
        found.push((head.sequence, head.position));
        Ok(())
    });
    (journal.unwrap(), found)
}

#[test]
fn an_index_tells_what_its_segment_does() {
    let disk = SimulatedDisk::new(1);
    let positions = indexed(&disk, 0);
    assert_eq!(indexes(&disk).len(), 4);
    let expected: Vec<_> = (0..).zip(positions.iter().copied()).collect();
    // Nothing of a sealed segment is read but its header and that of its last record.
    assert!(disk.flip_bit(&path(2), positions[3].offset + 100, 1));
    let (journal, found) = heads(&disk);
    assert_eq!(found, expected);
    let sealed = &journal.segments()[1];
    assert_eq!((sealed.live_records, sealed.live_bytes, sealed.bytes), (3, 3 * 1336, 3 * 1336));
    // The damage shows when the record is read.
    assert!(matches!(journal.read(positions[3]), Err(ReadError::Damaged { segment: 2, .. })));
    assert_eq!(journal.read(positions[4]).unwrap(), record(4, 1300).payload.into_bytes());
}

#[test]
fn a_damaged_or_missing_index_costs_a_scan_and_is_written_anew() {
    let disk = SimulatedDisk::new(1);
    let positions = indexed(&disk, 0);
    let expected: Vec<_> = (0..).zip(positions).collect();
    let whole = atomic_file::read(&disk, &index(2)).unwrap();
    let check = |what: &str| {
        let (journal, found) = heads(&disk);
        assert_eq!(found, expected, "{what}");
        journal.write_indexes().unwrap();
        journal.close();
        assert_eq!(atomic_file::read(&disk, &index(2)).unwrap(), whole, "{what}");
    };
    for byte in 0..whole.len() as u64 {
        assert!(disk.flip_bit(&index(2), byte, 3));
        check(&format!("byte {byte}"));
    }
    for length in [0, 11, 63, 64, whole.len() as u64 - 1] {
        assert!(disk.cut_file(&index(2), length));
        check(&format!("cut to {length}"));
    }
    disk.remove(&index(2)).unwrap();
    check("removed");
}

#[test]
fn the_index_of_another_segment_of_that_number_is_not_believed() {
    let (disk, other) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let positions = indexed(&disk, 0);
    assert_eq!(indexed(&other, 100), positions);
    for segment in 1..=4 {
        let foreign = atomic_file::read(&other, &index(segment)).unwrap();
        disk.create(&index(segment)).unwrap().write_at(&foreign, 0).unwrap();
    }
    assert_eq!(heads(&disk).1, (0..).zip(positions).collect::<Vec<_>>());
}

#[test]
fn an_index_goes_with_its_segment() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions = put_all(&journal, 0..7);
    journal.write_indexes().unwrap();
    assert_eq!(indexes(&disk).len(), 2);
    journal.release_all(positions[..3].iter().copied());
    assert_eq!(segment_numbers(&journal), [2, 3]);
    wait_until(|| indexes(&disk).len() == 1);
    journal.close();
    // One that a crash left alone.
    for left in [index(1), index(2).with_extension("index.tmp")] {
        disk.create(&left).unwrap().write_at(b"left", 0).unwrap();
    }
    let (journal, _) = heads(&disk);
    assert_eq!(indexes(&disk).len(), 1);
    drop(journal);
}

#[test]
fn damage_is_found_when_a_segment_is_indexed() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions = put_all(&journal, 0..4);
    assert!(disk.flip_bit(&path(1), positions[1].offset + 700, 1));
    let (tell, told) = mpsc::channel();
    journal.on_damage(move |error| tell.send(error.to_string()).unwrap());
    let found = journal.write_indexes().unwrap_err();
    assert!(matches!(found, ReadError::Damaged { segment: 1, offset, .. } if offset == positions[1].offset), "{found}");
    assert_eq!(told.recv().unwrap(), found.to_string());
    assert_eq!(journal.read(positions[1]).unwrap_err().to_string(), told.recv().unwrap());
    assert_eq!(indexes(&disk), Vec::<String>::new());
}

#[test]
fn a_full_disk_keeps_an_index_from_being_written_and_nothing_else() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    put_all(&journal, 0..4);
    disk.cut_writes(1);
    journal.write_indexes().unwrap();
    assert_eq!(indexes(&disk), Vec::<String>::new());
    put(&journal, 4, 100);
    journal.close();
    assert_eq!(heads(&disk).1.len(), 5);
}
