//! What may happen to a topic now. Pure.

use std::sync::Arc;

use ferrymq_admin_api::{Adoption, Owner, QueueInTopic, TopicBinding, TopicDeclaration, TopicLog, TopicView};
use ferrymq_api::{AdoptionPolicy, CheckedTopic};

use crate::{
    cluster_state::{Formed, NotUsable},
    links::Link,
    topic::dereference::Observed,
};

/// What may happen to a topic now; and, once it was tried, what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// The spec cannot be.
    Invalid(String),
    /// The cluster is not there.
    ClusterNotFound(String),
    /// The cluster is being deleted.
    ClusterGoing(String),
    /// The cluster does not answer yet.
    ClusterNotReady(String),
    /// More mirrors are asked for than there are brokers.
    MirrorsWouldNotFit(String),
    /// Another resource has the name.
    Conflict(String),
    /// The broker has something of that name that is not what is asked for.
    Incompatible(String),
    /// Its deletion waits, because it is not empty.
    NotEmpty(String),
    /// Nothing is changed while the cluster is paused.
    Paused(Option<Arc<TopicView>>),
    /// The broker is to be told.
    Declare(Box<Declare>),
    /// The broker has what is asked for.
    Settled {
        /// As it is.
        view: Arc<TopicView>,
        /// Mirrors of a queue that says nothing of it.
        default_mirrors: Option<i32>,
    },
}

/// What a broker is told, and why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declare {
    pub(crate) declaration: TopicDeclaration,
    /// What somebody changed by a protocol, where that is why.
    pub(crate) drift: Option<String>,
    /// A resource that is no more, and in whose name the topic still is.
    pub(crate) stale_owner: Option<String>,
    pub(crate) default_mirrors: Option<i32>,
}

pub(crate) fn next(topic: &CheckedTopic, observed: &Observed) -> Plan {
    let Formed { brokers, mirrors: default_mirrors, paused } =
        match observed.cluster.usable("Topic", &topic.cluster, &topic.namespace) {
            Ok(formed) => formed,
            Err(NotUsable::NotFound(why)) => return Plan::ClusterNotFound(why),
            Err(NotUsable::Going(why)) => return Plan::ClusterGoing(why),
            Err(NotUsable::NotReady(why)) => return Plan::ClusterNotReady(why),
        };
    let has_it = |link: &Link| link.view.as_ref().is_some_and(|view| view.declaration.owner.uid == topic.uid);
    // Of two that were made in one second, the one that has the name keeps it.
    if let Some(older) = observed.older.as_ref().filter(|_| !observed.link.as_ref().is_some_and(has_it)) {
        return Plan::Conflict(format!(
            "topic {} of cluster {} belongs to the older Topic {older}; give this one another name, or delete one of them",
            topic.name, topic.cluster
        ));
    }
    if let Err(problem) = topic.fits(brokers) {
        return Plan::MirrorsWouldNotFit(problem.sentence);
    }
    let Some(link) = &observed.link else { return Plan::ClusterNotReady(observed.silence.clone()) };
    if paused {
        return Plan::Paused(link.view.clone());
    }
    let wanted = declaration(topic);
    match &link.view {
        Some(view) if view.in_sync && view.declaration == wanted => {
            Plan::Settled { view: Arc::clone(view), default_mirrors }
        }
        Some(view) => {
            let theirs = &view.declaration.owner;
            let stale = theirs.uid != topic.uid && !observed.owner_lives;
            let drift = (view.declaration == wanted).then(|| view.drift.clone());
            let stale_owner = stale.then(|| theirs.uid.clone());
            Plan::Declare(Box::new(Declare { declaration: wanted, drift, stale_owner, default_mirrors }))
        }
        None => {
            Plan::Declare(Box::new(Declare { declaration: wanted, drift: None, stale_owner: None, default_mirrors }))
        }
    }
}

pub(crate) fn declaration(topic: &CheckedTopic) -> TopicDeclaration {
    TopicDeclaration {
        virtual_host: topic.virtual_host.clone(),
        name: topic.name.clone(),
        owner: Owner { name: topic.full_name(), uid: topic.uid.clone() },
        adoption: match topic.adoption {
            AdoptionPolicy::AdoptIfCompatible => Adoption::AdoptIfCompatible,
            AdoptionPolicy::Refuse => Adoption::Refuse,
        },
        exchange_type: topic.exchange_type.as_str().to_owned(),
        mirrors: topic.mirrors,
        bindings: topic
            .bindings
            .iter()
            .map(|(source, key)| TopicBinding { source: source.clone(), routing_key: key.clone() })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster_state::ClusterState,
        fixture::{formed, topic, topic_view},
        links::Link,
    };

    const SPEC: &str = "{cluster: orders, queues: [{name: payments}]}";

    fn observed(view: Option<TopicView>) -> Observed {
        Observed { cluster: formed(), link: Some(Link::to_nobody(view)), ..Observed::default() }
    }

    #[tokio::test]
    async fn a_topic_that_the_broker_has_as_asked_for_is_left_alone() {
        let topic = topic(SPEC);
        assert!(matches!(next(&topic, &observed(Some(topic_view(&topic)))), Plan::Settled { .. }));
    }

    #[tokio::test]
    async fn a_topic_that_the_broker_does_not_have_is_declared() {
        let Plan::Declare(declare) = next(&topic(SPEC), &observed(None)) else { panic!("not declared") };
        assert_eq!(
            declare.declaration.queues.first().map(|queue| queue.routing_keys.clone()),
            Some(vec!["#".to_owned()])
        );
        assert_eq!(declare.drift, None);
    }

    #[tokio::test]
    async fn what_a_protocol_changed_is_mended_and_told() {
        let topic = topic(SPEC);
        let view = TopicView { in_sync: false, drift: "queue payments is gone".to_owned(), ..topic_view(&topic) };
        let Plan::Declare(declare) = next(&topic, &observed(Some(view))) else { panic!("not declared") };
        assert_eq!(declare.drift.as_deref(), Some("queue payments is gone"));
    }

    #[tokio::test]
    async fn a_topic_of_a_resource_that_is_no_more_is_taken_over() {
        let topic = topic(SPEC);
        let mut view = topic_view(&topic);
        view.declaration.owner.uid = "of a resource before the cluster was made again".to_owned();
        let Plan::Declare(declare) = next(&topic, &observed(Some(view.clone()))) else { panic!("not declared") };
        assert_eq!(declare.stale_owner, Some(view.declaration.owner.uid.clone()));
        let living = Observed { owner_lives: true, ..observed(Some(view)) };
        let Plan::Declare(declare) = next(&topic, &living) else { panic!("not declared") };
        assert_eq!(declare.stale_owner, None);
    }

    #[tokio::test]
    async fn of_two_topics_of_one_name_the_younger_one_does_nothing_and_says_who_has_it() {
        let mut observed = observed(None);
        observed.older = Some("shop/first".to_owned());
        let Plan::Conflict(sentence) = next(&topic(SPEC), &observed) else { panic!("no conflict") };
        assert!(sentence.contains("older Topic shop/first"), "{sentence}");
        let topic = topic(SPEC);
        observed.link = Some(Link::to_nobody(Some(topic_view(&topic))));
        assert!(matches!(next(&topic, &observed), Plan::Settled { .. }), "who has the name keeps it");
    }

    #[test]
    fn an_unknown_cluster_is_told_with_those_that_there_are() {
        let observed = Observed { cluster: ClusterState::AbsentAmong(vec!["order".to_owned()]), ..Observed::default() };
        let Plan::ClusterNotFound(sentence) = next(&topic(SPEC), &observed) else { panic!("found") };
        assert!(sentence.contains("no MessageQueue orders in namespace shop, which has order;"), "{sentence}");
    }

    #[tokio::test]
    async fn more_mirrors_than_brokers_are_refused_before_the_broker_is_asked() {
        let topic = topic("{cluster: orders, mirrors: 5}");
        assert!(matches!(next(&topic, &observed(None)), Plan::MirrorsWouldNotFit(_)));
    }
}
