//! What is replicated, and how entries reach it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ferrymq_pages::PageStore;
use futures::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};

use crate::{
    log::GroupLog,
    snapshot::SnapshotFile,
    types::{LogId, Snapshot, SnapshotMeta, StoredMembership, Types},
};

/// Where and when a command was applied; the same on every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The entry's index in its group's log.
    pub index: u64,
    /// The term of the leader that took it.
    pub term: u64,
    /// Milliseconds since 1970, by that leader's clock.
    pub time: u64,
}

/// A replicated state: every replica applies the same commands in the same order, and ends in the same state. No clock,
/// no random, no I/O.
///
/// Its state may speak of commands that it has applied, by their index, instead of holding what is in them: such an entry
/// stays in the log's journal until the machine gives it free ([`Group::command`](crate::Group::command) reads it).
pub trait Machine: Send + 'static {
    /// Applies a command and gives the answer for whoever proposed it; puts the indexes of entries that it needs no more
    /// into `freed`. A command that cannot be read changes nothing.
    fn apply(&mut self, at: Applied, command: Bytes, freed: &mut Vec<u64>) -> Bytes;

    /// Whether it needs an entry that it has applied.
    fn needs(&self, index: u64) -> bool {
        let _ = index;
        false
    }

    /// A command that it needs, with only what it needs of it.
    fn distil(&self, index: u64, command: Bytes) -> Bytes {
        let _ = index;
        command
    }

    /// The whole state, without the entries that it needs.
    fn snapshot(&self) -> Bytes;

    /// Takes the whole state from what [`Machine::snapshot`] of this or an earlier version gave.
    ///
    /// # Errors
    ///
    /// A sentence that says what could not be read. The state is then as before.
    fn restore(&mut self, snapshot: Bytes) -> Result<(), String>;
}

/// Locks a machine. A thread that panicked while it held the lock ends the process, so poison is never seen.
pub(crate) fn lock<M>(machine: &Mutex<M>) -> MutexGuard<'_, M> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine, as openraft sees it.
pub(crate) struct Host<M> {
    machine: Arc<Mutex<M>>,
    log: GroupLog,
    file: SnapshotFile,
    /// Where the machine has pages of its state.
    pages: Arc<dyn PageStore>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl<M: Machine> Host<M> {
    /// The machine, brought to the state of its last snapshot; the log keeps what that needs.
    pub(crate) fn new(
        machine: Arc<Mutex<M>>,
        log: GroupLog,
        file: SnapshotFile,
        pages: Arc<dyn PageStore>,
    ) -> io::Result<Self> {
        let mut host = Self { machine, log, file, pages, applied: None, membership: StoredMembership::default() };
        if let Some(saved) = host.file.read().map_err(io::Error::other)? {
            host.take(&saved.meta, saved.snapshot)?;
        }
        let machine = host.machine.clone();
        let needs = Box::new(move |index| lock(&machine).needs(index));
        host.log.serve(needs, host.applied.map_or(0, |id| id.index));
        Ok(host)
    }

    fn take(&mut self, meta: &SnapshotMeta, bytes: Bytes) -> io::Result<()> {
        lock(&self.machine).restore(bytes).map_err(io::Error::other)?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }
}

impl<M: Machine> RaftStateMachine<Types> for Host<M> {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let reply = match entry.payload {
                EntryPayload::Blank => Bytes::new(),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Bytes::new()
                }
                EntryPayload::Normal(command) => {
                    let at =
                        Applied { index: entry.log_id.index, term: entry.log_id.leader_id.term, time: command.time };
                    let mut freed = Vec::new();
                    let reply = lock(&self.machine).apply(at, command.bytes, &mut freed);
                    whole(&*self.pages)?;
                    self.log.free(&freed);
                    reply
                }
            };
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        let bytes = lock(&self.machine).snapshot();
        Builder { meta, bytes, file: self.file.clone(), pages: self.pages.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        self.file.write(meta.clone(), snapshot.clone()).await?;
        self.take(meta, snapshot)?;
        self.log.sweep(meta.last_log_id.map_or(0, |id| id.index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.file.read().map_err(io::Error::other)
    }
}

/// Writes the state that a machine had when this was made.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    bytes: Bytes,
    file: SnapshotFile,
    pages: Arc<dyn PageStore>,
}

/// Where a page is lost, what the machine says may be wrong: nobody is to believe it.
fn whole(pages: &dyn PageStore) -> io::Result<()> {
    if pages.is_broken() { Err(io::Error::other("a page of the state is lost")) } else { Ok(()) }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        whole(&*self.pages)?;
        self.file.write(self.meta.clone(), self.bytes.clone()).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: self.bytes.clone() })
    }
}
