//! Volumes go with their `MessageQueue` where it says so: their claims are its own then. They are not the StatefulSet's, as
//! Kubernetes could have it: one that somebody deletes would take all messages with it.

use ferrymq_api::{Cluster, ReclaimPolicy};
use k8s_openapi::{api::core::v1::PersistentVolumeClaim, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    context::Context,
    error::ReconcileError,
    message_queue::{build::owner, dereference::Observed},
};

/// Makes the claims the `MessageQueue`'s own, or nobody's, as the spec says.
pub(crate) async fn reclaim(cluster: &Cluster, observed: &Observed, context: &Context) -> Result<(), ReconcileError> {
    let claims = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), &cluster.namespace);
    for claim in observed.claims.values() {
        let Some(owners) = owners(cluster, claim) else { continue };
        let name = claim.name_any();
        // Of this very state of it: Kubernetes changes the list as well.
        let patch = json!({"metadata": {"ownerReferences": owners, "resourceVersion": claim.resource_version()}});
        match claims.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(source) => {
                return Err(ReconcileError::Write { what: format!("PersistentVolumeClaim {name}"), source });
            }
        }
    }
    Ok(())
}

/// The owners that a claim should have, where it has others.
fn owners(cluster: &Cluster, claim: &PersistentVolumeClaim) -> Option<Vec<OwnerReference>> {
    let own = OwnerReference { controller: None, block_owner_deletion: None, ..owner(cluster) };
    let mut owners = claim.owner_references().to_vec();
    owners.retain(|owner| (&owner.api_version, &owner.kind) != (&own.api_version, &own.kind));
    if cluster.storage.reclaim_policy == ReclaimPolicy::Delete {
        owners.push(own);
    }
    (claim.metadata.deletion_timestamp.is_none() && owners != claim.owner_references()).then_some(owners)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    #[test]
    fn a_claim_is_of_who_says_that_it_goes_with_it() {
        let (kept, going) =
            (cluster("{storage: {size: 1Gi}}"), cluster("{storage: {size: 1Gi, reclaimPolicy: Delete}}"));
        let mut claim = PersistentVolumeClaim::default();
        assert_eq!(owners(&kept, &claim), None);
        let owned = owners(&going, &claim).unwrap();
        assert_eq!(owned.iter().map(|owner| owner.kind.as_str()).collect::<Vec<_>>(), ["MessageQueue"]);
        claim.metadata.owner_references = Some(owned);
        assert_eq!(owners(&going, &claim), None);
        assert_eq!(owners(&kept, &claim), Some(Vec::new()));
    }

    #[test]
    fn other_owners_are_left_alone_and_a_claim_that_goes_is_not_touched() {
        let going = cluster("{storage: {size: 1Gi, reclaimPolicy: Delete}}");
        let backup: OwnerReference =
            serde_json::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"})).unwrap();
        let mut claim = PersistentVolumeClaim::default();
        claim.metadata.owner_references = Some(vec![backup.clone()]);
        assert_eq!(owners(&going, &claim).unwrap().first(), Some(&backup));
        claim.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(owners(&going, &claim), None);
    }
}
