//! Volumes that are to be bigger: their claims are told, and their class does it. Brokers run on meanwhile. A claim that a
//! StatefulSet makes later still has the size of its template, and is told in the same way.

use ferrymq_admin_api::DiskUse;
use ferrymq_api::{Cluster, MessageQueue, Quantity};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::json;

use crate::{
    context::Context,
    error::ReconcileError,
    message_queue::{act::Done, dereference::Observed},
    names,
};

/// A disk that is as full as that, of a hundred, is told of; with `autoGrow` its volume grows.
const FILLING_PERCENT: u64 = 80;

/// How big the volumes are to be: as the spec says, or as big as they have grown by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    /// As Kubernetes writes it.
    pub(crate) text: String,
}

impl Size {
    fn of(bytes: u64) -> Self {
        const MEBI: u64 = 1 << 20;
        let mebi = bytes.div_ceil(MEBI);
        let text = if mebi.is_multiple_of(1024) { format!("{}Gi", mebi / 1024) } else { format!("{mebi}Mi") };
        Self { bytes: mebi.saturating_mul(MEBI), text }
    }
}

/// How big the volumes are to be now.
pub(crate) fn wanted(cluster: &Cluster, observed: &Observed) -> Size {
    let asked = Size { bytes: cluster.storage.bytes, text: cluster.storage.size.0.clone() };
    let Some(limit) = cluster.storage.grow_limit else { return asked };
    let largest = observed.claims.values().filter_map(requested).max().unwrap_or_default().min(limit);
    let now = asked.bytes.max(largest);
    // Half as much again; and not before the last time is over.
    let more = filling(observed)
        .any(|(ordinal, _)| observed.claims.get(&ordinal).and_then(capacity).is_some_and(|capacity| capacity >= now));
    let bytes = if more { now.saturating_add(now / 2).min(limit) } else { now };
    if bytes == asked.bytes { asked } else { Size::of(bytes) }
}

/// How full the disk of a broker is that is its own. One that is much bigger than its claim is shared with others, and says
/// nothing.
pub(crate) fn own_disk(observed: &Observed, ordinal: u32) -> Option<DiskUse> {
    let claimed = observed.claims.get(&ordinal).and_then(capacity)?;
    let disk = observed.node(ordinal)?.disk?;
    (disk.capacity_bytes <= claimed.saturating_add(claimed / 10)).then_some(disk)
}

/// Brokers whose disks are nearly full.
fn filling(observed: &Observed) -> impl Iterator<Item = (u32, DiskUse)> + '_ {
    let disks = observed.brokers.keys().filter_map(|ordinal| Some((*ordinal, own_disk(observed, *ordinal)?)));
    disks.filter(|(_, disk)| disk.used_bytes.saturating_mul(100) >= disk.capacity_bytes.saturating_mul(FILLING_PERCENT))
}

/// Brokers whose disks are nearly full, as a sentence that says what to do.
pub(crate) fn fills(cluster: &Cluster, observed: &Observed) -> Option<String> {
    let full: Vec<String> = filling(observed)
        .map(|(ordinal, DiskUse { used_bytes, capacity_bytes })| {
            let percent = used_bytes.saturating_mul(100) / capacity_bytes.max(1);
            format!("the volume of {} is {percent} % full", names::pod(&cluster.name, ordinal))
        })
        .collect();
    let advice = match cluster.storage.grow_limit {
        Some(_) => "raise storage.autoGrow.limit",
        None => "raise storage.size, or let volumes grow by themselves with storage.autoGrow",
    };
    (!full.is_empty()).then(|| {
        format!("{}; when it is full publishers are held back: {advice}, or see what is not consumed", full.join(", "))
    })
}

/// Brokers whose claims ask for less than they should.
pub(crate) fn too_small(wanted: &Size, observed: &Observed) -> Vec<u32> {
    smaller(wanted, observed, requested)
}

/// Brokers whose claims ask for more than they should.
pub(crate) fn too_large(wanted: &Size, observed: &Observed) -> Vec<u32> {
    let large = observed.claims.iter().filter(|(_, claim)| requested(claim).is_some_and(|size| size > wanted.bytes));
    large.map(|(ordinal, _)| *ordinal).collect()
}

/// Brokers whose claims ask for enough, and whose volumes do not have it yet.
pub(crate) fn growing(wanted: &Size, observed: &Observed) -> Vec<u32> {
    let waiting = too_small(wanted, observed);
    let mut growing = smaller(wanted, observed, capacity);
    growing.retain(|ordinal| !waiting.contains(ordinal));
    growing
}

fn smaller(wanted: &Size, observed: &Observed, size: impl Fn(&PersistentVolumeClaim) -> Option<u64>) -> Vec<u32> {
    let claims = observed.claims.iter().filter(|(_, claim)| claim.metadata.deletion_timestamp.is_none());
    let small = claims.filter(|(_, claim)| size(claim).is_some_and(|size| size < wanted.bytes));
    small.map(|(ordinal, _)| *ordinal).collect()
}

fn requested(claim: &PersistentVolumeClaim) -> Option<u64> {
    bytes(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?)
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<u64> {
    bytes(claim.status.as_ref()?.capacity.as_ref()?.get("storage")?)
}

fn bytes(quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Option<u64> {
    Quantity(quantity.0.clone()).bytes().ok()
}

/// Tells the claims that are too small. What is refused is noted, and tried again.
pub(crate) async fn grow(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    context: &Context,
    done: &mut Done,
) -> Result<(), ReconcileError> {
    let claims = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), &cluster.namespace);
    let wanted = wanted(cluster, observed);
    let size = &wanted.text;
    for ordinal in too_small(&wanted, observed) {
        let Some(name) = observed.claims.get(&ordinal).map(ResourceExt::name_any) else { continue };
        let more = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        match claims.patch(&name, &PatchParams::default(), &Patch::Merge(&more)).await {
            Ok(_) => {
                let note = format!("{name} grows to {size}; its broker runs on");
                context.tell(resource, EventType::Normal, "GrowingVolume", "Grow", note).await;
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => {
                done.growth_refused = Some(format!("{name} cannot grow to {size}: {}", status.message));
                // The others are of the same class.
                return Ok(());
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(source) => {
                return Err(ReconcileError::Write { what: format!("PersistentVolumeClaim {name}"), source });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, rolling};

    fn observed(sizes: [(&str, &str); 3]) -> Observed {
        let mut observed = rolling(["new", "new", "new"]);
        for (ordinal, (requested, capacity)) in (0..).zip(sizes) {
            let claim = json!({"metadata": {"name": format!("data-orders-{ordinal}")},
                "spec": {"resources": {"requests": {"storage": requested}}},
                "status": {"phase": "Bound", "capacity": {"storage": capacity}}});
            observed.claims.insert(ordinal, serde_json::from_value(claim).unwrap());
        }
        observed
    }

    fn with_disk(observed: &mut Observed, ordinal: u32, used: u64, capacity: u64) {
        let Some(Ok(node)) = observed.brokers.get_mut(&ordinal) else { panic!("there is no broker {ordinal}") };
        node.disk = Some(DiskUse { used_bytes: used << 20, capacity_bytes: capacity << 20 });
    }

    #[test]
    fn a_claim_is_told_once_and_waited_for_until_its_volume_has_grown() {
        let cluster = cluster("{storage: {size: 2Gi}}");
        let some = observed([("1Gi", "1Gi"), ("2Gi", "1Gi"), ("2048Mi", "2Gi")]);
        let size = wanted(&cluster, &some);
        assert_eq!((too_small(&size, &some), growing(&size, &some)), (vec![0], vec![1]));
        let done = observed([("2Gi", "2Gi"), ("3Gi", "3Gi"), ("2Gi", "2Gi")]);
        assert_eq!((too_small(&size, &done), growing(&size, &done)), (vec![], vec![]));
    }

    #[test]
    fn a_disk_that_fills_is_told_of_and_grows_where_it_may() {
        let mut observed = observed([("1Gi", "1Gi"); 3]);
        let (told, grows) =
            (cluster("{storage: {size: 1Gi}}"), cluster("{storage: {size: 1Gi, autoGrow: {limit: 2Gi}}}"));
        with_disk(&mut observed, 1, 790, 1000);
        assert_eq!((fills(&told, &observed), wanted(&grows, &observed).text), (None, "1Gi".to_owned()));
        with_disk(&mut observed, 1, 800, 1000);
        let sentence = fills(&told, &observed).unwrap();
        assert!(sentence.starts_with("the volume of orders-1 is 80 % full; "), "{sentence}");
        assert_eq!(wanted(&told, &observed).text, "1Gi");
        assert_eq!(wanted(&grows, &observed).text, "1536Mi");
    }

    #[test]
    fn a_volume_grows_step_by_step_up_to_its_limit_and_never_back() {
        let cluster = cluster("{storage: {size: 1Gi, autoGrow: {limit: 2Gi}}}");
        let mut growing = observed([("1536Mi", "1Gi"); 3]);
        with_disk(&mut growing, 0, 900, 1000);
        assert_eq!(wanted(&cluster, &growing).text, "1536Mi");
        let mut grown = observed([("1536Mi", "1536Mi"); 3]);
        with_disk(&mut grown, 0, 100, 1500);
        assert_eq!(wanted(&cluster, &grown).text, "1536Mi");
        with_disk(&mut grown, 0, 1400, 1500);
        assert_eq!(wanted(&cluster, &grown).text, "2Gi");
        let mut at_the_limit = observed([("2Gi", "2Gi"); 3]);
        with_disk(&mut at_the_limit, 0, 1900, 2000);
        assert_eq!(wanted(&cluster, &at_the_limit).text, "2Gi");
        assert!(fills(&cluster, &at_the_limit).unwrap().contains("raise storage.autoGrow.limit"));
    }

    #[test]
    fn a_disk_that_others_share_says_nothing() {
        let mut observed = observed([("1Gi", "1Gi"); 3]);
        with_disk(&mut observed, 1, 180_000, 200_000);
        assert_eq!(fills(&cluster("{storage: {size: 1Gi}}"), &observed), None);
    }
}
