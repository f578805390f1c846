//! What opening does: goes through all segments, cuts what was torn at the tail, refuses every other damage.

use std::{io, path::Path};

use crate::{
    Disk, OpenError,
    format::SEGMENT_HEADER_BYTES,
    index::{self, Index},
    layout::{self, Entry},
    segment::{Contents, SegmentFile, Visit},
};

/// Bytes that are copied or zeroed at a time.
const CHUNK: u64 = 1 << 20;

/// What was found in a directory.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Each with its records, the oldest first.
    pub(crate) segments: Vec<(SegmentFile, Contents)>,
    /// Numbers of the spare files.
    pub(crate) spares: Vec<u64>,
}

/// The segments, spares and indexes that a directory has, by number.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) segments: Vec<u64>,
    pub(crate) spares: Vec<u64>,
    pub(crate) indexes: Vec<u64>,
    pub(crate) unfinished_indexes: Vec<u64>,
}

impl Listing {
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> Result<Self, OpenError> {
        let names = disk.list(directory).map_err(|source| failed("list", directory, source))?;
        let mut listing = Self::default();
        for name in names {
            match layout::entry(&name) {
                Entry::Segment(number) => listing.segments.push(number),
                Entry::Index(number) => listing.indexes.push(number),
                Entry::UnfinishedIndex(number) => listing.unfinished_indexes.push(number),
                Entry::Spare(number) => listing.spares.push(number),
                Entry::Other => {}
            }
        }
        listing.segments.sort_unstable();
        listing.spares.sort_unstable();
        Ok(listing)
    }

    /// The first number of each run that is missing between two others.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = u64> {
        let pairs = self.segments.iter().zip(self.segments.iter().skip(1));
        pairs
            .map(|(one, next)| (one + 1, *next))
            .filter(|(expected, next)| expected != next)
            .map(|(expected, _)| expected)
    }
}

/// Whether a journal was made in this directory: it has a segment from then on, until it is moved away.
///
/// # Errors
///
/// The directory is there, and cannot be read.
pub fn is_journal(disk: &dyn Disk, directory: &Path) -> io::Result<bool> {
    match disk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        names => Ok(names?.iter().any(|name| matches!(layout::entry(name), Entry::Segment(_)))),
    }
}

/// Goes through the indexes of all segments but the last, and through the last and those without an index; and makes the
/// tail fit to be appended to. Changes nothing where it fails.
pub(crate) fn recover(disk: &dyn Disk, directory: &Path, visit: &mut Visit<'_>) -> Result<Recovered, OpenError> {
    let mut listing = Listing::read(disk, directory)?;
    if let Some(segment) = listing.gaps().next() {
        return Err(OpenError::Missing { segment, path: layout::segment_path(directory, segment) });
    }
    // All headers come first: each says where the segment before ends, and what is foreign is found before it is used.
    let files = listing
        .segments
        .iter()
        .map(|number| SegmentFile::open(disk, directory, *number))
        .collect::<Result<Vec<_>, _>>()?;
    let mut segments = Vec::with_capacity(files.len());
    let ends: Vec<_> = files.iter().skip(1).map(|next| Some(next.previous_end)).chain([None]).collect();
    for (file, end) in files.into_iter().zip(ends) {
        let contents = match end {
            Some(end) => match Index::read(disk, directory, &file, end) {
                Ok(index) => index.visit(file.number, visit)?,
                Err(unusable) => {
                    unusable.log(file.number);
                    file.visit_sealed(end, visit)?
                }
            },
            None => file.visit_last(visit)?,
        };
        segments.push((file, contents));
    }
    if let Some((file, contents)) = segments.last() {
        mend_tail(file, contents).map_err(|source| failed("write", &file.path, source))?;
    }
    // A crash may leave the index of a segment that is gone, or a part of one.
    let orphans = listing.indexes.iter().filter(|index| listing.segments.binary_search(index).is_err());
    let removed = orphans.map(|orphan| index::remove(disk, directory, *orphan));
    let unfinished = listing.unfinished_indexes.iter().map(|index| index::remove_unfinished(disk, directory, *index));
    for outcome in removed.chain(unfinished) {
        outcome.map_err(|source| failed("remove an index from", directory, source))?;
    }
    // Where a journal begins, numbers begin as well: a file that a journal before it left may hold records of a segment 1,
    // which would be taken for those of the new one.
    if segments.is_empty() {
        for spare in listing.spares.drain(..) {
            let path = layout::spare_path(directory, spare);
            disk.remove(&path).map_err(|source| failed("remove", &path, source))?;
        }
    }
    // What a process that was killed renamed is made to last before anything builds on it.
    disk.sync_directory(directory).map_err(|source| failed("sync", directory, source))?;
    Ok(Recovered { segments, spares: listing.spares })
}

/// Makes durable what was read at the tail, and removes what must not be read there later.
///
/// The last batch may never have been synced: the process was killed before, or the sync failed, after which the kernel
/// may take its pages for clean. Its owner is now told of its records, so it is written once more and synced. Remains of
/// a torn batch are zeroed: a record that is appended before them must not join them to the journal.
fn mend_tail(file: &SegmentFile, contents: &Contents) -> io::Result<()> {
    let mut offset = contents.last_batch.max(SEGMENT_HEADER_BYTES);
    let mut chunk = Vec::new();
    while offset < contents.end {
        let length = CHUNK.min(contents.end - offset);
        chunk.resize(length as usize, 0);
        file.file.read_at(&mut chunk, offset)?;
        file.file.write_at(&chunk, offset)?;
        offset += length;
    }
    if contents.remains_end > contents.end {
        tracing::warn!(
            segment = file.number,
            offset = contents.end,
            bytes = contents.remains_end - contents.end,
            "cut a torn tail off the journal; none of it was acknowledged"
        );
        zero(file, contents.end, contents.remains_end)?;
    }
    file.file.sync_data()
}

/// Writes zeros over this part of a segment.
pub(crate) fn zero(file: &SegmentFile, from: u64, to: u64) -> io::Result<()> {
    let mut offset = from;
    while offset < to {
        let length = CHUNK.min(to - offset);
        file.file.write_at(&vec![0; length as usize], offset)?;
        offset += length;
    }
    Ok(())
}

/// The error for a disk that refused.
pub(crate) fn failed(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Disk { action, path: path.to_owned(), source }
}
