//! The cluster that a `Topic` or a `User` belongs to, as far as that matters to them.

use std::sync::Arc;

use ferrymq_api::MessageQueue;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

use crate::{context::Context, error::ReconcileError};

/// What there is of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ClusterState {
    /// There is none, and no other in the namespace.
    #[default]
    Absent,
    /// There is none of that name, but others are.
    AbsentAmong(Vec<String>),
    /// It is being deleted.
    Going,
    /// It is there, and was not formed yet.
    Unformed,
    /// It is there.
    Formed(Formed),
}

/// What matters of a cluster that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Formed {
    /// How many brokers it is to have.
    pub(crate) brokers: u32,
    /// Mirrors of a queue that says nothing of it.
    pub(crate) mirrors: Option<i32>,
    /// The operator changes nothing of it.
    pub(crate) paused: bool,
}

/// Why nothing can be declared in a cluster, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotUsable {
    NotFound(String),
    Going(String),
    NotReady(String),
}

impl ClusterState {
    /// The cluster, where something can be declared in it. The kind is that of the resource that asks.
    pub(crate) fn usable(&self, kind: &str, cluster: &str, namespace: &str) -> Result<Formed, NotUsable> {
        match self {
            Self::Absent => Err(NotUsable::NotFound(format!(
                "there is no MessageQueue {cluster} in namespace {namespace}, which has none; make it, or name another \
                 namespace"
            ))),
            Self::AbsentAmong(others) => Err(NotUsable::NotFound(format!(
                "there is no MessageQueue {cluster} in namespace {namespace}, which has {}; make it, or make the {kind} \
                 again with the right cluster",
                some_of(others)
            ))),
            Self::Going => Err(NotUsable::Going(format!("MessageQueue {cluster} is being deleted"))),
            Self::Unformed => {
                Err(NotUsable::NotReady(format!("cluster {cluster} is not formed yet; see its own status")))
            }
            Self::Formed(formed) => Ok(*formed),
        }
    }
}

/// The first few names, as many as anybody reads.
fn some_of(names: &[String]) -> String {
    const FEW: usize = 5;
    let few = names.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > FEW { format!("{few} and {} more", names.len() - FEW) } else { few }
}

/// A cluster as the watch knows it, and its resource where it is there.
pub(crate) fn read(namespace: &str, name: &str, context: &Context) -> (ClusterState, Option<Arc<MessageQueue>>) {
    let Some(cluster) = context.clusters.get(&ObjectRef::new(name).within(namespace)) else {
        let others = context.clusters.state();
        let others = others.iter().filter(|other| other.metadata.namespace.as_deref() == Some(namespace));
        let names: Vec<String> = others.map(|other| other.name_any()).collect();
        return (if names.is_empty() { ClusterState::Absent } else { ClusterState::AbsentAmong(names) }, None);
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        return (ClusterState::Going, None);
    }
    let state = match cluster.status.as_ref().and_then(|status| status.formation.as_ref()) {
        Some(formation) if formation.complete => ClusterState::Formed(Formed {
            brokers: u32::try_from(cluster.spec.replicas).unwrap_or_default(),
            mirrors: formation.mirrors.or(cluster.spec.mirrors),
            paused: cluster.spec.paused,
        }),
        _ => ClusterState::Unformed,
    };
    (state, Some(cluster))
}

/// Whether a whole namespace goes, or is gone.
pub(crate) async fn is_namespace_going(name: &str, context: &Context) -> Result<bool, ReconcileError> {
    let namespace = Api::<Namespace>::all(context.client.clone())
        .get_opt(name)
        .await
        .map_err(|source| ReconcileError::Read { what: format!("Namespace {name}"), source })?;
    Ok(namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}
