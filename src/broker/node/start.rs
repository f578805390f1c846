//! Starting and stopping.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use ferrymq_core::Event;
use ferrymq_journal::{Disk, Options};
use ferrymq_replication::{Damage, DiskReader, OpenError, Timing};
use tokio::{
    sync::watch,
    time::{Instant, interval, timeout},
};

use super::{
    ClusterView, FormError, Formation, Inner, Objects, PlacementRefusal, RestorationView, SafeToStop, Statistics,
    Topic, TopicList, TopicPage, TopicRefusal, TopicView, User, UserRefusal, UserView,
};
use crate::{
    archiving::{ArchiveFigures, ArchiveOpener, Archiving, BackupView},
    data::{self, SetAsideError},
    identity::IdentityError,
    link::{Listener, Network, listen},
};

/// How long handing over may take.
const HAND_OVER: Duration = Duration::from_secs(20);
/// How long stopping may take beyond that.
const STOP: Duration = Duration::from_secs(10);

/// How a node is set up.
#[derive(Clone)]
pub struct Settings {
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Its zone, where it has one.
    pub zone: Option<String>,
    /// The version that runs.
    pub version: String,
    /// Where it keeps its data; made where it is missing.
    pub directory: PathBuf,
    /// The disk that it is on.
    pub disk: Arc<dyn Disk>,
    /// How the journal is set up.
    pub journal: Options,
    /// How it reaches other nodes.
    pub network: Arc<dyn Network>,
    /// Link address of the node with an ordinal, `{ordinal}` in its place.
    pub peer_address: String,
    /// What all nodes of the cluster know, and nobody else.
    pub token: String,
    /// Bytes of memory that the node's process takes now.
    pub memory_used: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Bytes of memory beyond which publishers wait.
    pub memory_high_water: u64,
    /// How quickly a lost leader is noticed.
    pub timing: Timing,
    /// Where it archives what it leads; nowhere where there is none.
    pub archiving: Option<Archiving>,
    /// The archive that its cluster is made of, where it is to be.
    pub restore_from: Option<ArchiveOpener>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its journal or snapshots.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Its journal is gone, and so are its votes.
    #[error("{path} has no journal in it, and there is other data of a node beside it")]
    NoJournal {
        /// Where the journal was.
        path: PathBuf,
    },
    /// Its data is damaged, and no other node is known that could fill it anew.
    #[error(
        "the data of this broker is damaged at byte {offset} of {file}, and no other broker is known that could fill it anew: \
         {problem}; `ferrymq ctl journal verify {directory}` shows all that is damaged; restore {directory} from a backup, or \
         from a snapshot of its volume, and start again"
    )]
    Damaged {
        /// The data directory.
        directory: PathBuf,
        /// The file in it.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong, as a sentence.
        problem: String,
    },
    /// Damaged data was not set aside.
    #[error(transparent)]
    SetAside(#[from] SetAsideError),
    /// Its copy of the catalogue.
    #[error("cannot open the catalogue")]
    Catalogue(#[source] io::Error),
    /// Its disk failed while it started, as it may at any time later: see [`Node::failure`].
    #[error(
        "the disk failed while this broker started; start it again, it goes on by what was noted of the disk: {reason}"
    )]
    Failed {
        /// What failed, as a sentence.
        reason: String,
    },
    /// The thread that reads its log.
    #[error("cannot start the thread that reads the log")]
    Reader(#[source] io::Error),
    /// Its data directory.
    #[error("cannot make the data directory {directory}")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl StartError {
    /// What the disk no longer has as it was written, where that is why.
    pub(crate) fn damage(&self) -> Option<Damage> {
        match self {
            Self::Identity(error) => error.damage(),
            Self::Store(error) => error.damage(),
            Self::NoJournal { path } => Some(Damage { path: path.clone(), offset: 0, problem: self.to_string() }),
            _ => None,
        }
    }
}

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has no data and is in no cluster.
    Unformed,
    /// It was taken in, and is being filled.
    Joining,
    /// It has data, and looks for the rest of its cluster.
    Starting,
    /// It serves clients.
    Serving,
    /// It hands its work over and will stop.
    Stopping,
}

/// A node. Cheap to clone; the same one.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

impl Node {
    /// Starts a node, which listens for links of other nodes on `links`.
    ///
    /// # Errors
    ///
    /// [`StartError`]: its data cannot be opened.
    pub async fn start(settings: Settings, links: impl Listener) -> Result<Self, StartError> {
        let opened = data::open_when_free(&settings).await?;
        let reader = DiskReader::start("log-reader").map_err(StartError::Reader)?;
        let inner = Inner::new(settings, opened, reader);
        tracing::info!(node = inner.id(), uuid = inner.identity().uuid, run = inner.run(), "starts");
        inner.spawn(listen(links, inner.clone()));
        if inner.identity().membership.is_some() {
            // Whoever adopts it by a link may be at it as well.
            let _one_at_a_time = inner.joining.lock().await;
            inner.open_catalogue().await.map_err(|error| match inner.store.failure().borrow().clone() {
                Some(reason) => StartError::Failed { reason },
                None => StartError::Catalogue(error),
            })?;
        } else {
            inner.spawn(inner.clone().join());
        }
        if let Some(archiver) = inner.archiver.clone() {
            inner.spawn(inner.clone().archive_logs(archiver.clone()));
            inner.spawn(inner.clone().bound_what_waits(archiver));
        }
        Ok(Self(inner))
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// What ended this node's disk, once something has: the process must end then.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.0.store.failure()
    }

    /// Its identity.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.0.identity().uuid
    }

    /// Its cluster, and its number there.
    #[must_use]
    pub fn membership(&self) -> Option<(String, u64)> {
        self.0.identity().membership.map(|membership| (membership.cluster_id, membership.node))
    }

    /// Where it is in its life, and why, as a sentence.
    #[must_use]
    pub fn phase(&self) -> (Phase, String) {
        self.0.phase()
    }

    /// Whether it serves clients.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.phase().0 == Phase::Serving
    }

    /// The node in figures. Takes some milliseconds where it leads many queues: call it where blocking is allowed.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.statistics()
    }

    /// The shards that it leads, and at most so many of their queues whose names begin with a prefix, one by one. Call it
    /// where blocking is allowed.
    #[must_use]
    pub fn objects(&self, prefix: &str, most: usize) -> Objects {
        self.0.objects(prefix, most)
    }

    /// Forms a cluster. Sent again, it goes on where it was.
    ///
    /// # Errors
    ///
    /// [`FormError`].
    pub async fn form(&self, formation: Formation) -> Result<(), FormError> {
        self.0.form(formation).await
    }

    /// What the cluster looks like from here.
    ///
    /// # Errors
    ///
    /// A sentence: it is not formed, or this node's copy of the catalogue is not there yet.
    pub async fn cluster(&self) -> Result<ClusterView, String> {
        self.0.cluster_view().await
    }

    /// Whether every shard of this node keeps its majority, in sync, without it.
    pub async fn safe_to_stop(&self) -> SafeToStop {
        self.0.safe_to_stop().await
    }

    /// Empties a node, so that it can be removed; or lets it have its share again. What it holds goes to others, one shard
    /// after the other: how far that is shows in [`NodeView::replicas`](super::NodeView::replicas).
    ///
    /// # Errors
    ///
    /// [`PlacementRefusal`]: the others could not hold what it has.
    pub async fn drain(&self, ordinal: u32, draining: bool) -> Result<(), PlacementRefusal> {
        self.0.drain(ordinal, draining).await
    }

    /// Takes a node out of the cluster, for good, that was emptied; success where it is not there.
    ///
    /// # Errors
    ///
    /// [`PlacementRefusal`]: it was not told to be emptied, or still holds something.
    pub async fn remove_node(&self, ordinal: u32) -> Result<(), PlacementRefusal> {
        self.0.remove_node(ordinal).await
    }

    /// Declares a topic.
    ///
    /// # Errors
    ///
    /// [`TopicRefusal`].
    pub async fn declare_topic(&self, topic: Topic) -> Result<TopicView, TopicRefusal> {
        self.0.declare_topic_as(topic).await
    }

    /// All topics.
    ///
    /// # Errors
    ///
    /// [`TopicRefusal::Unavailable`].
    pub async fn topics(&self) -> Result<TopicList, TopicRefusal> {
        self.0.topic_list(TopicPage::default()).await
    }

    /// A part of the topics, as soon as all of them are of another version than this one; after five seconds at most.
    ///
    /// # Errors
    ///
    /// [`TopicRefusal::Unavailable`].
    pub async fn topics_after(&self, version: &str, page: TopicPage) -> Result<TopicList, TopicRefusal> {
        self.0.topic_list_after(version, page).await
    }

    /// Removes a topic of this owner, and all of its messages; or, where `delete` is false, gives it up.
    ///
    /// # Errors
    ///
    /// [`TopicRefusal`].
    pub async fn remove_topic(
        &self,
        virtual_host: &str,
        name: &str,
        owner_uid: &str,
        delete: bool,
        only_if_empty: bool,
    ) -> Result<(), TopicRefusal> {
        self.0.remove_topic_of(virtual_host, name, owner_uid, delete, only_if_empty).await
    }

    /// Declares a user, and gives it as it is then.
    ///
    /// # Errors
    ///
    /// [`UserRefusal`].
    pub async fn declare_user(&self, user: User) -> Result<UserView, UserRefusal> {
        self.0.declare_user_as(user).await
    }

    /// All users.
    ///
    /// # Errors
    ///
    /// [`UserRefusal::Unavailable`].
    pub fn users(&self) -> Result<Vec<UserView>, UserRefusal> {
        self.0.user_views()
    }

    /// Removes a user of this owner, and lets its clients go; or, where `delete` is false, gives it up. No error where the
    /// user is not there, or is another's.
    ///
    /// # Errors
    ///
    /// [`UserRefusal::Unavailable`].
    pub async fn remove_user(&self, name: &str, owner_uid: &str, delete: bool) -> Result<(), UserRefusal> {
        self.0.remove_user_of(name, owner_uid, delete).await
    }

    /// Makes a user that may do everything, or gives it a new password.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub async fn put_user(&self, name: String, password: String, loopback_only: bool) -> Result<(), String> {
        self.0.put_user(name, password, loopback_only).await
    }

    /// Makes a backup of the whole cluster, and gives how far it is; the same one where it is asked for again. One that was
    /// given up is begun anew. What it is made for is noted with it.
    ///
    /// # Errors
    ///
    /// A sentence: this node archives nothing, or the archive cannot be read.
    pub async fn back_up(&self, name: &str, made_for: Option<String>) -> Result<BackupView, String> {
        self.0.back_up(name, made_for).await
    }

    /// How far the cluster is with what it begins with, where that is what another one had.
    #[must_use]
    pub fn restoration(&self) -> Option<RestorationView> {
        self.0.catalogue(|catalogue| catalogue.restoration.as_ref().map(RestorationView::of)).ok().flatten()
    }

    /// Removes a backup, and what no other needs; success where it is not there.
    ///
    /// # Errors
    ///
    /// A sentence: this node archives nothing, or the archive refused.
    pub async fn remove_backup(&self, name: &str) -> Result<(), String> {
        self.0.remove_backup(name).await
    }

    /// How it is with what this node archives; none where it archives nothing.
    #[must_use]
    pub fn archive_figures(&self) -> Option<ArchiveFigures> {
        self.0.archiver.as_ref().map(|archiver| archiver.figures())
    }

    /// Gives all that this node leads to others, and leads nothing more. Returns when done, or after 20 seconds.
    pub async fn hand_over(&self) {
        self.0.accepts.store(false, Ordering::Relaxed);
        self.0.tell_all_leads();
        // Leaders give way at once where they can; where they cannot, they are asked again.
        let mut tries = interval(Duration::from_millis(200));
        let until = Instant::now() + HAND_OVER;
        while Instant::now() < until {
            tries.tick().await;
            if !self.0.give_leadership_away().await {
                return;
            }
        }
    }

    /// Lets nothing more be delivered to clients of this node, so that they can settle what they hold.
    pub fn stop_deliveries(&self) {
        self.0.stop_deliveries();
    }

    /// Hands over, lets its clients go, and stops. Its data is on disk when this returns.
    pub async fn stop(&self) {
        let inner = &self.0;
        self.hand_over().await;
        inner.stopping.store(true, Ordering::Relaxed);
        inner.tell_sessions(|| Event::Closing("broker is shutting down".into()));
        let groups = async {
            for (_, replica) in inner.all_replicas() {
                replica.stop().await;
            }
            if let Some(open) = inner.catalogue.get() {
                open.group.stop().await;
            }
        };
        if timeout(STOP, groups).await.is_err() {
            tracing::warn!("not all replicas stopped in time; what was confirmed is on disk all the same");
        }
        inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        inner.links.close();
        inner.store.close();
    }
}

impl Inner {
    /// Where the node is, and why; until it is in sync again after damage, that as well.
    pub(super) fn phase(&self) -> (Phase, String) {
        let (phase, message) = self.phase_by_itself();
        match &*self.damage.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(damage) => (phase, format!("{}; {message}", damage.told())),
            None => (phase, message),
        }
    }

    fn phase_by_itself(&self) -> (Phase, String) {
        if self.is_stopping() {
            return (Phase::Stopping, "it stops".into());
        }
        if self.identity().membership.is_none() {
            let message = "it has no data, and waits to be taken into a cluster, or for one to be formed";
            return (Phase::Unformed, message.into());
        }
        let own = self.id();
        let known = self.catalogue(|catalogue| catalogue.is_formed() && catalogue.records.nodes.contains_key(&own));
        let restoring = self.catalogue(|catalogue| catalogue.restoration.as_ref().map(|it| (it.left.len(), it.shards)));
        let leader = self.catalogue.get().and_then(|open| open.group.leadership().borrow().leader);
        let not_yet = |message: String| {
            let phase = if self.run() == 1 { Phase::Joining } else { Phase::Starting };
            (phase, message)
        };
        if leader.is_none() {
            return not_yet("it looks for a majority of its cluster's brokers".into());
        }
        if !matches!(known, Ok(true)) {
            return not_yet("its copy of the catalogue is being filled".into());
        }
        if let Ok(Some((left, of))) = restoring
            && left > 0
        {
            return not_yet(format!("the cluster is being restored: {left} of {of} shards are not there yet"));
        }
        if !self.was_ready.load(Ordering::Relaxed) {
            let shards = self.catalogue(|catalogue| catalogue.records.shards.keys().copied().collect::<Vec<_>>());
            let without =
                shards.unwrap_or_default().into_iter().filter(|shard| self.leaders.of(*shard).is_none()).count();
            if without > 0 {
                return not_yet(format!("{without} shards have no leader yet"));
            }
            self.was_ready.store(true, Ordering::Relaxed);
        }
        (Phase::Serving, "it serves clients".into())
    }

    /// Gives away what this node leads; gives whether there is something left.
    async fn give_leadership_away(&self) -> bool {
        let mut left = false;
        let takes = |to: &u64| *to != self.id() && self.takes_leadership(*to);
        for (_, replica) in self.all_replicas() {
            let view = replica.group.view();
            if let Some(to) = view.in_sync.iter().find(|to| takes(to)).filter(|_| view.leadership.leading) {
                left = true;
                replica.group.transfer_leadership(*to).await;
            }
        }
        if let Some(open) = self.catalogue.get() {
            let view = open.group.view();
            if let Some(to) = view.in_sync.iter().find(|to| takes(to)).filter(|_| view.leadership.leading) {
                left = true;
                open.group.transfer_leadership(*to).await;
            }
        }
        left
    }
}
