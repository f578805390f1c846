//! The only reads of a reconcile: what Kubernetes has of the cluster, and what its brokers say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ferrymq_admin_api::{CallError, ClusterStatus, NodeStatus, Phase, Reason as Refusal};
use ferrymq_api::{Backup, MessageQueue, NetworkPolicyMode, TlsMode};
use ferrymq_tls::Trust;
use futures::future::join_all;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Event, PersistentVolumeClaim, Pod, Secret},
    },
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    runtime::reflector::ObjectRef,
};
use serde::de::DeserializeOwned;

use crate::{
    context::Context,
    error::{ReconcileError, chain},
    links::{admin_client, admin_url, secret_text, trust},
    message_queue::{
        machine_reads::{addresses, machines, zones},
        machines::{Machine, OnLostMachine},
        surplus::{self, Surplus},
    },
    names,
    objects::Kind,
};

/// How long a broker may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is of a cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// The resource itself, as the API server has it now.
    pub(crate) resource: Option<MessageQueue>,
    /// Objects of the names that the cluster's have.
    pub(crate) objects: BTreeMap<(Kind, String), DynamicObject>,
    pub(crate) stateful_set: Option<StatefulSet>,
    /// The Secret that the spec names for the listeners, or that cert-manager makes for them.
    pub(crate) given_certificate: Option<Secret>,
    /// The names and passwords that the cluster has, or is to get.
    pub(crate) credentials: Credentials,
    /// The brokers' pods, by ordinal.
    pub(crate) pods: BTreeMap<u32, Pod>,
    /// Their volumes' claims, by ordinal.
    pub(crate) claims: BTreeMap<u32, PersistentVolumeClaim>,
    /// The last that Kubernetes said of a claim that is not bound.
    pub(crate) claim_events: BTreeMap<u32, Said>,
    /// The last refusal of a pod, where pods are missing.
    pub(crate) pod_refusal: Option<String>,
    /// Objects of the cluster's that its spec does not ask for any more.
    pub(crate) surplus: Vec<Surplus>,
    /// Zones of the machines that brokers run on, by ordinal.
    pub(crate) zones: BTreeMap<u32, String>,
    /// Addresses of these machines, where clients come by them.
    pub(crate) addresses: BTreeMap<u32, String>,
    /// Machines of brokers' pods that are not as they should be, by ordinal.
    pub(crate) machines: BTreeMap<u32, Machine>,
    /// Volumes that lay on machines that are gone, by ordinal.
    pub(crate) lost_volumes: BTreeMap<u32, OnLostMachine>,
    /// Brokers that do not know the operator's token.
    pub(crate) strangers: Vec<u32>,
    /// What the brokers say of themselves, by ordinal; why not, where they do not.
    pub(crate) brokers: BTreeMap<u32, Result<NodeStatus, String>>,
    /// What the cluster looks like from a broker that serves.
    pub(crate) view: Option<ClusterStatus>,
    /// Why there is no view, where a broker serves and was asked.
    pub(crate) view_error: Option<String>,
    /// Its backups.
    pub(crate) backups: Vec<Arc<Backup>>,
}

/// What Kubernetes said of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) message: String,
    /// It is a complaint, and no report of progress.
    pub(crate) complaint: bool,
}

/// The secrets of a cluster: those that there are, and new ones for those that there are not.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) token: String,
    /// Whose certificates are those of the cluster's brokers.
    pub(crate) trust: Option<Trust>,
    /// Which state of the user's Secret this is; none where it is not there yet.
    pub(crate) version: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Observed {
    /// A Secret of the cluster, where it is there and one.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        typed(&self.objects, Kind::Secret, name).ok().flatten()
    }

    /// What a broker says of itself, where it answers.
    pub(crate) fn node(&self, ordinal: u32) -> Option<&NodeStatus> {
        self.brokers.get(&ordinal).and_then(|answer| answer.as_ref().ok())
    }

    /// Whether a broker serves, and Kubernetes sends clients to it.
    pub(crate) fn serves(&self, ordinal: u32) -> bool {
        self.node(ordinal).is_some_and(|node| node.phase == Phase::Serving)
            && self.pods.get(&ordinal).is_some_and(is_ready)
    }

    /// A broker's address, where it has one.
    pub(crate) fn address(&self, ordinal: u32) -> Option<String> {
        self.pods.get(&ordinal).and_then(address)
    }
}

pub(crate) async fn read(resource: &MessageQueue, context: &Context) -> Result<Observed, ReconcileError> {
    let cluster = ObjectRef::from_obj(resource);
    let formed = resource.status.as_ref().and_then(|status| status.formation.as_ref()).is_some_and(|it| it.complete);
    // What is wanted, and what is not any more, is of a spec.
    let generation = |resource: &MessageQueue| resource.metadata.generation;
    let is_of_spec = |kept: &Observed| kept.resource.as_ref().is_some_and(|of| generation(of) == generation(resource));
    let mut observed = match context.snapshots.get(&cluster).filter(|kept| formed && is_of_spec(kept)) {
        Some(observed) => Observed { resource: Some(resource.clone()), ..observed },
        None => {
            let began = context.snapshots.begin(&cluster);
            let observed = kubernetes(resource, context).await?;
            if is_calm(&observed) {
                context.snapshots.keep(&cluster, began, observed.clone());
            }
            observed
        }
    };
    if observed.resource.is_some() {
        observed.backups = backups(resource, context);
        (observed.brokers, observed.strangers) = brokers(&observed.pods, &observed.credentials).await;
        (observed.view, observed.view_error) = view(&observed.pods, &observed.brokers, &observed.credentials).await;
    }
    Ok(observed)
}

/// The backups of a cluster, as the watch has them.
fn backups(resource: &MessageQueue, context: &Context) -> Vec<Arc<Backup>> {
    let (name, namespace) = (resource.name_any(), resource.namespace());
    let mut backups = context.backups.state();
    backups.retain(|backup| backup.spec.cluster == name && backup.namespace() == namespace);
    backups
}

/// What Kubernetes has.
async fn kubernetes(resource: &MessageQueue, context: &Context) -> Result<Observed, ReconcileError> {
    let name = resource.name_any();
    let namespace = resource.namespace().unwrap_or_default();
    let wanted = wanted(resource);
    let (current, objects, surplus, given_certificate) = futures::try_join!(
        current(context, &namespace, &name),
        objects(context, &namespace, &wanted),
        surplus::read(context, resource, &wanted),
        given_certificate(context, &namespace, resource)
    )?;
    let Some(current) = current else { return Ok(Observed::default()) };
    let stateful_set: Option<StatefulSet> = typed(&objects, Kind::StatefulSet, &names::stateful_set(&name))?;
    let credentials = remembered_credentials(resource, &objects, context)?;
    let (pods, claims) = futures::try_join!(
        pods(context, &namespace, &name, stateful_set.as_ref()),
        claims(context, &namespace, &name)
    )?;
    let (claim_events, pod_refusal) = events(context, &namespace, &name, stateful_set.as_ref(), &pods, &claims).await?;
    let zones = zones(context, &pods).await;
    let addresses = addresses(context, resource, &pods).await;
    let (machines, lost_volumes) = machines(context, &pods, &claims).await;
    Ok(Observed {
        resource: Some(current),
        objects,
        stateful_set,
        given_certificate,
        credentials,
        pods,
        claims,
        claim_events,
        pod_refusal,
        surplus,
        zones,
        addresses,
        machines,
        lost_volumes,
        ..Observed::default()
    })
}

/// Whether nothing is on its way anywhere that no watch tells of: all pods are ready, all volumes bound, all Secrets there.
fn is_calm(observed: &Observed) -> bool {
    let replicas = observed.stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas);
    let bound = |claim: &PersistentVolumeClaim| {
        claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"))
    };
    replicas.and_then(|replicas| usize::try_from(replicas).ok()) == Some(observed.pods.len())
        && observed.pods.values().all(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod))
        && observed.claims.values().all(bound)
        && observed.credentials.version.is_some()
}

async fn current(context: &Context, namespace: &str, name: &str) -> Result<Option<MessageQueue>, ReconcileError> {
    // Not from the cache of the watch: whether the cluster was formed already must never be read from the past.
    Api::<MessageQueue>::namespaced(context.client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|source| ReconcileError::Read { what: format!("MessageQueue {name}"), source })
}

/// The objects that the cluster's spec asks for.
fn wanted(resource: &MessageQueue) -> BTreeSet<(Kind, String)> {
    let cluster = resource.name_any();
    let cluster = cluster.as_str();
    let mut wanted = BTreeSet::from([
        (Kind::ServiceAccount, names::service_account(cluster)),
        (Kind::Secret, names::default_user_secret(cluster)),
        (Kind::Secret, names::token_secret(cluster)),
        (Kind::Secret, names::internal_authority(cluster)),
        (Kind::Secret, names::internal_certificate(cluster)),
        (Kind::ConfigMap, names::config_map(cluster)),
        (Kind::Service, names::nodes_service(cluster)),
        (Kind::Service, names::client_service(cluster)),
        (Kind::PodDisruptionBudget, names::pod_disruption_budget(cluster)),
        (Kind::StatefulSet, names::stateful_set(cluster)),
    ]);
    // In another mode these names are anybody's.
    match resource.spec.tls.as_ref().map(|tls| tls.mode) {
        Some(TlsMode::Generated) => wanted.extend([
            (Kind::Secret, names::client_authority(cluster)),
            (Kind::Secret, names::client_certificate(cluster)),
        ]),
        Some(TlsMode::CertManager) => {
            wanted.insert((Kind::Certificate, names::issued_certificate(cluster)));
        }
        Some(TlsMode::Secret | TlsMode::Disabled) | None => {}
    }
    if resource.spec.network_policy.as_ref().is_none_or(|policy| policy.mode == NetworkPolicyMode::Managed) {
        wanted.insert((Kind::NetworkPolicy, names::network_policy(cluster)));
    }
    // Those that are to go have theirs until they are gone.
    let running = resource.status.as_ref().map_or(0, |status| status.nodes.len());
    let brokers = usize::try_from(resource.spec.replicas).unwrap_or_default().max(running);
    let brokers = u32::try_from(brokers).unwrap_or_default();
    let exposed =
        resource.spec.listeners.iter().flatten().filter_map(|listener| Some((listener, listener.expose.as_ref()?)));
    for (listener, expose) in exposed {
        let services = names::exposed_services(cluster, &listener.name, expose.each_broker, brokers);
        wanted.extend(services.map(|(_, name)| (Kind::Service, name)));
    }
    wanted
}

async fn objects(
    context: &Context,
    namespace: &str,
    wanted: &BTreeSet<(Kind, String)>,
) -> Result<BTreeMap<(Kind, String), DynamicObject>, ReconcileError> {
    let reads = wanted.iter().map(|(kind, name)| async move {
        let object = kind
            .api(&context.client, namespace)
            .get_opt(name)
            .await
            .map_err(|source| ReconcileError::Read { what: format!("{} {name}", kind.as_str()), source })?;
        Ok::<_, ReconcileError>(object.map(|object| ((*kind, name.clone()), object)))
    });
    let mut objects = BTreeMap::new();
    for read in join_all(reads).await {
        objects.extend(read?);
    }
    Ok(objects)
}

/// The Secret that somebody else makes for the listeners.
async fn given_certificate(
    context: &Context,
    namespace: &str,
    resource: &MessageQueue,
) -> Result<Option<Secret>, ReconcileError> {
    let Some(tls) = &resource.spec.tls else { return Ok(None) };
    let name = match (tls.mode, &tls.secret_name) {
        (TlsMode::Secret, Some(name)) => name.clone(),
        (TlsMode::CertManager, _) => names::issued_certificate(&resource.name_any()),
        _ => return Ok(None),
    };
    Api::<Secret>::namespaced(context.client.clone(), namespace)
        .get_opt(&name)
        .await
        .map_err(|source| ReconcileError::Read { what: format!("Secret {name}"), source })
}

fn typed<T: DeserializeOwned>(
    objects: &BTreeMap<(Kind, String), DynamicObject>,
    kind: Kind,
    name: &str,
) -> Result<Option<T>, ReconcileError> {
    let malformed = |source| ReconcileError::Malformed { what: format!("{} {name}", kind.as_str()), source };
    let Some(object) = objects.get(&(kind, name.to_owned())) else { return Ok(None) };
    let value = serde_json::to_value(object).map_err(malformed)?;
    serde_json::from_value(value).map(Some).map_err(malformed)
}

/// The secrets that there are. What somebody deleted is put back as it was, where that is known.
fn remembered_credentials(
    resource: &MessageQueue,
    objects: &BTreeMap<(Kind, String), DynamicObject>,
    context: &Context,
) -> Result<Credentials, ReconcileError> {
    let (name, uid) = (resource.name_any(), resource.uid().unwrap_or_default());
    let user: Option<Secret> = typed(objects, Kind::Secret, &names::default_user_secret(&name))?;
    let token: Option<Secret> = typed(objects, Kind::Secret, &names::token_secret(&name))?;
    let authority: Option<Secret> = typed(objects, Kind::Secret, &names::internal_authority(&name))?;
    let trust = authority.and_then(|authority| trust(&authority, &name, &resource.namespace().unwrap_or_default()));
    let are_there = user.is_some() && token.is_some();
    let credentials = credentials(user, token, trust, context.remembered.get(&uid));
    if are_there {
        context.remembered.keep(&uid, &credentials, &context.clusters);
    }
    Ok(credentials)
}

/// The secrets that there are; for those that there are not what they were, or new ones, which `apply` writes before
/// anything uses them.
fn credentials(
    user: Option<Secret>,
    token: Option<Secret>,
    trust: Option<Trust>,
    before: Option<Credentials>,
) -> Credentials {
    let text = |secret: &Option<Secret>, key| secret.as_ref().and_then(|secret| secret_text(secret, key));
    let before = |part: fn(&Credentials) -> &String| before.as_ref().map(part).cloned();
    // Name and password belong together: half of what was is not put beside half of what is.
    let (name, password) = match (text(&user, "username"), text(&user, "password")) {
        (None, None) => (before(|it| &it.username), before(|it| &it.password)),
        given => given,
    };
    Credentials {
        username: name.unwrap_or_else(|| format!("user-{}", random(8))),
        password: password.unwrap_or_else(|| random(32)),
        token: text(&token, names::TOKEN_FILE).or_else(|| before(|it| &it.token)).unwrap_or_else(|| random(48)),
        trust,
        version: user.and_then(|secret| secret.metadata.resource_version),
    }
}

/// Letters and digits from the operating system's generator: 5.95 bits each.
pub(crate) fn random(count: usize) -> String {
    use rand::RngExt;
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(count).map(char::from).collect()
}

async fn pods(
    context: &Context,
    namespace: &str,
    cluster: &str,
    stateful_set: Option<&StatefulSet>,
) -> Result<BTreeMap<u32, Pod>, ReconcileError> {
    let pods = Api::<Pod>::namespaced(context.client.clone(), namespace)
        .list(&ListParams::default().labels(&names::selector_text(cluster)))
        .await
        .map_err(|source| ReconcileError::Read { what: format!("the pods of {cluster}"), source })?;
    let uid = stateful_set.and_then(ResourceExt::uid);
    // One that nobody controls is between two StatefulSets of ours: the next one takes it.
    let controller = |pod: &Pod| {
        let mut owners = pod.owner_references().iter();
        owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
    };
    let ours = pods.items.into_iter().filter(|pod| controller(pod).is_none_or(|owner| Some(owner) == uid));
    Ok(ours.filter_map(|pod| Some((names::ordinal(cluster, &pod.name_any())?, pod))).collect())
}

async fn claims(
    context: &Context,
    namespace: &str,
    cluster: &str,
) -> Result<BTreeMap<u32, PersistentVolumeClaim>, ReconcileError> {
    let claims = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), namespace)
        .list(&ListParams::default().labels(&names::selector_text(cluster)))
        .await
        .map_err(|source| ReconcileError::Read { what: format!("the volume claims of {cluster}"), source })?;
    let prefix = format!("data-{cluster}");
    Ok(claims
        .items
        .into_iter()
        .filter_map(|claim| Some((names::ordinal(&prefix, &claim.name_any())?, claim)))
        .collect())
}

/// What Kubernetes said last of claims that are not bound and of pods that are not there. Asked for only where some are.
async fn events(
    context: &Context,
    namespace: &str,
    cluster: &str,
    stateful_set: Option<&StatefulSet>,
    pods: &BTreeMap<u32, Pod>,
    claims: &BTreeMap<u32, PersistentVolumeClaim>,
) -> Result<(BTreeMap<u32, Said>, Option<String>), ReconcileError> {
    let phase = |claim: &PersistentVolumeClaim| claim.status.as_ref().and_then(|status| status.phase.clone());
    let mut of_claims = BTreeMap::new();
    for (ordinal, claim) in claims.iter().filter(|(_, claim)| phase(claim).as_deref() != Some("Bound")) {
        let events = events_of(context, namespace, "PersistentVolumeClaim", claim).await?;
        if let Some(event) = events.into_iter().next_back() {
            let complaint =
                event.type_.as_deref() == Some("Warning") || event.reason.as_deref() == Some("FailedBinding");
            of_claims.insert(*ordinal, Said { message: event.message.unwrap_or_default(), complaint });
        }
    }
    let Some(set) = stateful_set else { return Ok((of_claims, None)) };
    let wanted = set.spec.as_ref().and_then(|spec| u32::try_from(spec.replicas?).ok()).unwrap_or_default();
    let missing: Vec<u32> = (0..wanted).filter(|ordinal| !pods.contains_key(ordinal)).collect();
    if missing.is_empty() {
        return Ok((of_claims, None));
    }
    let events = events_of(context, namespace, "StatefulSet", set).await?;
    let refusal = missing.iter().find_map(|ordinal| last_refusal(&events, &names::pod(cluster, *ordinal)));
    Ok((of_claims, refusal))
}

/// Why a pod was not made, where that is the last that was said of it.
fn last_refusal(events: &[Event], pod: &str) -> Option<String> {
    let of_pod = format!("Pod {pod} in");
    let last = events.iter().rev().find(|event| event.message.as_ref().is_some_and(|text| text.contains(&of_pod)))?;
    last.message.clone().filter(|_| last.reason.as_deref() == Some("FailedCreate"))
}

/// The events of an object of the last ten minutes, the oldest first.
async fn events_of<K: ResourceExt>(
    context: &Context,
    namespace: &str,
    kind: &str,
    object: &K,
) -> Result<Vec<Event>, ReconcileError> {
    let name = object.name_any();
    let uid = object.uid().unwrap_or_default();
    let fields = format!("involvedObject.kind={kind},involvedObject.name={name},involvedObject.uid={uid}");
    let events = Api::<Event>::namespaced(context.client.clone(), namespace)
        .list(&ListParams::default().fields(&fields).limit(500))
        .await
        .map_err(|source| ReconcileError::Read { what: format!("the events of {kind} {name}"), source })?;
    let oldest = Timestamp::now().as_second().saturating_sub(600);
    let mut events: Vec<Event> = events.items.into_iter().filter(|event| event_second(event) >= oldest).collect();
    events.sort_by_key(event_second);
    Ok(events)
}

/// When an event was last seen, in seconds of the epoch; the several ways of writing it differ by who wrote it.
fn event_second(event: &Event) -> i64 {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    let made = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    [series, last, first, made].into_iter().flatten().map(Timestamp::as_second).max().unwrap_or_default()
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let running = status.container_statuses.as_ref()?.iter().any(|container| {
        container.name == "broker" && container.state.as_ref().is_some_and(|state| state.running.is_some())
    });
    if running { admin_url(pod) } else { None }
}

/// What brokers say of themselves, and who of them does not know the token.
async fn brokers(
    pods: &BTreeMap<u32, Pod>,
    credentials: &Credentials,
) -> (BTreeMap<u32, Result<NodeStatus, String>>, Vec<u32>) {
    let calls = pods.iter().filter_map(|(ordinal, pod)| {
        let address = address(pod)?;
        Some(async move {
            let answer = match admin_client(&address, &credentials.token, credentials.trust.as_ref()) {
                Ok(client) => client.with_timeout(PATIENCE).node().await,
                Err(error) => return (*ordinal, Err(error.to_string()), false),
            };
            let is_stranger = answer.as_ref().err().and_then(CallError::refusal);
            let is_stranger = is_stranger.is_some_and(|refusal| refusal.reason == Refusal::Unauthorized);
            (*ordinal, answer.map_err(|error| chain(&error)), is_stranger)
        })
    });
    let answers = join_all(calls).await;
    let strangers = answers.iter().filter(|(_, _, is_stranger)| *is_stranger).map(|(ordinal, ..)| *ordinal).collect();
    (answers.into_iter().map(|(ordinal, answer, _)| (ordinal, answer)).collect(), strangers)
}

/// What the cluster looks like from the first broker that serves and tells.
async fn view(
    pods: &BTreeMap<u32, Pod>,
    brokers: &BTreeMap<u32, Result<NodeStatus, String>>,
    credentials: &Credentials,
) -> (Option<ClusterStatus>, Option<String>) {
    let mut why = None;
    let serving = brokers.iter().filter(|(_, node)| {
        node.as_ref().is_ok_and(|node| matches!(node.phase, Phase::Serving | Phase::Stopping | Phase::Starting))
    });
    for (ordinal, _) in serving {
        let Some(address) = pods.get(ordinal).and_then(address) else { continue };
        match admin_client(&address, &credentials.token, credentials.trust.as_ref()) {
            Ok(client) => match client.with_timeout(PATIENCE).cluster().await {
                Ok(view) => return (Some(view), None),
                Err(error) => why = Some(chain(&error)),
            },
            Err(error) => why = Some(error.to_string()),
        }
    }
    (None, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        let event = json!({"metadata": {"name": "e"}, "involvedObject": {}, "reason": reason, "message": message});
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_secret_that_is_gone_is_put_back_as_it_was_and_one_that_was_changed_is_not() {
        let before = crate::fixture::credentials();
        let credentials_of = |user: serde_json::Value| {
            let secret =
                |data: serde_json::Value| serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
            let user = (!user.is_null()).then(|| secret(user));
            credentials(user, None, None, Some(before.clone()))
        };
        let put_back = credentials_of(json!(null));
        assert_eq!((&put_back.username, &put_back.password), (&before.username, &before.password));
        assert_eq!((&put_back.token, &put_back.version), (&before.token, &None));
        // "new" and "word"
        let changed = credentials_of(json!({"username": "bmV3", "password": "d29yZA=="}));
        assert_eq!((changed.username.as_str(), changed.password.as_str()), ("new", "word"));
        let renewed = credentials_of(json!({"username": "bmV3"}));
        assert_eq!(renewed.username, "new");
        assert_ne!(renewed.password, before.password, "a password of another user is no password of this one");
    }

    #[test]
    fn a_pod_that_was_made_after_all_is_refused_no_more() {
        let mut events = vec![
            event("FailedCreate", "create Pod orders-2 in StatefulSet orders failed error: exceeded quota"),
            event("SuccessfulCreate", "create Pod orders-1 in StatefulSet orders successful"),
        ];
        assert!(last_refusal(&events, "orders-2").is_some_and(|why| why.ends_with("exceeded quota")));
        assert_eq!(last_refusal(&events, "orders-1"), None);
        events.push(event("SuccessfulCreate", "create Pod orders-2 in StatefulSet orders successful"));
        assert_eq!(last_refusal(&events, "orders-2"), None);
    }
}
