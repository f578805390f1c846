//! Machines that do not answer, are gone, or were taken out of service, and the brokers and volumes on them. What is safe,
//! and why, is in docs/decisions/0014-machines-that-are-gone.md. Pure.

use ferrymq_api::{Cluster, Reason};
use k8s_openapi::{
    api::core::v1::{Node, PersistentVolume, Pod},
    jiff::{SignedDuration, Timestamp},
};

use crate::{
    message_queue::{dereference::Observed, trouble::Trouble},
    names,
};

/// By this taint an administrator says that a machine is off, and that its volumes may go elsewhere.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The name by which volumes that lie on a machine are bound to it.
pub(crate) const HOST_NAME: &str = "kubernetes.io/hostname";

/// How long a pod waits for a machine that is gone before its volume is given up: one that is made anew under its old name
/// has its disk still.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The machine of a broker that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) state: MachineState,
}

/// What is known of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MachineState {
    /// It answers.
    Answers,
    /// It has not been heard of since.
    Silent(Option<Timestamp>),
    /// It does not answer, and an administrator says that it is off.
    OutOfService,
    /// There is none of that name any more.
    Gone,
}

/// What the API server knows of a machine.
pub(crate) fn state(node: Option<&Node>) -> MachineState {
    let Some(node) = node else { return MachineState::Gone };
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    if ready.is_none_or(|ready| ready.status == "True") {
        return MachineState::Answers;
    }
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    if taints.any(|taint| taint.key == OUT_OF_SERVICE) {
        return MachineState::OutOfService;
    }
    MachineState::Silent(ready.and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0))
}

/// The machines that a volume can be reached from, where it lies on machines.
pub(crate) fn hosts(volume: &PersistentVolume) -> Vec<String> {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let Some(affinity) = affinity else { return Vec::new() };
    let mut hosts = Vec::new();
    for term in &affinity.node_selector_terms {
        let mut named = term.match_expressions.iter().flatten();
        match named.find(|one| one.key == HOST_NAME && one.operator == "In") {
            Some(one) => hosts.extend(one.values.iter().flatten().cloned()),
            // It can be reached from elsewhere too.
            None => return Vec::new(),
        }
    }
    hosts
}

/// Since when a pod waits for a machine that takes it.
pub(crate) fn unplaced_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let placed =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    placed.last_transition_time.as_ref().map(|time| time.0)
}

/// A pod that is to stop, and whose machine is dead: it can be removed without waiting. One that nobody has asked to stop is
/// left to Kubernetes, which waits whether the machine comes back under its name.
pub(crate) fn forced(observed: &Observed) -> Option<(u32, &Machine)> {
    let is_dead = |machine: &Machine| matches!(machine.state, MachineState::Gone | MachineState::OutOfService);
    let stops = |ordinal: &u32| observed.pods.get(ordinal).is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    let mut machines = observed.machines.iter();
    machines.find(|(ordinal, machine)| is_dead(machine) && stops(ordinal)).map(|(ordinal, machine)| (*ordinal, machine))
}

/// What is to be done about a volume that went with its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LostVolume {
    /// The broker can do without it: it comes in anew, and is filled.
    GiveUp(u32),
    /// It stays for now.
    Wait {
        ordinal: u32,
        /// Why, as part of a sentence.
        why: String,
        /// Only a person can go on.
        stalls: bool,
    },
}

/// What is to be done about the first volume that went with its machine.
pub(crate) fn lost_volume(cluster: &Cluster, observed: &Observed, now: Timestamp) -> Option<LostVolume> {
    let (&ordinal, lost) = observed.lost_volumes.first_key_value()?;
    let wait = |why: String, stalls| Some(LostVolume::Wait { ordinal, why, stalls });
    let gives_up = lost.waiting_since.checked_add(GIVEN_UP_AFTER).unwrap_or(Timestamp::MAX);
    if now < gives_up {
        return wait(format!("it is given up at {gives_up}, should the machine not come back"), false);
    }
    let absent: Vec<String> = (0..cluster.replicas)
        .filter(|other| *other != ordinal && !observed.serves(*other))
        .map(|other| names::pod(&cluster.name, other))
        .collect();
    if !absent.is_empty() {
        return wait(format!("it is not given up before {} serves", absent.join(", ")), false);
    }
    let Some(view) = observed.view.as_ref().filter(|view| view.catalogue_leader.is_some()) else {
        return wait("it is not given up before brokers say how the shards are".to_owned(), false);
    };
    let Some(node) = view.nodes.iter().find(|node| node.ordinal == ordinal) else {
        return Some(LostVolume::GiveUp(ordinal));
    };
    let needs_it = |voters: &[u64], in_sync: &[u64]| {
        let others = in_sync.iter().filter(|other| **other != node.id && voters.contains(other)).count();
        voters.contains(&node.id) && others * 2 <= voters.len()
    };
    let needing = view.shards.iter().filter(|shard| shard.leader.is_none() || needs_it(&shard.voters, &shard.in_sync));
    match needing.count() {
        0 => Some(LostVolume::GiveUp(ordinal)),
        count => {
            let (claim, pod) = (names::claim(&cluster.name, ordinal), names::pod(&cluster.name, ordinal));
            let total = view.shards.len();
            wait(
                format!(
                    "{count} of {total} shards have no majority without it; bring the machine back, or give up what only \
                     that volume has: kubectl delete pvc/{claim} pod/{pod} --namespace {}",
                    cluster.namespace
                ),
                true,
            )
        }
    }
}

/// What there is to say of a broker's machine.
pub(crate) fn trouble(cluster: &Cluster, observed: &Observed, ordinal: u32) -> Option<Trouble> {
    let name = names::pod(&cluster.name, ordinal);
    if let Some(lost) = observed.lost_volumes.get(&ordinal) {
        let on = format!("the volume of {name} is on {}, which is gone", lost.hosts.join(", "));
        let (why, stalls) = match lost_volume(cluster, observed, Timestamp::now()) {
            Some(LostVolume::Wait { ordinal: first, why, stalls }) if first == ordinal => (why, stalls),
            _ => ("it is given up, and the broker filled anew by the others".to_owned(), false),
        };
        return Some(Trouble { reason: Reason::MachineGone, message: format!("{on}: {why}"), stalls });
    }
    let machine = observed.machines.get(&ordinal)?;
    let MachineState::Silent(since) = machine.state else { return None };
    let since = since.map(|since| format!(" since {since}")).unwrap_or_default();
    let machine = &machine.name;
    Some(Trouble {
        reason: Reason::MachineUnreachable,
        message: format!(
            "{machine}, the machine of {name}, has not been heard of{since}, and {name} may still run there; bring the \
             machine back, or make sure that it is off and then say so: kubectl taint nodes {machine} \
             {OUT_OF_SERVICE}=nodeshutdown:NoExecute"
        ),
        stalls: observed.pods.get(&ordinal).is_some_and(|pod| pod.metadata.deletion_timestamp.is_some()),
    })
}

/// A volume that lay on machines of which none is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnLostMachine {
    pub(crate) hosts: Vec<String>,
    /// Since when its pod waits for one of them.
    pub(crate) waiting_since: Timestamp,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{cluster, rolling, shard, view};

    fn machine(ready: &str, taints: serde_json::Value) -> MachineState {
        let node = json!({"metadata": {"name": "m"}, "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-22T12:00:00Z"}]}});
        state(Some(&serde_json::from_value(node).unwrap()))
    }

    fn three() -> Cluster {
        cluster("{replicas: 3, storage: {size: 1Gi}}")
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn terminating(observed: &mut Observed, ordinal: u32, state: MachineState) {
        let Some(pod) = observed.pods.get_mut(&ordinal) else { panic!("there is no pod {ordinal}") };
        pod.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time("2026-11-22T12:05:00Z")));
        observed.machines.insert(ordinal, Machine { name: "worker-2".to_owned(), state });
    }

    /// Broker 2 waits for a machine that is gone; the shards vote on these and are in sync on those.
    fn lost(voters: &[u64], in_sync: &[u64]) -> Observed {
        let mut observed = rolling(["new", "new", "new"]);
        observed.pods.remove(&2);
        observed.brokers.remove(&2);
        let (hosts, waiting_since) = (vec!["worker-2".to_owned()], time("2026-11-22T12:00:00Z"));
        observed.lost_volumes.insert(2, OnLostMachine { hosts, waiting_since });
        observed.view = Some(view(vec![shard(0, &[1, 2, 3], &[1, 2]), shard(1, voters, in_sync)]));
        observed
    }

    #[test]
    fn only_a_machine_that_is_gone_or_said_to_be_off_is_dead() {
        let taint = json!([{"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}]);
        assert_eq!(machine("Unknown", json!([])), MachineState::Silent(Some(time("2026-11-22T12:00:00Z"))));
        assert_eq!(machine("Unknown", taint.clone()), MachineState::OutOfService);
        assert_eq!(machine("True", taint), MachineState::Answers, "the taint was left on a machine that is back");
        assert_eq!(state(None), MachineState::Gone);
    }

    #[test]
    fn a_pod_is_forced_away_from_a_dead_machine_and_from_no_other() {
        for (state, is_forced) in [
            (MachineState::Gone, true),
            (MachineState::OutOfService, true),
            (MachineState::Silent(None), false),
            (MachineState::Answers, false),
        ] {
            let mut observed = rolling(["new", "new", "new"]);
            terminating(&mut observed, 1, state);
            assert_eq!(forced(&observed).map(|(ordinal, _)| ordinal), is_forced.then_some(1), "{state:?}");
            let Some(pod) = observed.pods.get_mut(&1) else { panic!("there is no pod 1") };
            pod.metadata.deletion_timestamp = None;
            assert_eq!(forced(&observed), None, "nobody asked it to stop");
        }
    }

    #[test]
    fn a_silent_machine_is_told_with_the_command_for_who_has_made_sure() {
        let mut observed = rolling(["new", "new", "new"]);
        terminating(&mut observed, 1, MachineState::Silent(None));
        let trouble = trouble(&three(), &observed, 1).unwrap();
        assert_eq!((trouble.reason, trouble.stalls), (Reason::MachineUnreachable, true));
        assert!(
            trouble
                .message
                .ends_with("kubectl taint nodes worker-2 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
        );
    }

    #[test]
    fn a_volume_that_went_with_its_machine_is_given_up_where_the_others_can_do_without_it() {
        let (early, late) = (time("2026-11-22T12:09:59Z"), time("2026-11-22T12:10:00Z"));
        let safe = lost(&[1, 2, 3], &[1, 2]);
        assert!(matches!(lost_volume(&three(), &safe, early), Some(LostVolume::Wait { stalls: false, .. })));
        assert_eq!(lost_volume(&three(), &safe, late), Some(LostVolume::GiveUp(2)));

        for (voters, in_sync) in [(&[1, 2, 3][..], &[1][..]), (&[3], &[]), (&[2, 3], &[2]), (&[3], &[3])] {
            let needed = lost(voters, in_sync);
            let decided = lost_volume(&three(), &needed, late);
            assert!(
                matches!(&decided, Some(LostVolume::Wait { why, stalls: true, .. }) if why.contains("1 of 2 shards")),
                "{voters:?} {in_sync:?} {decided:?}"
            );
        }
    }

    #[test]
    fn no_second_volume_is_given_up_before_every_other_broker_serves() {
        let late = time("2026-11-22T13:00:00Z");
        let mut observed = lost(&[1, 2, 3], &[1, 2]);
        observed.brokers.insert(1, Err("connection refused".to_owned()));
        let decided = lost_volume(&three(), &observed, late);
        assert!(matches!(decided, Some(LostVolume::Wait { why, .. }) if why.contains("orders-1")));
        let mut observed = lost(&[1, 2, 3], &[1, 2]);
        observed.view = None;
        assert!(matches!(lost_volume(&three(), &observed, late), Some(LostVolume::Wait { .. })));
    }

    #[test]
    fn a_volume_lies_on_a_machine_where_it_can_be_reached_from_nowhere_else() {
        let volume = |terms: serde_json::Value| {
            let volume = json!({"metadata": {"name": "v"},
                "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}});
            hosts(&serde_json::from_value(volume).unwrap())
        };
        let term =
            |key: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]});
        assert_eq!(volume(json!([term(HOST_NAME, "worker-2")])), ["worker-2"]);
        assert_eq!(volume(json!([term("topology.kubernetes.io/zone", "a")])), [""; 0]);
        assert_eq!(volume(json!([term(HOST_NAME, "worker-2"), term("topology.kubernetes.io/zone", "a")])), [""; 0]);
    }
}
