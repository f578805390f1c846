//! What a topic is, for people and programs: pure, but for the one write at the end.

use ferrymq_admin_api::{QueueView, TopicView};
use ferrymq_api::{CheckedTopic, ConditionType, Reason, Topic, TopicQueueStatus, TopicStatus, condition};
use kube::{Api, ResourceExt, api::PostParams, runtime::events::EventType};

use crate::{context::Context, error::ReconcileError, topic::plan::Plan};

type Verdict = (ConditionType, Option<bool>, Reason, String);

/// Writes the status where it says something new. Gives whether there is nothing more to do.
pub(crate) async fn publish(
    resource: &Topic,
    topic: Option<&CheckedTopic>,
    plan: &Plan,
    context: &Context,
) -> Result<bool, ReconcileError> {
    let new = of(resource, topic, plan);
    let old = resource.status.clone().unwrap_or_default();
    let ready = |status: &TopicStatus| {
        status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str()).cloned()
    };
    let settled = matches!(plan, Plan::Settled { .. } | Plan::Paused(_))
        && ready(&new).is_some_and(|ready| ready.status == "True");
    if old == new {
        return Ok(settled);
    }
    let uid = resource.uid().unwrap_or_default();
    if without_counters(&old) == without_counters(&new) && !context.counters_are_due(&uid) {
        return Ok(settled);
    }
    let before = ready(&old).map(|condition| condition.reason);
    let now = ready(&new);
    let name = resource.name_any();
    let api = Api::<Topic>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    let mut changed = resource.clone();
    changed.status = Some(new);
    changed.metadata.managed_fields = None;
    match api.replace_status(&name, &PostParams::default(), &changed).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(settled),
        Err(source) => return Err(ReconcileError::Status { what: format!("the status of Topic {name}"), source }),
    }
    if let Some(now) = now.filter(|now| now.status == "False" && before.as_ref() != Some(&now.reason)) {
        let kind = if now.reason == Reason::ClusterNotReady.as_str() { EventType::Normal } else { EventType::Warning };
        context.tell(resource, kind, &now.reason, "Declare", now.message).await;
    }
    Ok(settled)
}

/// Whether a broker says something of a topic that it did not say before, or its status does not.
pub(crate) fn is_to_be_looked_at(resource: &Topic, before: Option<&TopicView>, now: Option<&TopicView>) -> bool {
    let (before, now) = match (before, now) {
        (None, None) => return false,
        (Some(before), Some(now)) => (before, now),
        _ => return true,
    };
    let said = |view: &TopicView| {
        let leaders = queues(view).map(|queue| (queue.name.clone(), queue.leader)).collect::<Vec<_>>();
        (view.declaration.clone(), view.in_sync, view.drift.clone(), view.replicated, leaders)
    };
    let counted = |status: &TopicStatus| (status.messages, status.consumers);
    said(before) != said(now)
        || resource.status.as_ref().map(counted) != Some((Some(messages(now)), Some(consumers(now))))
}

fn messages(view: &TopicView) -> i64 {
    queues(view).map(|queue| big(queue.messages)).fold(0, i64::saturating_add)
}

fn consumers(view: &TopicView) -> i32 {
    queues(view).map(|queue| small(queue.consumers)).fold(0, i32::saturating_add)
}

fn without_counters(status: &TopicStatus) -> TopicStatus {
    let mut status = status.clone();
    (status.messages, status.consumers) = (None, None);
    for queue in status.queues.iter_mut().chain(&mut status.partitions) {
        (queue.messages, queue.consumers) = (0, 0);
    }
    status
}

pub(crate) fn of(resource: &Topic, topic: Option<&CheckedTopic>, plan: &Plan) -> TopicStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation;
    let conditions = judge(topic, plan)
        .into_iter()
        .map(|(kind, status, reason, message)| condition(&before.conditions, kind, status, reason, message, generation))
        .collect();
    let view = match plan {
        Plan::Settled { view, .. } => Some(view),
        Plan::Paused(view) => view.as_ref(),
        _ => None,
    };
    let Some(view) = view else { return TopicStatus { observed_generation: generation, conditions, ..before } };
    let default_mirrors = match plan {
        Plan::Settled { default_mirrors, .. } => *default_mirrors,
        _ => before.mirrors,
    };
    TopicStatus {
        observed_generation: generation,
        mirrors: topic.and_then(|topic| topic.mirrors).map(i32::from).or(default_mirrors),
        messages: Some(messages(view)),
        consumers: Some(consumers(view)),
        queues: view.queues.iter().map(told).collect(),
        partitions: view.partitions.iter().map(told).collect(),
        conditions,
    }
}

fn told(queue: &QueueView) -> TopicQueueStatus {
    TopicQueueStatus {
        name: queue.name.clone(),
        messages: big(queue.messages),
        consumers: small(queue.consumers),
        leader: queue.leader.map(big),
    }
}

/// Its queues, and its partitions.
fn queues(view: &TopicView) -> impl Iterator<Item = &QueueView> {
    view.queues.iter().chain(&view.partitions)
}

fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn judge(topic: Option<&CheckedTopic>, plan: &Plan) -> Vec<Verdict> {
    match plan {
        Plan::Invalid(why) => stuck(Reason::Invalid, why),
        Plan::ClusterNotFound(why) => stuck(Reason::ClusterNotFound, why),
        Plan::MirrorsWouldNotFit(why) => stuck(Reason::MirrorsWouldNotFit, why),
        Plan::Conflict(why) => stuck(Reason::TopicConflict, why),
        Plan::Incompatible(why) => stuck(Reason::Incompatible, why),
        Plan::NotEmpty(why) => stuck(Reason::NotEmpty, why),
        Plan::ClusterGoing(why) => waiting(Reason::ClusterGoing, why),
        Plan::ClusterNotReady(why) => waiting(Reason::ClusterNotReady, why),
        Plan::Declare(_) => waiting(Reason::Progressing, "the broker is being told"),
        Plan::Paused(Some(view)) => settled(topic, view, true),
        Plan::Paused(None) => waiting(Reason::Paused, "the cluster is paused: nothing is changed until it is not"),
        Plan::Settled { view, .. } => settled(topic, view, false),
    }
}

/// A person has to change something.
fn stuck(reason: Reason, why: &str) -> Vec<Verdict> {
    vec![
        (ConditionType::Ready, Some(false), reason, why.to_owned()),
        (ConditionType::Reconciling, Some(false), reason, "somebody has to help; see Stalled".to_owned()),
        (ConditionType::Stalled, Some(true), reason, why.to_owned()),
        (ConditionType::InSync, Some(false), reason, why.to_owned()),
        (ConditionType::Replicated, None, Reason::Unknown, "the broker was not asked".to_owned()),
    ]
}

/// It goes on by itself.
fn waiting(reason: Reason, why: &str) -> Vec<Verdict> {
    vec![
        (ConditionType::Ready, Some(false), reason, why.to_owned()),
        (ConditionType::Reconciling, Some(true), Reason::Progressing, why.to_owned()),
        (ConditionType::Stalled, Some(false), Reason::NothingInTheWay, "nothing is in the way".to_owned()),
        (ConditionType::InSync, None, Reason::Unknown, why.to_owned()),
        (ConditionType::Replicated, None, Reason::Unknown, why.to_owned()),
    ]
}

fn settled(topic: Option<&CheckedTopic>, view: &TopicView, paused: bool) -> Vec<Verdict> {
    let name = topic.map_or(view.declaration.name.as_str(), |topic| topic.name.as_str());
    let in_sync = if view.in_sync {
        (ConditionType::InSync, Some(true), Reason::Declared, "the broker has what the spec asks for".to_owned())
    } else {
        (ConditionType::InSync, Some(false), Reason::Drifted, format!("{}; it is being mended", view.drift))
    };
    let replicated = if queues(view).next().is_none() {
        (ConditionType::Replicated, Some(true), Reason::NothingToMirror, "there are no queues".to_owned())
    } else if view.replicated {
        let message = "every queue has a leader and all of its mirrors".to_owned();
        (ConditionType::Replicated, Some(true), Reason::AllMirrored, message)
    } else {
        let leaderless: Vec<&str> =
            queues(view).filter(|queue| queue.leader.is_none()).map(|queue| queue.name.as_str()).collect();
        let message = if leaderless.is_empty() {
            "mirrors of its queues are missing or catch up".to_owned()
        } else {
            format!("without a leader: {}", leaderless.join(", "))
        };
        (ConditionType::Replicated, Some(false), Reason::UnderReplicated, message)
    };
    let leaderless = queues(view).any(|queue| queue.leader.is_none());
    let ready = match (view.in_sync, leaderless) {
        (true, false) => (ConditionType::Ready, Some(true), Reason::Declared, format!("topic {name} serves")),
        (false, _) => (ConditionType::Ready, Some(false), Reason::Drifted, in_sync.3.clone()),
        (true, true) => (ConditionType::Ready, Some(false), Reason::UnderReplicated, replicated.3.clone()),
    };
    let reconciling = match (paused, ready.1) {
        (true, _) => (Some(false), Reason::Paused, "the cluster is paused: nothing is changed".to_owned()),
        (false, Some(true)) => (Some(false), Reason::Settled, "there is nothing to do".to_owned()),
        (false, _) => (Some(true), Reason::Progressing, ready.3.clone()),
    };
    vec![
        ready,
        (ConditionType::Reconciling, reconciling.0, reconciling.1, reconciling.2),
        (ConditionType::Stalled, Some(false), Reason::NothingInTheWay, "nothing is in the way".to_owned()),
        in_sync,
        replicated,
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fixture::{topic, topic_resource, topic_view};

    const SPEC: &str = "{cluster: orders, queues: [{name: payments}]}";

    fn status(plan: &Plan) -> TopicStatus {
        of(&topic_resource(SPEC), Some(&topic(SPEC)), plan)
    }

    fn says(status: &TopicStatus, kind: ConditionType) -> (String, String) {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).unwrap();
        (condition.status.clone(), condition.reason.clone())
    }

    #[test]
    fn a_topic_that_serves_says_how_deep_its_queues_are() {
        let plan = Plan::Settled { view: Arc::new(topic_view(&topic(SPEC))), default_mirrors: Some(3) };
        let status = status(&plan);
        assert_eq!(says(&status, ConditionType::Ready), ("True".to_owned(), "Declared".to_owned()));
        assert_eq!((status.mirrors, status.messages, status.queues.len()), (Some(3), Some(7), 1));
    }

    #[test]
    fn an_unknown_cluster_stalls_a_topic() {
        let status = status(&Plan::ClusterNotFound("there is none".to_owned()));
        assert_eq!(says(&status, ConditionType::Ready), ("False".to_owned(), "ClusterNotFound".to_owned()));
        assert_eq!(says(&status, ConditionType::Stalled).0, "True");
    }

    #[test]
    fn a_queue_without_a_leader_is_not_ready() {
        let mut view = topic_view(&topic(SPEC));
        view.replicated = false;
        if let Some(queue) = view.queues.first_mut() {
            queue.leader = None;
        }
        let status = status(&Plan::Settled { view: Arc::new(view), default_mirrors: Some(3) });
        assert_eq!(says(&status, ConditionType::Ready), ("False".to_owned(), "UnderReplicated".to_owned()));
    }

    #[test]
    fn a_topic_is_looked_at_when_its_broker_says_something_new() {
        let (resource, view) = (topic_resource(SPEC), topic_view(&topic(SPEC)));
        let status = TopicStatus { messages: Some(7), consumers: Some(1), ..TopicStatus::default() };
        let known = Topic { status: Some(status), ..resource.clone() };
        assert!(!is_to_be_looked_at(&known, Some(&view), Some(&view)));
        assert!(!is_to_be_looked_at(&known, None, None));
        let drifted = TopicView { in_sync: false, drift: "queue payments is missing".to_owned(), ..view.clone() };
        assert!(is_to_be_looked_at(&known, Some(&view), Some(&drifted)));
        assert!(is_to_be_looked_at(&known, Some(&view), None));
        assert!(is_to_be_looked_at(&resource, Some(&view), Some(&view)), "its counters are not in its status yet");
    }
}
