//! Which broker may be restarted now, so that it runs what the spec asks for: one at a time, and only while every shard is
//! in sync without it. A broker that serves nothing anyway goes first, and is not asked: a bad image is got rid of so.

use ferrymq_admin_api::{ClusterStatus, Phase};
use ferrymq_api::Cluster;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::ResourceExt;

use crate::{
    message_queue::{
        dereference::{Observed, is_ready},
        update::Gate,
    },
    names,
};

/// What may happen to the brokers' pods now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Restart {
    /// All of them are what they should be.
    None,
    /// This one is to be replaced, whatever it says: it serves nothing.
    Replace(u32),
    /// This one is to be replaced if it says that it is safe.
    Ask(u32),
    /// Something is to be replaced, and not now.
    Wait(String),
    /// Something is to be replaced, and it is not the time for it, or nobody has approved.
    Hold,
}

/// Which pod is not what the StatefulSet makes now, where that can be told.
pub(crate) fn outdated(stateful_set: Option<&StatefulSet>, pods: &std::collections::BTreeMap<u32, Pod>) -> Vec<u32> {
    let Some(set) = stateful_set else { return Vec::new() };
    let Some(status) = &set.status else { return Vec::new() };
    let Some(revision) = status.update_revision.as_deref() else { return Vec::new() };
    // Until the controller has seen the last change, its revision is that of the one before.
    if status.observed_generation < set.metadata.generation {
        return Vec::new();
    }
    let label = |pod: &Pod| pod.labels().get("controller-revision-hash").cloned();
    pods.iter()
        .filter(|(_, pod)| label(pod).is_some_and(|label| label != revision))
        .map(|(ordinal, _)| *ordinal)
        .collect()
}

pub(crate) fn decide(cluster: &Cluster, observed: &Observed, gate: Gate) -> Restart {
    let mut outdated = outdated(observed.stateful_set.as_ref(), &observed.pods);
    // Who is being emptied goes soon.
    let goes = |ordinal: u32| {
        let mut nodes = observed.view.iter().flat_map(|view| &view.nodes);
        ordinal >= cluster.replicas && nodes.any(|node| node.ordinal == ordinal && node.draining)
    };
    outdated.retain(|ordinal| !goes(*ordinal));
    if outdated.is_empty() {
        return Restart::None;
    }
    let name = |ordinal: u32| names::pod(&cluster.name, ordinal);
    if let Some((ordinal, _)) = observed.pods.iter().find(|(_, pod)| pod.metadata.deletion_timestamp.is_some()) {
        return Restart::Wait(format!("{} stops; the next broker is restarted when it is back", name(*ordinal)));
    }
    // One that Kubernetes finds ready serves clients, whether the operator reaches it or not.
    let serving = |ordinal: &u32| match observed.node(*ordinal) {
        Some(node) => node.phase == Phase::Serving,
        None => observed.pods.get(ordinal).is_some_and(is_ready),
    };
    if let Some(ordinal) = outdated.iter().find(|ordinal| !serving(ordinal)) {
        return Restart::Replace(*ordinal);
    }
    if gate != Gate::Open {
        return Restart::Hold;
    }
    let absent: Vec<String> = (0..cluster.replicas).filter(|ordinal| !observed.serves(*ordinal)).map(name).collect();
    if !absent.is_empty() {
        return Restart::Wait(format!("{} must serve again before the next broker is restarted", absent.join(", ")));
    }
    let Some(view) = &observed.view else {
        return Restart::Wait("no broker says whether the shards are in sync".to_owned());
    };
    let behind = view.shards.iter().filter(|shard| !shard.healthy).count();
    if behind > 0 {
        return Restart::Wait(format!(
            "{behind} of {} shards must be in sync before the next broker is restarted",
            view.shards.len()
        ));
    }
    let Some(&ordinal) = in_order(outdated, observed).first() else { return Restart::None };
    if can_be_asked(ordinal, view) { Restart::Ask(ordinal) } else { Restart::Replace(ordinal) }
}

/// In the order in which they are restarted: zone by zone, so that what is new shows in one of them before it is in the
/// next; who leads the catalogue last, with its zone; else who leads the least first, from the highest ordinal.
pub(crate) fn in_order(mut brokers: Vec<u32>, observed: &Observed) -> Vec<u32> {
    let view = observed.view.as_ref();
    let node = |ordinal: u32| view.and_then(|view| view.nodes.iter().find(|node| node.ordinal == ordinal));
    let zone = |ordinal: u32| {
        observed.zones.get(&ordinal).cloned().or_else(|| node(ordinal).and_then(|node| node.zone.clone()))
    };
    let leads_catalogue = |ordinal: u32| {
        node(ordinal).is_some_and(|node| view.is_some_and(|view| view.catalogue_leader == Some(node.id)))
    };
    let last_zone = observed.pods.keys().copied().find(|ordinal| leads_catalogue(*ordinal)).and_then(zone);
    brokers.sort_by_key(|ordinal| {
        let zone = zone(*ordinal);
        let in_last_zone = zone.is_some() && zone == last_zone;
        let leaders = node(*ordinal).map_or(0, |node| node.leaders);
        (in_last_zone, zone, leads_catalogue(*ordinal), leaders, u32::MAX - ordinal)
    });
    brokers
}

/// Whether a broker can ever say that it is safe to stop it: with one mirror or two, a shard has no majority without it,
/// now or later. Who keeps so few mirrors has chosen that a restart is felt; nothing is lost by it.
fn can_be_asked(ordinal: u32, view: &ClusterStatus) -> bool {
    let Some(node) = view.nodes.iter().find(|node| node.ordinal == ordinal) else { return true };
    view.shards.iter().filter(|shard| shard.voters.contains(&node.id)).all(|shard| shard.voters.len() >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, rolling, shard, view};

    fn three() -> Cluster {
        cluster("{replicas: 3, storage: {size: 1Gi}}")
    }

    fn unready(observed: &mut Observed, ordinal: u32) {
        let Some(pod) = observed.pods.get_mut(&ordinal) else { panic!("there is no pod {ordinal}") };
        pod.status = None;
    }

    #[test]
    fn an_operator_that_reaches_no_broker_restarts_none() {
        let mut observed = rolling(["old", "old", "old"]);
        observed.view = None;
        (0..3).for_each(|ordinal| drop(observed.brokers.insert(ordinal, Err("no route to host".to_owned()))));
        assert!(matches!(decide(&three(), &observed, Gate::Open), Restart::Wait(_)));
    }

    #[test]
    fn brokers_that_are_what_they_should_be_are_left_alone() {
        assert_eq!(decide(&three(), &rolling(["new", "new", "new"]), Gate::Open), Restart::None);
    }

    #[test]
    fn the_catalogues_leader_is_restarted_last() {
        assert_eq!(decide(&three(), &rolling(["old", "old", "old"]), Gate::Open), Restart::Ask(2));
        assert_eq!(decide(&three(), &rolling(["old", "old", "new"]), Gate::Open), Restart::Ask(1));
        assert_eq!(decide(&three(), &rolling(["old", "new", "new"]), Gate::Open), Restart::Ask(0));
    }

    #[test]
    fn zones_are_restarted_one_after_the_other() {
        let mut observed = rolling(["old", "old", "old"]);
        let zones = ["west", "east", "west"].map(str::to_owned);
        observed.zones = (0..).zip(zones).collect();
        assert_eq!(in_order(vec![0, 1, 2], &observed), [1, 2, 0]);
    }

    #[test]
    fn who_serves_is_left_alone_until_it_is_time_and_who_serves_nothing_is_not() {
        let mut observed = rolling(["old", "old", "old"]);
        assert_eq!(decide(&three(), &observed, Gate::Approval), Restart::Hold);
        observed.brokers.insert(1, Err("connection refused".to_owned()));
        assert_eq!(decide(&three(), &observed, Gate::Window(None)), Restart::Hold, "it serves, and is not reached");
        unready(&mut observed, 1);
        assert_eq!(decide(&three(), &observed, Gate::Window(None)), Restart::Replace(1));
    }

    #[test]
    fn the_next_one_waits_until_the_last_is_back_and_in_sync() {
        let mut observed = rolling(["old", "old", "new"]);
        observed.brokers.insert(2, Err("connection refused".to_owned()));
        assert!(matches!(decide(&three(), &observed, Gate::Open), Restart::Wait(why) if why.contains("orders-2")));

        let mut observed = rolling(["old", "old", "new"]);
        observed.view = Some(view(vec![shard(1, &[1, 2, 3], &[1, 2])]));
        assert!(matches!(decide(&three(), &observed, Gate::Open), Restart::Wait(why) if why.contains("1 of 1 shards")));
    }

    #[test]
    fn a_broker_that_cannot_start_is_replaced_without_being_asked() {
        let mut observed = rolling(["new", "new", "old"]);
        observed.brokers.insert(2, Err("image cannot be pulled".to_owned()));
        unready(&mut observed, 2);
        assert_eq!(decide(&three(), &observed, Gate::Open), Restart::Replace(2));
    }

    #[test]
    fn a_queue_with_one_mirror_does_not_keep_brokers_from_being_restarted_for_ever() {
        let mut observed = rolling(["new", "new", "old"]);
        observed.view = Some(view(vec![shard(1, &[1, 2, 3], &[1, 2, 3]), shard(2, &[3], &[3])]));
        assert_eq!(decide(&three(), &observed, Gate::Open), Restart::Replace(2));
    }

    #[test]
    fn a_change_that_the_controller_has_not_seen_restarts_nothing_yet() {
        let mut observed = rolling(["old", "old", "old"]);
        if let Some(set) = &mut observed.stateful_set {
            set.metadata.generation = Some(8);
        }
        assert_eq!(decide(&three(), &observed, Gate::Open), Restart::None);
    }
}
