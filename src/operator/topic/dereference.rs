//! The only reads of a reconcile: the topic's cluster, the other topics, and what the broker has. All of it is known
//! already; the API server is asked only before a topic goes.

use ferrymq_api::{CheckedTopic, Topic};

use crate::{
    cluster_state::{self, ClusterState},
    context::Context,
    error::ReconcileError,
    links::Link,
    siblings,
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
    /// A broker that answers, and what it has of the topic.
    pub(crate) link: Option<Link>,
    /// Why none does.
    pub(crate) silence: String,
    /// The owner that the broker knows is a Topic that there is.
    pub(crate) owner_lives: bool,
}

pub(crate) async fn read(topic: &CheckedTopic, context: &Context) -> Observed {
    let (cluster, _) = cluster_state::read(&topic.namespace, &topic.cluster, context);
    let mut observed = Observed { cluster, older: older(topic, context), ..Observed::default() };
    if matches!(observed.cluster, ClusterState::Formed(_)) {
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
    if cluster_state::is_namespace_going(&topic.namespace, context).await? {
        return Ok(Observed { namespace_going: true, ..Observed::default() });
    }
    Ok(read(topic, context).await)
}

/// Another topic of the same name in the same cluster, where it is older.
fn older(topic: &CheckedTopic, context: &Context) -> Option<String> {
    let is_of_one_name = |other: &Topic| {
        is_neighbour(other, topic)
            && other.spec.virtual_host == topic.virtual_host
            && other.spec.name.as_deref().or(other.metadata.name.as_deref()) == Some(&topic.name)
    };
    siblings::older(&context.topics.state(), &topic.uid, is_of_one_name)
}

/// Whether there is a topic of this uid for the same cluster.
fn lives(uid: &str, topic: &CheckedTopic, context: &Context) -> bool {
    let all = context.topics.state();
    all.iter().any(|other| is_neighbour(other, topic) && other.metadata.uid.as_deref() == Some(uid))
}

fn is_neighbour(other: &Topic, topic: &CheckedTopic) -> bool {
    other.spec.cluster == topic.cluster && other.metadata.namespace.as_deref() == Some(&topic.namespace)
}
