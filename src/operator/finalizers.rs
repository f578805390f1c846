//! Finalizers of resources of ours.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{context::Context, error::ReconcileError};

/// Whether a resource has a finalizer.
pub(crate) fn has<K: ResourceExt>(resource: &K, finalizer: &str) -> bool {
    resource.finalizers().iter().any(|name| name == finalizer)
}

/// Adds a finalizer.
pub(crate) async fn add<K>(resource: &K, finalizer: &str, context: &Context) -> Result<(), ReconcileError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    set(resource, &finalizers, context).await
}

/// Drops a finalizer.
pub(crate) async fn drop<K>(resource: &K, finalizer: &str, context: &Context) -> Result<(), ReconcileError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let others: Vec<String> = resource.finalizers().iter().filter(|name| *name != finalizer).cloned().collect();
    set(resource, &others, context).await
}

/// Writes the list over the state that was read and no other: somebody else may have changed it since.
async fn set<K>(resource: &K, finalizers: &[String], context: &Context) -> Result<(), ReconcileError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let name = resource.name_any();
    let api = Api::<K>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"resourceVersion": resource.resource_version(), "finalizers": finalizers}});
    match api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(ReconcileError::Write { what: format!("the finalizer of {} {name}", K::kind(&())), source }),
    }
}
