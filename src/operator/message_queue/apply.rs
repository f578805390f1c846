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
    let (mut written, mut fought_for) = (Vec::new(), None);
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
        match one(&cluster.namespace, object, there.as_ref(), context).await {
            Ok(false) => {}
            Ok(true) => {
                let (name, namespace, title) = (&cluster.name, &cluster.namespace, object.title());
                tracing::info!(cluster = %name, %namespace, object = %title, "written");
                written.push(Written { title, is_new: there.is_none() });
            }
            // The others are not to suffer by who fights for this one.
            Err(error @ ReconcileError::Overwritten { .. }) => {
                fought_for.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    fought_for.map_or(Ok(written), Err)
}

/// Somebody who changes an object back each time it is written (a webhook, another controller), or deletes it, is not
/// answered for ever: after some times the object is written seldom, and it is said. Gives what is to be said where it is
/// written once more.
fn in_vain(
    key: &str,
    object: &Object,
    there: Option<&Value>,
    context: &Context,
) -> Result<Option<ReconcileError>, ReconcileError> {
    let Some((times, last)) = context.overwritten.failures(key) else { return Ok(None) };
    let last = last.elapsed();
    if last >= 3 * LONGEST {
        context.overwritten.went_on(key);
        return Ok(None);
    }
    if times < IN_VAIN {
        return Ok(None);
    }
    let pause = pause(times - IN_VAIN + 1, Duration::from_secs(1), None);
    if last < pause {
        return Err(overwritten(object, there, pause.saturating_sub(last)));
    }
    Ok(Some(overwritten(object, there, pause)))
}

/// What becomes of an object each time that it is written, and by whom.
fn overwritten(object: &Object, there: Option<&Value>, again: Duration) -> ReconcileError {
    let change = match there.and_then(|there| difference(&object.value, there)) {
        Some(field) if !field.is_empty() => format!("{field} is changed back"),
        Some(_) => "it is changed back".to_owned(),
        None => "it is deleted".to_owned(),
    };
    let others = there.map(other_writers).unwrap_or_default();
    let by = match there {
        Some(_) if others.is_empty() => "an admission webhook".to_owned(),
        Some(_) => others.into_iter().collect::<Vec<_>>().join(" or "),
        None => "somebody".to_owned(),
    };
    ReconcileError::Overwritten { what: object.title(), change, by, again }
}

/// Writes one object over what is there; gives whether its kind is known at all.
pub(crate) async fn one(
    namespace: &str,
    object: &Object,
    there: Option<&Value>,
    context: &Context,
) -> Result<bool, ReconcileError> {
    let key = format!("{namespace} {} {}", object.title(), fingerprint(&object.value));
    let in_vain = in_vain(&key, object, there, context)?;
    if !put(namespace, object, there.is_none(), context).await? {
        return Ok(false);
    }
    // Only what was taken can be changed back.
    context.overwritten.failed(&key);
    in_vain.map_or(Ok(true), Err)
}

async fn put(namespace: &str, object: &Object, is_new: bool, context: &Context) -> Result<bool, ReconcileError> {
    let api = object.kind.api(&context.client, namespace);
    let failed = |source| ReconcileError::Write { what: object.title(), source };
    if object.kind == Kind::Secret && is_new {
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
