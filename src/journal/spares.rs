//! Files to make segments of: made ahead by a thread of their own, or taken from segments that are dead, so that the
//! writer never waits for space to be allocated.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    Disk, DiskFile, index, layout,
    segment::{SegmentFile, WriteError},
};

/// Files that are kept; what is dead beyond these is removed.
const KEPT: usize = 4;

/// Files that are kept at most, where segments die and are taken many at a time: to allocate one takes as long as to fill it.
const MOST_KEPT: usize = 16;

/// Beyond [`KEPT`], a file is kept only where this many times as much is free as all of them take.
const FREE_TIMES: u64 = 4;

/// For so long nobody takes one until no more than [`KEPT`] are kept again.
const IDLE: Duration = Duration::from_secs(60);

/// How long after a failure for want of space it is tried again, while nobody asks.
const RETRY: Duration = Duration::from_millis(200);

/// A file to make a segment of, with its space allocated.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// Files to make segments of.
#[derive(Debug)]
pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    bytes: u64,
    /// There is no thread that makes them: whoever wants one does the work.
    by_hand: bool,
    stock: Mutex<Stock>,
    changed: Condvar,
}

#[derive(Debug)]
struct Stock {
    ready: Vec<Spare>,
    dead: VecDeque<SegmentFile>,
    /// Files that are kept now.
    kept: usize,
    /// Dead ones that were removed, and not missed yet.
    removed: usize,
    next_number: u64,
    /// The writer waits for a spare.
    wanted: bool,
    /// The last attempt to make one found no space.
    short: bool,
    stopped: bool,
}

enum Job {
    Recycle(SegmentFile),
    Make,
    /// Nobody needs as many.
    Remove(Vec<Spare>),
}

impl Stock {
    /// What is to be done now; with `again`, also what there was no space for before.
    fn job(&mut self, again: bool) -> Option<Job> {
        if self.stopped {
            return None;
        }
        if let Some(segment) = self.dead.pop_front() {
            return Some(Job::Recycle(segment));
        }
        (self.ready.is_empty() && (self.wanted || !self.short || again)).then_some(Job::Make)
    }

    /// One was made: it need not have been, where one was removed before.
    fn made(&mut self, spare: Spare) {
        self.ready.push(spare);
        self.short = false;
        if self.removed > 0 {
            self.removed -= 1;
            self.kept = MOST_KEPT.min(self.kept + 1);
        }
    }

    /// For long nobody took one.
    fn idle(&mut self) -> Option<Job> {
        (self.kept, self.removed) = (KEPT, 0);
        (self.ready.len() > KEPT).then(|| Job::Remove(self.ready.split_off(KEPT)))
    }
}

impl Spares {
    /// `found` are the numbers of the spare files in the directory.
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: &Path, bytes: u64, found: &[u64]) -> io::Result<Self> {
        let by_hand = disk.hand().is_some();
        let next_number = found.last().map_or(1, |last| last.saturating_add(1));
        let (ready, dead) = (Vec::new(), VecDeque::new());
        let mut stock =
            Stock { ready, dead, kept: KEPT, removed: 0, next_number, wanted: false, short: false, stopped: false };
        for number in found {
            let path = layout::spare_path(directory, *number);
            let file = disk.open(&path)?;
            // One of another length was being made when the process died, or is of a time with other options.
            if stock.ready.len() < KEPT && file.length()? == bytes {
                stock.ready.push(Spare { path, file });
            } else {
                disk.remove(&path)?;
            }
        }
        let directory = directory.to_owned();
        Ok(Self { disk, directory, bytes, by_hand, stock: Mutex::new(stock), changed: Condvar::new() })
    }

    /// A spare, as soon as there is one.
    pub(crate) fn take(&self) -> Result<Spare, WriteError> {
        let mut stock = self.lock();
        stock.wanted = true;
        if self.by_hand {
            drop(stock);
            self.turn(false).map_err(WriteError::Fatal)?;
            stock = self.lock();
        }
        loop {
            if let Some(spare) = stock.ready.pop() {
                stock.wanted = false;
                // The next one is to be made.
                self.changed.notify_all();
                return Ok(spare);
            }
            if stock.stopped {
                return Err(WriteError::Fatal(io::Error::other("the journal stops")));
            }
            if !stock.wanted {
                return Err(WriteError::StorageFull);
            }
            self.changed.notify_all();
            stock = self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until something has changed, or a moment.
    pub(crate) fn wait_for_space(&self) {
        let stock = self.lock();
        // Whoever waits looks again, whatever ended it.
        drop(self.changed.wait_timeout(stock, RETRY));
    }

    /// Takes back a spare that was not used.
    pub(crate) fn give_back(&self, spare: Spare) {
        self.lock().ready.push(spare);
    }

    /// Takes the files of dead segments, the oldest first.
    pub(crate) fn recycle(&self, dead: Vec<SegmentFile>) {
        self.lock().dead.extend(dead);
        self.changed.notify_all();
    }

    /// There is no space for another segment.
    pub(crate) fn is_short(&self) -> bool {
        self.lock().short
    }

    /// Ends [`Spares::run`].
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Keeps one spare ready and clears away what is dead, until stopped or until the disk fails, which `failed` is told.
    pub(crate) fn run(&self, failed: impl FnOnce(io::Error)) {
        if let Err(error) = self.work() {
            failed(error);
        }
        self.stop();
    }

    fn work(&self) -> io::Result<()> {
        while let Some(job) = self.next_job() {
            self.do_job(job)?;
        }
        Ok(())
    }

    /// Does what there is to do, and waits for nothing; with `again`, also what there was no space for before.
    pub(crate) fn turn(&self, again: bool) -> io::Result<()> {
        let mut again = again;
        loop {
            let job = self.lock().job(std::mem::take(&mut again));
            let Some(job) = job else { return Ok(()) };
            self.do_job(job)?;
        }
    }

    fn do_job(&self, job: Job) -> io::Result<()> {
        match job {
            Job::Recycle(segment) => self.clear_away(segment)?,
            Job::Make => match self.make().map_err(WriteError::from_write) {
                Ok(spare) => self.lock().made(spare),
                Err(WriteError::StorageFull) => {
                    let mut stock = self.lock();
                    if !stock.short {
                        tracing::warn!(bytes = self.bytes, "no space for another segment of the journal");
                    }
                    stock.short = true;
                    stock.wanted = false;
                }
                Err(WriteError::Fatal(error)) => return Err(error),
            },
            Job::Remove(spares) => {
                for spare in spares {
                    self.disk.remove(&spare.path)?;
                }
                self.disk.sync_directory(&self.directory)?;
            }
        }
        self.changed.notify_all();
        Ok(())
    }

    fn next_job(&self) -> Option<Job> {
        let mut stock = self.lock();
        let mut waited = false;
        loop {
            if stock.stopped {
                return None;
            }
            if let Some(job) = stock.job(waited) {
                return Some(job);
            }
            if stock.short {
                let (guard, timeout) = self.changed.wait_timeout(stock, RETRY).unwrap_or_else(PoisonError::into_inner);
                stock = guard;
                waited = timeout.timed_out();
            } else if stock.ready.len() > KEPT {
                let (guard, timeout) = self.changed.wait_timeout(stock, IDLE).unwrap_or_else(PoisonError::into_inner);
                stock = guard;
                if let Some(job) = timeout.timed_out().then(|| stock.idle()).flatten() {
                    return Some(job);
                }
            } else {
                stock = self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Whether one more is kept, of the same length as all. One that is not is counted: it may be missed.
    fn keeps_another(&self) -> bool {
        let mut stock = self.lock();
        let more = stock.ready.len();
        let all = self.bytes.saturating_mul(more as u64 + 1);
        let room = || self.disk.free_bytes(&self.directory).is_some_and(|free| free / FREE_TIMES > all);
        let keeps = more < KEPT || (more < stock.kept && room());
        stock.removed += usize::from(!keeps);
        keeps
    }

    /// The names are synced one by one: after a power loss no segment may be missing between two others.
    fn clear_away(&self, segment: SegmentFile) -> io::Result<()> {
        // Before its segment: one that is left alone means nothing, and is removed when the journal is opened.
        index::remove(&*self.disk, &self.directory, segment.number)?;
        if segment.capacity == self.bytes && self.keeps_another() {
            let path = layout::spare_path(&self.directory, self.number());
            self.disk.rename(&segment.path, &path)?;
            self.disk.sync_directory(&self.directory)?;
            let mut stock = self.lock();
            stock.ready.push(Spare { path, file: segment.file });
            stock.short = false;
        } else {
            self.disk.remove(&segment.path)?;
            self.disk.sync_directory(&self.directory)?;
        }
        Ok(())
    }

    /// Makes a file and allocates its space.
    pub(crate) fn make(&self) -> io::Result<Spare> {
        let path = layout::spare_path(&self.directory, self.number());
        let allocated = self.disk.create(&path).and_then(|file| file.allocate(self.bytes).map(|()| file));
        match allocated {
            Ok(file) => Ok(Spare { path, file }),
            Err(error) => {
                // The space that it took so far is given back; where that fails too, the next start does it.
                let _ = self.disk.remove(&path);
                Err(error)
            }
        }
    }

    fn number(&self) -> u64 {
        let mut stock = self.lock();
        let number = stock.next_number;
        stock.next_number += 1;
        number
    }

    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::SystemDisk;

    const BYTES: u64 = 4096;

    /// Makes segments of as many, which die at once.
    fn use_up(spares: &Spares, count: usize) {
        let segment = |number| {
            spares.turn(false).unwrap();
            let Spare { path, file } = spares.lock().ready.pop().unwrap();
            SegmentFile { number, path, file, capacity: BYTES, previous_end: 0 }
        };
        let segments = (0..count as u64).map(segment).collect();
        spares.recycle(segments);
        spares.turn(false).unwrap();
    }

    #[test]
    fn as_many_are_kept_as_die_and_are_taken_together_for_as_long_as_that_is_so() {
        let directory = TempDir::new().unwrap();
        let spares = Spares::new(Arc::new(SystemDisk), directory.path(), BYTES, &[]).unwrap();
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        use_up(&spares, 9);
        assert_eq!(files(), KEPT);
        for _ in 0..3 {
            use_up(&spares, 9);
            assert_eq!((spares.lock().kept, files()), (9, 9), "none is made that was there before");
        }
        use_up(&spares, 50);
        use_up(&spares, 50);
        assert_eq!(files(), MOST_KEPT);
        let surplus = spares.lock().idle().unwrap();
        spares.do_job(surplus).unwrap();
        assert_eq!((spares.lock().kept, files()), (KEPT, KEPT));
        assert!(spares.lock().idle().is_none());
    }

    #[test]
    fn on_a_disk_that_is_short_of_space_few_are_kept() {
        let directory = TempDir::new().unwrap();
        let free = SystemDisk.free_bytes(directory.path()).unwrap();
        let spares = Spares::new(Arc::new(SystemDisk), directory.path(), free, &[]).unwrap();
        spares.lock().kept = MOST_KEPT;
        for _ in 0..KEPT {
            assert!(spares.keeps_another());
            let file = SystemDisk.create(&directory.path().join("spare")).unwrap();
            spares.lock().ready.push(Spare { path: directory.path().join("spare"), file });
        }
        assert!(!spares.keeps_another());
    }
}
