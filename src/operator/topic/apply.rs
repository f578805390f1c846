//! What is done for a topic, by the broker's admin API.

use std::sync::Arc;

use ferrymq_admin_api::{CallError, Reason as Refusal, TopicRemoval};
use ferrymq_api::{CheckedTopic, DeletionPolicy, Topic};
use kube::runtime::events::EventType;

use crate::{
    cluster_state::ClusterState,
    context::Context,
    error::{ReconcileError, chain},
    links::Link,
    topic::{
        dereference::Observed,
        plan::{Declare, Plan},
    },
};

/// Carries out what is to be declared; what was decided otherwise stays what it is.
pub(crate) async fn carry_out(
    resource: &Topic,
    topic: &CheckedTopic,
    observed: &Observed,
    plan: Plan,
    context: &Context,
) -> Plan {
    let Plan::Declare(declare) = plan else { return plan };
    let Some(link) = &observed.link else { return Plan::ClusterNotReady(observed.silence.clone()) };
    match declare_topic(topic, link, &declare).await {
        Ok(view) => {
            context.links.learn(topic, Some(view.clone()));
            let (reason, note) = match &declare.drift {
                Some(drift) => ("TopicDrifted", format!("mended: {drift}")),
                None => {
                    ("TopicDeclared", format!("cluster {} has topic {} as it is asked for", topic.cluster, topic.name))
                }
            };
            context.tell(resource, EventType::Normal, reason, "Declare", note).await;
            Plan::Settled { view: Arc::new(view), default_mirrors: declare.default_mirrors }
        }
        Err(error) => refused(topic, &error),
    }
}

async fn declare_topic(
    topic: &CheckedTopic,
    link: &Link,
    declare: &Declare,
) -> Result<ferrymq_admin_api::TopicView, CallError> {
    if let Some(stale) = &declare.stale_owner {
        // Made by a resource that is no more, and retained: it becomes nobody's, and this one's then.
        link.client.remove_topic(&removal(topic, stale, false, false)).await?;
    }
    link.client.declare_topic(&declare.declaration).await
}

fn refused(topic: &CheckedTopic, error: &CallError) -> Plan {
    let said = chain(error);
    match error.refusal().map(|refusal| refusal.reason) {
        Some(Refusal::Owned) => Plan::Conflict(said),
        Some(Refusal::Incompatible) => Plan::Incompatible(said),
        Some(Refusal::Invalid) => Plan::Invalid(said),
        _ => Plan::ClusterNotReady(format!("cluster {} does not take the topic now: {said}", topic.cluster)),
    }
}

fn removal(topic: &CheckedTopic, owner: &str, delete: bool, only_if_empty: bool) -> TopicRemoval {
    TopicRemoval {
        virtual_host: topic.virtual_host.clone(),
        name: topic.name.clone(),
        owner_uid: owner.to_owned(),
        delete,
        only_if_empty,
    }
}

/// Does with a topic as its deletion policy says. Gives why the resource has to stay for now, or nothing where it may go.
pub(crate) async fn remove(
    resource: &Topic,
    topic: &CheckedTopic,
    observed: &Observed,
    context: &Context,
) -> Result<Option<Plan>, ReconcileError> {
    if observed.namespace_going || !matches!(observed.cluster, ClusterState::Formed(_)) {
        return Ok(None);
    }
    let (delete, only_if_empty) = match topic.deletion_policy {
        DeletionPolicy::Retain => (false, false),
        DeletionPolicy::Delete => (true, false),
        DeletionPolicy::DeleteIfEmpty => (true, true),
    };
    let Some(link) = &observed.link else {
        // A topic that stays can be released later by whoever declares it next; one that is to go must be waited for.
        return Ok(delete.then(|| Plan::ClusterNotReady(format!("the deletion waits: {}", observed.silence))));
    };
    match link.client.remove_topic(&removal(topic, &topic.uid, delete, only_if_empty)).await {
        Ok(()) => {
            context.links.learn(topic, None);
            let (reason, note) = if delete {
                ("TopicRemoved", format!("topic {} is gone from cluster {}", topic.name, topic.cluster))
            } else {
                (
                    "TopicRetained",
                    format!("topic {} stays in cluster {}, and belongs to nobody", topic.name, topic.cluster),
                )
            };
            context.tell(resource, EventType::Normal, reason, "Remove", note).await;
            Ok(None)
        }
        Err(error) => match error.refusal().map(|refusal| refusal.reason) {
            Some(Refusal::NotEmpty) => Ok(Some(Plan::NotEmpty(chain(&error)))),
            Some(Refusal::NotFound) => Ok(None),
            _ if !delete => Ok(None),
            _ => Ok(Some(Plan::ClusterNotReady(format!("the deletion waits: {}", chain(&error))))),
        },
    }
}
