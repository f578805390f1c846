//! What the admin API asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use ferrymq_core::{ExchangeKind, ExchangeName, LogDeclaration, QueueName, Refusal, RoutingKey};
use ferrymq_queue::QueueId;

use super::Inner;
use crate::{
    catalogue::{
        Answer, CATALOGUE_GROUP, Command, Denied, Retention, TopicBindingSpec, TopicLogSpec, TopicQueueSpec,
        TopicRecord, TopicSpec, partition_name,
    },
    link::{Call, QueueCounts, Reply, ShardReport, decode, encode},
    refusal::refusal_of,
};

/// How long a node may take to answer before it counts as out of reach.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The most partitions that a topic may have.
const MOST_PARTITIONS: NonZeroU32 = NonZeroU32::new(1024).expect("1024 is not 0");

/// A cluster, as one of its nodes sees it.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// Its id.
    pub cluster_id: String,
    /// The node that leads the catalogue.
    pub catalogue_leader: Option<u64>,
    /// Its nodes.
    pub nodes: Vec<NodeView>,
    /// Its shards; number 0 is the catalogue.
    pub shards: Vec<ShardView>,
    /// Messages in all queues.
    pub messages: u64,
    /// Queues in all virtual hosts.
    pub queues: u64,
}

/// A node, as its cluster sees it.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its number.
    pub id: u64,
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Its identity.
    pub uuid: String,
    /// Its zone.
    pub zone: Option<String>,
    /// It answered.
    pub reachable: bool,
    /// The version that it runs, where it answered.
    pub version: Option<String>,
    /// Shards that it leads.
    pub leaders: u32,
    /// Shards that it holds, or is to hold; the catalogue, which every node has, is not one of them.
    pub replicas: u32,
    /// It is being emptied.
    pub draining: bool,
}

/// A shard, as its cluster sees it.
#[derive(Debug, Clone)]
pub struct ShardView {
    /// Its number.
    pub id: u32,
    /// The nodes that are to hold it.
    pub placed_on: BTreeSet<u64>,
    /// The nodes that vote in it.
    pub voters: BTreeSet<u64>,
    /// The node that leads it.
    pub leader: Option<u64>,
    /// The voters that have all that is committed, or nearly.
    pub in_sync: BTreeSet<u64>,
}

impl ShardView {
    /// It is a shard of queues, and this node votes in it, or is to hold it.
    fn is_held_by(&self, node: u64) -> bool {
        self.id != CATALOGUE_GROUP && (self.placed_on.contains(&node) || self.voters.contains(&node))
    }

    /// It has a leader, its voters are as placed, and all of them are in sync.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.leader.is_some() && self.voters == self.placed_on && self.in_sync == self.voters
    }
}

/// Whether a node may stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeToStop {
    /// It may.
    pub safe: bool,
    /// Why not, as a sentence.
    pub reason: String,
}

/// Why a node was not emptied or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementRefusal {
    /// There is no such node.
    #[error("there is no broker {ordinal} in this cluster")]
    NotFound {
        /// The place in the StatefulSet that was named.
        ordinal: u32,
    },
    /// What is there would not fit, or would be lost.
    #[error("{0}")]
    Refused(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Refusal> for PlacementRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.to_string())
    }
}

/// A topic, as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its virtual host.
    pub virtual_host: String,
    /// Its name, and its exchange's.
    pub name: String,
    /// Who declares it, for people.
    pub owner_name: String,
    /// Who declares it.
    pub owner_uid: String,
    /// Take what is there already, where it is what was declared.
    pub adopt: bool,
    /// How its exchange routes.
    pub kind: ExchangeKind,
    /// Mirrors of its queues.
    pub mirrors: Option<u8>,
    /// What is routed to its queues from other exchanges.
    pub bindings: Vec<Binding>,
    /// Its queues.
    pub queues: Vec<QueueInTopic>,
    /// What it keeps of what is published to it, where it does.
    pub log: Option<TopicLog>,
}

/// What a topic keeps of what is published to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicLog {
    /// Logs that share its messages, by their keys. Each is a queue `<topic>-<number>`, counted from 0.
    pub partitions: NonZeroU32,
    /// How long and how much of each is kept.
    pub retention: LogDeclaration,
}

/// Messages of another exchange that go to a topic's queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The exchange.
    pub source: String,
    /// The key or pattern.
    pub routing_key: String,
}

/// A queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueInTopic {
    /// Its name.
    pub name: String,
    /// The keys or patterns by which it is bound to the topic's exchange.
    pub routing_keys: Vec<String>,
}

/// A topic, as it is.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// What was declared last.
    pub topic: Topic,
    /// What differs from it, as a sentence; empty where nothing does.
    pub drift: String,
    /// Every shard of its queues has a leader, and all of its mirrors.
    pub replicated: bool,
    /// Its queues.
    pub queues: Vec<QueueView>,
    /// Its partitions.
    pub partitions: Vec<QueueView>,
}

/// A queue, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Its messages.
    pub messages: u64,
    /// Its consumers.
    pub consumers: u32,
    /// The node that leads its shard.
    pub leader: Option<u64>,
}

/// Why a topic was not declared or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefusal {
    /// What was sent makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Another owner has it.
    #[error("it belongs to {owner}")]
    Owned {
        /// Who.
        owner: String,
    },
    /// It is there already, and is something else, or was not to be adopted.
    #[error("{0}")]
    Incompatible(String),
    /// Something that it needs is not there.
    #[error("{0}")]
    NotFound(String),
    /// It has messages.
    #[error("queue '{queue}' has {messages} messages")]
    NotEmpty {
        /// The queue.
        queue: String,
        /// How many.
        messages: u64,
    },
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Refusal> for TopicRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.to_string())
    }
}

impl Inner {
    /// What this node leads.
    pub(super) fn own_report(&self) -> Vec<ShardReport> {
        let mut reports = Vec::new();
        let mut report = |shard, view: ferrymq_replication::GroupView, messages| {
            if view.leadership.leading {
                let (voters, in_sync) = (view.voters.into_iter().collect(), view.in_sync.into_iter().collect());
                reports.push(ShardReport { shard, voters, in_sync, messages });
            }
        };
        if let Some(open) = self.catalogue.get() {
            report(CATALOGUE_GROUP, open.group.view(), 0);
        }
        for (shard, replica) in self.all_replicas() {
            let messages = replica.group.machine().machine().queues().map(|(_, queue)| queue.len()).sum();
            report(shard, replica.group.view(), messages);
        }
        reports
    }

    pub(super) async fn cluster_view(&self) -> Result<ClusterView, String> {
        let records = self
            .catalogue(|catalogue| {
                let records = &catalogue.records;
                let queues = records.virtual_hosts.values().map(|content| content.queues.len() as u64).sum();
                catalogue
                    .is_formed()
                    .then(|| (records.cluster_id.clone(), records.nodes.clone(), records.shards.clone(), queues))
                    .map(|found| (found, catalogue.draining.clone()))
            })
            .map_err(|refusal| refusal.to_string())?;
        let ((cluster_id, nodes, shards, queues), draining) =
            records.ok_or("the cluster is not formed yet, or this broker's copy of its catalogue is not there yet")?;
        let reports = self.gather_reports().await;
        let mut by_shard: BTreeMap<u32, (u64, ShardReport)> = BTreeMap::new();
        for (node, (report, _)) in &reports {
            for shard in report {
                by_shard.insert(shard.shard, (*node, shard.clone()));
            }
        }
        let everywhere: BTreeSet<u64> =
            nodes.iter().filter(|(_, node)| !node.replaced).map(|(id, _)| *id).take(7).collect();
        let placed = shards.into_iter().map(|(id, record)| (id, record.placed_on));
        let placed = placed.chain([(CATALOGUE_GROUP, everywhere)]);
        let mut shards: Vec<ShardView> = placed.map(|(id, on)| shard_view(id, on, by_shard.get(&id))).collect();
        shards.sort_by_key(|shard| shard.id);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let nodes = nodes.into_iter().filter(|(_, node)| !node.replaced).map(|(id, node)| NodeView {
            id,
            ordinal: node.ordinal,
            uuid: node.uuid,
            zone: node.zone,
            reachable: reports.contains_key(&id),
            version: reports.get(&id).map(|(_, version)| version.clone()),
            leaders: count(shards.iter().filter(|shard| shard.leader == Some(id)).count()),
            replicas: count(shards.iter().filter(|shard| shard.is_held_by(id)).count()),
            draining: draining.contains(&id),
        });
        Ok(ClusterView {
            cluster_id,
            catalogue_leader: by_shard.get(&CATALOGUE_GROUP).map(|(node, _)| *node),
            nodes: nodes.collect(),
            messages: by_shard.values().map(|(_, report)| report.messages).sum(),
            shards,
            queues,
        })
    }

    /// What every node that answers leads, and its version.
    async fn gather_reports(&self) -> BTreeMap<u64, (Vec<ShardReport>, String)> {
        let asked = self.links.peers().into_iter().map(|(node, peer)| async move {
            let reply = peer.call(encode(&Call::Report), REPORT_TIMEOUT).await.ok()?;
            match decode(&reply) {
                Ok(Reply::Report { shards, version }) => Some((node, (shards, version))),
                _ => None,
            }
        });
        let mut reports: BTreeMap<_, _> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        reports.insert(self.id(), (self.own_report(), self.settings.version.clone()));
        reports
    }

    pub(super) async fn safe_to_stop(&self) -> SafeToStop {
        let own = self.id();
        let view = match self.cluster_view().await {
            Ok(view) => view,
            // In no cluster yet: nobody needs it.
            Err(_) if own == 0 => return SafeToStop { safe: true, reason: String::new() },
            Err(reason) => return SafeToStop { safe: false, reason },
        };
        for shard in view.shards.iter().filter(|shard| shard.placed_on.contains(&own) || shard.voters.contains(&own)) {
            let others = shard.in_sync.iter().filter(|node| **node != own).count();
            let majority = shard.voters.len() / 2 + 1;
            if shard.voters.len() > 1 && others < majority {
                let reason = format!(
                    "shard {} would lose its majority: {others} of its other mirrors are in sync, {majority} are needed",
                    shard.id
                );
                return SafeToStop { safe: false, reason };
            }
        }
        SafeToStop { safe: true, reason: String::new() }
    }

    pub(super) async fn declare_topic_as(&self, topic: Topic) -> Result<TopicView, TopicRefusal> {
        check_names(&topic)?;
        let spec = spec_of(&topic);
        let log = topic.log.map(log_of);
        let key = (spec.virtual_host.clone(), spec.name.clone());
        let (current, kept) = self.catalogue(|catalogue| {
            let same = catalogue.records.topics.get(&key).is_some_and(|record| record.spec == spec);
            let kept = catalogue.topic_log(&spec);
            (same && kept == log && catalogue.drift(&spec).is_empty(), kept)
        })?;
        if let (Some(kept), None) = (kept, log) {
            let (name, partitions) = (topic.name.clone(), kept.partitions.get());
            return Err(topic_refusal(Denied::FewerPartitions { name, partitions }, &topic));
        }
        if !current {
            let empty = self.empty_queues_left_out(&spec).await?;
            let command = match log {
                Some(log) => Command::DeclareTopicWithLog { topic: spec.clone(), empty, log },
                None => Command::DeclareTopic { topic: spec.clone(), empty },
            };
            match self.change(command).await? {
                Answer::Gone { queues } => self.delete_all_in_shards(queues),
                Answer::Denied(why) => return Err(topic_refusal(why, &topic)),
                _ => {}
            }
            self.create_queues_of(&spec).await?;
        }
        self.topic_view(&spec).await
    }

    /// Queues that an earlier declaration had and this one has not, and that are empty.
    async fn empty_queues_left_out(&self, spec: &TopicSpec) -> Result<Vec<String>, TopicRefusal> {
        let key = (spec.virtual_host.clone(), spec.name.clone());
        let before = self.catalogue(|catalogue| catalogue.records.topics.get(&key).cloned())?;
        let Some(TopicRecord { spec: before }) = before else { return Ok(Vec::new()) };
        let kept: BTreeSet<&String> = spec.queues.iter().map(|queue| &queue.name).collect();
        let mut empty = Vec::new();
        for queue in before.queues.iter().filter(|queue| !kept.contains(&queue.name)) {
            if self.queue_counts(&spec.virtual_host, &queue.name).await?.is_some_and(|(counts, _)| counts.messages == 0)
            {
                empty.push(queue.name.clone());
            }
        }
        Ok(empty)
    }

    async fn create_queues_of(&self, spec: &TopicSpec) -> Result<(), TopicRefusal> {
        let partitions = self.catalogue(|catalogue| catalogue.partitions_of(spec))?;
        for name in spec.queues.iter().map(|queue| &queue.name).chain(&partitions) {
            let found = self.catalogue(|catalogue| {
                let record = catalogue.queue(&spec.virtual_host, name)?;
                Some((record.shard, QueueId::new(record.id)?))
            })?;
            if let Some((shard, id)) = found {
                self.create_in_shard(shard, id).await?;
            }
        }
        Ok(())
    }

    fn delete_all_in_shards(&self, queues: Vec<(u64, u32)>) {
        for (queue, shard) in queues {
            if let Some(queue) = QueueId::new(queue) {
                self.delete_in_shard(shard, queue);
            }
        }
    }

    /// A queue's counts and its shard, where it is there.
    async fn queue_counts(&self, host: &str, name: &str) -> Result<Option<(QueueCounts, u32)>, Refusal> {
        let found = self.catalogue(|catalogue| catalogue.queue(host, name).map(|record| (record.shard, record.id)))?;
        let Some((shard, id)) = found else { return Ok(None) };
        Ok(self.count(shard, vec![id]).await?.first().map(|counts| (*counts, shard)))
    }

    pub(super) async fn topic_views(&self) -> Result<Vec<TopicView>, TopicRefusal> {
        let specs = self.catalogue(|catalogue| {
            catalogue.records.topics.values().map(|record| record.spec.clone()).collect::<Vec<_>>()
        })?;
        let mut views = Vec::with_capacity(specs.len());
        for spec in specs {
            views.push(self.topic_view(&spec).await?);
        }
        Ok(views)
    }

    async fn topic_view(&self, spec: &TopicSpec) -> Result<TopicView, TopicRefusal> {
        let (drift, log, partitions) = self
            .catalogue(|catalogue| (catalogue.drift(spec), catalogue.topic_log(spec), catalogue.partitions_of(spec)))?;
        let mut shards = BTreeSet::new();
        let names = spec.queues.iter().map(|queue| queue.name.clone()).collect();
        let queues = self.queue_views(&spec.virtual_host, names, &mut shards).await?;
        let partitions = self.queue_views(&spec.virtual_host, partitions, &mut shards).await?;
        let reports = self.gather_reports().await;
        let placed = self.catalogue(|catalogue| {
            let placed = shards.iter().filter_map(|shard| Some((*shard, catalogue.records.shards.get(shard)?)));
            placed.map(|(shard, record)| (shard, record.placed_on.clone())).collect::<Vec<_>>()
        })?;
        let replicated = placed.into_iter().all(|(shard, on)| {
            let mut found = reports.iter().flat_map(|(node, (list, _))| list.iter().map(move |report| (*node, report)));
            let found = found.find(|(_, report)| report.shard == shard).map(|(node, report)| (node, report.clone()));
            shard_view(shard, on, found.as_ref()).is_healthy()
        });
        Ok(TopicView { topic: topic_of(spec.clone(), log), drift, replicated, queues, partitions })
    }

    /// Those of the queues that are there, and their shards.
    async fn queue_views(
        &self,
        host: &str,
        names: Vec<String>,
        shards: &mut BTreeSet<u32>,
    ) -> Result<Vec<QueueView>, TopicRefusal> {
        let mut views = Vec::with_capacity(names.len());
        for name in names {
            let Some((QueueCounts { messages, consumers, .. }, shard)) = self.queue_counts(host, &name).await? else {
                continue;
            };
            shards.insert(shard);
            views.push(QueueView { name, messages, consumers, leader: self.leaders.of(shard) });
        }
        Ok(views)
    }

    pub(super) async fn remove_topic_of(
        &self,
        host: &str,
        name: &str,
        owner_uid: &str,
        delete: bool,
        only_if_empty: bool,
    ) -> Result<(), TopicRefusal> {
        let key = (host.to_owned(), name.to_owned());
        let spec = self.catalogue(|catalogue| catalogue.records.topics.get(&key).map(|record| record.spec.clone()))?;
        let Some(spec) = spec.filter(|spec| spec.owner_uid == owner_uid) else { return Ok(()) };
        if delete && only_if_empty {
            let partitions = self.catalogue(|catalogue| catalogue.partitions_of(&spec))?;
            for queue in spec.queues.iter().map(|queue| &queue.name).chain(&partitions) {
                match self.queue_counts(host, queue).await? {
                    Some((counts, _)) if counts.messages > 0 => {
                        return Err(TopicRefusal::NotEmpty { queue: queue.clone(), messages: counts.messages });
                    }
                    _ => {}
                }
            }
        }
        let (virtual_host, name, owner_uid) = (host.to_owned(), name.to_owned(), owner_uid.to_owned());
        match self.change(Command::RemoveTopic { virtual_host, name, owner_uid, delete }).await? {
            Answer::Gone { queues } => self.delete_all_in_shards(queues),
            Answer::Denied(why) => return Err(TopicRefusal::Unavailable(refusal_of(why, host).to_string())),
            _ => {}
        }
        Ok(())
    }
}

fn shard_view(id: u32, placed_on: BTreeSet<u64>, report: Option<&(u64, ShardReport)>) -> ShardView {
    let (leader, voters, in_sync) = match report {
        Some((node, report)) => {
            (Some(*node), report.voters.iter().copied().collect(), report.in_sync.iter().copied().collect())
        }
        None => (None, placed_on.clone(), BTreeSet::new()),
    };
    ShardView { id, placed_on, voters, leader, in_sync }
}

fn check_names(topic: &Topic) -> Result<(), TopicRefusal> {
    let invalid = |what: &str, name: &str, why: &dyn std::fmt::Display| {
        TopicRefusal::Invalid(format!("{what} '{name}' of topic '{}': {why}", topic.name))
    };
    let reserved = |name: &str| name.is_empty() || name.starts_with("amq.");
    ExchangeName::new(topic.name.clone()).map_err(|error| invalid("name", &topic.name, &error))?;
    if reserved(&topic.name) {
        return Err(invalid("name", &topic.name, &"it must not be empty, nor begin with 'amq.'"));
    }
    for queue in &topic.queues {
        QueueName::new(queue.name.clone()).map_err(|error| invalid("queue", &queue.name, &error))?;
        if reserved(&queue.name) {
            return Err(invalid("queue", &queue.name, &"it must not be empty, nor begin with 'amq.'"));
        }
        for key in &queue.routing_keys {
            RoutingKey::new(key.clone()).map_err(|error| invalid("routing key", key, &error))?;
        }
    }
    if let Some(log) = topic.log {
        if log.partitions > MOST_PARTITIONS {
            let why = format!("there may be at most {MOST_PARTITIONS}");
            return Err(invalid("partitions", &log.partitions.to_string(), &why));
        }
        for name in (0..log.partitions.get()).map(|partition| partition_name(&topic.name, partition)) {
            if topic.queues.iter().any(|queue| queue.name == name) {
                return Err(invalid("queue", &name, &"a partition has that name"));
            }
            QueueName::new(name.clone()).map_err(|error| invalid("partition", &name, &error))?;
        }
    }
    Ok(())
}

fn topic_refusal(why: Denied, topic: &Topic) -> TopicRefusal {
    match why {
        Denied::Owned { owner } => TopicRefusal::Owned { owner },
        Denied::NotAdopted { name, .. } => TopicRefusal::Incompatible(format!(
            "'{name}' is there already, and the topic's adoption is Refuse; remove it, or let the topic adopt it"
        )),
        why @ (Denied::Inequivalent { .. } | Denied::Locked { .. } | Denied::FewerPartitions { .. }) => {
            TopicRefusal::Incompatible(refusal_of(why, &topic.virtual_host).to_string())
        }
        why @ Denied::NotFound { .. } => TopicRefusal::NotFound(refusal_of(why, &topic.virtual_host).to_string()),
        why => TopicRefusal::Unavailable(refusal_of(why, &topic.virtual_host).to_string()),
    }
}

fn spec_of(topic: &Topic) -> TopicSpec {
    let topic = topic.clone();
    TopicSpec {
        virtual_host: topic.virtual_host,
        name: topic.name,
        owner_name: topic.owner_name,
        owner_uid: topic.owner_uid,
        adopt: topic.adopt,
        kind: topic.kind,
        mirrors: topic.mirrors,
        bindings: topic
            .bindings
            .into_iter()
            .map(|binding| TopicBindingSpec { source: binding.source, key: binding.routing_key })
            .collect(),
        queues: topic
            .queues
            .into_iter()
            .map(|queue| TopicQueueSpec { name: queue.name, keys: queue.routing_keys })
            .collect(),
    }
}

fn log_of(log: TopicLog) -> TopicLogSpec {
    TopicLogSpec { partitions: log.partitions, retention: Retention::of(log.retention) }
}

fn topic_of(spec: TopicSpec, log: Option<TopicLogSpec>) -> Topic {
    Topic {
        virtual_host: spec.virtual_host,
        name: spec.name,
        owner_name: spec.owner_name,
        owner_uid: spec.owner_uid,
        adopt: spec.adopt,
        kind: spec.kind,
        mirrors: spec.mirrors,
        bindings: spec
            .bindings
            .into_iter()
            .map(|binding| Binding { source: binding.source, routing_key: binding.key })
            .collect(),
        queues: spec
            .queues
            .into_iter()
            .map(|queue| QueueInTopic { name: queue.name, routing_keys: queue.keys })
            .collect(),
        log: log.map(|log| TopicLog { partitions: log.partitions, retention: log.retention.declaration() }),
    }
}
