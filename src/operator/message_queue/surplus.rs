//! Objects of the cluster that its spec does not ask for any more: Services of listeners that are not exposed so any more,
//! and the NetworkPolicy. Nothing else is ever taken away because it is not wanted.

use std::collections::BTreeSet;

use ferrymq_api::MessageQueue;
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Preconditions},
    runtime::events::EventType,
};

use crate::{
    context::Context,
    error::ReconcileError,
    message_queue::dereference::Observed,
    names,
    objects::{Kind, controller},
};

/// An object that is not asked for any more.
#[derive(Debug, Clone)]
pub(crate) struct Surplus {
    kind: Kind,
    object: DynamicObject,
}

/// The cluster's own objects of the kinds that come and go with its spec, but for those that are wanted.
pub(crate) async fn read(
    context: &Context,
    resource: &MessageQueue,
    wanted: &BTreeSet<(Kind, String)>,
) -> Result<Vec<Surplus>, ReconcileError> {
    let (name, namespace) = (resource.name_any(), resource.namespace().unwrap_or_default());
    let selected = ListParams::default().labels(&names::selector_text(&name));
    let mut surplus = Vec::new();
    for kind in [Kind::Service, Kind::NetworkPolicy] {
        let api = kind.api(&context.client, &namespace);
        let there = api.list(&selected).await.map_err(|source| {
            let what = format!("every {} of {name}", kind.as_str());
            ReconcileError::Read { what, source }
        })?;
        // By who owns it: labels can be anybody's.
        let ours = there.items.into_iter().filter(|object| {
            controller(object).is_some_and(|owner| Some(&owner.uid) == resource.metadata.uid.as_ref())
                && object.metadata.deletion_timestamp.is_none()
                && !wanted.contains(&(kind, object.name_any()))
        });
        surplus.extend(ours.map(|object| Surplus { kind, object }));
    }
    Ok(surplus)
}

/// Takes away what is not asked for any more: these objects, and no others of their names.
pub(crate) async fn remove(
    resource: &MessageQueue,
    observed: &Observed,
    context: &Context,
) -> Result<(), ReconcileError> {
    let namespace = resource.namespace().unwrap_or_default();
    for Surplus { kind, object } in &observed.surplus {
        let (name, title) = (object.name_any(), format!("{} {}", kind.as_str(), object.name_any()));
        let preconditions = Preconditions { uid: object.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match kind.api(&context.client, &namespace).delete(&name, &parameters).await {
            Ok(_) => {
                let note = format!("{title} is taken away, as the spec does not ask for it any more");
                context.tell(resource, EventType::Normal, "ObjectRemoved", "Reconcile", note).await;
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(source) => return Err(ReconcileError::Write { what: format!("the deletion of {title}"), source }),
        }
    }
    Ok(())
}
