//! A file for pages that nobody looks at: `<directory>/pages`. It lives as long as the process; the next one begins it
//! anew, from snapshots and log.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use ferrymq_journal::{Disk, DiskFile};
use ferrymq_pages::{PageStore, Slot};

use crate::damage::Failure;

/// The file of a node's data directory.
pub(crate) const NAME: &str = "pages";
/// Pages take whole cells of so many bytes, so that one that went makes room for another.
const CELL: u64 = 512;

/// Pages of all groups of a node.
pub(crate) struct PageFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    space: Mutex<Space>,
    broken: AtomicBool,
    failure: Failure,
}

/// What is where in the file.
#[derive(Default)]
struct Space {
    /// None until the first page is put there, and where the file cannot be made.
    file: Option<Arc<dyn DiskFile>>,
    /// Cells that were ever used.
    cells: u64,
    /// Pages that are there.
    pages: u64,
    /// First cells of free places, by how many cells they have.
    free: BTreeMap<u64, Vec<u64>>,
    /// It was said that the file cannot be written, and it could not be since.
    told: bool,
}

impl PageFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, failure: Failure) -> Self {
        Self { disk, path, space: Mutex::default(), broken: AtomicBool::new(false), failure }
    }

    /// Removes what an earlier process left, where no page was put there by this one.
    pub(crate) fn remove_unused(&self) -> io::Result<()> {
        if self.space().file.is_some() {
            return Ok(());
        }
        match self.disk.remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn try_put(&self, space: &mut Space, page: &[u8]) -> io::Result<Slot> {
        let length = u32::try_from(page.len()).map_err(io::Error::other)?;
        if space.pages == 0 {
            // Nobody has a place in it: its space goes back to the disk.
            *space = Space { file: Some(self.disk.create(&self.path)?), told: space.told, ..Space::default() };
        }
        let Some(file) = space.file.clone() else { return Err(io::Error::from(io::ErrorKind::NotFound)) };
        let cells = cells_of(length);
        let first = match space.free.get_mut(&cells).and_then(Vec::pop) {
            Some(first) => first,
            None => {
                space.cells += cells;
                space.cells - cells
            }
        };
        let slot = Slot { offset: first * CELL, length, checksum: checksum(page) };
        space.pages += 1;
        file.write_at(page, slot.offset).inspect_err(|_| space.give_back(slot))?;
        Ok(slot)
    }

    fn try_get(&self, slot: Slot) -> io::Result<Bytes> {
        let file = self.space().file.clone().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut page = vec![0; slot.length as usize];
        file.read_at(&mut page, slot.offset)?;
        match checksum(&page) {
            found if found == slot.checksum => Ok(page.into()),
            found => Err(io::Error::other(format!("checksum {found:08x} where {:08x} was written", slot.checksum))),
        }
    }

    fn space(&self) -> std::sync::MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Space {
    fn give_back(&mut self, slot: Slot) {
        self.pages = self.pages.saturating_sub(1);
        self.free.entry(cells_of(slot.length)).or_default().push(slot.offset / CELL);
    }
}

impl PageStore for PageFile {
    fn put(&self, page: &[u8]) -> Option<Slot> {
        let mut space = self.space();
        match self.try_put(&mut space, page) {
            Ok(slot) => {
                space.told = false;
                Some(slot)
            }
            Err(error) => {
                if !std::mem::replace(&mut space.told, true) {
                    tracing::warn!(path = %self.path.display(), %error, "cannot write: what is long stays in memory");
                }
                None
            }
        }
    }

    fn get(&self, slot: Slot) -> Option<Bytes> {
        let read = self.try_get(slot);
        read.inspect_err(|error| {
            // Before it is told, so that nobody who hears of it finds it whole.
            self.broken.store(true, Ordering::SeqCst);
            self.failure.lost_page(&self.path, slot.offset, error);
        })
        .ok()
    }

    fn free(&self, slot: Slot) {
        self.space().give_back(slot);
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    #[cfg(feature = "simulation")]
    fn sizes(&self) -> ferrymq_pages::Sizes {
        // The queues of a simulation are short.
        ferrymq_pages::Sizes { page_rows: 2, open_pages: 1 }
    }
}

impl std::fmt::Debug for PageFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn cells_of(length: u32) -> u64 {
    u64::from(length).div_ceil(CELL).max(1)
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use ferrymq_journal::SystemDisk;

    use super::*;

    fn page(of: u8, length: usize) -> Vec<u8> {
        vec![of; length]
    }

    fn open(directory: &tempfile::TempDir) -> (PageFile, Failure) {
        let failure = Failure::new();
        (PageFile::new(Arc::new(SystemDisk), directory.path().join(NAME), failure.clone()), failure)
    }

    #[test]
    fn pages_are_read_as_they_were_written_and_what_went_makes_room() {
        let directory = tempfile::TempDir::new().unwrap();
        let (file, _) = open(&directory);
        let slots: Vec<Slot> = (1..=9).map(|of| file.put(&page(of, of as usize * 200)).unwrap()).collect();
        for (of, slot) in (1..=9).zip(&slots) {
            assert_eq!(file.get(*slot).unwrap(), page(of, of as usize * 200));
        }
        let length = || std::fs::metadata(directory.path().join(NAME)).unwrap().len();
        let before = length();
        file.free(slots[8]);
        let again = file.put(&page(77, 1_790)).unwrap();
        assert_eq!((again.offset, file.get(again).unwrap()), (slots[8].offset, page(77, 1_790).into()));
        assert!(length() <= before);
        [&slots[..8], &[again]].concat().into_iter().for_each(|slot| file.free(slot));
        file.put(&page(1, 10)).unwrap();
        assert_eq!(length(), 10, "nobody had a place in it any more");
    }

    #[test]
    fn a_page_that_is_not_as_it_was_written_is_not_served_and_ends_the_node() {
        let directory = tempfile::TempDir::new().unwrap();
        let (file, failure) = open(&directory);
        let slots = [1, 2].map(|of| file.put(&page(of, 3000)).unwrap());
        let raw = std::fs::OpenOptions::new().write(true).open(directory.path().join(NAME)).unwrap();
        raw.write_all_at(&[3], slots[1].offset + 1000).unwrap();
        assert!(file.get(slots[0]).is_some() && !file.is_broken());
        assert_eq!(file.get(slots[1]), None);
        assert!(file.is_broken());
        let told = failure.subscribe().borrow().clone().unwrap();
        assert!(told.contains("pages at 3072"), "{told}");
    }

    #[test]
    fn where_the_file_cannot_be_made_pages_stay_where_they_are() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("missing").join(NAME);
        let file = PageFile::new(Arc::new(SystemDisk), path, Failure::new());
        assert_eq!(file.put(&page(1, 10)), None);
        assert!(!file.is_broken());
    }
}
