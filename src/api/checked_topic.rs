//! A `Topic` whose every field was checked.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use kube::ResourceExt;

use crate::{
    AdoptionPolicy, DeletionPolicy, ExchangeType, InvalidResource, Problem, Topic, TopicSpec, cluster::check_size,
    sentence,
};

/// A `Topic` whose every field was checked. Made by [`CheckedTopic::check`] only.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CheckedTopic {
    /// The name of its resource.
    pub resource: String,
    /// Its namespace.
    pub namespace: String,
    /// The uid of its resource; empty where it comes from a file.
    pub uid: String,
    /// The generation of its resource, where it comes from an API server.
    pub generation: Option<i64>,
    /// The `MessageQueue` that it lives in.
    pub cluster: String,
    /// Its name in the broker.
    pub name: String,
    /// Its virtual host.
    pub virtual_host: String,
    /// How its exchange routes.
    pub exchange_type: ExchangeType,
    /// Mirrors of its queues, 1 to 7; the cluster's default where there are none.
    pub mirrors: Option<u8>,
    /// What comes from other exchanges: source and key.
    pub bindings: Vec<(String, String)>,
    /// Its queues; names are unique, and none is a partition's.
    pub queues: Vec<CheckedQueue>,
    /// What it keeps of what is published to it, where it has partitions.
    pub log: Option<CheckedLog>,
    /// What becomes of it when the resource goes.
    pub deletion_policy: DeletionPolicy,
    /// What to do with what is there already.
    pub adoption: AdoptionPolicy,
}

/// What a topic keeps of what is published to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedLog {
    /// At most 1024.
    pub partitions: NonZeroU32,
    /// The oldest that a message may be; at least a second.
    pub age: Option<Duration>,
    /// The most bytes of a partition; at least a mebibyte.
    pub bytes: Option<u64>,
}

/// A queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedQueue {
    /// Its name.
    pub name: String,
    /// The keys or patterns that it is bound by: at least one.
    pub routing_keys: Vec<String>,
}

impl CheckedTopic {
    /// Checks every field of a resource.
    ///
    /// # Errors
    ///
    /// [`InvalidResource`] with all that is wrong.
    pub fn check(resource: &Topic) -> Result<Self, InvalidResource> {
        let spec = &resource.spec;
        let mut problems = Vec::new();
        let name = spec.name.clone().unwrap_or_else(|| resource.name_any());
        if !is_name(&name) {
            let field = if spec.name.is_some() { "spec.name" } else { "metadata.name" };
            problems.push(Problem::new(field, sentence::TOPIC_NAME));
        }
        if spec.cluster.is_empty() {
            problems.push(Problem::new("spec.cluster", sentence::TOPIC_CLUSTER));
        }
        if spec.virtual_host.is_empty() || !is_text(&spec.virtual_host) {
            problems.push(Problem::new("spec.virtualHost", sentence::VIRTUAL_HOST));
        }
        let mirrors = match spec.mirrors.map(u8::try_from) {
            None => None,
            Some(Ok(mirrors @ 1..=7)) => Some(mirrors),
            Some(_) => {
                problems.push(Problem::new("spec.mirrors", sentence::MIRRORS));
                None
            }
        };
        let log = check_log(spec, &name, &mut problems);
        let bindings = check_bindings(spec, &name, &mut problems);
        let queues = check_queues(spec, &mut problems);
        InvalidResource::unless_empty(problems)?;
        Ok(Self {
            resource: resource.name_any(),
            namespace: resource.namespace().unwrap_or_else(|| "default".to_owned()),
            uid: resource.uid().unwrap_or_default(),
            generation: resource.metadata.generation,
            cluster: spec.cluster.clone(),
            name,
            virtual_host: spec.virtual_host.clone(),
            exchange_type: spec.exchange_type,
            mirrors,
            bindings,
            queues,
            log,
            deletion_policy: spec.deletion_policy,
            adoption: spec.adoption,
        })
    }

    /// Checks that a cluster of so many brokers can keep the topic.
    ///
    /// # Errors
    ///
    /// A sentence that says why not.
    pub fn fits(&self, brokers: u32) -> Result<(), Problem> {
        match self.mirrors {
            // A cluster without brokers sleeps: it had enough of them, and will have them again.
            Some(mirrors) if brokers > 0 && u32::from(mirrors) > brokers => {
                let count = if brokers == 1 { "1 broker".to_owned() } else { format!("{brokers} brokers") };
                Err(Problem::new(
                    "spec.mirrors",
                    format!(
                        "{mirrors} mirrors do not fit: cluster {} has {count}, and each mirror needs one of its own; \
                         ask for at most {brokers}, or raise the cluster's replicas",
                        self.cluster
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Namespace and name of the resource, for people to read.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.resource)
    }
}

fn check_log(spec: &TopicSpec, name: &str, problems: &mut Vec<Problem>) -> Option<CheckedLog> {
    let (age, bytes) = check_retention(spec, problems);
    let Some(last) = u32::try_from(spec.partitions).ok().filter(|partitions| *partitions <= 1024) else {
        problems.push(Problem::new("spec.partitions", sentence::PARTITIONS));
        return None;
    };
    let Some(partitions) = NonZeroU32::new(last) else {
        if spec.retention.is_some() {
            problems.push(Problem::new("spec.retention", sentence::RETENTION_WITHOUT_PARTITIONS));
        }
        return None;
    };
    let names: BTreeSet<String> = (0..last).map(|partition| format!("{name}-{partition}")).collect();
    if names.iter().any(|name| !is_text(name)) {
        problems.push(Problem::new("spec.partitions", sentence::PARTITION_NAME_LONG));
    }
    for (index, _) in spec.queues.iter().enumerate().filter(|(_, queue)| names.contains(&queue.name)) {
        problems.push(Problem::new(format!("spec.queues[{index}].name"), sentence::PARTITION_NAME));
    }
    Some(CheckedLog { partitions, age, bytes })
}

fn check_retention(spec: &TopicSpec, problems: &mut Vec<Problem>) -> (Option<Duration>, Option<u64>) {
    let Some(retention) = &spec.retention else { return (None, None) };
    if retention.age.is_none() && retention.bytes.is_none() {
        problems.push(Problem::new("spec.retention", sentence::RETENTION_EMPTY));
    }
    let age = retention.age.as_ref().and_then(|age| {
        let age = age.duration().ok().filter(|age| *age >= Duration::from_secs(1));
        if age.is_none() {
            problems.push(Problem::new("spec.retention.age", sentence::RETENTION_AGE));
        }
        age
    });
    let bytes = retention.bytes.as_ref();
    let bytes =
        bytes.map(|bytes| check_size("spec.retention.bytes", bytes, 1 << 20, sentence::RETENTION_BYTES, problems));
    (age, bytes)
}

fn check_bindings(spec: &TopicSpec, name: &str, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    if spec.bindings.len() > 256 {
        problems.push(Problem::new("spec.bindings", sentence::BINDINGS_TOO_MANY));
    }
    let mut bindings = Vec::with_capacity(spec.bindings.len());
    for (index, binding) in spec.bindings.iter().enumerate() {
        if binding.source.is_empty() || !is_text(&binding.source) || binding.source == name {
            problems.push(Problem::new(format!("spec.bindings[{index}].source"), sentence::BINDING_SOURCE));
        }
        if !is_text(&binding.routing_key) {
            problems.push(Problem::new(format!("spec.bindings[{index}].routingKey"), sentence::ROUTING_KEY));
        }
        bindings.push((binding.source.clone(), binding.routing_key.clone()));
    }
    bindings
}

fn check_queues(spec: &TopicSpec, problems: &mut Vec<Problem>) -> Vec<CheckedQueue> {
    if spec.queues.len() > 256 {
        problems.push(Problem::new("spec.queues", sentence::QUEUES_TOO_MANY));
    }
    let mut names = BTreeSet::new();
    let mut queues = Vec::with_capacity(spec.queues.len());
    for (index, queue) in spec.queues.iter().enumerate() {
        if !is_name(&queue.name) {
            problems.push(Problem::new(format!("spec.queues[{index}].name"), sentence::QUEUE_NAME));
        }
        if !names.insert(&queue.name) {
            problems.push(Problem::new(format!("spec.queues[{index}].name"), sentence::QUEUE_NAMES_UNIQUE));
        }
        if queue.routing_keys.len() > 64 {
            problems.push(Problem::new(format!("spec.queues[{index}].routingKeys"), sentence::ROUTING_KEYS_TOO_MANY));
        }
        for (key_index, key) in queue.routing_keys.iter().enumerate() {
            if !is_text(key) {
                let field = format!("spec.queues[{index}].routingKeys[{key_index}]");
                problems.push(Problem::new(field, sentence::ROUTING_KEY));
            }
        }
        let routing_keys = if queue.routing_keys.is_empty() {
            vec![usual_key(spec.exchange_type, &queue.name)]
        } else {
            queue.routing_keys.clone()
        };
        queues.push(CheckedQueue { name: queue.name.clone(), routing_keys });
    }
    queues
}

/// By what a queue is bound that names no key.
fn usual_key(exchange_type: ExchangeType, queue: &str) -> String {
    match exchange_type {
        ExchangeType::Topic => "#".to_owned(),
        ExchangeType::Fanout => String::new(),
        ExchangeType::Direct => queue.to_owned(),
    }
}

/// A name that a client may give.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("amq.") && is_text(name)
}

/// What the protocols can carry as a short text.
pub(crate) fn is_text(text: &str) -> bool {
    text.len() <= 255 && !text.contains(['\0', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: serde_json::Value) -> Result<CheckedTopic, InvalidResource> {
        let resource = serde_json::json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "Topic", "metadata": {"name": "order-created"}, "spec": spec,
        });
        CheckedTopic::check(&serde_json::from_value(resource).unwrap())
    }

    #[test]
    fn a_queue_that_names_no_key_gets_what_its_exchange_makes_sensible() {
        for (kind, key) in [("topic", "#"), ("fanout", ""), ("direct", "payments")] {
            let topic = check(serde_json::json!({"cluster": "orders", "type": kind, "queues": [{"name": "payments"}]}))
                .unwrap();
            assert_eq!(topic.queues.first().map(|queue| queue.routing_keys.clone()), Some(vec![key.to_owned()]));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_field_by_field() {
        let wrong = check(serde_json::json!({
            "cluster": "orders", "name": "amq.mine", "partitions": 2000, "mirrors": 9, "retention": {"age": "soon"},
            "bindings": [{"source": ""}], "queues": [{"name": "a"}, {"name": "a"}, {"name": "b\n"}],
        }));
        let fields: Vec<_> = wrong.unwrap_err().problems.into_iter().map(|problem| problem.field).collect();
        assert_eq!(
            fields,
            [
                "spec.name",
                "spec.mirrors",
                "spec.retention.age",
                "spec.partitions",
                "spec.bindings[0].source",
                "spec.queues[1].name",
                "spec.queues[2].name"
            ]
        );
    }

    #[test]
    fn a_topic_keeps_a_log_where_it_has_partitions() {
        let topic = check(serde_json::json!({
            "cluster": "orders", "partitions": 6, "retention": {"age": "7d", "bytes": "1Gi"},
        }));
        let log = topic.unwrap().log.unwrap();
        assert_eq!(
            (log.partitions.get(), log.age, log.bytes),
            (6, Some(Duration::from_secs(7 * 86400)), Some(1 << 30))
        );
        assert_eq!(check(serde_json::json!({"cluster": "orders"})).unwrap().log, None);
        let clash = check(serde_json::json!({
            "cluster": "orders", "partitions": 2, "queues": [{"name": "order-created-2"}, {"name": "order-created-1"}],
        }));
        let problems = clash.unwrap_err().problems;
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].field, "spec.queues[1].name");
    }

    #[test]
    fn more_mirrors_than_brokers_do_not_fit() {
        let topic = check(serde_json::json!({"cluster": "orders", "mirrors": 3})).unwrap();
        assert!(topic.fits(3).is_ok() && topic.fits(0).is_ok());
        assert!(topic.fits(1).unwrap_err().sentence.contains("has 1 broker,"));
    }
}
