//! A replica of a new group, made of what an archive has of an old one.
//!
//! What comes is given to the replica as a leader would: it lands in the journal, is applied, and the log is kept short
//! meanwhile. There is no such leader: its number is that of no node, and its last entry names the members, who elect one of
//! themselves then. A replica that was stopped in between goes on where it was.

use std::collections::BTreeSet;

use bytes::Bytes;
use openraft::{
    raft::{AppendEntriesRequest, AppendEntriesResponse},
    type_config::async_runtime::watch::WatchReceiver as _,
};

use crate::{
    archived::{Committed, LogEntry},
    group::Group,
    log::KeptEntry,
    machine::Machine,
    types::{
        Command, Entry, LogId, Membership, NodeId, Payload, SnapshotMeta, StoredMembership, Types, Vote, log_id, vote,
    },
};

/// Who leads while a replica is filled from an archive: no node has this number.
const ARCHIVE: NodeId = NodeId::MAX;

/// A replica cannot be filled from an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shard {group} cannot be filled from the archive: {reason}")]
pub struct RefillError {
    group: u32,
    reason: String,
}

impl<M: Machine> Group<M> {
    /// The index of the entry that comes next; 0 where there is nothing yet.
    #[must_use]
    pub fn refilled_to(&self) -> u64 {
        let index = self.log.index();
        index.last().map_or(0, |last| last.index + 1)
    }

    /// A base begins.
    ///
    /// # Errors
    ///
    /// [`RefillError`].
    pub async fn begin_base(&self) -> Result<(), RefillError> {
        self.begin_incoming().await.map_err(|reason| self.refill_error(reason))
    }

    /// Entries that the base needs.
    ///
    /// # Errors
    ///
    /// [`RefillError`].
    pub async fn base_entries(&self, entries: Vec<KeptEntry>) -> Result<(), RefillError> {
        self.keep_incoming(entries).await.map_err(|reason| self.refill_error(reason))
    }

    /// A part of the base's state. With the last part the machine has the state, which is that after the entry of this term
    /// and index.
    ///
    /// # Errors
    ///
    /// [`RefillError`].
    pub async fn base_state(
        &self,
        (term, index): (u64, u64),
        offset: u64,
        part: Bytes,
        last: bool,
    ) -> Result<(), RefillError> {
        let meta =
            SnapshotMeta { last_log_id: Some(log_id(term, index)), last_membership: StoredMembership::default() };
        let taken = self.take_incoming(archive_leads(term), meta, offset, part, last).await;
        taken.map(|_| ()).map_err(|reason| self.refill_error(reason))
    }

    /// Entries of the log that come next; returns when they are on the disk and applied.
    ///
    /// # Errors
    ///
    /// [`RefillError`]: they do not follow what is there, or somebody leads already.
    pub async fn refill(&self, part: Committed) -> Result<(), RefillError> {
        let entries = (part.first..).zip(part.entries).map(|(index, LogEntry { term, time, command })| {
            let payload = command.map_or(Payload::Blank, |bytes| Payload::Normal(Command { time, bytes }));
            Entry { log_id: log_id(term, index), payload }
        });
        let before = part.first.checked_sub(1).map(|index| log_id(part.term_before, index));
        self.append_as_archive(before, entries.collect()).await
    }

    /// All has come: these are the members from now on. One of them leads soon.
    ///
    /// # Errors
    ///
    /// [`RefillError`].
    pub async fn refilled(&self, voters: BTreeSet<NodeId>) -> Result<(), RefillError> {
        let last = self.log.index().last();
        let (term, index) = last.map_or((0, 0), |id| (id.leader_id.term + 1, id.index + 1));
        let members = Membership::new_with_defaults(vec![voters.clone()], voters);
        self.append_as_archive(last, vec![Entry { log_id: log_id(term, index), payload: Payload::Membership(members) }])
            .await
    }

    async fn append_as_archive(&self, before: Option<LogId>, entries: Vec<Entry>) -> Result<(), RefillError> {
        let Some(last) = entries.last().map(|entry| entry.log_id) else { return Ok(()) };
        let request = AppendEntriesRequest::<Types> {
            vote: archive_leads(last.leader_id.term),
            prev_log_id: before,
            entries,
            leader_commit: Some(last),
        };
        match self.raft().append_entries(request).await {
            Ok(AppendEntriesResponse::Success) => {}
            Ok(AppendEntriesResponse::HigherVote(other)) => {
                let node = other.leader_id.voted_for;
                return Err(self.refill_error(format!("node {node} wants to lead it already")));
            }
            Ok(other) => return Err(self.refill_error(format!("its log does not go on there: {other}"))),
            Err(error) => return Err(self.refill_error(error.to_string())),
        }
        let mut metrics = self.raft().metrics();
        loop {
            {
                let now = metrics.borrow_and_update();
                if let Err(stopped) = &now.running_state {
                    return Err(self.refill_error(stopped.to_string()));
                }
                if now.last_applied.is_some_and(|applied| applied.index >= last.index) {
                    return Ok(());
                }
            }
            metrics.changed().await.map_err(|error| self.refill_error(error.to_string()))?;
        }
    }

    fn refill_error(&self, reason: String) -> RefillError {
        RefillError { group: self.id(), reason }
    }
}

fn archive_leads(term: u64) -> Vote {
    vote(term, ARCHIVE, true)
}
