//! What all parts of a node share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use ferrymq_core::{Event, EventSender, Refusal};
use ferrymq_replication::{DiskReader, Group, NodeId, Store, task};
use tokio::{
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

use super::{OpenSession, Settings, leaders::Leaders, search::Search, users::PasswordCache};
use crate::{
    access::Access,
    archiving::{Archiver, BackupView, Jobs, noted},
    catalogue::{Catalogue, CatalogueMachine},
    counters::Counters,
    data::{Opened, Record},
    gateway::{Consumers, Outbox},
    identity::{Identity, IdentityError, IdentityFile, Membership},
    link::{Hello, Links},
    refusal::unavailable,
    shard::Replica,
};

/// Logs that are read from other nodes at a time.
const DISTANT_READS: usize = 256;

/// A node's parts.
pub(crate) struct Inner {
    pub(super) itself: Weak<Inner>,
    pub(super) settings: Settings,
    pub(super) store: Arc<Store>,
    pub(super) file: IdentityFile,
    pub(super) identity: RwLock<Identity>,
    pub(super) links: Links,
    pub(super) catalogue: OnceLock<OpenCatalogue>,
    pub(super) replicas: RwLock<HashMap<u32, Arc<Replica>>>,
    pub(super) leaders: Leaders,
    pub(super) reader: DiskReader,
    /// How many logs are read from other nodes at a time: each takes one of the requests that those answer at a time.
    pub(super) distant_reads: Semaphore,
    outboxes: RwLock<HashMap<u32, Arc<Outbox>>>,
    consumers: Consumers,
    sessions: Mutex<HashMap<u64, OpenSession>>,
    next_session: AtomicU64,
    /// Why publishers wait, where they do.
    pub(super) blocked: watch::Sender<Option<String>>,
    /// This node takes leadership.
    pub(super) accepts: AtomicBool,
    pub(super) stopping: AtomicBool,
    pub(super) was_ready: AtomicBool,
    pub(super) passwords: PasswordCache,
    pub(super) tasks: Mutex<JoinSet<()>>,
    /// Held while this node is formed or joins.
    pub(super) joining: tokio::sync::Mutex<()>,
    /// Runs of other nodes, as their links said.
    pub(super) runs: Mutex<BTreeMap<NodeId, u64>>,
    /// Shards that this node leads are filled elsewhere one at a time, each in its turn: what clients do goes on meanwhile.
    pub(super) turns_to_fill: Semaphore,
    /// Damage to this node's data for which it is being filled anew.
    pub(super) damage: Mutex<Option<Record>>,
    /// Archives what this node leads, where anything is archived.
    pub(super) archiver: Option<Arc<Archiver>>,
    pub(super) jobs: Jobs,
    /// What the cluster is to begin with, while it is looked for, and when it was found.
    pub(super) search: Mutex<Option<Search>>,
    backups: Mutex<BTreeMap<String, BackupView>>,
}

/// The catalogue's replica, once this node is in a cluster.
pub(super) struct OpenCatalogue {
    pub(super) group: Arc<Group<CatalogueMachine>>,
    pub(super) applied: watch::Receiver<u64>,
    pub(super) reconfiguring: tokio::sync::Mutex<()>,
}

impl Inner {
    pub(super) fn new(settings: Settings, opened: Opened, reader: DiskReader) -> Arc<Self> {
        let Opened { store, file, identity, damage } = opened;
        let archiver = settings.archiving.clone().map(|archiving| Arc::new(Archiver::new(archiving)));
        if archiver.is_some() {
            store.hold_logs(noted::read(&*settings.disk, &settings.directory));
        }
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            settings,
            store: Arc::new(store),
            file,
            identity: RwLock::new(identity),
            links: Links::new(),
            catalogue: OnceLock::new(),
            replicas: RwLock::default(),
            leaders: Leaders::default(),
            reader,
            distant_reads: Semaphore::new(DISTANT_READS),
            outboxes: RwLock::default(),
            consumers: Consumers::default(),
            sessions: Mutex::default(),
            next_session: AtomicU64::new(1),
            blocked: watch::channel(None).0,
            accepts: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            was_ready: AtomicBool::new(false),
            passwords: PasswordCache::default(),
            tasks: Mutex::default(),
            joining: tokio::sync::Mutex::default(),
            runs: Mutex::default(),
            turns_to_fill: Semaphore::new(1),
            damage: Mutex::new(damage),
            archiver,
            jobs: Jobs::default(),
            search: Mutex::default(),
            backups: Mutex::default(),
        })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This node's number; 0 while it is in no cluster.
    pub(crate) fn id(&self) -> NodeId {
        let identity = self.identity.read().unwrap_or_else(PoisonError::into_inner);
        identity.membership.as_ref().map_or(0, |membership| membership.node)
    }

    /// Counts this node's starts.
    pub(crate) fn run(&self) -> u64 {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).run
    }

    /// Writes this node's place in its cluster.
    pub(super) fn set_membership(&self, membership: Membership) -> Result<(), IdentityError> {
        let mut identity = self.identity.write().unwrap_or_else(PoisonError::into_inner);
        if identity.membership.as_ref() == Some(&membership) {
            return Ok(());
        }
        let new = Identity { membership: Some(membership), ..identity.clone() };
        self.file.write(&new)?;
        *identity = new;
        Ok(())
    }

    pub(super) fn hello(&self) -> Hello {
        let identity = self.identity();
        let (cluster_id, node) = match identity.membership {
            Some(membership) => (membership.cluster_id, membership.node),
            None => (String::new(), 0),
        };
        Hello {
            token: self.settings.token.clone(),
            cluster_id,
            node,
            uuid: identity.uuid,
            run: identity.run,
            wanted: 0,
        }
    }

    pub(super) fn address_of(&self, ordinal: u32) -> String {
        self.settings.peer_address.replace("{ordinal}", &ordinal.to_string())
    }

    /// Reads the catalogue.
    pub(crate) fn catalogue<T>(&self, read: impl FnOnce(&Catalogue) -> T) -> Result<T, Refusal> {
        let Some(open) = self.catalogue.get() else {
            return Err(unavailable("this broker is in no cluster yet; try again, or connect to another broker"));
        };
        Ok(read(&open.group.machine().catalogue))
    }

    /// Backups that this node makes, or made.
    pub(super) fn backups(&self) -> MutexGuard<'_, BTreeMap<String, BackupView>> {
        self.backups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.consumers.counters()
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, HashMap<u64, OpenSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins, and is told where publishers wait.
    pub(crate) fn add_session(&self, number: u64, access: &Access, events: EventSender) {
        // Under the lock: it is told of the end later than of this.
        let mut sessions = self.sessions();
        if let Some(reason) = &*self.blocked.borrow() {
            // The receiver is its own.
            let _ = events.send(Event::Blocked(reason.clone()));
        }
        sessions.insert(number, OpenSession { user: access.user().clone(), number: access.number(), events });
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells every session.
    pub(super) fn tell_sessions(&self, event: impl Fn() -> Event) {
        for session in self.sessions().values() {
            // A session may be going.
            let _ = session.events.send(event());
        }
    }

    pub(super) fn replica(&self, shard: u32) -> Option<Arc<Replica>> {
        self.replicas.read().unwrap_or_else(PoisonError::into_inner).get(&shard).cloned()
    }

    pub(super) fn all_replicas(&self) -> Vec<(u32, Arc<Replica>)> {
        let replicas = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        replicas.iter().map(|(shard, replica)| (*shard, replica.clone())).collect()
    }

    pub(super) fn outbox(&self, shard: u32) -> Arc<Outbox> {
        if let Some(outbox) = self.outboxes.read().unwrap_or_else(PoisonError::into_inner).get(&shard) {
            return outbox.clone();
        }
        let mut outboxes = self.outboxes.write().unwrap_or_else(PoisonError::into_inner);
        outboxes.entry(shard).or_insert_with(|| Arc::new(Outbox::new(shard, self.id(), self.run()))).clone()
    }

    pub(super) fn all_outboxes(&self) -> Vec<Arc<Outbox>> {
        self.outboxes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task::bound(future))
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
