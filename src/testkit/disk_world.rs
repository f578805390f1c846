//! What is on the simulated disk: files and names, as processes see them and as they are on the platter.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
};

use crate::{Chance, disk_file::File};

/// What is on the disk, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) life: u64,
    pub(crate) files: HashMap<u64, File>,
    pub(crate) next_file: u64,
    pub(crate) directories: BTreeSet<PathBuf>,
    /// Names as processes see them.
    pub(crate) names: BTreeMap<PathBuf, u64>,
    /// Names on the platter.
    pub(crate) durable_names: BTreeMap<PathBuf, u64>,
    /// What leads from the one to the other.
    pub(crate) unsynced_names: Vec<NameChange>,
    pub(crate) locks: BTreeSet<PathBuf>,
    pub(crate) operations: u64,
    pub(crate) syncs: u64,
    pub(crate) faults: Faults,
    pub(crate) held: u64,
}

/// What goes wrong, and when.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) power_loss_at: Option<u64>,
    pub(crate) sync_failures_from: Option<u64>,
    pub(crate) capacity: Option<u64>,
    pub(crate) short_writes: u64,
    pub(crate) unlistable: bool,
    pub(crate) hold_syncs: bool,
}

/// A change of names that a power loss may undo.
#[derive(Debug, Clone)]
pub(crate) enum NameChange {
    Put(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            life: 0,
            files: HashMap::new(),
            next_file: 0,
            directories: BTreeSet::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            locks: BTreeSet::new(),
            operations: 0,
            syncs: 0,
            faults: Faults::default(),
            held: 0,
        }
    }

    pub(crate) fn file(&mut self, path: &Path) -> io::Result<&mut File> {
        let file = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.inode(file)
    }

    pub(crate) fn inode(&mut self, file: u64) -> io::Result<&mut File> {
        self.files.get_mut(&file).ok_or(io::ErrorKind::NotFound.into())
    }

    pub(crate) fn name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    /// The file may be that long.
    pub(crate) fn has_room(&mut self, file: u64, length: u64) -> io::Result<bool> {
        let own = self.inode(file)?.length();
        let Some(capacity) = self.faults.capacity.filter(|_| length > own) else { return Ok(true) };
        let used = self.used();
        Ok(used - own.min(used) + length <= capacity)
    }

    pub(crate) fn used(&self) -> u64 {
        self.names.values().filter_map(|file| self.files.get(file)).map(File::length).sum()
    }

    pub(crate) fn lose_power(&mut self) {
        let kept = self.chance.below(self.unsynced_names.len() as u64 + 1) as usize;
        for change in self.unsynced_names.drain(..).take(kept) {
            change.apply(&mut self.durable_names);
        }
        self.names = self.durable_names.clone();
        let mut files: Vec<_> = self.files.iter_mut().collect();
        // In an order that does not depend on the hash: the same seed loses the same.
        files.sort_unstable_by_key(|(number, _)| **number);
        for (_, file) in files {
            file.lose_power(&mut self.chance);
        }
        self.end_life();
    }

    pub(crate) fn end_life(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.faults = Faults::default();
        let names = &self.names;
        let durable = &self.durable_names;
        self.files.retain(|file, _| names.values().chain(durable.values()).any(|named| named == file));
    }
}

impl NameChange {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Rename(_, path) => path,
        }
    }

    pub(crate) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Put(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}
