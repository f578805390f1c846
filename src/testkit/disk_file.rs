//! One file of the simulated disk: what processes read, and what a power loss leaves of it.

use std::collections::{BTreeSet, HashMap};

use crate::Chance;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

type Sector = [u8; SECTOR as usize];

/// Sectors that are not there are zero.
#[derive(Debug, Default, Clone)]
struct Content {
    sectors: HashMap<u64, Box<Sector>>,
    length: u64,
}

/// A file, in the cache and on disk.
#[derive(Debug, Default)]
pub(crate) struct File {
    cached: Content,
    durable: Content,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<u64>,
}

impl File {
    pub(crate) fn length(&self) -> u64 {
        self.cached.length
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// False where the file ends before.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> bool {
        if offset.saturating_add(buffer.len() as u64) > self.cached.length {
            return false;
        }
        for (sector, range, bytes) in pieces(offset, buffer.len()) {
            match self.cached.sectors.get(&sector) {
                Some(held) => buffer[bytes].copy_from_slice(&held[range]),
                None => buffer[bytes].fill(0),
            }
        }
        true
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        for (sector, range, piece) in pieces(offset, bytes.len()) {
            let held = self.cached.sectors.entry(sector).or_insert_with(|| Box::new([0; SECTOR as usize]));
            held[range].copy_from_slice(&bytes[piece]);
            self.dirty.insert(sector);
        }
        self.cached.length = self.cached.length.max(offset + bytes.len() as u64);
    }

    pub(crate) fn set_length(&mut self, length: u64) {
        self.cached.cut(length);
        self.dirty.retain(|sector| *sector * SECTOR < length);
    }

    /// All zeros, on disk.
    pub(crate) fn allocate(&mut self, length: u64) {
        *self = Self::default();
        self.cached.length = length;
        self.durable.length = length;
    }

    pub(crate) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.durable.take(&self.cached, sector);
        }
        self.durable.cut(self.cached.length);
    }

    /// A sync that failed: the cache still has the bytes and takes them for written, the disk never gets them.
    pub(crate) fn fail_sync(&mut self) {
        self.dirty.clear();
    }

    /// Each sector that was not synced is the new one or the old one.
    pub(crate) fn lose_power(&mut self, chance: &mut Chance) {
        let survival = chance.below(5);
        if chance.below(4) < survival {
            self.durable.cut(self.cached.length);
        }
        for sector in std::mem::take(&mut self.dirty) {
            if chance.below(4) < survival && sector * SECTOR < self.durable.length {
                self.durable.take(&self.cached, sector);
            }
        }
        self.cached = self.durable.clone();
    }

    /// Changes a bit, in the cache and on disk. False where the file ends before.
    pub(crate) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        if offset >= self.cached.length {
            return false;
        }
        for content in [&mut self.cached, &mut self.durable] {
            let sector = content.sectors.entry(offset / SECTOR).or_insert_with(|| Box::new([0; SECTOR as usize]));
            sector[(offset % SECTOR) as usize] ^= 1 << (bit % 8);
        }
        true
    }
}

impl Content {
    fn take(&mut self, other: &Self, sector: u64) {
        match other.sectors.get(&sector) {
            Some(bytes) => self.sectors.insert(sector, bytes.clone()),
            None => self.sectors.remove(&sector),
        };
    }

    fn cut(&mut self, length: u64) {
        if length < self.length {
            self.sectors.retain(|sector, _| *sector * SECTOR < length);
            if let Some(last) = self.sectors.get_mut(&(length / SECTOR)) {
                last[(length % SECTOR) as usize..].fill(0);
            }
        }
        self.length = length;
    }
}

/// Divides a range at sector boundaries: the sector, the range in it, the range of the whole.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % SECTOR) as usize;
        let count = (SECTOR as usize - within).min(length - done);
        let piece = (at / SECTOR, within..within + count, done..done + count);
        done += count;
        Some(piece)
    })
}
