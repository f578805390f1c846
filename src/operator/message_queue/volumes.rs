//! Volumes that are to be bigger: their claims are told, and their class does it. Brokers run on meanwhile. A claim that a
//! StatefulSet makes later still has the size of its template, and is told in the same way.

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
};

/// Brokers whose claims ask for less than the spec does.
pub(crate) fn too_small(cluster: &Cluster, observed: &Observed) -> Vec<u32> {
    let requested = |claim: &PersistentVolumeClaim| {
        bytes(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?)
    };
    smaller(cluster, observed, requested)
}

/// Brokers whose claims ask for enough, and whose volumes do not have it yet.
pub(crate) fn growing(cluster: &Cluster, observed: &Observed) -> Vec<u32> {
    let capacity = |claim: &PersistentVolumeClaim| bytes(claim.status.as_ref()?.capacity.as_ref()?.get("storage")?);
    let waiting = too_small(cluster, observed);
    let mut growing = smaller(cluster, observed, capacity);
    growing.retain(|ordinal| !waiting.contains(ordinal));
    growing
}

fn smaller(cluster: &Cluster, observed: &Observed, size: impl Fn(&PersistentVolumeClaim) -> Option<u64>) -> Vec<u32> {
    let claims = observed.claims.iter().filter(|(_, claim)| claim.metadata.deletion_timestamp.is_none());
    let small = claims.filter(|(_, claim)| size(claim).is_some_and(|size| size < cluster.storage.bytes));
    small.map(|(ordinal, _)| *ordinal).collect()
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
    let size = &cluster.storage.size.0;
    for ordinal in too_small(cluster, observed) {
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

    #[test]
    fn a_claim_is_told_once_and_waited_for_until_its_volume_has_grown() {
        let cluster = cluster("{storage: {size: 2Gi}}");
        let some = observed([("1Gi", "1Gi"), ("2Gi", "1Gi"), ("2048Mi", "2Gi")]);
        assert_eq!((too_small(&cluster, &some), growing(&cluster, &some)), (vec![0], vec![1]));
        let done = observed([("2Gi", "2Gi"), ("3Gi", "3Gi"), ("2Gi", "2Gi")]);
        assert_eq!((too_small(&cluster, &done), growing(&cluster, &done)), (vec![], vec![]));
    }
}
