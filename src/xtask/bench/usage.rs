//! What processes take of the machine, as Linux says it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// What the kernel counts time in towards programs: hundredths of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of memory of a process: its own, and its share of what it has together with others.
///
/// # Errors
///
/// Where it has ended, or is another user's.
pub(super) fn memory(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    kibibytes(&text, "Pss:").with_context(|| format!("there is no Pss in {path}"))
}

/// What a line of this name says in kibibytes, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Forgets what the most was that a process had in memory.
///
/// # Errors
///
/// Where it has ended, or is another user's.
pub(super) fn forget_peak(process: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{process}/clear_refs");
    // proc(5): 5 sets the peak to what there is now.
    fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

/// The most bytes that a process had in memory at a time, since that was forgotten or since it started.
///
/// # Errors
///
/// Where it has ended.
pub(super) fn peak(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    kibibytes(&text, "VmHWM:").with_context(|| format!("there is no VmHWM in {path}"))
}

/// Processor time that a process has taken so far.
///
/// # Errors
///
/// Where it has ended.
pub(super) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let stat = stat(process).with_context(|| format!("process {process} has ended"))?;
    Ok(stat.time)
}

/// The processes under one, at any depth, that run a program of this name.
///
/// # Errors
///
/// Where `/proc` cannot be read.
pub(super) fn descendants(root: u32, program: &str) -> anyhow::Result<Vec<u32>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Others come and go.
        if let Some(stat) = stat(process) {
            all.insert(process, stat);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(process, _)| *process));
        at += 1;
    }
    found.retain(|process| all.get(process).is_some_and(|stat| stat.program == program));
    Ok(found)
}

/// Bytes of all files in a folder.
///
/// # Errors
///
/// Where it cannot be read.
pub(super) fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { folder_bytes(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

#[derive(Debug, PartialEq)]
struct Stat {
    program: String,
    parent: u32,
    time: Duration,
}

fn stat(process: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // A program's name may have spaces and brackets of its own.
    let (start, rest) = text.rsplit_once(')')?;
    let (_, program) = start.split_once('(')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u32>().ok();
    // proc(5) counts from 1, and two fields are before these.
    let time = TICK.checked_mul(ticks(11)?.checked_add(ticks(12)?)?)?;
    Some(Stat { program: program.to_owned(), parent: fields.get(1)?.parse().ok()?, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_brackets_in_its_name_is_read() {
        let text = "7 (a (b) c) S 3 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        let stat = Stat { program: "a (b) c".to_owned(), parent: 3, time: Duration::from_secs(2) };
        assert_eq!(parse_stat(text), Some(stat));
    }

    #[test]
    fn a_process_has_memory_and_took_time() {
        let own = std::process::id();
        assert!(memory(own).unwrap() > 100_000);
        assert!(processor_time(own).is_ok());
        assert!(memory(u32::MAX).is_err());
        forget_peak(own).unwrap();
        assert!(peak(own).unwrap() > 100_000);
    }

    #[test]
    fn what_a_child_started_is_found_under_us() {
        let mut shell = std::process::Command::new("sh");
        let mut shell =
            shell.args(["-c", "sleep 1000 & echo; wait"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        // By the line it is known that both run, though the second may not be called sleep yet.
        let mut line = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let found = loop {
            let found = descendants(std::process::id(), "sleep").unwrap();
            if !found.is_empty() {
                break found;
            }
            std::thread::yield_now();
        };
        shell.kill().unwrap();
        shell.wait().unwrap();
        for process in &found {
            std::process::Command::new("kill").arg(process.to_string()).status().unwrap();
        }
        assert_eq!(found.len(), 1);
    }
}
