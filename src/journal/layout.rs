//! The names of the files in a journal's directory.

use std::path::{Path, PathBuf};

/// Held while a journal is open.
pub(crate) const LOCK: &str = "lock";

const SEGMENT: &str = ".journal";
const INDEX: &str = ".index";
/// What [`atomic_file`](crate::atomic_file) adds to a name.
const UNFINISHED: &str = ".tmp";
const SPARE: &str = "spare-";

/// What a name in the directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The segment with this number.
    Segment(u64),
    /// The index of the segment with this number.
    Index(u64),
    /// What a crash left of the index of the segment with this number.
    UnfinishedIndex(u64),
    /// A file to make a segment of; what is in it does not matter.
    Spare(u64),
    /// Not the journal's.
    Other,
}

pub(crate) fn entry(name: &str) -> Entry {
    // A name that this code would write differently is not one of its own.
    if let Some(number) = name.strip_suffix(SEGMENT).and_then(|number| number.parse().ok())
        && segment_name(number) == name
    {
        return Entry::Segment(number);
    }
    if let Some(index) = name.strip_suffix(UNFINISHED)
        && let Entry::Index(number) = entry(index)
    {
        return Entry::UnfinishedIndex(number);
    }
    if let Some(number) = name.strip_suffix(INDEX).and_then(|number| number.parse().ok())
        && index_name(number) == name
    {
        return Entry::Index(number);
    }
    if let Some(number) = name.strip_prefix(SPARE).and_then(|number| number.parse().ok())
        && spare_name(number) == name
    {
        return Entry::Spare(number);
    }
    Entry::Other
}

pub(crate) fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(segment_name(number))
}

pub(crate) fn index_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(index_name(number))
}

pub(crate) fn unfinished_index_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(index_name(number) + UNFINISHED)
}

pub(crate) fn spare_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(spare_name(number))
}

fn segment_name(number: u64) -> String {
    format!("{number:020}{SEGMENT}")
}

fn index_name(number: u64) -> String {
    format!("{number:020}{INDEX}")
}

fn spare_name(number: u64) -> String {
    format!("{SPARE}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert_eq!(entry(&segment_name(7)), Entry::Segment(7));
        assert_eq!(entry(&index_name(7)), Entry::Index(7));
        assert_eq!(entry(&(index_name(7) + UNFINISHED)), Entry::UnfinishedIndex(7));
        assert_eq!(entry(&spare_name(3)), Entry::Spare(3));
        for other in ["7.journal", "7.index", "lock", "spare-", "spare-03", "00000000000000000007.journal.tmp"] {
            assert_eq!(entry(other), Entry::Other, "{other}");
        }
    }
}
