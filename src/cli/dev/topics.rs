//! Topics as they are declared, and taken away when they are gone from the file.

use ferrymq_admin_api::{Adoption, Owner, QueueInTopic, TopicBinding, TopicDeclaration, TopicLog, TopicRemoval};
use ferrymq_api::{AdoptionPolicy, CheckedTopic, DeletionPolicy};
use serde::{Deserialize, Serialize};

/// The name of the record's file.
pub(super) const FILE: &str = "topics.json";

/// A topic that was declared: what is needed to take it away when the file does not say anything of it any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Declared {
    /// Namespace and name of its resource; what is shown, and what it is owned by.
    pub(super) resource: String,
    /// Its virtual host.
    pub(super) virtual_host: String,
    /// Its name.
    pub(super) name: String,
    /// What becomes of it.
    pub(super) deletion_policy: DeletionPolicy,
}

impl Declared {
    /// What is recorded of a topic.
    pub(super) fn of(topic: &CheckedTopic) -> Self {
        Self {
            resource: topic.full_name(),
            virtual_host: topic.virtual_host.clone(),
            name: topic.name.clone(),
            deletion_policy: topic.deletion_policy,
        }
    }

    /// Whether both are the same resource's same topic.
    pub(super) fn is_same_topic(&self, other: &Self) -> bool {
        (&self.resource, &self.virtual_host, &self.name) == (&other.resource, &other.virtual_host, &other.name)
    }

    /// How it is taken away.
    pub(super) fn removal(&self) -> TopicRemoval {
        TopicRemoval {
            virtual_host: self.virtual_host.clone(),
            name: self.name.clone(),
            owner_uid: owner_uid(&self.resource),
            delete: self.deletion_policy != DeletionPolicy::Retain,
            only_if_empty: self.deletion_policy == DeletionPolicy::DeleteIfEmpty,
        }
    }
}

/// How a topic is declared.
pub(super) fn declaration(topic: &CheckedTopic) -> TopicDeclaration {
    let resource = topic.full_name();
    TopicDeclaration {
        virtual_host: topic.virtual_host.clone(),
        name: topic.name.clone(),
        owner: Owner { uid: owner_uid(&resource), name: resource },
        adoption: match topic.adoption {
            AdoptionPolicy::AdoptIfCompatible => Adoption::AdoptIfCompatible,
            AdoptionPolicy::Refuse => Adoption::Refuse,
        },
        exchange_type: topic.exchange_type.as_str().to_owned(),
        mirrors: topic.mirrors,
        bindings: topic
            .bindings
            .iter()
            .map(|(source, routing_key)| TopicBinding { source: source.clone(), routing_key: routing_key.clone() })
            .collect(),
        queues: topic
            .queues
            .iter()
            .map(|queue| QueueInTopic { name: queue.name.clone(), routing_keys: queue.routing_keys.clone() })
            .collect(),
        log: topic.log.map(|log| TopicLog {
            partitions: log.partitions,
            max_age_milliseconds: log.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            max_bytes: log.bytes,
        }),
    }
}

/// A file gives its resources no uid; their names do, because a file has one of each.
pub(super) fn owner_uid(resource: &str) -> String {
    format!("dev/{resource}")
}

/// What is recorded before the file's topics are declared: all of them, and those that are to be taken away.
pub(super) fn recorded(before: &[Declared], wanted: &[CheckedTopic]) -> Vec<Declared> {
    let wanted: Vec<_> = wanted.iter().map(Declared::of).collect();
    let going = gone(before, &wanted);
    going.into_iter().chain(wanted).collect()
}

/// Those that were declared and are not wanted any more.
pub(super) fn gone(before: &[Declared], wanted: &[Declared]) -> Vec<Declared> {
    before.iter().filter(|old| !wanted.iter().any(|new| new.is_same_topic(old))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{super::desired::Desired, *};

    fn topics(text: &[(&str, &str)]) -> Vec<CheckedTopic> {
        let cluster = "apiVersion: ferrymq.io/v1alpha1\nkind: MessageQueue\nmetadata: {name: orders}\nspec: {storage: {size: 1Gi}}\n";
        let topics = text.iter().map(|(name, spec)| {
            format!("---\napiVersion: ferrymq.io/v1alpha1\nkind: Topic\nmetadata: {{name: {name}}}\nspec: {{cluster: orders{spec}}}\n")
        });
        Desired::read(&std::iter::once(cluster.to_owned()).chain(topics).collect::<String>(), "test.yaml")
            .unwrap()
            .topics
    }

    #[test]
    fn a_topic_is_declared_as_the_file_says() {
        let topic = topics(&[(
            "created",
            ", name: order.created, type: direct, mirrors: 3, adoption: Refuse, queues: [{name: payments}]",
        )]);
        let declaration = declaration(&topic[0]);
        assert_eq!((declaration.name.as_str(), declaration.owner.name.as_str()), ("order.created", "default/created"));
        assert_eq!((declaration.exchange_type.as_str(), declaration.mirrors), ("direct", Some(3)));
        assert_eq!(declaration.adoption, Adoption::Refuse);
        assert_eq!(declaration.queues[0].routing_keys, ["payments"]);
    }

    #[test]
    fn a_topic_that_is_gone_from_the_file_is_taken_away_by_its_policy() {
        let before: Vec<_> = topics(&[
            ("kept", ""),
            ("deleted", ", deletionPolicy: Delete"),
            ("emptied", ", deletionPolicy: DeleteIfEmpty"),
        ])
        .iter()
        .map(Declared::of)
        .collect();
        let removals: Vec<_> = gone(&before, &[]).iter().map(Declared::removal).collect();
        let policies: Vec<_> = removals.iter().map(|removal| (removal.delete, removal.only_if_empty)).collect();
        assert_eq!(policies, [(false, false), (true, false), (true, true)]);
        assert_eq!(removals[0].owner_uid, declaration(&topics(&[("kept", "")])[0]).owner.uid);
    }

    #[test]
    fn the_policy_that_counts_is_the_last_one() {
        let before = recorded(&[], &topics(&[("created", "")]));
        let after = recorded(&before, &topics(&[("created", ", deletionPolicy: Delete")]));
        assert_eq!(after.len(), 1);
        assert_eq!(after[0].deletion_policy, DeletionPolicy::Delete);
    }

    #[test]
    fn a_topic_that_is_going_stays_recorded_until_it_is_gone() {
        let before = recorded(&[], &topics(&[("created", "")]));
        assert_eq!(recorded(&before, &[]), before);
    }

    #[test]
    fn a_topic_under_another_name_is_another_topic() {
        let before = recorded(&[], &topics(&[("created", ", name: one")]));
        let after = recorded(&before, &topics(&[("created", ", name: two")]));
        assert_eq!(after.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }
}
