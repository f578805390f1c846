//! What is put right again and again: links, replicas, members, leaders. Each step looks at what is and at what is to be,
//! and may be stopped and run again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use ferrymq_queue::QueueId;
use ferrymq_replication::{Group, NodeId};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Inner, inner::OpenCatalogue};
use crate::{
    catalogue::{CATALOGUE_GROUP, CatalogueMachine, Command, ShardRecord},
    identity::Membership,
    link::Peer,
    shard::{Replica, ShardState},
};

const OFTEN: Duration = Duration::from_millis(250);
const SOMETIMES: Duration = Duration::from_secs(5);
/// Logs are kept short this often: under load, the segments that die at a time can then be used again, and need not be
/// made anew.
const SHORTEN: Duration = Duration::from_secs(1);

impl Inner {
    /// Opens this node's copy of the catalogue.
    pub(super) async fn open_catalogue(&self) -> io::Result<()> {
        if self.catalogue.get().is_some() {
            return Ok(());
        }
        // Before the catalogue is read for the first time, these are the nodes to look for.
        self.link_to(self.known_peers());
        let (machine, applied) = CatalogueMachine::new();
        let users = machine.users();
        let machine = Arc::new(std::sync::Mutex::new(machine));
        let timing = self.settings.timing;
        let store = self.store.clone();
        let group = Group::open(CATALOGUE_GROUP, self.id(), store, self.backstage(), machine, timing).await?;
        let open = OpenCatalogue { group, applied, reconfiguring: tokio::sync::Mutex::default() };
        if self.catalogue.set(open).is_err() {
            return Ok(());
        }
        if let Some(this) = self.itself.upgrade() {
            self.spawn(this.clone().keep_up());
            self.spawn(this.clone().let_go_of_users(users));
            self.spawn(this.announce_start());
        }
        Ok(())
    }

    fn known_peers(&self) -> BTreeMap<NodeId, u32> {
        self.identity().membership.map(|membership| membership.peers).unwrap_or_default().into_iter().collect()
    }

    fn link_to(&self, nodes: BTreeMap<NodeId, u32>) {
        let own = self.id();
        let wanted: HashMap<NodeId, String> = nodes
            .into_iter()
            .filter(|(id, _)| *id != own)
            .map(|(id, ordinal)| (id, self.address_of(ordinal)))
            .collect();
        let Some(this) = self.itself.upgrade() else { return };
        let hello = self.hello();
        let network = &self.settings.network;
        let dial = |node, address: &str| Peer::dial(network, node, address.to_owned(), hello.clone(), &this);
        for closed in self.links.set(&wanted, dial) {
            this.on_reachable(closed, false);
        }
    }

    /// Tells the catalogue that this node has started, so that what belonged to its earlier runs goes.
    async fn announce_start(self: Arc<Self>) {
        let mut tries = interval(OFTEN);
        loop {
            tries.tick().await;
            let (node, run, version) = (self.id(), self.run(), self.settings.version.clone());
            let known = self.catalogue(|catalogue| {
                catalogue.records.nodes.get(&node).map(|record| record.run >= run && record.version == version)
            });
            match known {
                Ok(Some(true)) => return,
                Ok(Some(false)) => {
                    if let Err(error) = self.change(Command::NodeStarted { node, run, version }).await {
                        tracing::debug!(%error, "the start is not told yet");
                    }
                }
                _ => {}
            }
        }
    }

    /// Puts right what is not, until the node stops.
    async fn keep_up(self: Arc<Self>) {
        let mut often = interval(OFTEN);
        often.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Some(open) = self.catalogue.get() else { return };
        let mut applied = open.applied.clone();
        let (mut seldom, mut shortened) = (Instant::now(), Instant::now());
        while !self.is_stopping() {
            tokio::select! {
                biased;
                _ = often.tick() => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
            applied.borrow_and_update();
            self.sync_links();
            if let Err(error) = self.open_replicas().await {
                tracing::error!(%error, "a replica was not opened");
            }
            self.keep_members();
            self.all_outboxes().into_iter().for_each(|outbox| outbox.nudge(&*self));
            self.tell_all_leads();
            self.update_blocked();
            if shortened.elapsed() >= SHORTEN {
                shortened = Instant::now();
                self.keep_logs_short().await;
            }
            if seldom.elapsed() >= SOMETIMES {
                seldom = Instant::now();
                self.match_queues();
                self.trim_logs();
                self.move_leaders().await;
                self.leave_shards().await;
                self.heal().await;
            }
        }
    }

    fn sync_links(&self) {
        let nodes = self.catalogue(|catalogue| {
            let nodes = catalogue.records.nodes.iter().filter(|(_, node)| !node.replaced);
            nodes.map(|(id, node)| (*id, node.ordinal)).collect::<BTreeMap<_, _>>()
        });
        let Ok(nodes) = nodes else { return };
        if !nodes.contains_key(&self.id()) {
            return;
        }
        if let Some(membership) = self.identity().membership {
            let peers = nodes.iter().map(|(id, ordinal)| (*id, *ordinal)).collect();
            if let Err(error) = self.set_membership(Membership { peers, ..membership }) {
                tracing::error!(error = &error as &dyn std::error::Error, "the nodes of the cluster were not written");
            }
        }
        self.link_to(nodes);
    }

    pub(super) fn shard_records(&self) -> Vec<(u32, ShardRecord)> {
        let records = self.catalogue(|catalogue| {
            catalogue.records.shards.iter().map(|(id, record)| (*id, record.clone())).collect::<Vec<_>>()
        });
        records.unwrap_or_default()
    }

    async fn open_replicas(&self) -> io::Result<()> {
        let own = self.id();
        for (shard, record) in self.shard_records() {
            // Also one that is to go elsewhere is wanted, until others have what it has.
            let wanted = record.placed_on.contains(&own) || self.store.holds(shard);
            if !wanted || self.replica(shard).is_some() {
                continue;
            }
            let state = ShardState::new(shard, self.backstage(), Some(self.store.pages()));
            let machine = Arc::new(std::sync::Mutex::new(state));
            let timing = self.settings.timing;
            let group = Group::open(shard, own, self.store.clone(), self.backstage(), machine, timing).await?;
            // Only a replica that the shard was made with may begin it, and only before it ever had a leader: one that
            // lost its disk has another number, and so is none of these.
            let is_first = !record.begun && record.first_voters.contains(&own);
            let source = self.catalogue(|catalogue| {
                let allow_partial = catalogue.restoration.as_ref().is_some_and(|it| it.allow_partial);
                catalogue.source_of(shard).map(|source| (source.clone(), allow_partial))
            });
            let source = source.ok().flatten().filter(|_| is_first);
            let may_begin = is_first && source.is_none() && group.is_pristine();
            if may_begin && let Err(error) = group.initialize(record.first_voters).await {
                tracing::debug!(shard, %error, "the shard has begun already");
            }
            let replica = Replica::new(group, self.backstage(), self.backstage());
            if let Some((source, allow_partial)) = source {
                self.restore_shard(&replica, source, allow_partial);
            }
            self.replicas.write().unwrap_or_else(PoisonError::into_inner).insert(shard, replica);
        }
        Ok(())
    }

    /// Makes the queues of the shards that this node leads those that the catalogue has.
    fn match_queues(&self) {
        for (shard, replica) in self.all_replicas() {
            if !replica.group.leadership().borrow().leading {
                continue;
            }
            let Ok((wanted, next)) =
                self.catalogue(|catalogue| (catalogue.queues_of_shard(shard), catalogue.records.next_queue))
            else {
                continue;
            };
            let there: BTreeSet<u64> = replica.group.machine().machine().queues().map(|(id, _)| id.get()).collect();
            for queue in wanted.difference(&there).filter_map(|id| QueueId::new(*id)) {
                self.put(shard, None, |commands| commands.create(queue));
            }
            // One with a higher number is newer than this node's copy of the catalogue.
            for queue in there.difference(&wanted).filter(|id| **id <= next).filter_map(|id| QueueId::new(*id)) {
                tracing::info!(shard, queue, "a queue that the catalogue has no more is deleted");
                self.delete_in_shard(shard, queue);
            }
        }
    }

    /// Hands leadership to the nodes that are to have it.
    async fn move_leaders(&self) {
        let own = self.id();
        for (shard, record) in self.shard_records() {
            let Some(replica) = self.replica(shard) else { continue };
            let view = replica.group.view();
            let to = record.preferred;
            let can = view.in_sync.contains(&to) && self.takes_leadership(to);
            if view.leadership.leading && to != own && can && self.accepts.load(Ordering::Relaxed) {
                replica.group.transfer_leadership(to).await;
            }
        }
    }

    async fn keep_logs_short(&self) {
        self.store.upkeep();
        let clean_before = self.store.clean_before();
        if let Some(open) = self.catalogue.get()
            && let Err(error) = open.group.upkeep(clean_before).await
        {
            tracing::warn!(%error, "the catalogue's log was not shortened");
        }
        for (shard, replica) in self.all_replicas() {
            if let Err(error) = replica.group.upkeep(clean_before).await {
                tracing::warn!(shard, %error, "a shard's log was not shortened");
            }
        }
    }
}
