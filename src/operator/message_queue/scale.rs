//! How many pods there are to be, and what comes before fewer of them: the brokers that go are emptied first, then taken out
//! of their cluster, then stopped, and then their volumes go. Pure.
//!
//! Who belongs to the cluster is what the brokers say. Where none says it, no pod is taken away.

use std::collections::BTreeSet;

use ferrymq_admin_api::{ClusterStatus, NodeView};
use ferrymq_api::Cluster;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::{
    message_queue::{dereference::Observed, shrink},
    names::{self, EMPTIED_ANNOTATION},
};

/// How many pods there are to be now, and what is to be done about their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scale {
    /// The pods that there are to be now.
    pub(crate) replicas: u32,
    /// What comes next.
    pub(crate) step: Step,
}

/// What comes next on the way to as many brokers as were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    None,
    /// This broker is to be emptied, or to have its share again.
    Tell {
        /// Which.
        ordinal: u32,
        /// Whether it is to be emptied.
        draining: bool,
    },
    /// These brokers still hold so many shards.
    Wait(Vec<(u32, u32)>),
    /// This broker holds nothing: it is to be taken out of the cluster.
    Remove(u32),
    /// The volume of a broker that was taken out is to go.
    Clear(u32),
    /// So is that of a broker that is to come in again with another one, and its pod.
    Renew(u32),
    /// The StatefulSet is to make claims of another size: it is made anew, and its pods run on.
    Retemplate,
    /// What comes next has to wait, for this.
    Await(String),
    /// Volumes cannot be as small as that. Where a broker is being emptied, it is to have its share again.
    TooFull {
        /// Why not, and what to do.
        why: String,
        /// Who is being emptied.
        undo: Option<u32>,
    },
    /// So few brokers cannot be. Where one is being emptied, it is to have its share again.
    Refused {
        /// Why not, and what to do.
        why: String,
        /// Who is being emptied.
        undo: Option<u32>,
    },
}

pub(crate) fn decide(cluster: &Cluster, observed: &Observed) -> Scale {
    let there = observed.stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas);
    let there = there.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or_default();
    let wanted = cluster.replicas;
    if wanted == 0 {
        // Nobody is emptied: what the volumes hold waits there.
        return Scale { replicas: 0, step: Step::None };
    }
    // A broker that hears nothing of the catalogue's leader may know of the past only.
    let Some(view) = observed.view.as_ref().filter(|view| view.catalogue_leader.is_some()) else {
        let held = observed.claims.iter().filter(|(_, claim)| !is_emptied(claim)).map(|(ordinal, _)| ordinal + 1).max();
        return Scale { replicas: wanted.max(there).max(held.unwrap_or_default()), step: Step::None };
    };
    let members: BTreeSet<u32> = view.nodes.iter().map(|node| node.ordinal).collect();
    let needed = members.last().map_or(0, |last| last + 1);
    if let Some(why) = refusal(cluster, view, needed) {
        let undo = view.nodes.iter().find(|node| node.draining).map(|node| node.ordinal);
        return Scale { replicas: wanted.max(there).max(needed), step: Step::Refused { why, undo } };
    }
    // A broker must not be started with the data of one that was taken out.
    let emptied = observed.claims.iter().filter(|(ordinal, claim)| **ordinal >= needed && is_emptied(claim));
    let stale = emptied.map(|(ordinal, _)| *ordinal).min();
    let replicas = stale.map_or(wanted, |stale| wanted.min(stale)).max(needed);
    if let Some((brokers, step)) = shrink::next(cluster, observed, view, &members) {
        return Scale { replicas: brokers.max(needed), step };
    }
    Scale { replicas, step: step(wanted, observed, view, &members) }
}

fn step(wanted: u32, observed: &Observed, view: &ClusterStatus, members: &BTreeSet<u32>) -> Step {
    if let Some(node) = view.nodes.iter().find(|node| node.ordinal < wanted && node.draining) {
        return Step::Tell { ordinal: node.ordinal, draining: false };
    }
    let mut surplus: Vec<&NodeView> = view.nodes.iter().filter(|node| node.ordinal >= wanted).collect();
    surplus.sort_by_key(|node| std::cmp::Reverse(node.ordinal));
    // All at once: what moves off the last one must not go to one that is to go as well.
    if let Some(node) = surplus.iter().find(|node| !node.draining) {
        return Step::Tell { ordinal: node.ordinal, draining: true };
    }
    match surplus.first() {
        Some(last) if last.replicas == 0 => return Step::Remove(last.ordinal),
        Some(_) => return Step::Wait(surplus.iter().map(|node| (node.ordinal, node.replicas)).collect()),
        None => {}
    }
    let clear = observed.claims.iter().find(|(ordinal, claim)| {
        is_emptied(claim)
            && claim.metadata.deletion_timestamp.is_none()
            && !members.contains(ordinal)
            && !observed.pods.contains_key(ordinal)
    });
    clear.map_or(Step::None, |(ordinal, _)| Step::Clear(*ordinal))
}

/// Why there cannot be so few brokers.
fn refusal(cluster: &Cluster, view: &ClusterStatus, needed: u32) -> Option<String> {
    let most = most_mirrors(view);
    (needed > cluster.replicas && most > cluster.replicas).then(|| {
        format!(
            "cannot go from {needed} brokers to {}: there are queues with {most} mirrors, and each mirror needs a broker of \
             its own; set replicas to at least {most}",
            cluster.replicas
        )
    })
}

/// The most mirrors that any queue has.
pub(crate) fn most_mirrors(view: &ClusterStatus) -> u32 {
    let shards = view.shards.iter().filter(|shard| shard.id != 0);
    u32::try_from(shards.map(|shard| shard.placed_on.len()).max().unwrap_or_default()).unwrap_or(u32::MAX)
}

/// The volume belonged to a broker that was emptied and taken out of its cluster.
pub(crate) fn is_emptied(claim: &PersistentVolumeClaim) -> bool {
    claim.annotations().contains_key(EMPTIED_ANNOTATION)
}

/// How far it is, as a sentence.
pub(crate) fn progress(cluster: &Cluster, waits: &[(u32, u32)]) -> String {
    let names = waits.iter().map(|(ordinal, shards)| {
        let name = names::pod(&cluster.name, *ordinal);
        format!("{name} still holds {shards} shards")
    });
    format!("brokers are emptied before they go: {}", names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{cluster, rolling, shard, view};

    fn wanted(replicas: u32) -> Cluster {
        cluster(&format!("{{replicas: {replicas}, storage: {{size: 1Gi}}}}"))
    }

    /// So many brokers, each of which holds so many shards; the draining ones are told.
    fn observed(brokers: &[(u32, bool)], mirrors: &[u64]) -> Observed {
        let mut observed = rolling(["new", "new", "new"]);
        let mut seen = view(vec![shard(0, &[1, 2, 3, 4, 5], &[1]), shard(1, mirrors, mirrors)]);
        let Some(pattern) = seen.nodes.first().cloned() else { panic!("a view has nodes") };
        seen.nodes = (0..)
            .zip(brokers)
            .map(|(ordinal, (replicas, draining))| NodeView {
                id: u64::from(ordinal) + 1,
                ordinal,
                replicas: *replicas,
                draining: *draining,
                ..pattern.clone()
            })
            .collect();
        if let Some(set) = &mut observed.stateful_set {
            set.spec = serde_json::from_value(json!({"replicas": brokers.len(), "selector": {}, "template": {}})).ok();
        }
        observed.view = Some(seen);
        observed
    }

    fn claim(observed: &mut Observed, ordinal: u32, emptied: bool) {
        let annotations = if emptied { json!({EMPTIED_ANNOTATION: "c"}) } else { json!({}) };
        let claim = json!({"metadata": {"name": format!("data-orders-{ordinal}"), "annotations": annotations}});
        observed.claims.insert(ordinal, serde_json::from_value(claim).unwrap());
    }

    #[test]
    fn more_brokers_are_simply_made() {
        let scale = decide(&wanted(5), &observed(&[(1, false); 3], &[1, 2, 3]));
        assert_eq!(scale, Scale { replicas: 5, step: Step::None });
    }

    #[test]
    fn who_is_to_go_is_emptied_first_the_last_one_first_and_all_of_them_before_any_goes() {
        let both = decide(&wanted(3), &observed(&[(9, false); 5], &[1, 2, 3]));
        assert_eq!(both, Scale { replicas: 5, step: Step::Tell { ordinal: 4, draining: true } });
        let brokers = [(9, false), (9, false), (9, false), (9, false), (9, true)];
        assert_eq!(decide(&wanted(3), &observed(&brokers, &[1, 2, 3])).step, Step::Tell { ordinal: 3, draining: true });
        let brokers = [(9, false), (9, false), (9, false), (2, true), (5, true)];
        assert_eq!(decide(&wanted(3), &observed(&brokers, &[1, 2, 3])).step, Step::Wait(vec![(4, 5), (3, 2)]));
        let brokers = [(9, false), (9, false), (9, false), (2, true), (0, true)];
        assert_eq!(decide(&wanted(3), &observed(&brokers, &[1, 2, 3])), Scale { replicas: 5, step: Step::Remove(4) });
    }

    #[test]
    fn the_pod_goes_when_its_broker_is_none_of_the_cluster_and_the_volume_after_the_pod() {
        let mut observed = observed(&[(9, false); 3], &[1, 2, 3]);
        observed.pods.insert(3, serde_json::from_value(json!({"metadata": {"name": "orders-3"}})).unwrap());
        claim(&mut observed, 3, true);
        assert_eq!(decide(&wanted(3), &observed), Scale { replicas: 3, step: Step::None });
        observed.pods.remove(&3);
        assert_eq!(decide(&wanted(3), &observed).step, Step::Clear(3));
        // Wanted again before it is gone: not with that volume.
        assert_eq!(decide(&wanted(5), &observed), Scale { replicas: 3, step: Step::Clear(3) });
        claim(&mut observed, 3, false);
        assert_eq!(decide(&wanted(3), &observed).step, Step::None);
    }

    #[test]
    fn who_is_wanted_again_has_its_share_again() {
        let brokers = [(9, false), (9, false), (9, false), (2, true)];
        let scale = decide(&wanted(4), &observed(&brokers, &[1, 2, 3]));
        assert_eq!(scale, Scale { replicas: 4, step: Step::Tell { ordinal: 3, draining: false } });
    }

    #[test]
    fn fewer_brokers_than_mirrors_are_refused_and_nothing_is_begun() {
        let brokers = [(9, false), (9, false), (9, false), (2, true)];
        let Scale { replicas, step } = decide(&wanted(2), &observed(&brokers, &[1, 2, 3]));
        let Step::Refused { why, undo } = step else { panic!("{step:?}") };
        assert_eq!((replicas, undo), (4, Some(3)));
        assert!(why.contains("from 4 brokers to 2") && why.contains("set replicas to at least 3"), "{why}");
    }

    #[test]
    fn where_nobody_says_who_belongs_to_the_cluster_no_pod_is_taken_away_and_no_volume_left_out() {
        let mut observed = observed(&[(9, false); 4], &[1, 2, 3]);
        if let Some(view) = &mut observed.view {
            // It was cut off before the fourth one came in.
            view.nodes.truncate(3);
            view.catalogue_leader = None;
        }
        assert_eq!(decide(&wanted(3), &observed), Scale { replicas: 4, step: Step::None });
        observed.view = None;
        assert_eq!(decide(&wanted(3), &observed), Scale { replicas: 4, step: Step::None });
        claim(&mut observed, 5, false);
        claim(&mut observed, 6, true);
        assert_eq!(decide(&wanted(3), &observed).replicas, 6);
    }

    #[test]
    fn none_at_all_empties_nobody() {
        assert_eq!(
            decide(&wanted(0), &observed(&[(9, false); 3], &[1, 2, 3])),
            Scale { replicas: 0, step: Step::None }
        );
    }
}
