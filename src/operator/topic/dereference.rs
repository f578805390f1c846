//! The only reads of a reconcile: the topic's cluster, the other topics, and what the broker has.

use ferrymq_admin_api::TopicView;
use ferrymq_api::{CheckedTopic, MessageQueue, Topic};
use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{Api, ResourceExt};

use crate::{
    context::Context,
    error::{ReconcileError, chain},
    links::{Link, LinkError},
};

/// What there is of a topic, and around it.
#[derive(Default)]
pub(crate) struct Observed {
    /// Its cluster.
    pub(crate) cluster: ClusterState,
    /// The whole namespace goes.
    pub(crate) namespace_going: bool,
    /// An older topic of the same name in the same cluster.
    pub(crate) older: Option<String>,
    /// The uids of all topics that there are for this cluster.
    pub(crate) living: Vec<String>,
    /// A broker that answers.
    pub(crate) link: Option<Link>,
    /// Why none does.
    pub(crate) silence: String,
    /// The topic as the broker has it.
    pub(crate) view: Option<TopicView>,
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

/// The topic as the API server has it now, not as the watch had it a moment ago.
pub(crate) async fn current(resource: &Topic, context: &Context) -> Result<Option<Topic>, ReconcileError> {
    let name = resource.name_any();
    Api::<Topic>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default())
        .get_opt(&name)
        .await
        .map_err(|source| ReconcileError::Read { what: format!("Topic {name}"), source })
}

pub(crate) async fn read(topic: &CheckedTopic, context: &Context) -> Result<Observed, ReconcileError> {
    let cluster = cluster(topic, context).await?;
    let (older, living) = others(topic, context);
    let mut observed = Observed { cluster, older, living, ..Observed::default() };
    if matches!(observed.cluster, ClusterState::Formed { .. }) {
        ask(topic, context, &mut observed).await?;
    }
    Ok(observed)
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
    read(topic, context).await
}

async fn cluster(topic: &CheckedTopic, context: &Context) -> Result<ClusterState, ReconcileError> {
    let api = Api::<MessageQueue>::namespaced(context.client.clone(), &topic.namespace);
    let failed = |source| ReconcileError::Read { what: format!("MessageQueue {}", topic.cluster), source };
    let Some(cluster) = api.get_opt(&topic.cluster).await.map_err(failed)? else {
        let others = api.list_metadata(&Default::default()).await.map_err(failed)?;
        let names: Vec<String> = others.items.iter().map(ResourceExt::name_any).collect();
        return Ok(if names.is_empty() { ClusterState::Absent } else { ClusterState::AbsentAmong(names) });
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(ClusterState::Going);
    }
    let formation = cluster.status.as_ref().and_then(|status| status.formation.as_ref());
    Ok(match formation {
        Some(formation) if formation.complete => ClusterState::Formed {
            brokers: u32::try_from(cluster.spec.replicas).unwrap_or_default(),
            mirrors: formation.mirrors.or(cluster.spec.mirrors),
            paused: cluster.spec.paused,
        },
        _ => ClusterState::Unformed,
    })
}

/// The older one of two topics of one name; and the uids of all that live in the cluster.
fn others(topic: &CheckedTopic, context: &Context) -> (Option<String>, Vec<String>) {
    let all = context.topics.state();
    let neighbours: Vec<_> = all
        .iter()
        .filter(|other| other.namespace().as_deref() == Some(&topic.namespace) && other.spec.cluster == topic.cluster)
        .collect();
    let age = |uid: &str| {
        let resource = neighbours.iter().find(|other| other.uid().as_deref() == Some(uid))?;
        Some((resource.creation_timestamp().map(|time| time.0), resource.uid()))
    };
    let own: Option<(Option<Timestamp>, Option<String>)> = age(&topic.uid);
    let same_name = |other: &Topic| {
        other.spec.virtual_host == topic.virtual_host
            && other.spec.name.clone().unwrap_or_else(|| other.name_any()) == topic.name
    };
    let older = neighbours
        .iter()
        .filter(|other| other.uid().as_deref() != Some(&topic.uid) && same_name(other))
        .filter(|other| {
            own.as_ref().is_none_or(|own| (other.creation_timestamp().map(|time| time.0), other.uid()) < *own)
        })
        .min_by_key(|other| (other.creation_timestamp().map(|time| time.0), other.uid()))
        .map(|other| format!("{}/{}", topic.namespace, other.name_any()));
    (older, neighbours.iter().filter_map(|other| other.uid()).collect())
}

async fn ask(topic: &CheckedTopic, context: &Context, observed: &mut Observed) -> Result<(), ReconcileError> {
    match context.links.to(&topic.namespace, &topic.cluster).await {
        Ok(link) => {
            observed.view = link.topics.iter().find(|view| is(view, topic)).cloned();
            observed.link = Some(link);
        }
        Err(LinkError::Reconcile(error)) => return Err(error),
        Err(error) => observed.silence = chain(&error),
    }
    Ok(())
}

/// Whether the broker's topic is this one.
pub(crate) fn is(view: &TopicView, topic: &CheckedTopic) -> bool {
    view.declaration.name == topic.name && view.declaration.virtual_host == topic.virtual_host
}
