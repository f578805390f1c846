//! What the cluster is, for people and programs: pure, but for the one write at the end.

use std::collections::BTreeSet;

use ferrymq_admin_api::{DiskUse, NodeStatus, Phase, ShardView};
use ferrymq_api::{
    Binding, Cluster, ConditionType, MessageQueue, MessageQueueStatus, NodeState, NodeSummary, PlanWaitsFor, Reason,
    RestoredSummary, ShardSummary, UpdatePlan, condition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt, api::PostParams};

use crate::{
    context::Context,
    error::ReconcileError,
    message_queue::{
        act::Done,
        backups,
        dereference::Observed,
        endpoints,
        plan::Plan,
        trouble::Trouble,
        update::{Gate, Update},
        validate::Obstacle,
        verdict::{Verdict, judge},
    },
    names,
};

/// The status of a cluster for which something could be done.
pub(crate) fn of(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    done: &Done,
) -> MessageQueueStatus {
    let before = resource.status.clone().unwrap_or_default();
    let nodes = nodes(cluster, observed, plan.scale.replicas);
    let serving = (0..plan.scale.replicas).filter(|ordinal| observed.serves(*ordinal)).count();
    let formation = done.formation.clone().or_else(|| before.formation.clone());
    let verdicts = judge(cluster, observed, plan, done, formation.as_ref());
    let versions: BTreeSet<&str> = nodes.iter().filter_map(|node| node.version.as_deref()).collect();
    let version = versions.into_iter().collect::<Vec<_>>().join(", ");
    let view = observed.view.as_ref();
    MessageQueueStatus {
        observed_generation: resource.metadata.generation,
        replicas: count(observed.pods.len()),
        ready_replicas: count(serving),
        selector: Some(names::selector_text(&cluster.name)),
        version: if version.is_empty() { before.version.clone() } else { Some(version) },
        formation,
        credentials_version: done.credentials_version.clone().or(before.credentials_version),
        nodes,
        plan: plan.update.as_ref().map(|update| update_plan(cluster, update)),
        shards: view.map(|view| shards(&view.shards)).or(before.shards),
        messages: view.map(|view| big(view.messages)).or(before.messages),
        queues: view.map(|view| big(view.queues)).or(before.queues),
        backup: backups::summary(observed).or(before.backup),
        restored: restored(observed).or(before.restored),
        endpoints: endpoints::of(cluster, observed, plan.scale.replicas),
        binding: Some(Binding { name: names::default_user_secret(&cluster.name) }),
        conditions: verdicts
            .into_iter()
            .map(|verdict| {
                let Verdict { kind, status, reason, message } = verdict;
                condition(&before.conditions, kind, status, reason, message, resource.metadata.generation)
            })
            .collect(),
    }
}

/// The status of a resource for which nothing can be done; what was known of its brokers stays.
pub(crate) fn of_obstacle(resource: &MessageQueue, obstacle: &Obstacle) -> MessageQueueStatus {
    let reason = match obstacle {
        Obstacle::Invalid(_) => Reason::Invalid,
        Obstacle::NameTaken(_) => Reason::NameTaken,
    };
    let says = [(ConditionType::Ready, false), (ConditionType::Reconciling, false), (ConditionType::Stalled, true)];
    changed(resource, &says, reason, &obstacle.to_string())
}

/// The status of a resource of which the API server does not give what there is. What was known stays; brokers serve
/// whether the operator sees them or not.
pub(crate) fn of_setback(resource: &MessageQueue, setback: &Trouble) -> MessageQueueStatus {
    let known = resource.status.iter().flat_map(|status| &status.conditions);
    let was_told = known.into_iter().any(|condition| condition.type_ == ConditionType::Ready.as_str());
    let mut says = vec![(ConditionType::Reconciling, !setback.stalls), (ConditionType::Stalled, setback.stalls)];
    if !was_told {
        says.push((ConditionType::Ready, false));
    }
    changed(resource, &says, setback.reason, &setback.message)
}

/// The status as it was, but for these conditions.
fn changed(
    resource: &MessageQueue,
    says: &[(ConditionType, bool)],
    reason: Reason,
    message: &str,
) -> MessageQueueStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation;
    let mut conditions = before.conditions.clone();
    for (kind, status) in says {
        let new = condition(&before.conditions, *kind, Some(*status), reason, message, generation);
        conditions.retain(|old| old.type_ != new.type_);
        conditions.push(new);
    }
    MessageQueueStatus { observed_generation: generation, conditions, ..before }
}

/// What the cluster was made of, as a broker says.
fn restored(observed: &Observed) -> Option<RestoredSummary> {
    const MOST: usize = 20;
    let views = observed.brokers.values().filter_map(|answer| answer.as_ref().ok()?.restoration.as_ref());
    let view = views.into_iter().next()?;
    let missing = view.missing.iter().take(MOST).cloned().collect();
    Some(RestoredSummary { folder: view.folder.clone(), what: view.what.clone(), missing })
}

fn update_plan(cluster: &Cluster, update: &Update) -> UpdatePlan {
    let (waits_for, next_window) = match update.gate {
        Gate::Open => (None, None),
        Gate::Approval => (Some(PlanWaitsFor::Approval), None),
        Gate::Window(opens) => (Some(PlanWaitsFor::MaintenanceWindow), opens.map(Time)),
    };
    UpdatePlan {
        id: update.id.clone(),
        restarts: update.brokers.iter().map(|ordinal| names::pod(&cluster.name, *ordinal)).collect(),
        image: update.image.clone(),
        waits_for,
        next_window,
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn nodes(cluster: &Cluster, observed: &Observed, replicas: u32) -> Vec<NodeSummary> {
    (0..replicas)
        .map(|ordinal| {
            let answer = observed.node(ordinal);
            let seen = observed.view.as_ref().and_then(|view| {
                view.nodes.iter().find(|node| match answer {
                    Some(answer) => node.uuid == answer.uuid,
                    None => node.ordinal == ordinal,
                })
            });
            NodeSummary {
                name: names::pod(&cluster.name, ordinal),
                id: seen.map(|node| big(node.id)),
                zone: observed.zones.get(&ordinal).cloned().or_else(|| seen.and_then(|node| node.zone.clone())),
                state: match seen {
                    Some(node) if node.draining => NodeState::Draining,
                    _ => state(observed, ordinal, answer),
                },
                leaders: seen.map(|node| i32::try_from(node.leaders).unwrap_or(i32::MAX)),
                replicas: seen.map(|node| i32::try_from(node.replicas).unwrap_or(i32::MAX)),
                version: answer.map(|node| node.version.clone()),
                disk_used_percent: answer.and_then(|node| node.disk).map(percent),
            }
        })
        .collect()
}

fn percent(disk: DiskUse) -> i32 {
    i32::try_from(disk.used_bytes.saturating_mul(100) / disk.capacity_bytes.max(1)).unwrap_or(100)
}

fn state(observed: &Observed, ordinal: u32, answer: Option<&NodeStatus>) -> NodeState {
    match answer.map(|node| node.phase) {
        Some(Phase::Unformed) => NodeState::Unformed,
        Some(Phase::Joining) => NodeState::Joining,
        Some(Phase::Starting) => NodeState::Starting,
        Some(Phase::Serving) => NodeState::Serving,
        Some(Phase::Stopping) => NodeState::Stopping,
        None if observed.brokers.contains_key(&ordinal) => NodeState::Silent,
        None => NodeState::Absent,
    }
}

fn shards(shards: &[ShardView]) -> ShardSummary {
    let healthy = shards.iter().filter(|shard| shard.healthy).count();
    let without_leader = shards.iter().filter(|shard| shard.leader.is_none()).count();
    ShardSummary {
        total: count(shards.len()),
        healthy: count(healthy),
        under_replicated: count(shards.len().saturating_sub(healthy + without_leader)),
        without_leader: count(without_leader),
    }
}

/// Whether two statuses say the same, but for numbers that change all the time.
pub(crate) fn differs_but_for_counters(one: &MessageQueueStatus, other: &MessageQueueStatus) -> bool {
    let without = |status: &MessageQueueStatus| {
        let mut status = status.clone();
        status.messages = None;
        status.queues = None;
        for node in &mut status.nodes {
            (node.leaders, node.replicas, node.disk_used_percent) = (None, None, None);
        }
        status
    };
    without(one) != without(other)
}

/// Writes the status, over the state of the resource that was read and no other.
pub(crate) async fn write(
    resource: &MessageQueue,
    status: MessageQueueStatus,
    context: &Context,
) -> Result<MessageQueue, ReconcileError> {
    let name = resource.name_any();
    let api = Api::<MessageQueue>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    let mut resource = resource.clone();
    resource.status = Some(status);
    resource.metadata.managed_fields = None;
    api.replace_status(&name, &PostParams::default(), &resource)
        .await
        .map_err(|source| ReconcileError::Status { what: format!("the status of MessageQueue {name}"), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{cluster, plan, resource, rolling, shard, view},
        message_queue::forming::Forming,
    };

    const THREE: &str = "{replicas: 3, storage: {size: 1Gi}}";

    fn status(observed: &Observed, change: impl FnOnce(&mut Plan)) -> MessageQueueStatus {
        let cluster = cluster(THREE);
        let mut plan = Plan { forming: Forming::Done, ..plan(&cluster) };
        change(&mut plan);
        of(&resource(THREE), &cluster, observed, &plan, &Done::default())
    }

    fn says(status: &MessageQueueStatus, kind: ConditionType) -> (String, String, String) {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).unwrap();
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    }

    fn serving() -> Observed {
        rolling(["new", "new", "new"])
    }

    #[test]
    fn three_brokers_that_serve_are_ready() {
        let status = status(&serving(), |_| {});
        assert_eq!(says(&status, ConditionType::Ready).0, "True");
        assert_eq!(says(&status, ConditionType::Stalled).0, "False");
        assert_eq!(says(&status, ConditionType::ReplicationHealthy).0, "True");
        assert_eq!((status.ready_replicas, status.nodes.len()), (3, 3));
        assert_eq!(status.endpoints.first().map(|one| one.address.as_str()), Some("orders.shop.svc:5672"));
    }

    #[test]
    fn a_broker_that_is_missing_is_named() {
        let mut observed = serving();
        observed.brokers.insert(1, Err("connection refused".to_owned()));
        let status = status(&observed, |_| {});
        let (held, reason, message) = says(&status, ConditionType::Ready);
        assert_eq!((held.as_str(), reason.as_str()), ("False", "ReplicasBehind"));
        assert_eq!(message, "2 of 3 brokers serve; orders-1 does not answer: connection refused");
        assert_eq!(says(&status, ConditionType::Reconciling).0, "True");
    }

    #[test]
    fn a_shard_that_catches_up_says_on_which_broker() {
        let mut observed = serving();
        observed.view = Some(view(vec![shard(1, &[1, 2, 3], &[1, 3])]));
        let (held, _, message) = says(&status(&observed, |_| {}), ConditionType::ReplicationHealthy);
        assert_eq!((held.as_str(), message.as_str()), ("False", "1 of 1 shards miss mirrors: broker 1 catches up"));
    }

    #[test]
    fn lost_data_stalls_the_cluster_and_says_what_to_do() {
        let status =
            status(&Observed::default(), |plan| plan.forming = Forming::DataLost("bring the volumes back".to_owned()));
        assert_eq!(says(&status, ConditionType::Ready).1, "DataLost");
        assert_eq!(says(&status, ConditionType::Stalled).0, "True");
        assert_eq!(says(&status, ConditionType::Reconciling).0, "False");
    }

    #[test]
    fn a_newer_operator_says_what_it_would_run_and_is_content() {
        let status = status(&serving(), |plan| {
            plan.update = Some(Update {
                id: "7".to_owned(),
                image: "ferrymq:2".to_owned(),
                by_operator: true,
                brokers: vec![2, 1, 0],
                gate: Gate::Approval,
            });
        });
        assert_eq!(says(&status, ConditionType::UpdateComplete).1, "UpgradeWaits");
        assert_eq!(says(&status, ConditionType::Ready).0, "True");
        assert_eq!(says(&status, ConditionType::Reconciling).0, "False");
    }

    #[test]
    fn messages_that_come_and_go_are_no_other_status() {
        let one = status(&serving(), |_| {});
        let other = MessageQueueStatus { messages: Some(77), ..one.clone() };
        assert!(!differs_but_for_counters(&one, &other));
        assert!(differs_but_for_counters(&one, &MessageQueueStatus { ready_replicas: 2, ..one.clone() }));
    }
}
