//! The writes of Kubernetes objects, in the order in which the pods need them. What is there already as it is wanted is not
//! written again.

use std::time::Duration;

use ferrymq_api::Cluster;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::Value;

use crate::{
    backoff::{LONGEST, pause},
    context::Context,
    error::ReconcileError,
    message_queue::dereference::Observed,
    names::FIELD_MANAGER,
    objects::{Kind, Object, difference, fingerprint, is_there, other_writers},
};

/// How often the same object is written as the same before it counts as written in vain.
const IN_VAIN: u32 = 5;

/// An object that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its kind and name.
    pub(crate) title: String,
    /// There was none of that name.
    pub(crate) is_new: bool,
}

/// Writes what differs, and gives what was written.
pub(crate) async fn write(
    cluster: &Cluster,
    objects: &[Object],
    observed: &Observed,
    context: &Context,
) -> Result<Vec<Written>, ReconcileError> {
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
        written.push(Written { title: object.title(), is_new: there.is_none() });
    }
    Ok(written)
}

/// Somebody who changes an object back each time it is written (a webhook, another controller) is not answered for ever:
/// after some times the object is written seldom, and it is said. Gives what is to be said where it is written once more.
fn in_vain(
    namespace: &str,
    object: &Object,
    there: &Value,
    context: &Context,
) -> Result<Option<ReconcileError>, ReconcileError> {
    let key = format!("{namespace} {} {}", object.title(), fingerprint(&object.value));
    let (times, last) = match context.overwritten.failures(&key) {
        Some((times, last)) if last.elapsed() < 3 * LONGEST => (times, last.elapsed()),
        _ => {
            context.overwritten.went_on(&key);
            (0, Duration::MAX)
        }
    };
    if times < IN_VAIN {
        context.overwritten.failed(&key);
        return Ok(None);
    }
    let (others, pause) = (other_writers(there), pause(times - IN_VAIN + 1, Duration::from_secs(1), None));
    let said = move |again| ReconcileError::Overwritten {
        what: object.title(),
        field: difference(&object.value, there).filter(|path| !path.is_empty()).unwrap_or_else(|| "it".to_owned()),
        by: if others.is_empty() {
            "an admission webhook".to_owned()
        } else {
            others.into_iter().collect::<Vec<_>>().join(" or ")
        },
        again,
    };
    if last < pause {
        return Err(said(pause.saturating_sub(last)));
    }
    context.overwritten.failed(&key);
    Ok(Some(said(pause)))
}

/// Writes one object over what is there; gives whether its kind is known at all.
pub(crate) async fn one(
    namespace: &str,
    object: &Object,
    there: Option<&Value>,
    context: &Context,
) -> Result<bool, ReconcileError> {
    let in_vain = match there {
        Some(there) => in_vain(namespace, object, there, context)?,
        None => None,
    };
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
        Ok(_) => in_vain.map_or(Ok(true), Err),
        // cert-manager is not installed, as the condition says.
        Err(kube::Error::Api(status)) if object.kind == Kind::Certificate && status.code == 404 => Ok(false),
        Err(error) => Err(failed(error)),
    }
}
