//! The operator as a whole: probes, the lease, and one controller for each kind.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use ferrymq_api::{Backup, ConditionType, MessageQueue, Topic, User};
use futures::{
    Stream, StreamExt,
    channel::mpsc,
    future::{BoxFuture, join_all},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    client::ClientBuilder,
    core::PartialObjectMeta,
    runtime::{
        Controller, Predicate, PredicateConfig, WatchStreamExt,
        controller::{self, Action},
        predicates,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    backup,
    context::Context,
    error::{OperatorError, ReconcileError, chain},
    lease::Election,
    message_queue,
    metrics::{Metrics, Stores},
    names::{self, CLUSTER_LABEL},
    probes::{self, Readiness},
    settings::Settings,
    topic, user,
};

/// The longest that it may take to reach the API server.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest that an answer may be waited for: a webhook may take 30 s of that for itself, and usually takes 10.
const CALL: Duration = Duration::from_secs(30);

/// The longest silence of a watch, which the API server ends after 290 s.
const WATCH: Duration = Duration::from_secs(330);

/// Runs the operator until it is asked to stop (SIGTERM, SIGINT), or cannot go on. A TLS provider must be installed.
///
/// # Errors
///
/// [`OperatorError`] where it cannot start, or has lost its lease; Kubernetes starts it again.
pub async fn run(settings: Settings) -> Result<(), OperatorError> {
    let config = Config::infer().await.map_err(OperatorError::Configuration)?;
    let metrics = Metrics::default();
    let client = |config| {
        let builder = ClientBuilder::try_from(config).map_err(OperatorError::Client)?;
        Ok::<Client, OperatorError>(builder.with_layer(metrics.calls()).build())
    };
    let clients = Clients { calls: client(bounded(&config, CALL))?, watches: client(bounded(&config, WATCH))? };
    let readiness = Readiness::default();
    let probes = probes::serve(settings.probe_address, readiness.clone());
    let figures = probes::serve_metrics(settings.metrics_address, metrics.clone());
    let work = work(clients, settings, readiness, metrics.clone());
    tokio::select! {
        outcome = probes => outcome,
        outcome = figures => outcome,
        outcome = work => outcome,
    }
}

/// What asks the API server.
#[derive(Clone)]
pub(crate) struct Clients {
    /// What is answered at once.
    pub(crate) calls: Client,
    /// Watches, which are silent for as long as nothing happens.
    pub(crate) watches: Client,
}

/// A client whose answers are waited for as long as that. One call is one request: what fails is tried again by whoever
/// asked, later each time, and by nothing below.
fn bounded(config: &Config, answer: Duration) -> Config {
    let mut config = config.clone();
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(CALL);
    config.read_timeout = Some(answer);
    config.reset_reader_on_write = true;
    config.default_retry = false;
    config
}

async fn work(
    clients: Clients,
    settings: Settings,
    readiness: Readiness,
    metrics: Metrics,
) -> Result<(), OperatorError> {
    // One that waits for the lease is ready too: it takes over as soon as it may.
    readiness.set();
    let Some(lease) = settings.lease.clone() else {
        tokio::select! {
            () = controllers(clients, settings, metrics) => {}
            () = stopped() => {}
        }
        return Ok(());
    };
    tracing::info!(lease = %lease.name, "waiting for the lease");
    let mut election = Election::new(clients.calls.clone(), lease.clone());
    tokio::select! {
        () = election.win() => {}
        () = stopped() => return Ok(()),
    }
    tracing::info!(lease = %lease.name, "the lease is ours");
    let outcome = tokio::select! {
        lost = election.keep() => Err(lost),
        () = controllers(clients, settings, metrics) => Ok(()),
        () = stopped() => Ok(()),
    };
    if outcome.is_ok() {
        election.give_back().await;
    }
    outcome
}

/// Returns when the process is asked to stop.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

pub(crate) async fn controllers(clients: Clients, settings: Settings, metrics: Metrics) {
    // No watch is of several namespaces: each of those that are looked after has its own.
    let scopes: Vec<Option<String>> = match settings.namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    };
    let (stores, work): (Vec<_>, Vec<_>) =
        scopes.into_iter().map(|scope| within(scope, &clients, &settings, &metrics)).unzip();
    metrics.lead(stores);
    join_all(work).await;
}

/// What the watches of one scope know, and the controllers of it.
fn within(
    scope: Option<String>,
    clients: &Clients,
    settings: &Settings,
    metrics: &Metrics,
) -> (Stores, impl Future<Output = ()> + use<>) {
    let Clients { calls, watches: client } = clients.clone();
    let clusters = reflected::<MessageQueue>(&client, scope.as_deref());
    let topics = reflected::<Topic>(&client, scope.as_deref());
    let users = reflected::<User>(&client, scope.as_deref());
    let backups = reflected::<Backup>(&client, scope.as_deref());
    let stores = Stores {
        clusters: clusters.0.clone(),
        topics: topics.0.clone(),
        users: users.0.clone(),
        backups: backups.0.clone(),
    };
    let (context, looked_at) = Context::new(calls, settings.clone(), stores.clone());
    let (context, metrics) = (Arc::new(context), metrics.clone());
    let work = async move {
        let scope = scope.as_deref();
        let queues = message_queues(&client, scope, clusters, Arc::clone(&context), metrics.clone());
        let topics = self::topics(&client, scope, topics, looked_at, Arc::clone(&context), metrics.clone());
        let users = self::users(&client, scope, users, Arc::clone(&context), metrics.clone());
        let backups = self::backups(&client, scope, backups, context, metrics);
        futures::future::join4(queues, topics, users, backups).await;
    };
    (stores, work)
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// All of a kind, and those of it whose spec, labels or deletion changed: what a status says starts no reconcile.
fn reflected<K>(
    client: &Client,
    scope: Option<&str>,
) -> Reflected<K, impl Stream<Item = watcher::Result<K>> + Send + 'static + use<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = reflector::store();
    let stream = watcher(api::<K>(client, scope), watcher::Config::default())
        .default_backoff()
        // Who wrote which field, and what kubectl wrote last, is most of a small resource, and nothing is decided by it.
        .modify(|object| {
            object.managed_fields_mut().clear();
            object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
            // What was read has room for more than it holds; a copy has not.
            *object = object.clone();
        })
        .reflect(writer)
        .applied_objects()
        .predicate_filter(
            predicates::generation.combine(predicates::finalizers).combine(predicates::annotations),
            PredicateConfig::default(),
        );
    (reader, stream)
}

fn settings_of_controllers() -> controller::Config {
    // A pod that starts changes several times a second; one look sees it all.
    controller::Config::default().debounce(Duration::from_millis(50)).concurrency(16)
}

/// A reconcile that is counted.
fn counted<K, F>(
    metrics: Metrics,
    kind: &'static str,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F,
) -> impl FnMut(Arc<K>, Arc<Context>) -> BoxFuture<'static, Result<Action, ReconcileError>>
where
    F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    move |resource, context| {
        let (metrics, reconciled) = (metrics.clone(), reconcile(resource, context));
        Box::pin(async move { metrics.counted(kind, reconciled).await })
    }
}

/// A store of a kind, and what starts its reconciles.
type Reflected<K, S> = (Store<K>, S);

async fn message_queues(
    client: &Client,
    scope: Option<&str>,
    (store, stream): Reflected<MessageQueue, impl Stream<Item = watcher::Result<MessageQueue>> + Send + 'static>,
    context: Arc<Context>,
    metrics: Metrics,
) {
    let ours = watcher::Config::default().labels("app.kubernetes.io/managed-by=ferrymq");
    let controller = Controller::for_stream(stream, store).with_config(settings_of_controllers());
    controller
        .watches(api::<StatefulSet>(client, scope), ours.clone(), touches(&context))
        .watches(api::<Service>(client, scope), ours.clone(), touches(&context))
        .watches(api::<ServiceAccount>(client, scope), ours.clone(), touches(&context))
        .watches(api::<Secret>(client, scope), ours.clone(), touches(&context))
        .watches(api::<ConfigMap>(client, scope), ours.clone(), touches(&context))
        .watches(api::<NetworkPolicy>(client, scope), ours.clone(), touches(&context))
        .watches(api::<PodDisruptionBudget>(client, scope), ours.clone(), touches(&context))
        .watches(api::<Pod>(client, scope), ours.clone(), touches(&context))
        .watches(api::<PersistentVolumeClaim>(client, scope), ours, touches(&context))
        .run(counted(metrics, "MessageQueue", message_queue::reconcile), message_queue::after_error, context)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(error = %chain(&error), "a MessageQueue");
            }
            std::future::ready(())
        })
        .await;
}

/// The cluster that an object's label names: it is to be looked at, and is not what it was when it was read last.
fn touches<K: ResourceExt>(
    context: &Arc<Context>,
) -> impl Fn(K) -> Option<ObjectRef<MessageQueue>> + Send + Sync + 'static {
    let context = Arc::clone(context);
    move |object| {
        let cluster = ObjectRef::new(object.labels().get(CLUSTER_LABEL)?).within(&object.namespace()?);
        context.snapshots.touched(&cluster);
        Some(cluster)
    }
}

async fn topics(
    client: &Client,
    scope: Option<&str>,
    (store, stream): Reflected<Topic, impl Stream<Item = watcher::Result<Topic>> + Send + 'static>,
    looked_at: mpsc::Receiver<ObjectRef<Topic>>,
    context: Arc<Context>,
    metrics: Metrics,
) {
    let clusters = watcher(api::<MessageQueue>(client, scope), watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .predicate_filter(what_others_depend_on, PredicateConfig::default());
    let all = store.clone();
    Controller::for_stream(stream, store)
        .with_config(settings_of_controllers())
        .watches_stream(clusters, move |cluster: MessageQueue| topics_of(&all, &cluster))
        .reconcile_on(looked_at)
        .run(counted(metrics, "Topic", topic::reconcile), topic::after_error, context)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(error = %chain(&error), "a Topic");
            }
            std::future::ready(())
        })
        .await;
}

async fn users(
    client: &Client,
    scope: Option<&str>,
    (store, stream): Reflected<User, impl Stream<Item = watcher::Result<User>> + Send + 'static>,
    context: Arc<Context>,
    metrics: Metrics,
) {
    let clusters = watcher(api::<MessageQueue>(client, scope), watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .predicate_filter(what_others_depend_on, PredicateConfig::default());
    // Of Secrets that are not ours nothing is read but that they changed; the password is, by its name, when it did.
    let secrets = watcher(api::<PartialObjectMeta<Secret>>(client, scope), watcher::Config::default())
        .default_backoff()
        .touched_objects();
    let (of_clusters, of_secrets) = (store.clone(), store.clone());
    Controller::for_stream(stream, store)
        .with_config(settings_of_controllers())
        .watches_stream(clusters, move |cluster: MessageQueue| users_of(&of_clusters, &cluster))
        .watches_stream(secrets, move |secret: PartialObjectMeta<Secret>| users_with(&of_secrets, &secret))
        .run(counted(metrics, "User", user::reconcile), user::after_error, context)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(error = %chain(&error), "a User");
            }
            std::future::ready(())
        })
        .await;
}

async fn backups(
    client: &Client,
    scope: Option<&str>,
    (store, stream): Reflected<Backup, impl Stream<Item = watcher::Result<Backup>> + Send + 'static>,
    context: Arc<Context>,
    metrics: Metrics,
) {
    let clusters = watcher(api::<MessageQueue>(client, scope), watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .predicate_filter(what_others_depend_on, PredicateConfig::default());
    let all = store.clone();
    Controller::for_stream(stream, store)
        .with_config(settings_of_controllers())
        .watches_stream(clusters, move |cluster: MessageQueue| backups_of(&all, &cluster))
        .run(counted(metrics, "Backup", backup::reconcile), backup::after_error, context)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(error = %chain(&error), "a Backup");
            }
            std::future::ready(())
        })
        .await;
}

fn backups_of(all: &Store<Backup>, cluster: &MessageQueue) -> Vec<ObjectRef<Backup>> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    let all = all.state();
    let ours = all.iter().filter(|backup| backup.spec.cluster == name && backup.namespace() == namespace);
    ours.map(|backup| ObjectRef::from_obj(&**backup)).collect()
}

/// What of a cluster makes a difference to its topics and users.
fn what_others_depend_on(cluster: &MessageQueue) -> Option<u64> {
    let status = cluster.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str()));
    let mut hasher = DefaultHasher::new();
    (
        cluster.metadata.uid.as_ref(),
        cluster.metadata.generation,
        cluster.metadata.deletion_timestamp.is_some(),
        ready.map(|ready| &ready.status),
        status.and_then(|status| status.formation.as_ref()).map(|formation| formation.complete),
    )
        .hash(&mut hasher);
    Some(hasher.finish())
}

fn topics_of(all: &Store<Topic>, cluster: &MessageQueue) -> Vec<ObjectRef<Topic>> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    all.state()
        .iter()
        .filter(|topic| topic.spec.cluster == name && topic.namespace() == namespace)
        .map(|topic| ObjectRef::from_obj(&**topic))
        .collect()
}

fn users_of(all: &Store<User>, cluster: &MessageQueue) -> Vec<ObjectRef<User>> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    let all = all.state();
    let ours = all.iter().filter(|user| user.spec.cluster == name && user.namespace() == namespace);
    ours.map(|user| ObjectRef::from_obj(&**user)).collect()
}

/// The users whose password is in a Secret, or whose clients read it.
fn users_with(all: &Store<User>, secret: &PartialObjectMeta<Secret>) -> Vec<ObjectRef<User>> {
    let (name, namespace) = (secret.name_any(), secret.namespace());
    let all = all.state();
    let concerned = all.iter().filter(|user| user.namespace() == namespace).filter(|user| {
        user.spec.password_secret.as_ref().is_some_and(|secret| secret.name == name)
            || names::user_secret(&user.spec.cluster, &user.name_any()) == name
    });
    concerned.map(|user| ObjectRef::from_obj(&**user)).collect()
}
