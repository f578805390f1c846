//! What holds of a cluster, and why: each condition with its reason and a sentence. Pure.

use std::collections::BTreeSet;

use ferrymq_admin_api::{Phase, ShardView};
use ferrymq_api::{Approval, Cluster, ConditionType, FormationRecord, Reason};
use k8s_openapi::jiff::Timestamp;

use crate::{
    message_queue::{
        act::Done,
        backups,
        dereference::Observed,
        endpoints,
        forming::Forming,
        plan::Plan,
        scale::{self, Step},
        shrink,
        trouble::{self, Trouble},
        update::{Gate, Update},
        volumes,
    },
    names,
};

/// One condition, before it is dated.
pub(crate) struct Verdict {
    pub(crate) kind: ConditionType,
    pub(crate) status: Option<bool>,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

fn verdict(kind: ConditionType, status: bool, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { kind, status: Some(status), reason, message: message.into() }
}

fn unknown(kind: ConditionType, message: impl Into<String>) -> Verdict {
    Verdict { kind, status: None, reason: Reason::Unknown, message: message.into() }
}

/// All conditions.
pub(crate) fn judge(
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
    let scale = scale(cluster, observed, plan, done);
    let update = update(cluster, plan, done, formation);
    let storage = storage(cluster, plan, done, observed, &of_claims);
    let ready = ready(cluster, observed, plan, done, &troubles, &replication);
    let certificates = certificates(plan);
    let exposed = endpoints::judge(cluster, observed, plan.scale.replicas);
    let stalled = stalled(plan, done, &troubles, &ready, &update);
    let object_going = trouble::of_objects(observed);
    let reconciling = reconciling(cluster, done, &ready, &stalled, [&scale, &storage, &update, &exposed], object_going);
    let mut verdicts = vec![ready, reconciling, stalled, replication, scale, storage, update, certificates, exposed];
    verdicts.extend(backups::judge(cluster, observed, Timestamp::now()));
    verdicts
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
    if cluster.replicas == 0 {
        let message = "no broker runs, as replicas is 0; the volumes keep what they hold";
        return verdict(ConditionType::Ready, true, Reason::ScaledToZero, message);
    }
    let all_serve = (0..cluster.replicas).all(|ordinal| observed.serves(ordinal));
    if let Some(setback) = done.setback.as_ref().filter(|setback| setback.stalls && !all_serve) {
        return not(setback.reason, setback.message.clone());
    }
    if let Some(worst) = troubles.first() {
        let more = troubles.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more like it)") };
        return not(worst.reason, format!("{}{more}", worst.message));
    }
    if let Some((reason, message)) = restoring(observed) {
        return not(reason, message);
    }
    match (&plan.forming, &done.forming_refused) {
        (_, Some((reason, refused))) => {
            return not(*reason, format!("the cluster is not formed yet: {refused}"));
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

/// How far the cluster is with what it begins with, where it has not all of that yet.
fn restoring(observed: &Observed) -> Option<(Reason, String)> {
    let views = observed.brokers.values().filter_map(|answer| answer.as_ref().ok()?.restoration.as_ref());
    let view = views.filter(|view| view.left > 0).max_by_key(|view| view.problems.len())?;
    let far = format!("{} of {} shards are restored from {}", view.shards - view.left, view.shards, view.folder);
    match view.problems.first() {
        Some(problem) => Some((Reason::RestoreRefused, format!("{far}; {problem}"))),
        None => Some((Reason::Restoring, far)),
    }
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

/// Why there cannot be as few brokers as were asked for.
fn scale_refused(plan: &Plan, done: &Done) -> Option<String> {
    match &plan.scale.step {
        Step::Refused { why, .. } => Some(why.clone()),
        _ => done.scale_refused.clone(),
    }
}

/// What goes on until there are as few brokers as were asked for.
fn going(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Option<String> {
    let name = |ordinal: &u32| names::pod(&cluster.name, *ordinal);
    let goes = |ordinal: &u32| *ordinal >= cluster.replicas;
    match &plan.scale.step {
        Step::Tell { ordinal, draining: true } if goes(ordinal) => {
            Some(format!("{} is to be emptied before it goes", name(ordinal)))
        }
        Step::Wait(waits) if waits.iter().any(|(ordinal, _)| goes(ordinal)) => Some(scale::progress(cluster, waits)),
        Step::Remove(ordinal) if goes(ordinal) => {
            Some(format!("{} holds nothing any more, and leaves the cluster", name(ordinal)))
        }
        _ => {
            let left: Vec<String> =
                observed.pods.keys().filter(|ordinal| **ordinal >= plan.scale.replicas).map(name).collect();
            (!left.is_empty()).then(|| format!("{} stops", left.join(", ")))
        }
    }
}

fn scale(cluster: &Cluster, observed: &Observed, plan: &Plan, done: &Done) -> Verdict {
    let kind = ConditionType::ScaleComplete;
    if let Some(why) = scale_refused(plan, done) {
        return verdict(kind, false, Reason::ScaleDownRefused, why);
    }
    if let Some(going) = going(cluster, observed, plan) {
        return verdict(kind, false, Reason::ScalingDown, going);
    }
    if cluster.replicas == 0 {
        return verdict(kind, true, Reason::ScaledToZero, "no broker runs, as replicas is 0");
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

fn storage(cluster: &Cluster, plan: &Plan, done: &Done, observed: &Observed, troubles: &[Trouble]) -> Verdict {
    let kind = ConditionType::StorageReady;
    if let Some(trouble) = troubles.iter().find(|trouble| trouble.stalls).or_else(|| troubles.first()) {
        return verdict(kind, false, trouble.reason, trouble.message.clone());
    }
    if let Some(going) = trouble::of_going_claims(cluster, observed) {
        return verdict(kind, false, going.reason, going.message);
    }
    let bound = observed.claims.len();
    if bound < plan.scale.replicas as usize {
        let message = format!("{bound} of {} volumes are there", plan.scale.replicas);
        return verdict(kind, false, Reason::VolumeNotBound, message);
    }
    if let Some(why) = &done.growth_refused {
        return verdict(kind, false, Reason::VolumeGrowthRefused, why.clone());
    }
    let size = volumes::wanted(cluster, observed);
    let small = [volumes::too_small(&size, observed), volumes::growing(&size, observed)].concat();
    if !small.is_empty() {
        let names: Vec<String> = small.iter().map(|ordinal| names::claim(&cluster.name, *ordinal)).collect();
        return verdict(kind, false, Reason::VolumesGrowing, format!("{} grow to {}", names.join(", "), size.text));
    }
    if let Some(going_on) = shrink::progress(cluster, observed) {
        return match &plan.scale.step {
            Step::TooFull { why, .. } => verdict(kind, false, Reason::VolumeShrinkRefused, why.clone()),
            _ => verdict(kind, false, Reason::VolumesShrinking, going_on),
        };
    }
    if let Some(fills) = volumes::fills(cluster, observed) {
        return verdict(kind, false, Reason::VolumeFills, fills);
    }
    verdict(kind, true, Reason::VolumesBound, format!("all {bound} volumes are bound"))
}

fn update(cluster: &Cluster, plan: &Plan, done: &Done, formation: Option<&FormationRecord>) -> Verdict {
    let kind = ConditionType::UpdateComplete;
    let names = |brokers: &[u32]| {
        brokers.iter().map(|ordinal| names::pod(&cluster.name, *ordinal)).collect::<Vec<_>>().join(", ")
    };
    if let Some(waits) = &done.restart_waits {
        if plan.overdue {
            let message = format!(
                "no broker is restarted any more: {waits}; mend what keeps it, or set the spec back to what it was"
            );
            return verdict(kind, false, Reason::UpdateStopped, message);
        }
        return verdict(kind, false, Reason::RestartWaits, waits.clone());
    }
    if let Some(Update { id, image, by_operator, brokers, gate }) = &plan.update {
        let to_be = format!(
            "{} are to be restarted one after the other, to run what is asked for with image {image}",
            names(brokers)
        );
        let approve = format!("`kubectl annotate mq/{} --overwrite {}={id}`", cluster.name, names::APPROVED_ANNOTATION);
        return match gate {
            Gate::Approval if *by_operator && cluster.upgrade.approval == Approval::Automatic => {
                let message = format!(
                    "the brokers stay on the image that they run; to move them, one after the other, to {image}, set \
                     spec.image to it, or approve it: {approve}"
                );
                verdict(kind, false, Reason::UpgradeWaits, message)
            }
            Gate::Approval => {
                verdict(kind, false, Reason::ApprovalAwaited, format!("{to_be}; somebody has to approve it: {approve}"))
            }
            Gate::Window(opens) => {
                let opens = opens.map_or_else(
                    || "and no maintenance window opens any more".to_owned(),
                    |opens| format!("when the next maintenance window opens, at {opens}"),
                );
                verdict(kind, false, Reason::WindowAwaited, format!("{to_be}, {opens}"))
            }
            Gate::Open => {
                let now = done.restarted.as_ref().map(|name| format!("; {name} restarts now")).unwrap_or_default();
                verdict(kind, false, Reason::RestartingBrokers, format!("{to_be}{now}"))
            }
        };
    }
    if let Some(name) = &done.restarted {
        return verdict(kind, false, Reason::RestartingBrokers, format!("{name} restarts now"));
    }
    if let Some(formed) = formation
        .and_then(|formation| formation.mirrors)
        .filter(|formed| cluster.replicas > 0 && *formed != i32::from(cluster.mirrors))
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

fn certificates(plan: &Plan) -> Verdict {
    let judged = &plan.certificates.judged;
    verdict(ConditionType::CertificatesValid, judged.valid, judged.reason, judged.message.clone())
}

fn stalled(plan: &Plan, done: &Done, troubles: &[Trouble], ready: &Verdict, update: &Verdict) -> Verdict {
    let kind = ConditionType::Stalled;
    if matches!(plan.forming, Forming::DataLost(_) | Forming::Foreign(_)) {
        return verdict(kind, true, ready.reason, ready.message.clone());
    }
    if let Some(setback) = done.setback.as_ref().filter(|setback| setback.stalls) {
        return verdict(kind, true, setback.reason, setback.message.clone());
    }
    if let Some(trouble) = troubles.iter().find(|trouble| trouble.stalls) {
        return verdict(kind, true, trouble.reason, trouble.message.clone());
    }
    if let Some(why) = scale_refused(plan, done) {
        return verdict(kind, true, Reason::ScaleDownRefused, why);
    }
    if let Some(why) = &done.growth_refused {
        return verdict(kind, true, Reason::VolumeGrowthRefused, why.clone());
    }
    if let Step::TooFull { why, .. } = &plan.scale.step {
        return verdict(kind, true, Reason::VolumeShrinkRefused, why.clone());
    }
    if update.reason == Reason::UpdateStopped {
        return verdict(kind, true, update.reason, update.message.clone());
    }
    let judged = &plan.certificates.judged;
    if judged.stalls {
        return verdict(kind, true, judged.reason, judged.message.clone());
    }
    verdict(kind, false, Reason::NothingInTheWay, "nothing is in the way")
}

fn reconciling(
    cluster: &Cluster,
    done: &Done,
    ready: &Verdict,
    stalled: &Verdict,
    others: [&Verdict; 4],
    object_going: Option<Trouble>,
) -> Verdict {
    let kind = ConditionType::Reconciling;
    if cluster.paused {
        return verdict(kind, false, Reason::Paused, "spec.paused is true: nothing is changed until it is false");
    }
    if stalled.status == Some(true) {
        return verdict(kind, false, stalled.reason, "somebody has to help; see Stalled");
    }
    if let Some(setback) = &done.setback {
        return verdict(kind, true, setback.reason, setback.message.clone());
    }
    if let Some(going) = object_going {
        return verdict(kind, true, going.reason, going.message);
    }
    let busy = std::iter::once(ready)
        .chain(others)
        .find(|verdict| verdict.status != Some(true) && !waits_for_people(verdict.reason));
    match busy {
        Some(busy) => verdict(kind, true, Reason::Progressing, busy.message.clone()),
        None => verdict(kind, false, Reason::Settled, "there is nothing to do"),
    }
}

/// It is as it should be until somebody says otherwise, or the time has come.
fn waits_for_people(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UpgradeWaits
            | Reason::ApprovalAwaited
            | Reason::WindowAwaited
            | Reason::VolumeFills
            | Reason::VolumeGoing
    )
}
