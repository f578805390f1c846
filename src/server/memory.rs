//! How much memory a broker takes, and may take.

use std::fs;

/// The share of what there is that a broker may take before publishers wait: the rest is for what is under way by then.
const SHARE: f64 = 0.6;
/// Bytes of a page, as in `/proc`: on every platform that FerryMQ is built for.
const PAGE_BYTES: u64 = 4096;
/// Where nothing can be found out.
const UNKNOWN: u64 = 1 << 30;

/// Bytes of memory that this process takes (resident); 0 where that cannot be found out.
pub(crate) fn used() -> u64 {
    fs::read_to_string("/proc/self/statm").ok().and_then(|statm| resident_in(&statm)).unwrap_or(0)
}

fn resident_in(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE_BYTES)
}

/// Bytes of memory beyond which publishers wait, where the configuration does not say.
pub(crate) fn default_high_water() -> u64 {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let available = limits.chain(total()).min().unwrap_or(UNKNOWN);
    share_of(available)
}

fn share_of(bytes: u64) -> u64 {
    (bytes as f64 * SHARE) as u64
}

fn total() -> Option<u64> {
    total_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn total_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_may_take_a_share_of_the_memory_there_is() {
        assert_eq!(total_in("MemFree: 1 kB\nMemTotal:  1000 kB\n"), Some(1_024_000));
        assert_eq!(share_of(1000), 600);
        assert_eq!(resident_in("9 2 1 0\n"), Some(8192));
        assert!(used() > 0);
        assert!(default_high_water() > 0);
    }
}
