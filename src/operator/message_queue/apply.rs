//! The writes of Kubernetes objects, in the order in which the pods need them. What is there already as it is wanted is not
//! written again.

use ferrymq_api::Cluster;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::Value;

use crate::{
    context::Context,
    error::ReconcileError,
    message_queue::dereference::Observed,
    names::FIELD_MANAGER,
    objects::{Kind, Object, is_there},
};

/// Writes what differs, and gives what was written.
pub(crate) async fn write(
    cluster: &Cluster,
    objects: &[Object],
    observed: &Observed,
    context: &Context,
) -> Result<Vec<String>, ReconcileError> {
    let mut written = Vec::new();
    for object in objects {
        let there = observed.objects.get(&(object.kind, object.name.clone()));
        let there = match there {
            Some(there) => Some(
                serde_json::to_value(there)
                    .map_err(|source| ReconcileError::Malformed { what: object.title(), source })?,
            ),
            None => None,
        };
        if there.as_ref().is_some_and(|there| is_there(&object.value, there)) {
            continue;
        }
        if !one(&cluster.namespace, object, there.as_ref(), context).await? {
            continue;
        }
        tracing::info!(cluster = %cluster.name, namespace = %cluster.namespace, object = %object.title(), "written");
        written.push(object.title());
    }
    Ok(written)
}

/// Writes one object over what is there; gives whether its kind is known at all.
pub(crate) async fn one(
    namespace: &str,
    object: &Object,
    there: Option<&Value>,
    context: &Context,
) -> Result<bool, ReconcileError> {
    let api = object.kind.api(&context.client, namespace);
    let failed = |source| ReconcileError::Write { what: object.title(), source };
    if object.kind == Kind::Secret && there.is_none() {
        // A password is made once: of two that try at the same time, the second one fails here and reads the first's.
        let object = serde_json::from_value(object.value.clone())
            .map_err(|source| ReconcileError::Malformed { what: object.title(), source })?;
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        api.create(&parameters, &object).await.map_err(failed)?;
        return Ok(true);
    }
    match api.patch(&object.name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object.value)).await {
        Ok(_) => Ok(true),
        // cert-manager is not installed, as the condition says.
        Err(kube::Error::Api(status)) if object.kind == Kind::Certificate && status.code == 404 => Ok(false),
        Err(error) => Err(failed(error)),
    }
}
