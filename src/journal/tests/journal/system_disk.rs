//! The same on the real disk.

use std::{sync::Arc, time::Instant};

use ferrymq_journal::{Journal, OpenError, Options, ReadOnlyDisk, SystemDisk, atomic_file, verify};

use crate::fixture::{append, put, record, segment_numbers};

#[test]
fn a_journal_on_the_real_disk_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("made/by/open");
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let open = |found: &mut Vec<u64>| {
        Journal::open(Arc::new(SystemDisk), &directory, options, &mut |head| {
            found.push(head.sequence);
            Ok(())
        })
    };
    let journal = open(&mut Vec::new()).unwrap();
    let positions: Vec<_> = (0..30).map(|sequence| put(&journal, sequence, 9000)).collect();
    assert!(matches!(open(&mut Vec::new()), Err(OpenError::Locked { .. })));
    journal.release_all(positions[..7].iter().copied());
    assert_eq!(segment_numbers(&journal), [2, 3, 4, 5]);
    journal.close();
    drop(journal);
    let mut found = Vec::new();
    open(&mut found).unwrap();
    assert!(found.ends_with(&(7..30).collect::<Vec<_>>()));
}

#[test]
fn a_journal_can_be_looked_at_without_the_right_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let journal = Journal::open(Arc::new(SystemDisk), directory.path(), options, &mut |_| Ok(())).unwrap();
    (0..20).for_each(|sequence| _ = put(&journal, sequence, 9000));
    assert!(matches!(verify(&ReadOnlyDisk, directory.path()), Err(OpenError::Locked { .. })));
    journal.close();
    let report = verify(&ReadOnlyDisk, directory.path()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.segments.iter().map(|segment| segment.records).sum::<u64>(), 20);
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vote");
    for bytes in [&b"a longer one"[..], b"short", b""] {
        atomic_file::replace(&SystemDisk, &path, bytes).unwrap();
        assert_eq!(atomic_file::read(&SystemDisk, &path).unwrap(), bytes);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// 2 GiB of records of 64 KiB, opened by their indexes and without: `cargo test -p ferrymq-journal -- --ignored --nocapture
/// opening`. `TMPDIR` says on which disk.
#[test]
#[ignore = "writes 2 GiB"]
fn opening_does_not_take_longer_with_more_in_the_journal() {
    const RECORDS: u64 = 32 << 10;
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let (started, mut found) = (Instant::now(), 0);
        let journal = Journal::open(Arc::new(SystemDisk), directory.path(), Options::default(), &mut |_| {
            found += 1;
            Ok(())
        });
        (journal.unwrap(), found, started.elapsed())
    };
    let journal = open().0;
    for sequence in (0..RECORDS).step_by(64) {
        append(&journal, (sequence..sequence + 64).map(|sequence| record(sequence, 64 << 10)).collect());
    }
    journal.close();
    drop(journal);
    let (journal, found, without) = open();
    assert_eq!(found, RECORDS);
    let started = Instant::now();
    journal.write_indexes().unwrap();
    let indexing = started.elapsed();
    journal.close();
    drop(journal);
    let (_, found, with) = open();
    assert_eq!(found, RECORDS);
    println!("opened in {without:?} without indexes, which were written in {indexing:?}; in {with:?} with them");
    assert!(with < without / 4, "{with:?} and {without:?}");
}
