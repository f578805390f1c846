//! The same on the real disk.

use std::sync::Arc;

use ferrymq_journal::{Journal, OpenError, Options, SystemDisk, atomic_file};

use crate::fixture::{put, segment_numbers};

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
fn a_file_is_replaced_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vote");
    for bytes in [&b"a longer one"[..], b"short", b""] {
        atomic_file::replace(&SystemDisk, &path, bytes).unwrap();
        assert_eq!(atomic_file::read(&SystemDisk, &path).unwrap(), bytes);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}
