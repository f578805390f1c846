//! Moving a journal away.

use std::path::Path;

use ferrymq_journal::{Disk, OpenError, relocate, verify};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{DIRECTORY, open, put, put_all};

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
