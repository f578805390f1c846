//! Looks at a journal that no node has open, changes nothing in it, and says what it found.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::{
    Disk, OpenError, RecordHead,
    index::{self, Builder, Unusable},
    journal,
    layout::{index_path, segment_path},
    recovery::Listing,
    segment::{Contents, SegmentFile},
};

/// What was found in a journal's directory.
#[derive(Debug)]
pub struct Report {
    /// The segments that could be read, the oldest first.
    pub segments: Vec<SegmentReport>,
    /// The indexes of these, where there are any.
    pub indexes: Vec<IndexReport>,
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

/// The index of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexReport {
    /// Its file.
    pub path: PathBuf,
    /// Records of its segment.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
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
    let mut report = Report { segments: Vec::new(), indexes: Vec::new(), problems: Vec::new(), torn_tail: None };
    let verifier = Verifier { disk, directory };
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
        verifier.look_at(file, next.map(|next| next.previous_end), last == Some(&file.number), &mut report);
    }
    Ok(report)
}

struct Verifier<'a> {
    disk: &'a dyn Disk,
    directory: &'a Path,
}

impl Verifier<'_> {
    /// Where the segment after it cannot be read, nothing says where this one ends.
    fn look_at(&self, file: &SegmentFile, end: Option<u64>, is_last: bool, report: &mut Report) {
        let mut seen = Contents::NOTHING;
        let mut builder = Builder::new();
        let visit = &mut |head: RecordHead<'_>| {
            seen.records += 1;
            seen.end = head.position.end();
            builder.push(&head);
            Ok(())
        };
        let contents = match end {
            Some(end) => file.visit_sealed(end, visit),
            None => file.visit_last(visit),
        };
        let is_whole = contents.is_ok();
        match contents {
            Ok(contents) if is_last && contents.remains_end > contents.end => {
                let Contents { end: offset, remains_end: end, .. } = contents;
                report.torn_tail = Some(TornTail { path: file.path.clone(), offset, end });
            }
            Ok(_) => {}
            Err(problem) => report.problems.push(problem),
        }
        let SegmentFile { number: segment, path, .. } = file.clone();
        report.segments.push(SegmentReport { segment, path, records: seen.records, end: seen.end });
        // That of a damaged segment says what was there before.
        if let Some(end) = end.filter(|_| is_whole) {
            match builder.finish(file, end) {
                Ok(Some(bytes)) => self.look_at_index(file, seen.records, &bytes, report),
                Ok(None) => {}
                Err(source) => report.problems.push(file.unreadable(source)),
            }
        }
    }

    /// Looks whether the index of a segment is, byte for byte, what follows from the segment.
    fn look_at_index(&self, segment: &SegmentFile, records: u64, expected: &[u8], report: &mut Report) {
        let path = index_path(self.directory, segment.number);
        let bytes = match index::file(self.disk, self.directory, segment.number) {
            Ok(bytes) => bytes,
            Err(Unusable::Missing) => return,
            Err(Unusable::Disk(source)) => {
                return report.problems.push(OpenError::Disk { action: "read", path, source });
            }
            Err(_) => Bytes::new(),
        };
        let differs = bytes.iter().zip(expected).position(|(found, expected)| found != expected);
        let differs = differs.or_else(|| (bytes.len() != expected.len()).then_some(bytes.len().min(expected.len())));
        if let Some(offset) = differs {
            report.problems.push(OpenError::Index {
                segment: segment.number,
                offset: offset as u64,
                path: path.clone(),
            });
        }
        report.indexes.push(IndexReport { path, records, bytes: bytes.len() as u64 });
    }
}
