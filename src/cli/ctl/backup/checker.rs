//! Objects, read and checked one or two at a time.

use std::time::{Duration, Instant};

use ferrymq_archive::{Archive, ArchiveError, Base, LogPart};
use futures::{StreamExt as _, stream};

use super::{
    findings::{Finding, Kind},
    joined::{Break, Gaps, Joined},
};

/// Objects that are read ahead.
const AHEAD: usize = 2;
/// Between two lines that say how far it is.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// What was read, and what is wrong with it.
pub(super) struct Checker {
    pub(super) archive: Archive,
    pub(super) findings: Vec<Finding>,
    /// Objects that were read.
    pub(super) objects: u64,
    /// Bytes of their content.
    pub(super) bytes: u64,
    told_at: Instant,
}

impl Checker {
    pub(super) fn new(archive: Archive) -> Self {
        Self { archive, findings: Vec::new(), objects: 0, bytes: 0, told_at: Instant::now() }
    }

    /// What was read of an object; what is wrong with it is noted.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]: the archive cannot be looked at.
    pub(super) fn keep<T>(
        &mut self,
        object: &str,
        read: Result<T, ArchiveError>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<Option<T>, ArchiveError> {
        self.objects += 1;
        if self.told_at.elapsed() >= TELL_EVERY {
            eprintln!("verify: {} objects, {:.1} MB so far; at {object}", self.objects, self.bytes as f64 / 1e6);
            self.told_at = Instant::now();
        }
        match read {
            Ok(content) => {
                self.bytes += bytes(&content) as u64;
                Ok(Some(content))
            }
            Err(error) => {
                self.findings.push(Finding::of(object, error)?);
                Ok(None)
            }
        }
    }

    /// A listing; nothing where something in it is of another program, which is noted.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]: the archive cannot be looked at.
    pub(super) fn listed<T>(&mut self, listed: Result<T, ArchiveError>) -> Result<Option<T>, ArchiveError> {
        match listed {
            Ok(listed) => Ok(Some(listed)),
            Err(error) => {
                self.findings.push(Finding::of("", error)?);
                Ok(None)
            }
        }
    }

    /// A base and all of its parts.
    pub(super) async fn base(&mut self, group: u32, id: &str) -> Result<Option<Base>, ArchiveError> {
        let archive = self.archive.clone();
        let name = archive.name_of_base(group, id);
        let Some(base) = self.keep(&name, archive.base(group, id).await, |_| 0)? else { return Ok(None) };
        let before = (self.findings.len(), self.bytes);
        self.parts(&base).await?;
        let bytes = self.bytes - before.1;
        if before.0 == self.findings.len() && bytes != base.bytes {
            let why = format!("its parts have {bytes} bytes together, and should have {}", base.bytes);
            self.findings.push(Finding { kind: Kind::Damaged, object: name, why });
        }
        Ok(Some(base))
    }

    async fn parts(&mut self, base: &Base) -> Result<(), ArchiveError> {
        let archive = &self.archive.clone();
        let read = |number| async move {
            let bytes = if number < base.entry_parts {
                let entries = archive.base_entries(base, number).await;
                entries.map(|entries| entries.iter().map(|(_, record)| record.len()).sum())
            } else {
                archive.base_state(base, number).await.map(|part| part.len())
            };
            (number, bytes)
        };
        let numbers = 0..base.entry_parts.saturating_add(base.state_parts);
        let mut parts = std::pin::pin!(stream::iter(numbers).map(read).buffered(AHEAD));
        while let Some((number, bytes)) = parts.next().await {
            self.keep(&archive.name_of_base_part(base.group, &base.id, number), bytes, |bytes: &usize| *bytes)?;
        }
        Ok(())
    }

    /// The parts of a shard's log that begin with these, from entry `next` on where that must be there. Gives the entry
    /// behind the last; nothing where the last part could not be read.
    pub(super) async fn log(
        &mut self,
        group: u32,
        firsts: &[u64],
        next: Option<u64>,
        gaps: &Gaps,
    ) -> Result<Option<u64>, ArchiveError> {
        let archive = self.archive.clone();
        let mut joined = Joined::new(next);
        let read = |first| {
            let archive = &archive;
            async move { (first, archive.log_part(group, first).await) }
        };
        let mut parts = std::pin::pin!(stream::iter(firsts.iter().copied()).map(read).buffered(AHEAD));
        while let Some((first, part)) = parts.next().await {
            let name = archive.name_of_log(group, first);
            let size = |part: &LogPart| part.entries.iter().map(LogPart::bytes_of).sum();
            let Some(part) = self.keep(&name, part, size)? else {
                joined.pass_over();
                continue;
            };
            match joined.take(&part) {
                None => {}
                Some(Break::Hole { from, before }) if gaps.cover(from, before) => {}
                Some(Break::Hole { from, before }) => self.hole(group, from, before),
                Some(Break::Terms { before, said }) => {
                    let why =
                        format!("it goes on behind an entry of term {said}, and the one before it is of {before}");
                    self.findings.push(Finding { kind: Kind::Damaged, object: name, why });
                }
            }
        }
        Ok(joined.next())
    }

    /// Entries of a log are not there.
    pub(super) fn hole(&mut self, group: u32, from: u64, before: u64) {
        let why = format!("entries {from} to {} of the log of shard {group} are nowhere", before.saturating_sub(1));
        self.findings.push(Finding::missing(&self.archive.name_of_log(group, from), why));
    }
}
