//! A broker's disk: simulated, as slow as the seed says, and with nobody but the simulation to do the journal's work.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ferrymq_journal::{Disk, DiskFile, DiskLock, Hand, Turns};
use ferrymq_replication::{simulation::Process, task};
use ferrymq_testkit::{Chance, SimulatedDisk};
use tokio::sync::Notify;

/// What there was no space for is tried again this often.
const AGAIN: Duration = Duration::from_secs(1);

/// How a disk behaves, and what it was made to do. One for all lives of a broker.
#[derive(Debug)]
pub(crate) struct Behaviour {
    chance: Mutex<Chance>,
    /// The most milliseconds that a write and its sync take.
    pub(crate) slowest: AtomicU64,
    /// Writes that there was no space for.
    pub(crate) refused: AtomicU64,
}

impl Behaviour {
    /// A quick disk.
    #[must_use]
    pub(crate) fn new(chance: Chance) -> Arc<Self> {
        Arc::new(Self { chance: Mutex::new(chance), slowest: AtomicU64::new(QUICK), refused: AtomicU64::default() })
    }

    fn turn_takes(&self) -> Duration {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.millis(1, self.slowest.load(Ordering::Relaxed))
    }
}

/// The most milliseconds that a write and its sync take on a disk that nothing is wrong with.
pub(crate) const QUICK: u64 = 3;

/// The disk of one life of a broker.
#[derive(Debug)]
pub(crate) struct BrokerDisk {
    disk: SimulatedDisk,
    behaviour: Arc<Behaviour>,
    wake: Arc<Notify>,
}

impl BrokerDisk {
    /// The disk as the process sees it that starts now.
    #[must_use]
    pub(crate) fn new(disk: SimulatedDisk, behaviour: Arc<Behaviour>) -> Self {
        Self { disk, behaviour, wake: Arc::default() }
    }

    fn watched<T>(&self, done: io::Result<T>) -> io::Result<T> {
        watched(&self.behaviour, done)
    }

    fn file(&self, opened: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        let behaviour = self.behaviour.clone();
        opened.map(|file| Arc::new(BrokerFile { file, behaviour }) as Arc<dyn DiskFile>)
    }
}

fn watched<T>(behaviour: &Behaviour, done: io::Result<T>) -> io::Result<T> {
    if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
        behaviour.refused.fetch_add(1, Ordering::Relaxed);
    }
    done
}

impl Disk for BrokerDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.watched(self.disk.create_directory(path))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.disk.list(directory)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.file(self.watched(self.disk.create(path)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.file(self.disk.open(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_directory(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_directory(directory)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.disk.lock(path)
    }

    fn hand(&self) -> Option<Arc<dyn Hand>> {
        Some(Arc::new(Worker { disk: self.disk.clone(), behaviour: self.behaviour.clone(), wake: self.wake.clone() }))
    }
}

#[derive(Debug)]
struct BrokerFile {
    file: Arc<dyn DiskFile>,
    behaviour: Arc<Behaviour>,
}

impl DiskFile for BrokerFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        watched(&self.behaviour, self.file.write_at(bytes, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        watched(&self.behaviour, self.file.allocate(bytes))
    }
}

/// Does a journal's work: each turn takes as long as the disk needs for it.
struct Worker {
    disk: SimulatedDisk,
    behaviour: Arc<Behaviour>,
    wake: Arc<Notify>,
}

impl Hand for Worker {
    fn begin(&self, turns: Turns) {
        let (wake, behaviour, disk) = (self.wake.clone(), self.behaviour.clone(), self.disk.clone());
        let process = Process::current();
        task::spawn(async move {
            loop {
                let again = tokio::time::timeout(AGAIN, wake.notified()).await.is_err();
                loop {
                    tokio::time::sleep(behaviour.turn_takes()).await;
                    let more = turns.turn(again);
                    if disk.is_dead() {
                        // The power failed within the turn.
                        if let Some(process) = &process {
                            process.kill();
                        }
                        return;
                    }
                    if !more {
                        break;
                    }
                }
            }
        });
    }

    fn wake(&self) {
        self.wake.notify_one();
    }
}
