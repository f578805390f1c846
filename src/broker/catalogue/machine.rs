//! The catalogue as a replicated machine.

use bytes::Bytes;
use ferrymq_replication::{Applied, Machine, State, StateReader};
use tokio::sync::watch;

use super::{
    Catalogue,
    command::{Answer, Command, Denied},
};

/// The snapshot's and the commands' version: the first byte of each.
const VERSION: u8 = 1;
/// A snapshot with logs: what is kept of them follows the rest.
const VERSION_WITH_LOGS: u8 = 2;
/// A snapshot with nodes that are being emptied: they follow what is kept of logs.
const VERSION_WITH_DRAINING: u8 = 3;
/// A snapshot with users that were declared: they follow those nodes.
const VERSION_WITH_USERS: u8 = 4;
/// A snapshot of a cluster that was made of a backup: how far that is follows those users.
const VERSION_WITH_RESTORATION: u8 = 5;

/// The catalogue, and how far it is.
pub(crate) struct CatalogueMachine {
    pub(crate) catalogue: Catalogue,
    /// Index of the last command; changes with each.
    applied: watch::Sender<u64>,
    /// Changes whenever a user does.
    users: watch::Sender<u64>,
}

impl CatalogueMachine {
    pub(crate) fn new() -> (Self, watch::Receiver<u64>) {
        let (applied, watch) = watch::channel(0);
        (Self { catalogue: Catalogue::default(), applied, users: watch::channel(0).0 }, watch)
    }

    /// What changes whenever a user does.
    pub(crate) fn users(&self) -> watch::Receiver<u64> {
        self.users.subscribe()
    }

    fn tell_users(&self) {
        let version = self.catalogue.users_version();
        self.users.send_if_modified(|told| std::mem::replace(told, version) != version);
    }

    /// A command as it is proposed.
    pub(crate) fn encode(command: &Command) -> Result<Bytes, postcard::Error> {
        postcard::to_extend(command, vec![VERSION]).map(Bytes::from)
    }

    /// The answer to a command.
    pub(crate) fn decode(answer: &[u8]) -> Result<Answer, postcard::Error> {
        postcard::from_bytes(answer)
    }
}

impl Machine for CatalogueMachine {
    fn apply(&mut self, at: Applied, command: Bytes, _freed: &mut Vec<u64>) -> Bytes {
        let answer = match command.split_first() {
            Some((&VERSION, bytes)) => match postcard::from_bytes(bytes) {
                Ok(command) => self.catalogue.apply(command),
                Err(error) => Answer::Denied(Denied::Not { reason: error.to_string() }),
            },
            _ => Answer::Denied(Denied::Not { reason: "the command is of a newer version".into() }),
        };
        self.applied.send_replace(at.index);
        self.tell_users();
        // Only what cannot be held in memory would fail here.
        postcard::to_allocvec(&answer).map(Bytes::from).unwrap_or_default()
    }

    fn snapshot(&self) -> Box<dyn State> {
        Box::new(self.saved())
    }

    fn restore(&mut self, from: &mut StateReader) -> Result<(), String> {
        self.take(&from.whole()?)
    }
}

impl CatalogueMachine {
    /// The whole state, as bytes.
    pub(crate) fn saved(&self) -> Bytes {
        let Catalogue { records, logs, draining, users, restoration, .. } = &self.catalogue;
        let saved = if restoration.is_some() {
            postcard::to_extend(&(records, logs, draining, users, restoration), vec![VERSION_WITH_RESTORATION])
        } else if !users.is_untouched() {
            postcard::to_extend(&(records, logs, draining, users), vec![VERSION_WITH_USERS])
        } else if !draining.is_empty() {
            postcard::to_extend(&(records, logs, draining), vec![VERSION_WITH_DRAINING])
        } else if !logs.is_empty() {
            postcard::to_extend(&(records, logs), vec![VERSION_WITH_LOGS])
        } else {
            postcard::to_extend(records, vec![VERSION])
        };
        saved.map(Bytes::from).unwrap_or_default()
    }

    /// Takes the whole state from what [`CatalogueMachine::saved`] of this or an earlier version gave.
    pub(super) fn take(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let version = self.catalogue.users_version() + 1;
        self.catalogue = read_saved(snapshot)?;
        self.catalogue.user_index.version = version;
        self.applied.send_modify(|_| ());
        self.tell_users();
        Ok(())
    }
}

/// The catalogue of a snapshot of this or an earlier version.
pub(super) fn read_saved(snapshot: &[u8]) -> Result<Catalogue, String> {
    let Some((version, bytes)) = snapshot.split_first() else { return Err("the catalogue's snapshot is empty".into()) };
    let read =
        match *version {
            VERSION => postcard::from_bytes(bytes)
                .map(|records| (records, <_>::default(), <_>::default(), <_>::default(), None)),
            VERSION_WITH_LOGS => {
                postcard::from_bytes(bytes).map(|(records, logs)| (records, logs, <_>::default(), <_>::default(), None))
            }
            VERSION_WITH_DRAINING => postcard::from_bytes(bytes)
                .map(|(records, logs, draining)| (records, logs, draining, <_>::default(), None)),
            VERSION_WITH_USERS => postcard::from_bytes(bytes)
                .map(|(records, logs, draining, users)| (records, logs, draining, users, None)),
            VERSION_WITH_RESTORATION => postcard::from_bytes(bytes),
            _ => return Err("the catalogue's snapshot is of a newer version".into()),
        };
    let (records, logs, draining, users, restoration) = read.map_err(|error| error.to_string())?;
    let mut catalogue = Catalogue::of(records, logs, draining, users);
    catalogue.restoration = restoration;
    Ok(catalogue)
}
