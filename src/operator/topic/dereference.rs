//! The only reads of a reconcile: the topic's cluster, the other topics, and what the broker has. All of it is known
//! already; the API server is asked only before a topic goes.

use std::sync::Arc;

use ferrymq_api::{CheckedTopic, Topic};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

use crate::{context::Context, error::ReconcileError, links::Link};

/// What there is of a topic, and around it.
#[derive(Default)]
pub(crate) struct Observed {
    /// Its cluster.
    pub(crate) cluster: ClusterState,
    /// The whole namespace goes.
    pub(crate) namespace_going: bool,
    /// An older topic of the same name in the same cluster.
    pub(crate) older: Option<String>,
    /// A broker that answers, and what it has of the topic.
    pub(crate) link: Option<Link>,
    /// Why none does.
    pub(crate) silence: String,
    /// The owner that the broker knows is a Topic that there is.
    pub(crate) owner_lives: bool,
}

/// What there is of a topic's cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ClusterState {
    /// There is none; these are there instead.
    #[default]
    Absent,
    /// There is none of that name, but others are.
    AbsentAmong(Vec<String>),
    /// It is being deleted.
    Going,
    /// It is there, and was not formed yet.
    Unformed,
    /// It is there.
    Formed {
        /// How many brokers it is to have.
        brokers: u32,
        /// Mirrors of a queue that says nothing of it.
        mirrors: Option<i32>,
        /// The operator changes nothing of it.
        paused: bool,
    },
}

pub(crate) async fn read(topic: &CheckedTopic, context: &Context) -> Observed {
    let cluster = cluster(topic, context);
    let mut observed = Observed { cluster, older: older(topic, context), ..Observed::default() };
    if matches!(observed.cluster, ClusterState::Formed { .. }) {
        match context.links.to(topic).await {
            Ok(link) => observed.link = Some(link),
            Err(silence) => observed.silence = silence,
        }
        let owner = observed.link.as_ref().and_then(|link| link.view.as_ref()).map(|view| &view.declaration.owner.uid);
        observed.owner_lives = owner.is_some_and(|owner| lives(owner, topic, context));
    }
    observed
}

/// What has to be known before a topic goes.
pub(crate) async fn for_removal(topic: &CheckedTopic, context: &Context) -> Result<Observed, ReconcileError> {
    let namespace = Api::<Namespace>::all(context.client.clone())
        .get_opt(&topic.namespace)
        .await
        .map_err(|source| ReconcileError::Read { what: format!("Namespace {}", topic.namespace), source })?;
    let going = namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some());
    if going {
        return Ok(Observed { namespace_going: true, ..Observed::default() });
    }
    Ok(read(topic, context).await)
}

fn cluster(topic: &CheckedTopic, context: &Context) -> ClusterState {
    let Some(cluster) = context.clusters.get(&ObjectRef::new(&topic.cluster).within(&topic.namespace)) else {
        let others = context.clusters.state();
        let others = others.iter().filter(|other| other.metadata.namespace.as_deref() == Some(&topic.namespace));
        let names: Vec<String> = others.map(|other| other.name_any()).collect();
        return if names.is_empty() { ClusterState::Absent } else { ClusterState::AbsentAmong(names) };
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        return ClusterState::Going;
    }
    let formation = cluster.status.as_ref().and_then(|status| status.formation.as_ref());
    match formation {
        Some(formation) if formation.complete => ClusterState::Formed {
            brokers: u32::try_from(cluster.spec.replicas).unwrap_or_default(),
            mirrors: formation.mirrors.or(cluster.spec.mirrors),
            paused: cluster.spec.paused,
        },
        _ => ClusterState::Unformed,
    }
}

/// Another topic of the same name in the same cluster, where it is older.
fn older(topic: &CheckedTopic, context: &Context) -> Option<String> {
    let all = context.topics.state();
    let is_of_one_name = |other: &&Arc<Topic>| {
        is_neighbour(other, topic)
            && other.spec.virtual_host == topic.virtual_host
            && other.spec.name.as_deref().or(other.metadata.name.as_deref()) == Some(&topic.name)
    };
    let age = |topic: &Arc<Topic>| (topic.creation_timestamp().map(|time| time.0), topic.uid());
    let oldest = all.iter().filter(is_of_one_name).min_by_key(|topic| age(topic))?;
    (oldest.metadata.uid.as_deref() != Some(&topic.uid)).then(|| format!("{}/{}", topic.namespace, oldest.name_any()))
}

/// Whether there is a topic of this uid for the same cluster.
fn lives(uid: &str, topic: &CheckedTopic, context: &Context) -> bool {
    let all = context.topics.state();
    all.iter().any(|other| is_neighbour(other, topic) && other.metadata.uid.as_deref() == Some(uid))
}

fn is_neighbour(other: &Topic, topic: &CheckedTopic) -> bool {
    other.spec.cluster == topic.cluster && other.metadata.namespace.as_deref() == Some(&topic.namespace)
}
