//! Queues that are logs, and the partitions of topics.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use ferrymq_core::LogDeclaration;
use ferrymq_queue::{QueueId, partition_of};
use serde::{Deserialize, Serialize};

use super::{
    Catalogue, Routed,
    apply::{denied, no_virtual_host},
    command::{Answer, Denied, KindName},
    records::TopicSpec,
};

/// How long and how much of a log is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Retention {
    /// Milliseconds.
    pub(crate) age: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

impl Retention {
    pub(crate) fn of(log: LogDeclaration) -> Self {
        let age = log.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Self { age, bytes: log.bytes }
    }

    pub(crate) fn declaration(self) -> LogDeclaration {
        LogDeclaration { age: self.age.map(Duration::from_millis), bytes: self.bytes }
    }
}

/// What a topic keeps of what is published to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TopicLogSpec {
    pub(crate) partitions: NonZeroU32,
    /// Of each partition.
    pub(crate) retention: Retention,
}

/// What is kept of logs. It came after [`Records`](super::records::Records), and is saved behind them.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct LogRecords {
    /// By the queue's number.
    pub(crate) queues: BTreeMap<u64, Retention>,
    /// By virtual host and name, also of topics that nobody owns any more.
    pub(crate) topics: BTreeMap<(String, String), TopicLogSpec>,
}

impl LogRecords {
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.topics.is_empty()
    }
}

/// A partition's queue and shard; none where somebody deleted it.
type Partition = Option<(QueueId, u32)>;

/// The partitions of topics, by virtual host and name of the exchange.
#[derive(Default)]
pub(super) struct Partitions {
    topics: HashMap<String, HashMap<String, Vec<Partition>>>,
}

/// The name of a topic's partition.
pub(crate) fn partition_name(topic: &str, partition: u32) -> String {
    format!("{topic}-{partition}")
}

impl Catalogue {
    /// What a queue keeps, where it is a log.
    pub(crate) fn log(&self, queue: QueueId) -> Option<Retention> {
        self.logs.queues.get(&queue.get()).copied()
    }

    /// What a topic keeps, where it has partitions.
    pub(crate) fn topic_log(&self, topic: &TopicSpec) -> Option<TopicLogSpec> {
        self.logs.topics.get(&(topic.virtual_host.clone(), topic.name.clone())).copied()
    }

    /// Adds the partition that a message goes to, where its exchange is a topic's that has partitions.
    pub(super) fn route_to_partition(
        &self,
        (host, exchange, key): (&str, &str, &str),
        wanted: Option<u32>,
        turn: &AtomicU32,
        out: &mut Vec<(QueueId, u32)>,
    ) -> Routed {
        let partitions = self.partitions.topics.get(host).and_then(|topics| topics.get(exchange));
        let Some((count, partitions)) =
            partitions.and_then(|list| Some((NonZeroU32::new(u32::try_from(list.len()).ok()?)?, list)))
        else {
            return Routed::Queues;
        };
        let partition = match wanted {
            Some(wanted) if wanted >= count.get() => return Routed::NoPartition { partitions: count.get() },
            Some(wanted) => wanted,
            None if key.is_empty() => turn.fetch_add(1, Ordering::Relaxed) % count,
            None => partition_of(key.as_bytes(), count),
        };
        if let Some(Some(found)) = partitions.get(partition as usize)
            && !out.contains(found)
        {
            out.push(*found);
        }
        Routed::Queues
    }

    pub(super) fn declare_log(&mut self, host: &str, name: &str, mirrors: Option<u8>, retention: Retention) -> Answer {
        if let Some(current) = self.queue(host, name) {
            let kept = self.logs.queues.get(&current.id).copied();
            return match self.log_differs(name, retention, kept) {
                Some(answer) => answer,
                None => Answer::Queue { id: current.id, shard: current.shard, made: false },
            };
        }
        let answer = self.declare_queue(host, name, true, false, None, mirrors);
        if let Answer::Queue { id, .. } = answer {
            self.logs.queues.insert(id, retention);
        }
        answer
    }

    fn log_differs(&self, name: &str, wanted: Retention, current: Option<Retention>) -> Option<Answer> {
        let Some(current) = current else {
            return Some(self.differs(name, "x-queue-type", "stream".to_owned(), "classic".to_owned()));
        };
        let text = |limit: Option<u64>| limit.map_or("none".to_owned(), |limit| limit.to_string());
        if wanted.age != current.age {
            let seconds = |age: Option<u64>| age.map_or("none".to_owned(), |age| format!("{}s", age / 1000));
            return Some(self.differs(name, "x-max-age", seconds(wanted.age), seconds(current.age)));
        }
        (wanted.bytes != current.bytes)
            .then(|| self.differs(name, "x-max-length-bytes", text(wanted.bytes), text(current.bytes)))
    }

    /// What differs where a queue that is no log is declared, and the one that is there is one.
    pub(super) fn is_log_instead(&self, name: &str, id: u64) -> Option<Answer> {
        let is_log = self.logs.queues.contains_key(&id);
        is_log.then(|| self.differs(name, "x-queue-type", "classic".to_owned(), "stream".to_owned()))
    }

    fn differs(&self, name: &str, argument: &str, received: String, current: String) -> Answer {
        let (name, argument) = (name.to_owned(), argument.to_owned());
        denied(Denied::Inequivalent { kind: KindName::Queue, name, argument, received, current })
    }

    /// Declares a topic that has partitions: all of it, or nothing.
    pub(super) fn declare_topic_with_log(&mut self, topic: TopicSpec, empty: &[String], log: TopicLogSpec) -> Answer {
        if let Err(answer) = self.may_have_log(&topic, log) {
            return *answer;
        }
        let (host, name, mirrors) = (topic.virtual_host.clone(), topic.name.clone(), topic.mirrors);
        let answer = self.declare_topic(topic, empty);
        if matches!(answer, Answer::Denied(_)) {
            return answer;
        }
        for partition in 0..log.partitions.get() {
            let queue = partition_name(&name, partition);
            match self.queue(&host, &queue).map(|queue| queue.id) {
                Some(id) => {
                    self.logs.queues.insert(id, log.retention);
                }
                None => {
                    // It was checked that there is nothing against it.
                    self.declare_log(&host, &queue, mirrors, log.retention);
                }
            }
        }
        self.logs.topics.insert((host.clone(), name.clone()), log);
        self.index_partitions(&host, &name);
        answer
    }

    fn may_have_log(&self, topic: &TopicSpec, log: TopicLogSpec) -> Result<(), Box<Answer>> {
        let host = &topic.virtual_host;
        if !self.records.virtual_hosts.contains_key(host) {
            return Err(Box::new(no_virtual_host(host)));
        }
        let before = self.topic_log(topic).map_or(0, |log| log.partitions.get());
        if log.partitions.get() < before {
            let (name, partitions) = (topic.name.clone(), before);
            return Err(Box::new(denied(Denied::FewerPartitions { name, partitions })));
        }
        for partition in 0..log.partitions.get() {
            let name = partition_name(&topic.name, partition);
            if topic.queues.iter().any(|queue| queue.name == name) {
                return Err(Box::new(self.differs(&name, "x-queue-type", "classic".to_owned(), "stream".to_owned())));
            }
            let Some(current) = self.queue(host, &name) else { continue };
            if !self.logs.queues.contains_key(&current.id) {
                return Err(Box::new(self.differs(&name, "x-queue-type", "stream".to_owned(), "classic".to_owned())));
            }
            if partition >= before && !topic.adopt {
                return Err(Box::new(denied(Denied::NotAdopted { kind: KindName::Queue, name })));
            }
        }
        Ok(())
    }

    /// The names of a topic's partitions.
    pub(crate) fn partitions_of(&self, topic: &TopicSpec) -> Vec<String> {
        let partitions = self.topic_log(topic).map_or(0, |log| log.partitions.get());
        (0..partitions).map(|partition| partition_name(&topic.name, partition)).collect()
    }

    /// Partitions of a topic that are not there.
    pub(super) fn missing_partitions(&self, topic: &TopicSpec) -> Vec<String> {
        let mut names = self.partitions_of(topic);
        names.retain(|name| self.queue(&topic.virtual_host, name).is_none());
        names
    }

    /// Looks up again where the partitions of a topic are.
    fn index_partitions(&mut self, host: &str, topic: &str) {
        let log = self.logs.topics.get(&(host.to_owned(), topic.to_owned()));
        let partitions = (0..log.map_or(0, |log| log.partitions.get())).map(|partition| {
            let queue = self.queue(host, &partition_name(topic, partition))?;
            Some((QueueId::new(queue.id)?, queue.shard))
        });
        let partitions: Vec<Partition> = partitions.collect();
        self.partitions.topics.entry(host.to_owned()).or_default().insert(topic.to_owned(), partitions);
    }

    /// Looks up where all partitions are.
    pub(super) fn index_all_partitions(&mut self) {
        let topics: Vec<(String, String)> = self.logs.topics.keys().cloned().collect();
        topics.into_iter().for_each(|(host, topic)| self.index_partitions(&host, &topic));
    }

    /// A queue is gone.
    pub(super) fn forget_log(&mut self, host: &str, id: QueueId) {
        if self.logs.queues.remove(&id.get()).is_none() {
            return;
        }
        let Some(topics) = self.partitions.topics.get_mut(host) else { return };
        for partition in topics.values_mut().flatten() {
            if partition.is_some_and(|(queue, _)| queue == id) {
                *partition = None;
            }
        }
    }

    /// A topic's exchange is gone.
    pub(super) fn forget_topic_log(&mut self, host: &str, topic: &str) {
        self.logs.topics.remove(&(host.to_owned(), topic.to_owned()));
        if let Some(topics) = self.partitions.topics.get_mut(host) {
            topics.remove(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrymq_core::ExchangeKind;

    use super::*;
    use crate::catalogue::{CatalogueMachine, Command, NodeRecord, TopicQueueSpec};

    fn formed() -> CatalogueMachine {
        let (mut machine, _) = CatalogueMachine::new();
        let node =
            NodeRecord { ordinal: 0, uuid: "u".into(), zone: None, version: String::new(), run: 1, replaced: false };
        machine.catalogue.apply(Command::Form {
            cluster_id: "c".into(),
            default_mirrors: 1,
            nodes: vec![node],
            users: Vec::new(),
        });
        machine
    }

    fn topic(queues: &[&str]) -> TopicSpec {
        TopicSpec {
            virtual_host: "/".into(),
            name: "life".into(),
            owner_name: "owner".into(),
            owner_uid: "owner".into(),
            adopt: true,
            kind: ExchangeKind::Topic,
            mirrors: None,
            bindings: Vec::new(),
            queues: queues.iter().map(|name| TopicQueueSpec { name: (*name).into(), keys: vec!["#".into()] }).collect(),
        }
    }

    fn declare(catalogue: &mut Catalogue, partitions: u32) -> Answer {
        let log = TopicLogSpec { partitions: partitions.try_into().unwrap(), retention: Retention::default() };
        catalogue.apply(Command::DeclareTopicWithLog { topic: topic(&["paid"]), empty: Vec::new(), log })
    }

    /// The queues that a message goes to, by name.
    fn routed(catalogue: &Catalogue, key: &str, partition: Option<u32>, turn: &AtomicU32) -> Vec<String> {
        let mut out = Vec::new();
        assert_eq!(catalogue.route(("/", "life", key), partition, turn, &mut out), Routed::Queues);
        out.into_iter().map(|(id, _)| catalogue.queue_by_id(id).unwrap().1.to_owned()).collect()
    }

    #[test]
    fn a_message_goes_to_its_queues_and_to_one_partition() {
        let mut machine = formed();
        let catalogue = &mut machine.catalogue;
        declare(catalogue, 4);
        let turn = AtomicU32::new(0);
        let of_key = routed(catalogue, "order-7", None, &turn);
        assert_eq!(of_key, ["paid", &format!("life-{}", partition_of(b"order-7", 4.try_into().unwrap()))]);
        assert_eq!(routed(catalogue, "order-7", None, &turn), of_key);
        assert_eq!(routed(catalogue, "order-7", Some(3), &turn), ["paid", "life-3"]);
        let in_turns = (0..5).map(|_| routed(catalogue, "", None, &turn).pop().unwrap());
        assert_eq!(in_turns.collect::<Vec<_>>(), ["life-0", "life-1", "life-2", "life-3", "life-0"]);
        let refused = catalogue.route(("/", "life", "k"), Some(4), &turn, &mut Vec::new());
        assert_eq!(refused, Routed::NoPartition { partitions: 4 });
    }

    #[test]
    fn partitions_are_added_and_never_taken_away() {
        let mut machine = formed();
        declare(&mut machine.catalogue, 2);
        declare(&mut machine.catalogue, 3);
        let answer = declare(&mut machine.catalogue, 1);
        assert_eq!(answer, Answer::Denied(Denied::FewerPartitions { name: "life".into(), partitions: 3 }));
        assert_eq!(machine.catalogue.partitions_of(&topic(&[])), ["life-0", "life-1", "life-2"]);
    }

    #[test]
    fn a_partition_that_was_deleted_is_drift_and_keeps_the_others_in_place() {
        let mut machine = formed();
        let catalogue = &mut machine.catalogue;
        declare(catalogue, 3);
        catalogue.apply(Command::DeleteQueue { virtual_host: "/".into(), name: "life-1".into(), id: None });
        let turn = AtomicU32::new(0);
        assert_eq!(routed(catalogue, "k", Some(1), &turn), ["paid"]);
        assert_eq!(routed(catalogue, "k", Some(2), &turn), ["paid", "life-2"]);
        assert_eq!(catalogue.drift(&topic(&["paid"])), "partition life-1 is missing");
        declare(catalogue, 3);
        assert_eq!(routed(catalogue, "k", Some(1), &turn), ["paid", "life-1"]);
    }

    #[test]
    fn a_log_and_another_queue_are_not_taken_for_each_other() {
        let mut machine = formed();
        let catalogue = &mut machine.catalogue;
        declare(catalogue, 1);
        let classic = Command::DeclareQueue {
            virtual_host: "/".into(),
            name: "life-0".into(),
            durable: true,
            auto_delete: false,
            exclusive: None,
            mirrors: None,
        };
        let Answer::Denied(Denied::Inequivalent { argument, current, .. }) = catalogue.apply(classic) else {
            panic!("it was taken");
        };
        assert_eq!((argument.as_str(), current.as_str()), ("x-queue-type", "stream"));
        let log = Command::DeclareLog {
            virtual_host: "/".into(),
            name: "paid".into(),
            mirrors: None,
            retention: Retention::default(),
        };
        assert!(matches!(catalogue.apply(log), Answer::Denied(Denied::Inequivalent { .. })));
    }

    #[test]
    fn a_snapshot_has_the_logs_and_one_without_any_is_as_it_was_before_there_were_logs() {
        let mut machine = formed();
        assert_eq!(machine.saved().first(), Some(&1));
        let before = machine.saved();
        declare(&mut machine.catalogue, 2);
        let saved = machine.saved();
        machine.take(&before).unwrap();
        assert_eq!(machine.catalogue.partitions_of(&topic(&[])), Vec::<String>::new());
        machine.take(&saved).unwrap();
        assert_eq!(routed(&machine.catalogue, "k", Some(1), &AtomicU32::new(0)), ["paid", "life-1"]);
    }

    #[test]
    fn a_topic_that_is_removed_with_its_data_takes_its_partitions_along() {
        let mut machine = formed();
        let catalogue = &mut machine.catalogue;
        declare(catalogue, 2);
        let (virtual_host, name, owner_uid) = ("/".into(), "life".into(), "owner".into());
        let answer = catalogue.apply(Command::RemoveTopic { virtual_host, name, owner_uid, delete: true });
        assert!(matches!(answer, Answer::Gone { queues } if queues.len() == 3));
        assert!(catalogue.logs.is_empty());
    }
}
