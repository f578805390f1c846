//! The machine that is measured on, and what its disk does without any broker.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

/// Written over and over, as a journal writes into files that were allocated ahead: syncing it changes no metadata.
const FILE_BYTES: usize = 64 << 20;

/// Sizes of a write that is synced.
const WRITES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

/// What was measured on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    /// The day, in UTC.
    pub(super) date: String,
    /// Model of its processor.
    pub(super) processor: String,
    /// Cores that may be used.
    pub(super) cores: usize,
    /// Bytes of memory.
    pub(super) memory_bytes: u64,
    /// Release of its kernel.
    pub(super) kernel: String,
}

impl Machine {
    /// One for tests.
    #[cfg(test)]
    pub(super) fn fixture() -> Self {
        Self {
            date: "2026-01-02".to_owned(),
            processor: "A processor".to_owned(),
            cores: 2,
            memory_bytes: 24 << 30,
            kernel: "6.1".to_owned(),
        }
    }

    /// # Errors
    ///
    /// Where this is no Linux.
    pub(super) fn look() -> anyhow::Result<Self> {
        let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("cannot ask for the date")?;
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let processors = read("/proc/cpuinfo")?;
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self {
            date: String::from_utf8_lossy(&date.stdout).trim().to_owned(),
            processor: model.map_or("unknown processor", |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_bytes: memory_bytes(&read("/proc/meminfo")?).context("there is no MemTotal in /proc/meminfo")?,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// What the disk does when one program writes in sequence, and syncs each write before the next one.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct DiskLimit {
    /// Bytes of a write.
    pub(super) write_bytes: usize,
    /// Writes a second.
    pub(super) writes_per_second: f64,
}

impl DiskLimit {
    /// Millions of bytes a second.
    pub(super) fn megabytes_per_second(&self) -> f64 {
        self.writes_per_second * self.write_bytes as f64 / 1e6
    }
}

/// Measures the disk that `folder` is on, for `each` with every size of a write, the smallest first.
///
/// # Errors
///
/// Where nothing can be written there.
pub(super) fn disk_limits(folder: &Path, each: Duration) -> anyhow::Result<Vec<DiskLimit>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("disk-limit");
    let measured = measure_disk(&path, each).with_context(|| format!("measuring the disk by {}", path.display()));
    // Whether or not it could be measured.
    let _ = fs::remove_file(&path);
    measured
}

fn measure_disk(path: &Path, each: Duration) -> anyhow::Result<Vec<DiskLimit>> {
    let mut file = File::create(path)?;
    let block = vec![0x5a_u8; *WRITES.last().context("there are sizes")?];
    for _ in 0..FILE_BYTES / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let mut limits = Vec::new();
    for write_bytes in WRITES {
        let (began, mut writes, mut offset) = (Instant::now(), 0_u64, 0);
        let Some(block) = block.get(..write_bytes) else { bail!("a write of {write_bytes} bytes is too long") };
        file.seek(SeekFrom::Start(0))?;
        while began.elapsed() < each {
            file.write_all(block)?;
            file.sync_data()?;
            writes += 1;
            offset += write_bytes;
            if offset >= FILE_BYTES {
                file.seek(SeekFrom::Start(0))?;
                offset = 0;
            }
        }
        limits.push(DiskLimit { write_bytes, writes_per_second: writes as f64 / began.elapsed().as_secs_f64() });
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_with_every_size_of_a_write() {
        let folder = tempfile::tempdir().unwrap();
        let limits = disk_limits(folder.path(), Duration::from_millis(20)).unwrap();
        assert_eq!(limits.iter().map(|limit| limit.write_bytes).collect::<Vec<_>>(), WRITES);
        assert!(limits.iter().all(|limit| limit.megabytes_per_second() > 0.0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_machine_is_told() {
        let machine = Machine::look().unwrap();
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 20 && machine.date.len() == 10, "{machine:?}");
    }
}
