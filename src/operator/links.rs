//! What brokers have of topics. Each cluster that has topics is followed by one task: it hears from one of the brokers when
//! topics are not what they were, and has those looked at. However many topics there are, and however long nothing
//! happens, the API server is asked nothing.
//!
//! ```text
//!   broker --pages of a list, when it changed--> follow --topics to be looked at--> reconciles
//!                                       |                                   |
//!                                       v                                   v
//!                                     Known <----- what a broker answered --+
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ferrymq_admin_api::{CallError, Client as AdminClient, ClientError, TopicName, TopicView, TopicsAfter};
use ferrymq_api::{CheckedTopic, Topic};
use ferrymq_tls::{CA_FILE, Trust};
use futures::{SinkExt, channel::mpsc};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use crate::{
    error::{ReconcileError, chain},
    names::{self, ADMIN_PORT},
    topic,
};

/// How long a reconcile waits for a cluster that was not heard from yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// How soon after an attempt the next one may be, and how long it is put off where all fail.
const PAUSE: (Duration, Duration) = (Duration::from_millis(700), Duration::from_secs(10));

/// What a reconcile was told itself, a list says nothing of that may be older.
const OWN_WORD: Duration = Duration::from_secs(2);

/// Topics in one part of a broker's list, at most.
const PART: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not 0");

/// Topics that wait to be looked at, at most; who finds more waits with them.
const WAITING: usize = 1024;

/// The base URL of a pod's admin API; none where the pod has no address.
pub(crate) fn admin_url(pod: &Pod) -> Option<String> {
    let ip = pod.status.as_ref()?.pod_ip.as_deref()?;
    let scheme = if names::speaks_tls(pod) { "https" } else { "http" };
    Some(if ip.contains(':') {
        format!("{scheme}://[{ip}]:{ADMIN_PORT}")
    } else {
        format!("{scheme}://{ip}:{ADMIN_PORT}")
    })
}

/// A client of the broker at this URL.
pub(crate) fn admin_client(url: &str, token: &str, trust: Option<&Trust>) -> Result<AdminClient, ClientError> {
    match trust.filter(|_| url.starts_with("https:")) {
        Some(trust) => AdminClient::over_tls(url, token, trust),
        None => AdminClient::new(url, token),
    }
}

/// Whom the operator takes for a broker of a cluster: whoever shows a certificate of its own authority.
pub(crate) fn trust(authority: &Secret, cluster: &str, namespace: &str) -> Option<Trust> {
    let authorities = secret_text(authority, CA_FILE)?;
    Trust::new(authorities.as_bytes(), &names::internal_name(cluster, namespace)).ok()
}

/// What a Secret holds under a key, as text.
pub(crate) fn secret_text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok().filter(|text| !text.is_empty())
}

/// Namespace and name of a cluster.
pub(crate) type ClusterKey = (String, String);

/// The clusters that have topics.
pub(crate) struct Links {
    client: Client,
    /// All topics, as the watch knows them.
    topics: Store<Topic>,
    followed: Mutex<HashMap<ClusterKey, Arc<Followed>>>,
    look: mpsc::Sender<ObjectRef<Topic>>,
}

/// A cluster that is followed.
struct Followed {
    known: Mutex<Known>,
    /// Something is known of it: its topics, or why not.
    heard: watch::Sender<bool>,
    /// Somebody wants to know who was told nothing yet.
    wanted: Notify,
}

/// What is known of a cluster.
#[derive(Default)]
struct Known {
    /// A broker that answered last.
    client: Option<AdminClient>,
    /// Why none answers.
    silence: String,
    /// Of the last list.
    version: Option<String>,
    topics: BTreeMap<TopicName, Arc<TopicView>>,
    /// When a reconcile was told of a topic last, and not by a list.
    own: HashMap<TopicName, Instant>,
}

/// The part of a list that is after this topic, or begins with the first one, and ends with that one, or with the last one.
#[derive(Default)]
struct Part {
    after: Option<TopicName>,
    last: Option<TopicName>,
}

impl Part {
    fn has(&self, topic: &TopicName) -> bool {
        self.after.as_ref().is_none_or(|after| topic > after) && self.last.as_ref().is_none_or(|last| topic <= last)
    }
}

impl Followed {
    fn new() -> Self {
        Self { known: Mutex::default(), heard: watch::Sender::new(false), wanted: Notify::new() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of a broker's list was taken.
    fn heard_of(&self, client: AdminClient, version: String) {
        let mut known = self.known();
        known.silence.clear();
        known.client = Some(client);
        // Else the next list is not waited for, and says what this one may have said too early.
        known.version = known.own.is_empty().then_some(version);
        drop(known);
        self.heard.send_replace(true);
    }
}

/// A broker that answers, and what it has of a topic.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) client: AdminClient,
    pub(crate) view: Option<Arc<TopicView>>,
}

impl Link {
    /// A link for tests of what is decided, not of what is called.
    #[cfg(test)]
    pub(crate) fn to_nobody(view: Option<TopicView>) -> Self {
        Self { client: AdminClient::new("http://127.0.0.1:9", "token").unwrap(), view: view.map(Arc::new) }
    }
}

impl Links {
    /// Also gives the topics that are to be looked at, as they come.
    pub(crate) fn new(client: Client, topics: Store<Topic>) -> (Self, mpsc::Receiver<ObjectRef<Topic>>) {
        let (look, looked_at) = mpsc::channel(WAITING);
        (Self { client, topics, followed: Mutex::default(), look }, looked_at)
    }

    /// A broker of a topic's cluster, and what it has of the topic; else why none answers.
    pub(crate) async fn to(self: &Arc<Self>, topic: &CheckedTopic) -> Result<Link, String> {
        let followed = self.followed(topic);
        let mut heard = followed.heard.subscribe();
        // One that is silent may answer by now.
        followed.wanted.notify_one();
        // Where that ends without an answer, what is known says why.
        let _ = timeout(PATIENCE, heard.wait_for(|heard| *heard)).await;
        let known = followed.known();
        match &known.client {
            Some(client) => Ok(Link { client: client.clone(), view: known.topics.get(&key_of(topic)).cloned() }),
            None if known.silence.is_empty() => Err(format!("no broker of {} has answered yet", topic.cluster)),
            None => Err(known.silence.clone()),
        }
    }

    /// What a broker answered who declared or removed a topic.
    pub(crate) fn learn(self: &Arc<Self>, topic: &CheckedTopic, view: Option<TopicView>) {
        let followed = self.followed(topic);
        let mut known = followed.known();
        let key = key_of(topic);
        known.own.insert(key.clone(), Instant::now());
        match view {
            Some(view) => drop(known.topics.insert(key, Arc::new(view))),
            None => drop(known.topics.remove(&key)),
        }
    }

    fn followed(self: &Arc<Self>, topic: &CheckedTopic) -> Arc<Followed> {
        let key = (topic.namespace.clone(), topic.cluster.clone());
        let mut all = self.all();
        let followed = all.entry(key.clone()).or_insert_with(|| {
            let followed = Arc::new(Followed::new());
            tokio::spawn(Arc::clone(self).follow(key, Arc::clone(&followed)));
            followed
        });
        Arc::clone(followed)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ClusterKey, Arc<Followed>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a cluster as long as it has topics.
    async fn follow(self: Arc<Self>, key: ClusterKey, followed: Arc<Followed>) {
        let (first, last) = PAUSE;
        let mut pause = first;
        while !self.topics_of(&key).is_empty() {
            match self.hear(&key, &followed).await {
                Ok(()) => {
                    pause = first;
                    if followed.known().version.is_none() {
                        sleep(first).await;
                    }
                }
                Err(silence) => {
                    if self.fall_silent(&followed, silence) {
                        self.have_looked_at(self.topics_of(&key)).await;
                    }
                    sleep(first).await;
                    // Ends early where somebody wants to know.
                    let _ = timeout(pause, followed.wanted.notified()).await;
                    pause = (pause * 2).min(last);
                }
            }
        }
        self.all().remove(&key);
    }

    fn topics_of(&self, (namespace, cluster): &ClusterKey) -> Vec<Arc<Topic>> {
        let mut topics = self.topics.state();
        topics.retain(|topic| {
            topic.spec.cluster == *cluster && topic.metadata.namespace.as_deref() == Some(namespace.as_str())
        });
        topics
    }

    async fn have_looked_at(&self, topics: Vec<Arc<Topic>>) {
        let mut look = self.look.clone();
        for topic in topics {
            if look.send(ObjectRef::from_obj(&*topic)).await.is_err() {
                return;
            }
        }
    }

    /// Takes the next list of a cluster's topics: from the broker that answered last, else from any. It comes in parts, so that
    /// thousands of topics need little memory on either side.
    async fn hear(&self, key: &ClusterKey, followed: &Followed) -> Result<(), String> {
        let (known, version) = {
            let known = followed.known();
            (known.client.clone(), known.version.clone().unwrap_or_default())
        };
        let first = known.is_none();
        let answered = match known {
            Some(client) => client.topics_after(&part_after(version, None)).await.ok().map(|list| (client, list)),
            None => None,
        };
        let (client, mut list) = match answered {
            Some(answered) => answered,
            None => {
                let ask =
                    |client: AdminClient| async move { client.topics_after(&part_after(String::new(), None)).await };
                find(&self.client, key, ask).await.map_err(|error| chain(&error))?
            }
        };
        let version = list.version;
        let mut part = Part::default();
        loop {
            part.last = list.topics.last().filter(|_| list.more).map(name_of);
            let changed = self.take(key, followed, &part, list.topics, first);
            self.have_looked_at(changed).await;
            let Some(last) = part.last.take() else { break };
            let next = client.topics_after(&part_after(String::new(), Some(last.clone()))).await;
            list = next.map_err(|error| chain(&error))?;
            part.after = Some(last);
        }
        followed.heard_of(client, version);
        Ok(())
    }

    /// Takes what a broker has of a part of the list, and gives the topics that are to be looked at.
    fn take(
        &self,
        key: &ClusterKey,
        followed: &Followed,
        part: &Part,
        views: Vec<TopicView>,
        first: bool,
    ) -> Vec<Arc<Topic>> {
        let mut known = followed.known();
        let before = known.take(part, views);
        let mut topics = self.topics_of(key);
        topics.retain(|topic| {
            let name = name_in_broker(topic);
            if !part.has(&name) {
                return false;
            }
            let (before, now) = (before.get(&name), known.topics.get(&name));
            first || topic::is_to_be_looked_at(topic, before.map(Arc::as_ref), now.map(Arc::as_ref))
        });
        topics
    }

    /// Notes that no broker answers; whether one did before.
    fn fall_silent(&self, followed: &Followed, silence: String) -> bool {
        let answered = {
            let mut known = followed.known();
            (known.silence, known.version) = (silence, None);
            known.client.take().is_some()
        };
        followed.heard.send_replace(true);
        answered
    }
}

/// A broker of a cluster that answers, and its answer.
pub(crate) async fn find<T, F: Future<Output = Result<T, CallError>>>(
    kubernetes: &Client,
    (namespace, cluster): &ClusterKey,
    ask: impl Fn(AdminClient) -> F,
) -> Result<(AdminClient, T), LinkError> {
    let secret = async |name: String| {
        let secret = Api::<Secret>::namespaced(kubernetes.clone(), namespace).get_opt(&name).await;
        secret.map_err(|source| ReconcileError::Read { what: format!("Secret {name}"), source })
    };
    let no_pods = || LinkError::NoPods { cluster: cluster.clone() };
    let token = secret(names::token_secret(cluster)).await?;
    let token = token.and_then(|secret| secret_text(&secret, names::TOKEN_FILE)).ok_or_else(no_pods)?;
    let authority = secret(names::internal_authority(cluster)).await?;
    let trust = authority.and_then(|authority| trust(&authority, cluster, namespace));
    let pods = Api::<Pod>::namespaced(kubernetes.clone(), namespace)
        .list(&ListParams::default().labels(&names::selector_text(cluster)))
        .await
        .map_err(|source| ReconcileError::Read { what: format!("the pods of {cluster}"), source })?;
    let mut reason = None;
    for pod in pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let Some(url) = admin_url(pod) else { continue };
        let client = admin_client(&url, &token, trust.as_ref()).map_err(ReconcileError::from)?;
        match ask(client.clone()).await {
            Ok(answer) => return Ok((client, answer)),
            Err(error) => reason = Some(format!("{}: {}", pod.name_any(), chain(&error))),
        }
    }
    Err(reason.map_or_else(no_pods, |reason| LinkError::Silent { cluster: cluster.clone(), reason }))
}

impl Known {
    /// Takes a part of a list, but for what is known better; gives what was known of that part before.
    fn take(&mut self, part: &Part, views: Vec<TopicView>) -> BTreeMap<TopicName, Arc<TopicView>> {
        self.own.retain(|_, at| at.elapsed() < OWN_WORD);
        let before: BTreeMap<_, _> = self.topics.extract_if(.., |name, _| part.has(name)).collect();
        for view in views {
            let name = name_of(&view);
            // What is as it was stays where it is in memory; and what was read has room for more than it holds, a copy has not.
            let same = before.get(&name).filter(|before| ***before == view).cloned();
            self.topics.insert(name, same.unwrap_or_else(|| Arc::new(view.clone())));
        }
        for name in self.own.keys().filter(|name| part.has(name)) {
            match before.get(name) {
                Some(view) => drop(self.topics.insert(name.clone(), Arc::clone(view))),
                None => drop(self.topics.remove(name)),
            }
        }
        before
    }
}

/// Asks for topics of another version than this one, after this topic.
fn part_after(version: String, after: Option<TopicName>) -> TopicsAfter {
    TopicsAfter { version, after, limit: Some(PART) }
}

fn name_of(view: &TopicView) -> TopicName {
    TopicName { virtual_host: view.declaration.virtual_host.clone(), name: view.declaration.name.clone() }
}

fn name_in_broker(topic: &Topic) -> TopicName {
    let name = topic.spec.name.clone().unwrap_or_else(|| topic.name_any());
    TopicName { virtual_host: topic.spec.virtual_host.clone(), name }
}

fn key_of(topic: &CheckedTopic) -> TopicName {
    TopicName { virtual_host: topic.virtual_host.clone(), name: topic.name.clone() }
}

/// Why no broker was found to ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("{cluster} has no pod that runs yet")]
    NoPods { cluster: String },
    #[error("no broker of {cluster} answers: {reason}")]
    Silent { cluster: String, reason: String },
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{topic, topic_view};

    fn view(name: &str) -> TopicView {
        topic_view(&topic(&format!("{{cluster: orders, name: {name}, queues: [{{name: {name}-queue}}]}}")))
    }

    fn name(name: &str) -> TopicName {
        TopicName { virtual_host: "/".to_owned(), name: name.to_owned() }
    }

    fn names(known: &Known) -> String {
        known.topics.keys().map(|topic| topic.name.as_str()).collect()
    }

    #[test]
    fn a_part_of_a_list_says_nothing_of_the_others() {
        let mut known = Known::default();
        known.take(&Part::default(), vec![view("a"), view("b"), view("c"), view("d")]);
        let at = Arc::as_ptr(&known.topics[&name("c")]);
        let middle = Part { after: Some(name("a")), last: Some(name("c")) };
        let before = known.take(&middle, vec![view("c")]);
        assert_eq!(before.into_keys().map(|topic| topic.name).collect::<String>(), "bc");
        assert_eq!(names(&known), "acd");
        assert_eq!(Arc::as_ptr(&known.topics[&name("c")]), at, "what did not change stays where it is");
        known.take(&Part { after: Some(name("c")), last: None }, Vec::new());
        assert_eq!(names(&known), "ac");
    }

    #[test]
    fn a_list_does_not_take_back_what_a_reconcile_was_told() {
        let mut known = Known::default();
        known.take(&Part::default(), vec![view("a"), view("b")]);
        known.topics.insert(name("c"), Arc::new(view("c")));
        known.topics.remove(&name("a"));
        known.own.extend([(name("a"), Instant::now()), (name("c"), Instant::now())]);
        known.take(&Part::default(), vec![view("a"), view("b")]);
        assert_eq!(names(&known), "bc");
    }
}
