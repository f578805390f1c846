//! The effect of declaring and removing a topic: all of it, or nothing.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use ferrymq_queue::QueueId;

use super::{
    Catalogue,
    apply::{denied, exchange_differs, no_virtual_host},
    command::{Answer, Denied, KindName},
    records::{BindingRecord, ExchangeRecord, TopicRecord, TopicSpec},
};

impl Catalogue {
    pub(super) fn declare_topic(&mut self, topic: TopicSpec, empty: &[String]) -> Answer {
        let before = match self.may_declare(&topic) {
            Ok(before) => before,
            Err(answer) => return *answer,
        };
        let host = topic.virtual_host.clone();
        if self.exchange(&host, &topic.name).is_none() {
            self.add_exchange(&host, &topic.name, exchange_of(&topic));
        }
        for queue in &topic.queues {
            if let Answer::Denied(why) = self.declare_queue(&host, &queue.name, true, false, None, topic.mirrors) {
                return denied(why);
            }
        }
        let wanted = topic.wanted_bindings();
        let mut gone = Vec::new();
        if let Some(before) = before {
            for binding in before.wanted_bindings().difference(&wanted) {
                self.drop_binding(&host, binding);
            }
            let kept: BTreeSet<&String> = topic.queues.iter().map(|queue| &queue.name).collect();
            for queue in before.queues.iter().filter(|queue| !kept.contains(&queue.name)) {
                if empty.contains(&queue.name) {
                    gone.extend(self.remove_queue(&host, &queue.name).map(|queue| (queue.id, queue.shard)));
                }
            }
        }
        // Also those that nobody declared, or a topic that was given up: what its queues get from its exchange is its own.
        for binding in self.undeclared_bindings(&topic, &wanted) {
            self.drop_binding(&host, &binding);
        }
        for binding in wanted {
            if let Some(queue) = self.queue(&host, &binding.queue).and_then(|queue| QueueId::new(queue.id)) {
                self.add_binding(&host, binding, queue);
            }
        }
        self.records.topics.insert((host, topic.name.clone()), TopicRecord { spec: topic });
        Answer::Gone { queues: gone }
    }

    /// Checks all before anything changes; gives the earlier declaration.
    fn may_declare(&self, topic: &TopicSpec) -> Result<Option<TopicSpec>, Box<Answer>> {
        let host = &topic.virtual_host;
        if !self.records.virtual_hosts.contains_key(host) {
            return Err(Box::new(no_virtual_host(host)));
        }
        let before = self.records.topics.get(&(host.clone(), topic.name.clone())).map(|record| &record.spec);
        let has_another = |before: &&TopicSpec| !before.owner_uid.is_empty() && before.owner_uid != topic.owner_uid;
        if let Some(other) = before.filter(has_another) {
            return Err(Box::new(denied(Denied::Owned { owner: other.owner_name.clone() })));
        }
        let adopted = |kind, name: &String| {
            if topic.adopt {
                return Ok(());
            }
            Err(Box::new(denied(Denied::NotAdopted { kind, name: name.clone() })))
        };
        if let Some(current) = self.exchange(host, &topic.name) {
            if before.is_none() {
                adopted(KindName::Exchange, &topic.name)?;
            }
            if let Some(answer) = exchange_differs(&topic.name, &exchange_of(topic), current) {
                return Err(Box::new(answer));
            }
        }
        for queue in &topic.queues {
            let known = before.is_some_and(|before| before.queues.iter().any(|known| known.name == queue.name));
            let Some(current) = self.queue(host, &queue.name) else { continue };
            if let Some(owner) = self.owner_of_queue(host, &queue.name, &topic.name) {
                return Err(Box::new(denied(Denied::Owned { owner })));
            }
            if !known {
                adopted(KindName::Queue, &queue.name)?;
            }
            if !current.durable || current.auto_delete || current.exclusive.is_some() {
                let what = if current.durable { "auto_delete" } else { "durable" };
                return Err(Box::new(denied(Denied::Inequivalent {
                    kind: KindName::Queue,
                    name: queue.name.clone(),
                    argument: what.to_owned(),
                    received: (what == "durable").to_string(),
                    current: (what != "durable").to_string(),
                })));
            }
        }
        for binding in &topic.bindings {
            if self.exchange(host, &binding.source).is_none() && binding.source != topic.name {
                let name = binding.source.clone();
                return Err(Box::new(denied(Denied::NotFound { kind: KindName::Exchange, name })));
            }
        }
        Ok(before.cloned())
    }

    /// Who declares a queue in another topic than this one.
    fn owner_of_queue(&self, host: &str, queue: &str, topic: &str) -> Option<String> {
        let mut others =
            self.records.topics.iter().filter(|((other_host, name), _)| other_host == host && name != topic);
        let (_, record) = others.find(|(_, record)| record.spec.queues.iter().any(|known| known.name == queue))?;
        Some(record.spec.owner_name.clone())
    }

    pub(super) fn remove_topic(&mut self, host: &str, name: &str, owner_uid: &str, delete: bool) -> Answer {
        let key = (host.to_owned(), name.to_owned());
        if self.records.topics.get(&key).is_none_or(|record| record.spec.owner_uid != owner_uid) {
            return Answer::Gone { queues: Vec::new() };
        }
        let Some(record) = self.records.topics.remove(&key) else { return Answer::Gone { queues: Vec::new() } };
        if !delete {
            return Answer::Gone { queues: Vec::new() };
        }
        let partitions = self.partitions_of(&record.spec);
        let queues = record.spec.queues.iter().map(|queue| &queue.name).chain(&partitions);
        let queues = queues.filter_map(|name| self.remove_queue(host, name));
        let queues = queues.map(|queue| (queue.id, queue.shard)).collect();
        self.remove_exchange(host, name);
        Answer::Gone { queues }
    }

    fn drop_binding(&mut self, host: &str, binding: &BindingRecord) {
        if let Some(queue) = self.queue(host, &binding.queue).and_then(|queue| QueueId::new(queue.id)) {
            self.remove_binding(host, binding, queue);
        }
    }

    /// Bindings of a topic's queues to its exchange that it does not want.
    fn undeclared_bindings(&self, topic: &TopicSpec, wanted: &BTreeSet<BindingRecord>) -> Vec<BindingRecord> {
        let own = |queue: &String| topic.queues.iter().any(|known| known.name == *queue);
        let content = self.records.virtual_hosts.get(&topic.virtual_host);
        let first = BindingRecord { exchange: topic.name.clone(), queue: String::new(), key: String::new() };
        let bindings = content.into_iter().flat_map(|content| content.bindings.range(&first..));
        let bindings = bindings.take_while(|binding| binding.exchange == topic.name);
        let undeclared = bindings.filter(|binding| own(&binding.queue));
        undeclared.filter(|binding| !wanted.contains(binding)).cloned().collect()
    }

    /// Another number when a topic was declared or removed, or is not what it was declared as any more.
    pub(crate) fn topics_version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (key, TopicRecord { spec }) in &self.records.topics {
            (key, &spec.owner_uid, self.drift(spec)).hash(&mut hasher);
            (spec.adopt, spec.mirrors, &spec.bindings, &spec.queues).hash(&mut hasher);
            self.topic_log(spec).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What of a topic is not as it was declared, as a sentence; empty where all is.
    pub(crate) fn drift(&self, topic: &TopicSpec) -> String {
        let host = &topic.virtual_host;
        let mut wrong = Vec::new();
        match self.exchange(host, &topic.name) {
            None => wrong.push(format!("exchange {} is missing", topic.name)),
            Some(current) if exchange_differs(&topic.name, &exchange_of(topic), current).is_some() => {
                wrong.push(format!("exchange {} is another one", topic.name));
            }
            Some(_) => {}
        }
        for queue in &topic.queues {
            if self.queue(host, &queue.name).is_none() {
                wrong.push(format!("queue {} is missing", queue.name));
            }
        }
        for partition in self.missing_partitions(topic) {
            wrong.push(format!("partition {partition} is missing"));
        }
        let wanted = topic.wanted_bindings();
        let Some(content) = self.records.virtual_hosts.get(host) else { return "the virtual host is missing".into() };
        for binding in wanted.difference(&content.bindings) {
            wrong.push(format!("queue {} is not bound to {} by '{}'", binding.queue, binding.exchange, binding.key));
        }
        for binding in self.undeclared_bindings(topic, &wanted) {
            wrong.push(format!("queue {} is bound to {} by '{}' too", binding.queue, binding.exchange, binding.key));
        }
        wrong.join("; ")
    }
}

fn exchange_of(topic: &TopicSpec) -> ExchangeRecord {
    ExchangeRecord { kind: topic.kind, durable: true, auto_delete: false, internal: false }
}

#[cfg(test)]
mod tests {
    use ferrymq_core::ExchangeKind;

    use super::*;
    use crate::catalogue::{Command, NodeRecord, TopicQueueSpec};

    fn formed() -> Catalogue {
        let mut catalogue = Catalogue::default();
        let node =
            NodeRecord { ordinal: 0, uuid: "u".into(), zone: None, version: String::new(), run: 1, replaced: false };
        catalogue.apply(Command::Form {
            cluster_id: "c".into(),
            default_mirrors: 1,
            nodes: vec![node],
            users: Vec::new(),
        });
        catalogue
    }

    fn topic(owner: &str, queue: &str, keys: &[&str]) -> TopicSpec {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        TopicSpec {
            virtual_host: "/".into(),
            name: "life".into(),
            owner_name: owner.into(),
            owner_uid: owner.into(),
            adopt: true,
            kind: ExchangeKind::Topic,
            mirrors: None,
            bindings: Vec::new(),
            queues: vec![TopicQueueSpec { name: queue.into(), keys }],
        }
    }

    fn declare(catalogue: &mut Catalogue, topic: &TopicSpec) -> Answer {
        catalogue.apply(Command::DeclareTopic { topic: topic.clone(), empty: Vec::new() })
    }

    #[test]
    fn a_topic_that_takes_over_what_another_left_has_no_binding_too_many() {
        let mut catalogue = formed();
        declare(&mut catalogue, &topic("first", "paid", &["paid.*"]));
        let (virtual_host, name) = ("/".to_owned(), "life".to_owned());
        catalogue.apply(Command::RemoveTopic { virtual_host, name, owner_uid: "first".into(), delete: false });
        let second = topic("second", "paid", &["billed.*"]);
        declare(&mut catalogue, &second);
        assert_eq!(catalogue.drift(&second), "");
    }

    #[test]
    fn a_topic_has_one_owner() {
        let mut catalogue = formed();
        declare(&mut catalogue, &topic("first", "paid", &[]));
        let answer = declare(&mut catalogue, &topic("second", "paid", &[]));
        assert_eq!(answer, Answer::Denied(Denied::Owned { owner: "first".into() }));
    }

    #[test]
    fn what_was_changed_behind_a_topic_is_drift_and_is_mended() {
        let mut catalogue = formed();
        let spec = topic("first", "paid", &["paid.*"]);
        declare(&mut catalogue, &spec);
        let binding = BindingRecord { exchange: "life".into(), queue: "paid".into(), key: "paid.*".into() };
        catalogue.apply(Command::Unbind { virtual_host: "/".into(), binding });
        assert_eq!(catalogue.drift(&spec), "queue paid is not bound to life by 'paid.*'");
        declare(&mut catalogue, &spec);
        assert_eq!(catalogue.drift(&spec), "");
    }

    #[test]
    fn topics_have_another_version_when_one_is_not_what_it_was_and_not_for_other_queues() {
        let mut catalogue = formed();
        let spec = topic("first", "paid", &["paid.*"]);
        declare(&mut catalogue, &spec);
        let declared = catalogue.topics_version();
        catalogue.declare_queue("/", "somebody-else's", true, false, None, None);
        assert_eq!(catalogue.topics_version(), declared);
        catalogue.apply(Command::DeleteQueue { virtual_host: "/".into(), name: "paid".into(), id: None });
        assert_ne!(catalogue.topics_version(), declared);
        declare(&mut catalogue, &spec);
        assert_eq!(catalogue.topics_version(), declared);
        declare(&mut catalogue, &topic("first", "paid", &["billed.*"]));
        assert_ne!(catalogue.topics_version(), declared);
    }
}
