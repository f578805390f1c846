//! A replica of a shard on this node, and what follows a change of leader.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use ferrymq_queue::{Place, QueueId};
use ferrymq_replication::{DiskReader, Group, NodeId, task};
use tokio::{sync::Mutex, task::JoinSet};

use super::{Intake, ShardState, intake::Answers};

/// Who hears of a change of leader.
pub(crate) trait OnLeader: Send + Sync + 'static {
    /// This node leads a shard from now on, in this term. Gives the nodes that are to tell what their consumers hold.
    fn leading(&self, shard: u32, term: u64) -> BTreeSet<NodeId>;

    /// All of these nodes were asked; those that are silent for too long are given up by [`Replica::stop_waiting`].
    fn asked(&self, shard: u32, term: u64);
}

/// A replica.
pub(crate) struct Replica {
    pub(crate) group: Arc<Group<ShardState>>,
    pub(crate) intake: Arc<Intake>,
    /// Held while the members are changed.
    pub(crate) reconfiguring: Mutex<()>,
    tasks: std::sync::Mutex<JoinSet<()>>,
}

impl Replica {
    pub(crate) fn new(
        group: Arc<Group<ShardState>>,
        answers: Arc<dyn Answers>,
        on_leader: Arc<dyn OnLeader>,
    ) -> Arc<Self> {
        let intake = Arc::new(Intake::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(task::bound(intake.clone().run(group.clone(), answers)));
        tasks.spawn(task::bound(follow_leadership(group.clone(), on_leader)));
        Arc::new(Self { group, intake, reconfiguring: Mutex::default(), tasks: std::sync::Mutex::new(tasks) })
    }

    /// Nodes that have not told what they hold are given up.
    pub(crate) fn stop_waiting(&self, term: u64) {
        self.group.machine().stop_waiting(term);
    }

    /// Reads entries of the log for the leader of this term.
    pub(crate) fn read(&self, reader: &DiskReader, term: u64, entries: Vec<u64>) {
        let group = self.group.clone();
        reader.read(move || {
            // Where it is gone, so is what it was wanted for; where it cannot be read, the node stops.
            let read = entries.into_iter().map(|entry| (entry, group.command(entry).ok())).collect();
            group.machine().read(term, read);
        });
    }

    /// The content of a message.
    pub(crate) async fn message(&self, queue: QueueId, place: Place) -> Option<Bytes> {
        let group = self.group.clone();
        let read = task::blocking(move || {
            let bytes = group.command(place.entry).ok()?;
            group.machine().machine().open(place.entry, bytes).message(queue, place.ordinal).cloned()
        });
        read.await.ok().flatten()
    }

    pub(crate) async fn stop(&self) {
        self.end_tasks();
        self.group.stop().await;
    }

    fn end_tasks(&self) {
        self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).abort_all();
    }
}

async fn follow_leadership(group: Arc<Group<ShardState>>, on_leader: Arc<dyn OnLeader>) {
    let mut leadership = group.leadership();
    let mut led: Option<u64> = None;
    loop {
        let now = *leadership.borrow_and_update();
        if now.leading && led != Some(now.term) {
            led = Some(now.term);
            let awaited = on_leader.leading(group.id(), now.term);
            group.machine().lead(now.term, awaited);
            on_leader.asked(group.id(), now.term);
        } else if !now.leading && led.is_some() && !keeps_serving() {
            led = None;
            group.machine().follow();
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// A leader that another one has followed goes on: only as a flaw of a simulation.
#[cfg(not(feature = "simulation"))]
fn keeps_serving() -> bool {
    false
}

#[cfg(feature = "simulation")]
fn keeps_serving() -> bool {
    ferrymq_replication::simulation::Flaw::ServeWhenDeposed.is_set()
}
