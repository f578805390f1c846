//! A disk in memory that forgets what a real one may forget.
//!
//! It keeps apart what processes see and what is on the platter, for bytes as well as for names. At a power loss each
//! unsynced sector is the old one or the new one, and of the unsynced changes of names some first ones are kept.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use ferrymq_journal::{Disk, DiskFile, DiskLock};

use crate::{
    disk_file::File,
    disk_world::{Faults, NameChange, World},
};

/// A disk in memory. Clones are the same disk, seen by the same process.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    machine: Arc<Machine>,
    /// Which process this belongs to. Nothing of a process that is dead does anything any more.
    life: u64,
}

#[derive(Debug)]
struct Machine {
    world: Mutex<World>,
    changed: Condvar,
}

impl SimulatedDisk {
    /// An empty disk. What is lost at a power loss follows from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { machine: Arc::new(Machine { world: Mutex::new(World::new(seed)), changed: Condvar::new() }), life: 0 }
    }

    /// The power fails, unless it did already, and comes back: gives the disk to the next process. Everything of the
    /// process before is dead, and all faults are gone.
    #[must_use]
    pub fn power_loss(&self) -> Self {
        let mut world = self.machine.lock();
        if world.life == self.life {
            world.lose_power();
        }
        self.next(&mut world)
    }

    /// The process is killed: nothing is lost that it wrote. Gives the disk to the next process, without faults.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut world = self.machine.lock();
        if world.life == self.life {
            world.end_life();
        }
        self.next(&mut world)
    }

    fn next(&self, world: &mut World) -> Self {
        world.faults = Faults::default();
        self.machine.changed.notify_all();
        Self { machine: self.machine.clone(), life: world.life }
    }

    /// The power fails at this change from now on, counted from 1; what it does may be half done.
    pub fn lose_power_at(&self, operation: u64) {
        let mut world = self.machine.lock();
        world.faults.power_loss_at = Some(world.operations + operation);
    }

    /// From this sync from now on, counted from 1, all fail, and what they were to write is lost by a power loss.
    pub fn fail_syncs_from(&self, sync: u64) {
        let mut world = self.machine.lock();
        world.faults.sync_failures_from = Some(world.syncs + sync);
    }

    /// Files take no more than so many bytes together; no limit where none is given.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine.lock().faults.capacity = bytes;
    }

    /// So many of the next writes write a part, and fail for want of space.
    pub fn cut_writes(&self, count: u64) {
        self.machine.lock().faults.short_writes = count;
    }

    /// Directories cannot be listed.
    pub fn refuse_listing(&self) {
        self.machine.lock().faults.unlistable = true;
    }

    /// Syncs of files wait until [`SimulatedDisk::release_syncs`].
    pub fn hold_syncs(&self) {
        self.machine.lock().faults.hold_syncs = true;
    }

    /// Lets the syncs go on that were held.
    pub fn release_syncs(&self) {
        self.machine.lock().faults.hold_syncs = false;
        self.machine.changed.notify_all();
    }

    /// Waits until a sync is held.
    pub fn wait_for_held_sync(&self) {
        let world = self.machine.lock();
        let held = self.machine.changed.wait_while(world, |world| world.held == 0);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.machine.lock().faults = Faults::default();
        self.machine.changed.notify_all();
    }

    /// Bytes that the files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.machine.lock().used()
    }

    /// The files that are there, and their lengths in bytes.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let world = self.machine.lock();
        world.names.iter().map(|(path, file)| (path.clone(), world.files.get(file).map_or(0, File::length))).collect()
    }

    /// Something was written or renamed that a power loss may undo.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        let world = self.machine.lock();
        !world.unsynced_names.is_empty() || world.files.values().any(File::is_dirty)
    }

    /// Changes one bit of a file, in the cache and on the platter. False where there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> bool {
        self.machine.lock().file(path).is_ok_and(|file| file.flip(offset, bit))
    }

    /// Cuts a file, in the cache and on the platter. False where there is no such file.
    pub fn cut_file(&self, path: &Path, length: u64) -> bool {
        let mut world = self.machine.lock();
        let cut = world.file(path).map(|file| {
            file.set_length(length);
            file.sync();
        });
        cut.is_ok()
    }

    /// Changes so far: creations, writes, syncs, renames, removals.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.machine.lock().operations
    }

    /// Syncs of files so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.machine.lock().syncs
    }

    /// The power has failed, or the process was killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.machine.lock().life != self.life
    }

    /// Does something that changes nothing.
    fn look<T>(&self, look: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        look(&mut *self.alive()?)
    }

    /// Does something that the power may fail at.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        self.change_in(&mut *self.alive()?, change)
    }

    fn change_in<T>(&self, world: &mut World, change: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        world.operations += 1;
        let fatal = world.faults.power_loss_at.is_some_and(|at| at <= world.operations);
        if !fatal {
            return change(world);
        }
        if world.chance.below(2) == 0 {
            let _ = change(world);
        }
        world.lose_power();
        self.machine.changed.notify_all();
        Err(dead())
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.machine.lock();
        if world.life == self.life { Ok(world) } else { Err(dead()) }
    }
}

impl Disk for SimulatedDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.look(|world| {
            world.directories.extend(path.ancestors().map(Path::to_owned));
            Ok(())
        })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.look(|world| {
            if world.faults.unlistable {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            if !world.directories.contains(directory) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let names = world.names.keys().filter(|path| path.parent() == Some(directory));
            Ok(names.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.change(|world| {
            if !path.parent().is_some_and(|parent| world.directories.contains(parent)) {
                return Err(io::ErrorKind::NotFound.into());
            }
            if let Some(file) = world.names.get(path).copied() {
                world.inode(file)?.set_length(0);
                return Ok(file);
            }
            let file = world.next_file;
            world.next_file += 1;
            world.files.insert(file, File::default());
            world.name(NameChange::Put(path.to_owned(), file));
            Ok(file)
        })?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.look(|world| world.names.get(path).copied().ok_or(io::ErrorKind::NotFound.into()))?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|world| {
            world.file(from)?;
            world.name(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|world| {
            world.file(path)?;
            world.name(NameChange::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.change(|world| {
            if world.names.keys().any(|name| name.starts_with(path)) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            if world.directories.remove(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        })
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.change(|world| {
            let changes = std::mem::take(&mut world.unsynced_names);
            for change in changes {
                if change.path().parent() == Some(directory) {
                    change.apply(&mut world.durable_names);
                } else {
                    world.unsynced_names.push(change);
                }
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.look(|world| match world.locks.insert(path.to_owned()) {
            true => Ok(DiskLock::new(Lock { disk: self.clone(), path: path.to_owned() })),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }
}

/// An open file of the simulated disk.
#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: u64,
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        self.disk.look(|world| Ok(world.inode(self.file)?.length()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.look(|world| match world.inode(self.file)?.read(buffer, offset) {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.change(|world| {
            let end = offset + bytes.len() as u64;
            let short = world.faults.short_writes > 0;
            if short {
                world.faults.short_writes -= 1;
            }
            if short || !world.has_room(self.file, end)? {
                let part = world.chance.below(bytes.len() as u64 + 1) as usize;
                // Never beyond the end, where there is no room.
                let part = part.min(world.inode(self.file)?.length().saturating_sub(offset) as usize);
                world.inode(self.file)?.write(&bytes[..part], offset);
                return Err(io::ErrorKind::StorageFull.into());
            }
            world.inode(self.file)?.write(bytes, offset);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.alive()?;
        world.syncs += 1;
        let failing = world.faults.sync_failures_from.is_some_and(|from| from <= world.syncs);
        if world.faults.hold_syncs {
            world.held += 1;
            self.disk.machine.changed.notify_all();
            let held = |world: &mut World| world.faults.hold_syncs && world.life == self.disk.life;
            world = self.disk.machine.changed.wait_while(world, held).unwrap_or_else(PoisonError::into_inner);
            world.held -= 1;
            if world.life != self.disk.life {
                return Err(dead());
            }
        }
        self.disk.change_in(&mut world, |world| {
            let file = world.inode(self.file)?;
            if failing {
                file.fail_sync();
                return Err(io::Error::other("simulated failure of a sync"));
            }
            file.sync();
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.change(|world| {
            if !world.has_room(self.file, bytes)? {
                return Err(io::ErrorKind::StorageFull.into());
            }
            world.inode(self.file)?.allocate(bytes);
            Ok(())
        })
    }
}

/// A lock of the simulated disk.
#[derive(Debug)]
struct Lock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Ok(mut world) = self.disk.alive() {
            world.locks.remove(&self.path);
        }
    }
}

impl Machine {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "simulated power loss")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn disk(seed: u64) -> (SimulatedDisk, &'static Path) {
        let disk = SimulatedDisk::new(seed);
        disk.create_directory(Path::new("/data")).unwrap();
        (disk, Path::new("/data/file"))
    }

    fn read(disk: &SimulatedDisk, path: &Path) -> io::Result<Vec<u8>> {
        ferrymq_journal::atomic_file::read(disk, path).map(Vec::from)
    }

    #[test]
    fn what_was_synced_outlives_a_power_loss() {
        for seed in 0..50 {
            let (disk, path) = disk(seed);
            let file = disk.create(path).unwrap();
            file.write_at(b"kept", 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_directory(Path::new("/data")).unwrap();
            let disk = disk.power_loss();
            assert_eq!(read(&disk, path).unwrap(), b"kept");
            assert!(file.write_at(b"dead", 0).is_err());
        }
    }

    #[test]
    fn what_was_not_synced_may_be_lost_or_torn() {
        let outcomes: BTreeSet<_> = (0..200)
            .map(|seed| {
                let (disk, path) = disk(seed);
                disk.create(path).unwrap().write_at(&[1; 1024], 0).unwrap();
                read(&disk.power_loss(), path).ok().map(|bytes| (bytes.len(), bytes.first() == bytes.last()))
            })
            .collect();
        assert_eq!(outcomes, BTreeSet::from([None, Some((0, true)), Some((1024, true)), Some((1024, false))]));
    }

    #[test]
    fn a_replaced_file_is_the_old_one_or_the_new_one() {
        for seed in 0..20 {
            for operation in 1..=5 {
                let (disk, path) = disk(seed);
                ferrymq_journal::atomic_file::replace(&disk, path, b"old").unwrap();
                disk.lose_power_at(operation);
                let replaced = ferrymq_journal::atomic_file::replace(&disk, path, b"new");
                let bytes = read(&disk.power_loss(), path).unwrap();
                assert!(bytes == b"new" || (bytes == b"old" && replaced.is_err()), "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_sync_that_failed_wrote_nothing() {
        let (disk, path) = disk(1);
        let file = disk.create(path).unwrap();
        disk.sync_directory(Path::new("/data")).unwrap();
        disk.fail_syncs_from(1);
        file.write_at(&[7; 512], 0).unwrap();
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_err());
        assert_eq!(read(&disk, path).unwrap(), [7; 512]);
        assert_ne!(read(&disk.power_loss(), path).unwrap(), [7; 512]);
    }

    #[test]
    fn a_full_disk_takes_what_fits_in_allocated_space() {
        let (disk, path) = disk(1);
        disk.set_capacity(Some(1000));
        let file = disk.create(path).unwrap();
        file.allocate(1000).unwrap();
        file.write_at(&[1; 1000], 0).unwrap();
        let full = file.write_at(&[1; 1], 1000).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        disk.set_capacity(None);
        file.write_at(&[1; 1], 1000).unwrap();
    }
}
