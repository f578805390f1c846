//! Moving a journal away.

use std::path::Path;

use ferrymq_journal::{Disk, OpenError, relocate, verify};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{DIRECTORY, open, path, put, put_all, wait_until};

#[test]
fn a_journal_is_moved_whole_wherever_the_power_fails() {
    let (from, to) = (Path::new(DIRECTORY), Path::new("/data/damaged-1/journal"));
    for operation in 1.. {
        let disk = SimulatedDisk::new(operation);
        let journal = open(&disk).journal;
        put_all(&journal, 0..7);
        journal.write_indexes().unwrap();
        assert!(matches!(relocate(&disk, from, to), Err(OpenError::Locked { .. })));
        journal.close();
        disk.sync_directory(from).unwrap();
        disk.lose_power_at(operation);
        let survived = relocate(&disk, from, to).is_ok();
        let disk = disk.power_loss();
        relocate(&disk, from, to).unwrap();
        let disk = disk.power_loss();
        let report = verify(&disk, to).unwrap();
        assert!(report.problems.is_empty(), "{operation}: {:?}", report.problems);
        assert_eq!(report.segments.iter().map(|segment| segment.records).collect::<Vec<_>>(), [3, 3, 1]);
        // What is left is a journal of its own.
        let opened = open(&disk);
        assert!(opened.found.is_empty());
        put(&opened.journal, 1, 100);
        if survived {
            break;
        }
    }
}

#[test]
fn what_a_journal_left_in_spare_files_is_never_found_by_the_next() {
    let disk = SimulatedDisk::new(1);
    let journal = open(&disk).journal;
    let positions = put_all(&journal, 0..4);
    journal.release_all(positions[..3].iter().copied());
    // The file of segment 1 is a spare one now.
    wait_until(|| !disk.list(Path::new(DIRECTORY)).unwrap().iter().any(|name| path(1).ends_with(name)));
    journal.close();
    relocate(&disk, Path::new(DIRECTORY), Path::new("/data/damaged-1/journal")).unwrap();
    let journal = open(&disk).journal;
    journal.close();
    assert_eq!(open(&disk).sequences(), Vec::<u64>::new());
}
