//! A node in figures, as they are when it is asked. What is counted as messages pass is in `counters.rs`; the rest is found
//! out here, by whoever asks.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ferrymq_queue::QueueId;
use ferrymq_replication::GroupView;

use super::Inner;
use crate::{
    catalogue::CATALOGUE_GROUP,
    counters::Count,
    link::{QueueCounts, Shortage},
};

/// A node in figures. All that is counted begins with 0 when it is started.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// It serves clients.
    pub serves: bool,
    /// It is being filled anew, because its data was damaged.
    pub damaged: bool,
    /// It leads the catalogue.
    pub leads_catalogue: bool,
    /// Other nodes of its cluster.
    pub peers: u64,
    /// Those of them that it does not reach.
    pub peers_unreachable: u64,
    /// Clients that are logged in.
    pub sessions: u64,
    /// Consumers of its clients, of queues and of logs.
    pub consumers: u64,
    /// What it counted as messages passed.
    pub messages: MessageCounts,
    /// Logins that were refused.
    pub logins_refused: u64,
    /// Publishers wait, because this node or another one is short of something.
    pub publishers_blocked: bool,
    /// This node takes more memory than publishers may fill.
    pub short_of_memory: bool,
    /// There is no space on its disk for another segment of its journal.
    pub short_of_disk: bool,
    /// Bytes of memory that its process takes.
    pub memory_used: u64,
    /// Bytes of memory beyond which publishers wait.
    pub memory_high_water: u64,
    /// Its replicas of shards.
    pub shards: ShardCounts,
    /// The queues of the shards that it leads.
    pub queues: QueueTotals,
    /// Its journal.
    pub journal: ferrymq_journal::Statistics,
}

/// What a node counted as messages passed between its clients and the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Published by its clients.
    pub published: u64,
    /// Their bytes: bodies, properties and names.
    pub published_bytes: u64,
    /// Those of them that went to no queue.
    pub unroutable: u64,
    /// Confirmed to publishers: on disk at a majority of the mirrors.
    pub confirmed: u64,
    /// Handed to its clients.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Those of them that had been handed out before.
    pub redelivered: u64,
    /// Acknowledged, or sent to a client that acknowledges nothing.
    pub acknowledged: u64,
    /// Given back to their queues.
    pub requeued: u64,
    /// Not wanted, and not given back.
    pub discarded: u64,
}

/// A node's replicas of shards. The catalogue counts only in `out_of_sync`, `unavailable` and `lag`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Shards that it holds a replica of.
    pub replicas: u64,
    /// Shards that it leads.
    pub led: u64,
    /// How often it came to lead one.
    pub elections_won: u64,
    /// Mirrors of shards that it leads, which miss or are not in sync.
    pub out_of_sync: u64,
    /// Shards that it holds and that take nothing: it reaches no leader of them, or leads them without a majority.
    pub unavailable: u64,
    /// Entries that the mirror furthest behind has not got, over the shards that it leads.
    pub lag: u64,
}

/// Queues of the shards that a node leads: over all nodes, every queue counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueTotals {
    /// Queues that are no logs.
    pub queues: u64,
    /// Messages in them that nobody holds.
    pub ready: u64,
    /// Messages in them that were handed out, and are not settled.
    pub unacknowledged: u64,
    /// Bytes of all messages in them.
    pub bytes: u64,
    /// Logs: partitions of topics, and streams.
    pub logs: u64,
    /// Messages in them.
    pub log_messages: u64,
    /// Their bytes.
    pub log_bytes: u64,
}

/// Shards and queues of a node, one by one.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// The shards that it leads.
    pub shards: Vec<LedShard>,
    /// Queues and logs of these, by virtual host and name. None that belongs to one connection alone: their names are
    /// new ones each time.
    pub queues: Vec<QueueFigures>,
    /// How many more there are, beyond the most that were asked for.
    pub left_out: u64,
}

/// A shard that a node leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedShard {
    /// Its number; 0 is the catalogue.
    pub shard: u32,
    /// Mirrors that miss or are not in sync.
    pub out_of_sync: u64,
    /// Entries that the mirror furthest behind has not got.
    pub lag: u64,
}

/// A queue or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueFigures {
    /// Its virtual host.
    pub virtual_host: String,
    /// Its name.
    pub name: String,
    /// It is a log: all of its messages count as ready, whoever read them.
    pub log: bool,
    /// Messages that nobody holds.
    pub ready: u64,
    /// Messages that were handed out, and are not settled.
    pub unacknowledged: u64,
    /// Consumers, on all nodes; not those of a log.
    pub consumers: u64,
}

impl Inner {
    /// This node in figures. Takes the lock of every shard that it leads once, for as long as it takes to go through its
    /// queues: call it where blocking is allowed.
    pub(super) fn statistics(&self) -> Statistics {
        let peers = self.links.peers();
        let shortage = self.shortage();
        Statistics {
            serves: self.phase().0 == super::Phase::Serving,
            damaged: self.damage.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some(),
            leads_catalogue: self.catalogue.get().is_some_and(|open| open.group.leadership().borrow().leading),
            peers: peers.len() as u64,
            peers_unreachable: peers.iter().filter(|(_, peer)| !peer.is_reachable()).count() as u64,
            sessions: self.sessions().len() as u64,
            consumers: self.consumers().count(),
            messages: self.message_counts(),
            logins_refused: self.counters().total(Count::LoginsRefused),
            publishers_blocked: self.blocked.borrow().is_some(),
            short_of_memory: shortage == Some(Shortage::Memory),
            short_of_disk: shortage == Some(Shortage::Disk),
            memory_used: (self.settings.memory_used)(),
            memory_high_water: self.settings.memory_high_water,
            shards: self.shard_counts(),
            queues: self.queue_totals(),
            journal: self.store.journal_statistics(),
        }
    }

    fn message_counts(&self) -> MessageCounts {
        let total = |what| self.counters().total(what);
        MessageCounts {
            published: total(Count::Published),
            published_bytes: total(Count::PublishedBytes),
            unroutable: total(Count::Unroutable),
            confirmed: total(Count::Confirmed),
            delivered: total(Count::Delivered),
            delivered_bytes: total(Count::DeliveredBytes),
            redelivered: total(Count::Redelivered),
            acknowledged: total(Count::Acknowledged),
            requeued: total(Count::Requeued),
            discarded: total(Count::Discarded),
        }
    }

    fn shard_counts(&self) -> ShardCounts {
        let mut counts =
            ShardCounts { elections_won: self.counters().total(Count::ElectionsWon), ..Default::default() };
        for (shard, view) in self.group_views() {
            if shard != CATALOGUE_GROUP {
                counts.replicas += 1;
                counts.led += u64::from(view.leadership.leading);
            }
            counts.unavailable += u64::from(!self.is_available(&view));
            if view.leadership.leading {
                counts.out_of_sync += self.out_of_sync(shard, &view);
                counts.lag = counts.lag.max(view.lag);
            }
        }
        counts
    }

    /// Every group of this node, the catalogue first.
    fn group_views(&self) -> BTreeMap<u32, GroupView> {
        let catalogue = self.catalogue.get().map(|open| (CATALOGUE_GROUP, open.group.view()));
        let shards = self.all_replicas().into_iter().map(|(shard, replica)| (shard, replica.group.view()));
        catalogue.into_iter().chain(shards).collect()
    }

    fn is_available(&self, view: &GroupView) -> bool {
        if view.leadership.leading {
            return view.in_sync.len() > view.voters.len() / 2;
        }
        let leader = view.leadership.leader.and_then(|leader| self.links.peer(leader));
        leader.is_some_and(|peer| peer.is_reachable())
    }

    /// Mirrors of a shard that this node leads, which are to be there and are not in sync.
    fn out_of_sync(&self, shard: u32, view: &GroupView) -> u64 {
        let placed = self.catalogue(|catalogue| catalogue.records.shards.get(&shard).map(|it| it.placed_on.clone()));
        let wanted: BTreeSet<u64> = placed.ok().flatten().unwrap_or_default();
        wanted.union(&view.voters).filter(|node| !view.in_sync.contains(node)).count() as u64
    }

    fn queue_totals(&self) -> QueueTotals {
        let logs = self.catalogue(|catalogue| catalogue.logs.queues.keys().copied().collect::<HashSet<u64>>());
        let logs = logs.unwrap_or_default();
        let mut totals = QueueTotals::default();
        for (_, replica) in self.all_replicas() {
            replica.group.machine().add_to(&mut totals, |queue: QueueId| logs.contains(&queue.get()));
        }
        totals
    }

    /// The shards that this node leads, and their queues whose names begin with a prefix, one by one.
    pub(super) fn objects(&self, prefix: &str, most: usize) -> Objects {
        let led: BTreeMap<u32, GroupView> =
            self.group_views().into_iter().filter(|(_, view)| view.leadership.leading).collect();
        let mut objects = Objects::default();
        for (shard, view) in &led {
            let out_of_sync = self.out_of_sync(*shard, view);
            objects.shards.push(LedShard { shard: *shard, out_of_sync, lag: view.lag });
        }
        let (found, left_out) = self.queues_of(&led, prefix, most);
        objects.left_out = left_out;
        let mut by_shard: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (shard, queue, _) in &found {
            by_shard.entry(*shard).or_default().push(*queue);
        }
        let mut counts: BTreeMap<u64, QueueCounts> = BTreeMap::new();
        for (shard, queues) in by_shard {
            let counted = self.replica(shard).and_then(|replica| replica.group.machine().count(&queues));
            counts.extend(queues.into_iter().zip(counted.unwrap_or_default()));
        }
        // One whose shard has just got another leader is left to that.
        let counted = found.into_iter().filter_map(|(_, queue, named)| {
            let QueueCounts { ready, messages, consumers } = counts.get(&queue).copied()?;
            let unacknowledged = messages.saturating_sub(ready);
            Some(QueueFigures { ready, unacknowledged, consumers: consumers.into(), ..named })
        });
        objects.queues = counted.collect();
        objects
    }

    /// Queues of these shards by virtual host and name: shard, number, and what they are called; and how many more there
    /// are.
    fn queues_of(
        &self,
        shards: &BTreeMap<u32, GroupView>,
        prefix: &str,
        most: usize,
    ) -> (Vec<(u32, u64, QueueFigures)>, u64) {
        let found = self.catalogue(|catalogue| {
            let hosts = catalogue.records.virtual_hosts.iter();
            let queues = hosts.flat_map(|(host, content)| {
                let from = content.queues.range(prefix.to_owned()..);
                from.take_while(|(name, _)| name.starts_with(prefix)).map(move |(name, queue)| (host, name, queue))
            });
            let mut wanted =
                queues.filter(|(.., queue)| queue.exclusive.is_none() && shards.contains_key(&queue.shard));
            let named = wanted.by_ref().take(most).map(|(host, name, queue)| {
                let log = catalogue.logs.queues.contains_key(&queue.id);
                let (virtual_host, name) = (host.clone(), name.clone());
                let named = QueueFigures { virtual_host, name, log, ready: 0, unacknowledged: 0, consumers: 0 };
                (queue.shard, queue.id, named)
            });
            let named = named.collect();
            (named, wanted.count() as u64)
        });
        found.unwrap_or_default()
    }
}
