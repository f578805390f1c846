//! Topics: what the admin API declares, removes and asks of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    num::{NonZeroU32, NonZeroUsize},
    ops::Bound,
    time::Duration,
};

use ferrymq_core::{ExchangeKind, ExchangeName, LogDeclaration, QueueName, Refusal, RoutingKey};
use ferrymq_queue::QueueId;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Inner, ShardView, cluster_view::shard_view};
use crate::{
    catalogue::{
        Answer, Catalogue, Command, Denied, Retention, TopicBindingSpec, TopicLogSpec, TopicQueueSpec, TopicRecord,
        TopicSpec, partition_name,
    },
    link::{QueueCounts, ShardReport},
    refusal::refusal_of,
};

/// How long it takes at most until somebody who waits for a change is answered.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// How long after one look for changes the next one is.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The most partitions that a topic may have.
const MOST_PARTITIONS: NonZeroU32 = NonZeroU32::new(1024).expect("1024 is not 0");

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

/// All topics.
#[derive(Debug, Clone)]
pub struct TopicList {
    /// Another one after a topic was declared, removed, or changed by a protocol.
    pub version: String,
    /// As they are.
    pub topics: Vec<TopicView>,
    /// There are more after the last of them.
    pub more: bool,
}

/// A part of all topics, in the order of their virtual hosts and names.
#[derive(Debug, Clone, Default)]
pub struct TopicPage {
    /// Virtual host and name of the topic that it begins after; none: with the first one.
    pub after: Option<(String, String)>,
    /// The most topics of it; none: all.
    pub limit: Option<NonZeroUsize>,
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
            if self.queue_counts(&spec.virtual_host, &queue.name).await?.is_some_and(|counts| counts.messages == 0) {
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

    /// A queue's counts, where it is there.
    async fn queue_counts(&self, host: &str, name: &str) -> Result<Option<QueueCounts>, Refusal> {
        let found = self.catalogue(|catalogue| catalogue.queue(host, name).map(|record| (record.shard, record.id)))?;
        let Some((shard, id)) = found else { return Ok(None) };
        Ok(self.count(shard, vec![id]).await?.first().copied())
    }

    pub(super) async fn topic_list(&self, page: TopicPage) -> Result<TopicList, TopicRefusal> {
        let begin = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let limit = page.limit.map_or(usize::MAX, NonZeroUsize::get);
        let (specs, more, version) = self.catalogue(|catalogue| {
            let mut rest = catalogue.records.topics.range((begin, Bound::Unbounded));
            let specs = rest.by_ref().take(limit).map(|(_, record)| record.spec.clone()).collect::<Vec<_>>();
            (specs, rest.next().is_some(), catalogue.topics_version())
        })?;
        Ok(TopicList { version: version_text(version), topics: self.topic_views(specs).await?, more })
    }

    /// A part of the topics as soon as the version of all is not this one any more.
    pub(super) async fn topic_list_after(&self, version: &str, page: TopicPage) -> Result<TopicList, TopicRefusal> {
        let until = Instant::now() + TELL_WITHIN;
        let Some(open) = self.catalogue.get() else { return self.topic_list(page).await };
        let mut applied = open.applied.clone();
        loop {
            applied.borrow_and_update();
            let now = self.catalogue(Catalogue::topics_version)?;
            if version_text(now) != version || Instant::now() >= until {
                return self.topic_list(page).await;
            }
            // However much clients declare, all topics are looked through only twice a second.
            sleep(LOOK_AGAIN).await;
            let _ = timeout_at(until, applied.changed()).await;
        }
    }

    async fn topic_view(&self, spec: &TopicSpec) -> Result<TopicView, TopicRefusal> {
        let view = self.topic_views(vec![spec.clone()]).await?.pop();
        view.ok_or_else(|| TopicRefusal::Unavailable("the topic was not looked at".into()))
    }

    /// Topics as they are. However many they are, each node and each shard is asked once.
    async fn topic_views(&self, specs: Vec<TopicSpec>) -> Result<Vec<TopicView>, TopicRefusal> {
        let found: Vec<Found> =
            self.catalogue(|catalogue| specs.into_iter().map(|spec| Found::of(catalogue, spec)).collect())?;
        let mut by_shard: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for place in found.iter().flat_map(Found::places) {
            by_shard.entry(place.shard).or_default().push(place.id);
        }
        let counted = by_shard.iter().map(async |(shard, ids)| {
            let counts = self.count(*shard, ids.clone()).await?;
            Ok::<_, Refusal>(ids.iter().copied().zip(counts).collect::<Vec<_>>())
        });
        let counts: HashMap<u64, QueueCounts> = try_join_all(counted).await?.into_iter().flatten().collect();
        let reports = self.gather_reports().await;
        let reports: HashMap<u32, (u64, ShardReport)> = reports
            .into_iter()
            .flat_map(|(node, (list, _))| list.into_iter().map(move |report| (report.shard, (node, report))))
            .collect();
        let healthy: BTreeSet<u32> = self.catalogue(|catalogue| {
            let placed = by_shard.keys().filter_map(|shard| Some((*shard, catalogue.records.shards.get(shard)?)));
            let views = placed.map(|(shard, record)| shard_view(shard, record.placed_on.clone(), reports.get(&shard)));
            views.filter(ShardView::is_healthy).map(|view| view.id).collect()
        })?;
        let view = |place: Place| {
            let counts = counts.get(&place.id).copied().unwrap_or_default();
            let QueueCounts { messages, consumers, .. } = counts;
            QueueView { name: place.name, messages, consumers, leader: self.leaders.of(place.shard) }
        };
        let views = found.into_iter().map(|found| {
            let replicated = found.places().all(|place| healthy.contains(&place.shard));
            TopicView {
                replicated,
                topic: topic_of(found.spec, found.log),
                drift: found.drift,
                queues: found.queues.into_iter().map(view).collect(),
                partitions: found.partitions.into_iter().map(view).collect(),
            }
        });
        Ok(views.collect())
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
                    Some(counts) if counts.messages > 0 => {
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

/// A topic, as the catalogue has it.
struct Found {
    spec: TopicSpec,
    log: Option<TopicLogSpec>,
    drift: String,
    queues: Vec<Place>,
    partitions: Vec<Place>,
}

/// Where a queue is.
struct Place {
    name: String,
    id: u64,
    shard: u32,
}

impl Found {
    fn of(catalogue: &Catalogue, spec: TopicSpec) -> Self {
        let place = |name: String| {
            let record = catalogue.queue(&spec.virtual_host, &name)?;
            Some(Place { id: record.id, shard: record.shard, name })
        };
        let queues = spec.queues.iter().filter_map(|queue| place(queue.name.clone())).collect();
        let partitions = catalogue.partitions_of(&spec).into_iter().filter_map(place).collect();
        Self { log: catalogue.topic_log(&spec), drift: catalogue.drift(&spec), queues, partitions, spec }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.queues.iter().chain(&self.partitions)
    }
}

fn version_text(version: u64) -> String {
    format!("{version:016x}")
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
