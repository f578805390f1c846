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
    state::{Saved, State, StateReader},
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

    /// The whole state as it is now, without the entries that it needs. Called with the machine locked: what takes long
    /// is left to the writing.
    fn snapshot(&self) -> Box<dyn State>;

    /// Takes the whole state from what [`Machine::snapshot`] of this or an earlier version wrote.
    ///
    /// # Errors
    ///
    /// A sentence that says what could not be read. The state is then as before.
    fn restore(&mut self, from: &mut StateReader) -> Result<(), String>;
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

    fn take(&mut self, meta: &SnapshotMeta, saved: Saved) -> io::Result<()> {
        let mut from = StateReader::new(saved);
        let restored = lock(&self.machine).restore(&mut from);
        restored.map_err(|what| from.failed().unwrap_or_else(|| io::Error::other(what)))?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }
}

impl<M: Machine> RaftStateMachine<Types> for Host<M> {
    type SnapshotData = Saved;
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
        let state = WholeState { state: lock(&self.machine).snapshot(), pages: self.pages.clone() };
        Builder { meta, state: Mutex::new(Some(Box::new(state))), file: self.file.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Saved) -> Result<(), io::Error> {
        let written = self.file.write(meta.clone(), Box::new(snapshot)).await?;
        self.take(meta, written.snapshot)?;
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
    /// Taken once. Locked only because openraft wants to share this.
    state: Mutex<Option<Box<dyn State>>>,
    file: SnapshotFile,
}

/// A state that is an error where part of it is lost.
struct WholeState {
    state: Box<dyn State>,
    pages: Arc<dyn PageStore>,
}

impl State for WholeState {
    fn write(&self, pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.state.write(pass)?;
        whole(&*self.pages)
    }
}

/// Where a page is lost, what the machine says may be wrong: nobody is to believe it.
fn whole(pages: &dyn PageStore) -> io::Result<()> {
    if pages.is_broken() { Err(io::Error::other("a page of the state is lost")) } else { Ok(()) }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Saved;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let state = self
            .state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| io::Error::other("this snapshot was built already"))?;
        self.file.write(self.meta.clone(), state).await
    }
}
