//! Volumes that are to be smaller. No volume shrinks, so one broker at a time is emptied, leaves its cluster, and comes in
//! again with a smaller one; where none can be emptied, as each mirror needs a broker of its own, one more broker helps out
//! meanwhile. Pure.

use std::collections::BTreeSet;

use ferrymq_admin_api::{ClusterStatus, DiskUse};
use ferrymq_api::{Cluster, Quantity};
use k8s_openapi::api::apps::v1::StatefulSet;

use crate::{
    message_queue::{
        dereference::Observed,
        scale::{Step, is_emptied, most_mirrors},
        volumes::{self, Size},
    },
    names,
};

/// A smaller volume is this full at most, of a hundred, with what its broker has on its disk now.
const FITS_PERCENT: u64 = 80;

/// What comes next, and how many brokers there are to be for it.
pub(crate) fn next(
    cluster: &Cluster,
    observed: &Observed,
    view: &ClusterStatus,
    members: &BTreeSet<u32>,
) -> Option<(u32, Step)> {
    let wanted = cluster.replicas;
    let needed = members.last().map_or(0, |last| last + 1);
    // It has left its cluster, and its pod still runs with the old volume. The last one goes as in any other scale-down.
    let left = observed
        .claims
        .iter()
        .find(|(ordinal, claim)| **ordinal < wanted.min(needed) && is_emptied(claim) && !members.contains(ordinal));
    if let Some((ordinal, claim)) = left {
        let step = if claim.metadata.deletion_timestamp.is_some() && !observed.pods.contains_key(ordinal) {
            Step::None
        } else {
            Step::Renew(*ordinal)
        };
        return Some((wanted.max(needed), step));
    }
    let size = volumes::wanted(cluster, observed);
    let mut large = volumes::too_large(&size, observed);
    large.retain(|ordinal| *ordinal < wanted && members.contains(ordinal));
    if large.is_empty() {
        return None;
    }
    if let Some(why) = does_not_fit(cluster, observed, &size, &large) {
        return Some((wanted, Step::TooFull { why, undo: draining(view, wanted) }));
    }
    // New claims are made by the StatefulSet's template.
    if template_size(observed.stateful_set.as_ref()).is_some_and(|template| template != size.bytes) {
        return Some((wanted, Step::Retemplate));
    }
    let helper = wanted <= most_mirrors(view);
    let brokers = if helper { wanted + 1 } else { wanted };
    let all_in = (0..brokers).all(|ordinal| members.contains(&ordinal));
    if let Some(ordinal) = draining(view, wanted) {
        let held = view.nodes.iter().find(|node| node.ordinal == ordinal).map_or(0, |node| node.replicas);
        let step = if held == 0 { Step::Remove(ordinal) } else { Step::Wait(vec![(ordinal, held)]) };
        return Some((brokers, step));
    }
    let whole = all_in && view.shards.iter().all(|shard| shard.healthy);
    let step = match large.last().filter(|_| whole) {
        Some(ordinal) => Step::Tell { ordinal: *ordinal, draining: true },
        None => Step::Await(format!("{} wait until every shard has all of its mirrors", volumes_of(cluster, &large))),
    };
    Some((brokers, step))
}

/// The broker that is emptied to get a smaller volume.
fn draining(view: &ClusterStatus, wanted: u32) -> Option<u32> {
    view.nodes.iter().find(|node| node.draining && node.ordinal < wanted).map(|node| node.ordinal)
}

fn template_size(set: Option<&StatefulSet>) -> Option<u64> {
    let templates = set?.spec.as_ref()?.volume_claim_templates.as_ref()?;
    let requests = templates.first()?.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    Quantity(requests.get("storage")?.0.clone()).bytes().ok()
}

/// Why smaller volumes cannot be.
fn does_not_fit(cluster: &Cluster, observed: &Observed, size: &Size, large: &[u32]) -> Option<String> {
    let most = size.bytes.saturating_mul(FITS_PERCENT) / 100;
    let full: Vec<String> = large
        .iter()
        .filter_map(|ordinal| {
            let DiskUse { used_bytes, .. } = volumes::own_disk(observed, *ordinal)?;
            let name = names::pod(&cluster.name, *ordinal);
            (used_bytes > most).then(|| format!("{name} has {} MiB", used_bytes >> 20))
        })
        .collect();
    (!full.is_empty()).then(|| {
        format!(
            "volumes of {} would be nearly full, or more than that: {}; consume what waits, or set storage.size to more",
            size.text,
            full.join(", ")
        )
    })
}

/// How far it is, as a sentence.
pub(crate) fn progress(cluster: &Cluster, observed: &Observed) -> Option<String> {
    let size = volumes::wanted(cluster, observed);
    let mut large = volumes::too_large(&size, observed);
    large.retain(|ordinal| *ordinal < cluster.replicas);
    (!large.is_empty()).then(|| {
        format!(
            "{} are replaced by ones of {}, one after the other: a broker is emptied, and filled again",
            volumes_of(cluster, &large),
            size.text
        )
    })
}

fn volumes_of(cluster: &Cluster, ordinals: &[u32]) -> String {
    ordinals.iter().map(|ordinal| names::claim(&cluster.name, *ordinal)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ferrymq_admin_api::NodeView;
    use serde_json::json;

    use super::*;
    use crate::{
        fixture::{cluster, rolling, shard, view},
        message_queue::scale::decide,
        names::EMPTIED_ANNOTATION,
    };

    fn smaller() -> Cluster {
        cluster("{replicas: 3, storage: {size: 1Gi}}")
    }

    fn claim(observed: &mut Observed, ordinal: u32, size: &str, emptied: bool) {
        let annotations = if emptied { json!({EMPTIED_ANNOTATION: "c"}) } else { json!({}) };
        let claim = json!({"metadata": {"name": format!("data-orders-{ordinal}"), "annotations": annotations},
            "spec": {"resources": {"requests": {"storage": size}}},
            "status": {"phase": "Bound", "capacity": {"storage": size}}});
        observed.claims.insert(ordinal, serde_json::from_value(claim).unwrap());
    }

    /// Brokers with volumes of 2Gi, of which some are members and hold so much.
    fn observed(template: &str, members: &[(u32, u32, bool)]) -> Observed {
        let mut observed = rolling(["new", "new", "new"]);
        (0..3).for_each(|ordinal| claim(&mut observed, ordinal, "2Gi", false));
        if let Some(set) = &mut observed.stateful_set {
            let templates = json!([{"metadata": {"name": "data"},
                "spec": {"resources": {"requests": {"storage": template}}}}]);
            let spec = json!({"replicas": members.len(), "selector": {}, "template": {}, "serviceName": "x",
                "volumeClaimTemplates": templates});
            set.spec = serde_json::from_value(spec).ok();
        }
        let mut seen = view(vec![shard(0, &[1, 2, 3], &[1, 2, 3]), shard(1, &[1, 2, 3], &[1, 2, 3])]);
        let Some(pattern) = seen.nodes.first().cloned() else { panic!("a view has nodes") };
        seen.nodes = members
            .iter()
            .map(|(ordinal, replicas, draining)| NodeView {
                id: u64::from(*ordinal) + 1,
                ordinal: *ordinal,
                replicas: *replicas,
                draining: *draining,
                ..pattern.clone()
            })
            .collect();
        observed.view = Some(seen);
        observed
    }

    const THREE: [(u32, u32, bool); 3] = [(0, 9, false), (1, 9, false), (2, 9, false)];

    fn decided(observed: &Observed) -> (u32, Step) {
        let scale = decide(&smaller(), observed);
        (scale.replicas, scale.step)
    }

    #[test]
    fn one_more_broker_helps_out_while_one_after_the_other_is_emptied() {
        assert_eq!(decided(&observed("2Gi", &THREE)), (3, Step::Retemplate));
        let (brokers, step) = decided(&observed("1Gi", &THREE));
        assert!(matches!((brokers, &step), (4, Step::Await(_))), "{step:?}");
        let four = [THREE.as_slice(), &[(3, 9, false)]].concat();
        assert_eq!(decided(&observed("1Gi", &four)), (4, Step::Tell { ordinal: 2, draining: true }));
        let emptying = [(0, 9, false), (1, 9, false), (2, 4, true), (3, 9, false)];
        assert_eq!(decided(&observed("1Gi", &emptying)), (4, Step::Wait(vec![(2, 4)])));
        let emptied = [(0, 9, false), (1, 9, false), (2, 0, true), (3, 9, false)];
        assert_eq!(decided(&observed("1Gi", &emptied)), (4, Step::Remove(2)));
    }

    #[test]
    fn who_has_left_gets_another_volume_and_the_helper_goes_when_all_are_small() {
        let mut left = observed("1Gi", &[(0, 9, false), (1, 9, false), (3, 9, false)]);
        claim(&mut left, 2, "2Gi", true);
        assert_eq!(decided(&left), (4, Step::Renew(2)));
        let four = [THREE.as_slice(), &[(3, 9, false)]].concat();
        let mut done = observed("1Gi", &four);
        (0..4).for_each(|ordinal| claim(&mut done, ordinal, "1Gi", false));
        assert_eq!(decided(&done), (4, Step::Tell { ordinal: 3, draining: true }));
    }

    #[test]
    fn what_would_not_fit_is_refused_and_who_was_being_emptied_is_kept() {
        let mut observed = observed("1Gi", &[(0, 9, false), (1, 9, false), (2, 4, true), (3, 9, false)]);
        let Some(Ok(node)) = observed.brokers.get_mut(&1) else { panic!("broker 1 answers") };
        node.disk = Some(DiskUse { used_bytes: 900 << 20, capacity_bytes: 2 << 30 });
        let (_, step) = decided(&observed);
        let Step::TooFull { why, undo } = step else { panic!("{step:?}") };
        assert_eq!(undo, Some(2));
        assert!(why.contains("volumes of 1Gi") && why.contains("orders-1 has 900 MiB"), "{why}");
    }

    #[test]
    fn nothing_is_begun_while_mirrors_are_missing() {
        let four = [THREE.as_slice(), &[(3, 9, false)]].concat();
        let mut behind = observed("1Gi", &four);
        if let Some(view) = &mut behind.view {
            view.shards.push(shard(2, &[1, 2, 3], &[1, 2]));
        }
        assert!(matches!(decided(&behind), (4, Step::Await(_))));
    }
}
