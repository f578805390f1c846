//! Looks at a journal that no node has open, changes nothing in it, and says what it found.

use std::path::{Path, PathBuf};

use crate::{
    Disk, OpenError, RecordHead, journal,
    layout::segment_path,
    recovery::Listing,
    segment::{Contents, SegmentFile},
};

/// What was found in a journal's directory.
#[derive(Debug)]
pub struct Report {
    /// The segments that could be read, the oldest first.
    pub segments: Vec<SegmentReport>,
    /// What is wrong, each with its file and offset in its text; empty for a journal that would open.
    pub problems: Vec<OpenError>,
    /// The torn batch that opening would cut off, if there is one: no damage.
    pub torn_tail: Option<TornTail>,
}

/// What is in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub segment: u64,
    /// Its file.
    pub path: PathBuf,
    /// Valid records from its beginning on.
    pub records: u64,
    /// Where the last of them ends, in bytes.
    pub end: u64,
}

/// What a crash left of a batch that was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// Where it ends.
    pub end: u64,
}

/// Goes through all segments, also those after a damaged one.
///
/// # Errors
///
/// [`OpenError::Locked`] where the journal is in use, [`OpenError::Disk`] where the directory cannot be read. Everything
/// else is in the report.
pub fn verify(disk: &dyn Disk, directory: &Path) -> Result<Report, OpenError> {
    let listing = Listing::read(disk, directory)?;
    let _lock = journal::lock(disk, directory)?;
    let mut report = Report { segments: Vec::new(), problems: Vec::new(), torn_tail: None };
    report
        .problems
        .extend(listing.gaps().map(|segment| OpenError::Missing { segment, path: segment_path(directory, segment) }));
    let mut files = Vec::new();
    for number in &listing.segments {
        match SegmentFile::open(disk, directory, *number) {
            Ok(file) => files.push(file),
            Err(problem) => report.problems.push(problem),
        }
    }
    let last = listing.segments.last();
    for file in &files {
        let next = files.iter().find(|next| next.number == file.number + 1);
        report.look_at(file, next.map(|next| next.previous_end), last == Some(&file.number));
    }
    Ok(report)
}

impl Report {
    /// Where the segment after it cannot be read, nothing says where this one ends.
    fn look_at(&mut self, file: &SegmentFile, end: Option<u64>, is_last: bool) {
        let mut seen = Contents::NOTHING;
        let visit = &mut |head: RecordHead<'_>| {
            seen.records += 1;
            seen.end = head.position.end();
            Ok(())
        };
        let contents = match end {
            Some(end) => file.visit_sealed(end, visit),
            None => file.visit_last(visit),
        };
        match contents {
            Ok(contents) if is_last && contents.remains_end > contents.end => {
                let Contents { end: offset, remains_end: end, .. } = contents;
                self.torn_tail = Some(TornTail { path: file.path.clone(), offset, end });
            }
            Ok(_) => {}
            Err(problem) => self.problems.push(problem),
        }
        let SegmentFile { number: segment, path, .. } = file.clone();
        self.segments.push(SegmentReport { segment, path, records: seen.records, end: seen.end });
    }
}
