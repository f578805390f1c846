//! What the cluster is, for people and programs: pure, but for the one write at the end.

use std::collections::BTreeSet;

use ferrymq_admin_api::{NodeStatus, Phase, ShardView};
use ferrymq_api::{
    Binding, Cluster, ConditionType, Endpoint, FormationRecord, MessageQueue, MessageQueueStatus, NodeState,
    NodeSummary, Reason, ShardSummary, condition,
};
use kube::{Api, ResourceExt, api::PostParams};

use crate::{
    context::Context,
    error::ReconcileError,
    message_queue::{
        act::Done,
        dereference::Observed,
        forming::Forming,
        plan::Plan,
        restart::outdated,
        trouble::{self, Trouble},
        validate::Obstacle,
    },
    names,
};

/// One condition, before it is dated.
pub(crate) struct Verdict {
    kind: ConditionType,
    status: Option<bool>,
    reason: Reason,
    message: String,
}

fn verdict(kind: ConditionType, status: bool, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { kind, status: Some(status), reason, message: message.into() }
}

fn unknown(kind: ConditionType, message: impl Into<String>) -> Verdict {
    Verdict { kind, status: None, reason: Reason::Unknown, message: message.into() }
}

/// The status of a cluster for which something could be done.
pub(crate) fn of(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    done: &Done,
) -> MessageQueueStatus {
    let before = resource.status.clone().unwrap_or_default();
    let nodes = nodes(cluster, observed, plan.replicas);
    let serving = (0..plan.replicas).filter(|ordinal| observed.serves(*ordinal)).count();
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
        shards: view.map(|view| shards(&view.shards)).or(before.shards),
        messages: view.map(|view| big(view.messages)).or(before.messages),
        queues: view.map(|view| big(view.queues)).or(before.queues),
        endpoints: endpoints(cluster),
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
    of_refusal(resource, reason, &obstacle.to_string())
}

/// The status of a resource where the API server refuses what it needs.
pub(crate) fn of_refusal(resource: &MessageQueue, reason: Reason, message: &str) -> MessageQueueStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation;
    let mut conditions = before.conditions.clone();
    for (kind, status) in
        [(ConditionType::Ready, false), (ConditionType::Reconciling, false), (ConditionType::Stalled, true)]
    {
        let new = condition(&before.conditions, kind, Some(status), reason, message, generation);
        conditions.retain(|old| old.type_ != new.type_);
        conditions.push(new);
    }
    MessageQueueStatus { observed_generation: generation, conditions, ..before }
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
                state: state(observed, ordinal, answer),
                leaders: seen.map(|node| i32::try_from(node.leaders).unwrap_or(i32::MAX)),
                replicas: seen.map(|node| i32::try_from(node.replicas).unwrap_or(i32::MAX)),
                version: answer.map(|node| node.version.clone()),
            }
        })
        .collect()
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

fn endpoints(cluster: &Cluster) -> Vec<Endpoint> {
    let host = format!("{}.{}.svc", names::client_service(&cluster.name), cluster.namespace);
    cluster
        .listeners
        .iter()
        .map(|listener| Endpoint {
            name: listener.name.clone(),
            protocol: listener.protocol.as_str().to_owned(),
            address: format!("{host}:{}", listener.port),
        })
        .collect()
}

/// All conditions.
fn judge(
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    done: &Done,
    formation: Option<&FormationRecord>,
) -> Vec<Verdict> {
    let of_claims = trouble::of_claims(cluster, observed);
    let mut troubles = trouble::of_pods(cluster, observed);
    // What a volume lacks is why its pod is not placed: it is told first, where it will not come by itself.
    troubles.splice(0..0, of_claims.iter().filter(|trouble| trouble.stalls).cloned());
    let replication = replication(observed);
    let scale = scale(cluster, observed, plan);
    let update = update(cluster, observed, plan, done, formation);
    let ready = ready(cluster, observed, plan, done, &troubles, &replication);
    let stalled = stalled(plan, &troubles, &ready);
    let reconciling = reconciling(cluster, &ready, &stalled, &scale, &update);
    vec![ready, reconciling, stalled, replication, scale, storage(plan, observed, &of_claims), update]
}

fn ready(
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    done: &Done,
    troubles: &[Trouble],
    replication: &Verdict,
) -> Verdict {
    let not = |reason, message: String| verdict(ConditionType::Ready, false, reason, message);
    match &plan.forming {
        Forming::DataLost(sentence) => return not(Reason::DataLost, sentence.clone()),
        Forming::Foreign(sentence) => return not(Reason::ForeignCluster, sentence.clone()),
        _ => {}
    }
    if let Some(worst) = troubles.first() {
        let more = troubles.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more like it)") };
        return not(worst.reason, format!("{}{more}", worst.message));
    }
    match (&plan.forming, &done.forming_refused) {
        (_, Some(refused)) => {
            return not(Reason::FormationRefused, format!("the cluster is not formed yet: {refused}"));
        }
        (Forming::Wait(sentence), _) => return not(Reason::WaitingForBrokers, sentence.clone()),
        (Forming::Adopt(record), _) => {
            return not(Reason::Forming, format!("the volumes hold cluster {}, which goes on", record.cluster_id));
        }
        (Forming::Record(_) | Forming::Form(_), _) => {
            return not(Reason::Forming, "the brokers answer, and are being made one cluster".to_owned());
        }
        _ => {}
    }
    let absent: Vec<u32> = (0..cluster.replicas).filter(|ordinal| !observed.serves(*ordinal)).collect();
    let count = cluster.replicas as usize - absent.len();
    if !absent.is_empty() {
        let reason = match replication.reason {
            Reason::ShardsWithoutLeader => Reason::ShardsWithoutLeader,
            _ if count == 0 => Reason::WaitingForBrokers,
            _ => Reason::ReplicasBehind,
        };
        let what: Vec<String> = absent.iter().map(|ordinal| excuse(cluster, observed, *ordinal)).collect();
        return not(reason, format!("{count} of {} brokers serve; {}", cluster.replicas, what.join("; ")));
    }
    if observed.view.is_none() {
        let why = observed.view_error.clone().unwrap_or_else(|| "no broker was asked".to_owned());
        return not(Reason::ClusterUnreachable, format!("the brokers serve, but none says how its shards are: {why}"));
    }
    if replication.status != Some(true) {
        return not(replication.reason, format!("all {count} brokers serve; {}", replication.message));
    }
    let brokers = if count == 1 { "1 broker serves".to_owned() } else { format!("{count} brokers serve") };
    verdict(ConditionType::Ready, true, Reason::AllServing, format!("{brokers}, every shard is in sync"))
}

/// Why a broker does not serve.
fn excuse(cluster: &Cluster, observed: &Observed, ordinal: u32) -> String {
    let name = names::pod(&cluster.name, ordinal);
    match (observed.brokers.get(&ordinal), observed.pods.get(&ordinal)) {
        (Some(Ok(node)), _) => {
            let message = node.message.trim_end_matches('.');
            let phase = match node.phase {
                Phase::Unformed => "waits to be taken in",
                Phase::Joining => "is being filled",
                Phase::Starting => "starts",
                Phase::Serving => return format!("{name} serves, and Kubernetes has yet to notice"),
                Phase::Stopping => "stops",
            };
            if message.is_empty() { format!("{name} {phase}") } else { format!("{name} {phase}: {message}") }
        }
        (Some(Err(error)), _) => format!("{name} does not answer: {error}"),
        (None, Some(pod)) if pod.metadata.deletion_timestamp.is_some() => format!("{name} stops"),
        (None, Some(pod)) => match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
            Some(machine) => format!("{name} is being started on {machine}"),
            None => format!("{name} waits for a machine"),
        },
        (None, None) => format!("{name} has no pod yet"),
    }
}

fn replication(observed: &Observed) -> Verdict {
    let kind = ConditionType::ReplicationHealthy;
    let Some(view) = &observed.view else {
        return unknown(kind, observed.view_error.clone().unwrap_or_else(|| "no broker serves yet".to_owned()));
    };
    let total = view.shards.len();
    let without = view.shards.iter().filter(|shard| shard.leader.is_none()).count();
    if without > 0 {
        let message = format!(
            "{without} of {total} shards have no leader: they choose one, or too few of their mirrors are there"
        );
        return verdict(kind, false, Reason::ShardsWithoutLeader, message);
    }
    let behind: Vec<&ShardView> = view.shards.iter().filter(|shard| !shard.healthy).collect();
    if behind.is_empty() {
        return verdict(
            kind,
            true,
            Reason::AllServing,
            format!("all {total} shards have a leader and all of their mirrors"),
        );
    }
    let late: BTreeSet<u64> = behind
        .iter()
        .flat_map(|shard| shard.placed_on.iter().filter(|node| !shard.in_sync.contains(node)))
        .copied()
        .collect();
    let late: Vec<String> = late
        .into_iter()
        .map(|id| match view.nodes.iter().find(|node| node.id == id) {
            Some(node) if node.reachable => format!("broker {} catches up", node.ordinal),
            Some(node) => format!("broker {} is not reachable", node.ordinal),
            None => format!("node {id} is gone"),
        })
        .collect();
    let late = if late.is_empty() { "their membership changes".to_owned() } else { late.join(", ") };
    verdict(kind, false, Reason::ReplicasBehind, format!("{} of {total} shards miss mirrors: {late}", behind.len()))
}

fn scale(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Verdict {
    let kind = ConditionType::ScaleComplete;
    if plan.scale_down_refused {
        return verdict(
            kind,
            false,
            Reason::ScaleDownRefused,
            format!(
                "cannot go from {} brokers to {}: brokers that hold messages are not emptied by this version; set \
                 replicas to {} again",
                plan.replicas, cluster.replicas, plan.replicas
            ),
        );
    }
    let joined = |ordinal: &u32| {
        observed.node(*ordinal).is_some_and(|node| node.cluster_id.is_some() && node.phase != Phase::Joining)
    };
    let joined = (0..cluster.replicas).filter(joined).count();
    if joined == cluster.replicas as usize {
        return verdict(kind, true, Reason::AllRunning, format!("{joined} of {joined} brokers belong to the cluster"));
    }
    let message = format!("{joined} of {} brokers belong to the cluster", cluster.replicas);
    verdict(kind, false, Reason::ScalingUp, message)
}

fn storage(plan: &Plan, observed: &Observed, troubles: &[Trouble]) -> Verdict {
    let kind = ConditionType::StorageReady;
    if let Some(trouble) = troubles.iter().find(|trouble| trouble.stalls).or_else(|| troubles.first()) {
        return verdict(kind, false, trouble.reason, trouble.message.clone());
    }
    let bound = observed.claims.len();
    if bound < plan.replicas as usize {
        let message = format!("{bound} of {} volumes are there", plan.replicas);
        return verdict(kind, false, Reason::VolumeNotBound, message);
    }
    verdict(kind, true, Reason::VolumesBound, format!("all {bound} volumes are bound"))
}

fn update(
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    done: &Done,
    formation: Option<&FormationRecord>,
) -> Verdict {
    let kind = ConditionType::UpdateComplete;
    let outdated = outdated(observed.stateful_set.as_ref(), &observed.pods).len();
    if let Some(waits) = &done.restart_waits {
        return verdict(kind, false, Reason::RestartWaits, waits.clone());
    }
    if outdated > 0 || done.restarted.is_some() {
        let now = done.restarted.as_ref().map(|name| format!("; {name} restarts now")).unwrap_or_default();
        let message = format!("{outdated} of {} brokers are to be restarted{now}", plan.replicas);
        return verdict(kind, false, Reason::RestartingBrokers, message);
    }
    if let Some(newer) = &plan.newer_image {
        let message = format!(
            "the brokers stay on the image that they run; to move them, one after the other, to {newer}, set spec.image to it"
        );
        return verdict(kind, false, Reason::UpgradeWaits, message);
    }
    if let Some(formed) =
        formation.and_then(|formation| formation.mirrors).filter(|formed| *formed != i32::from(cluster.mirrors))
    {
        let message = format!(
            "a queue that says nothing of it is kept on {formed} brokers, as the cluster was formed; set mirrors on the \
             Topic where it should be {}",
            cluster.mirrors
        );
        return verdict(kind, true, Reason::MirrorsFixed, message);
    }
    verdict(kind, true, Reason::AllUpdated, "every broker runs what the spec asks for")
}

fn stalled(plan: &Plan, troubles: &[Trouble], ready: &Verdict) -> Verdict {
    let kind = ConditionType::Stalled;
    if matches!(plan.forming, Forming::DataLost(_) | Forming::Foreign(_)) {
        return verdict(kind, true, ready.reason, ready.message.clone());
    }
    if let Some(trouble) = troubles.iter().find(|trouble| trouble.stalls) {
        return verdict(kind, true, trouble.reason, trouble.message.clone());
    }
    if plan.scale_down_refused {
        let message = "fewer brokers were asked for than hold messages; see ScaleComplete";
        return verdict(kind, true, Reason::ScaleDownRefused, message);
    }
    verdict(kind, false, Reason::NothingInTheWay, "nothing is in the way")
}

fn reconciling(cluster: &Cluster, ready: &Verdict, stalled: &Verdict, scale: &Verdict, update: &Verdict) -> Verdict {
    let kind = ConditionType::Reconciling;
    if cluster.paused {
        return verdict(kind, false, Reason::Paused, "spec.paused is true: nothing is changed until it is false");
    }
    if stalled.status == Some(true) {
        return verdict(kind, false, stalled.reason, "somebody has to help; see Stalled");
    }
    let busy = [ready, scale, update]
        .into_iter()
        .find(|verdict| verdict.status != Some(true) && verdict.reason != Reason::UpgradeWaits);
    match busy {
        Some(busy) => verdict(kind, true, Reason::Progressing, busy.message.clone()),
        None => verdict(kind, false, Reason::Settled, "there is nothing to do"),
    }
}

/// Whether two statuses say the same, but for numbers that change all the time.
pub(crate) fn differs_but_for_counters(one: &MessageQueueStatus, other: &MessageQueueStatus) -> bool {
    let without = |status: &MessageQueueStatus| {
        let mut status = status.clone();
        status.messages = None;
        status.queues = None;
        for node in &mut status.nodes {
            (node.leaders, node.replicas) = (None, None);
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
        .map_err(|source| ReconcileError::Write { what: format!("the status of MessageQueue {name}"), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, plan, resource, rolling, shard, view};

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
        let status = status(&serving(), |plan| plan.newer_image = Some("ferrymq:2".to_owned()));
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
