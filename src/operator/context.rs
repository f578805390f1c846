//! What every reconcile has at hand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ferrymq_api::{Backup, MessageQueue, Topic, User};
use futures::channel::mpsc;
use kube::{
    Client, Resource, ResourceExt,
    runtime::{
        controller::Action,
        events::{Event, EventType, Recorder, Reporter},
        reflector::{ObjectRef, Store},
    },
};

use crate::{
    backoff::Backoff,
    error::{ReconcileError, chain},
    links::Links,
    message_queue::{remembered::Remembered, snapshots::Snapshots},
    metrics::Stores,
    settings::Settings,
    user::UserLinks,
};

/// What every reconcile has at hand.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) links: Arc<Links>,
    /// What Kubernetes had of clusters at rest.
    pub(crate) snapshots: Snapshots,
    /// Names and passwords of clusters.
    pub(crate) remembered: Remembered,
    /// All clusters, as the watch knows them.
    pub(crate) clusters: Store<MessageQueue>,
    /// All topics, as the watch knows them.
    pub(crate) topics: Store<Topic>,
    /// All users, as the watch knows them.
    pub(crate) users: Store<User>,
    pub(crate) user_links: UserLinks,
    /// All backups, as the watch knows them.
    pub(crate) backups: Store<Backup>,
    /// Reconciles that did not go on, by the uid of their resource.
    pub(crate) backoff: Backoff,
    /// Objects that do not stay as they were written, by what was to be written.
    pub(crate) overwritten: Backoff,
    recorder: Mutex<(Recorder, u32)>,
    reporter: Reporter,
    /// When the counters of a resource were last written into its status.
    counted: Mutex<HashMap<String, Instant>>,
}

impl Context {
    /// Also gives the topics that brokers say something new of, as they come.
    pub(crate) fn new(
        client: Client,
        settings: Settings,
        Stores { clusters, topics, users, backups }: Stores,
    ) -> (Self, mpsc::Receiver<ObjectRef<Topic>>) {
        let (links, looked_at) = Links::new(client.clone(), topics.clone());
        let reporter = Reporter {
            controller: "ferrymq.io/operator".to_owned(),
            instance: settings.lease.as_ref().map(|lease| lease.holder.clone()),
        };
        let context = Self {
            recorder: Mutex::new((Recorder::new(client.clone(), reporter.clone()), 0)),
            reporter,
            links: Arc::new(links),
            snapshots: Snapshots::default(),
            user_links: UserLinks::new(client.clone()),
            remembered: Remembered::default(),
            client,
            settings,
            clusters,
            topics,
            users,
            backups,
            backoff: Backoff::default(),
            overwritten: Backoff::default(),
            counted: Mutex::default(),
        };
        (context, looked_at)
    }

    /// Tells those who watch a resource what was done, or refused. An event that cannot be written stops nothing.
    pub(crate) async fn tell<K>(&self, resource: &K, type_: EventType, reason: &str, action: &str, note: String)
    where
        K: Resource<DynamicType = ()>,
    {
        let note: String = note.chars().take(1_000).collect();
        let event =
            Event { type_, reason: reason.to_owned(), note: Some(note), action: action.to_owned(), secondary: None };
        let recorder = self.recorder();
        if let Err(error) = recorder.publish(&event, &resource.object_ref(&())).await {
            tracing::debug!(%error, reason, "an event could not be written");
        }
    }

    /// Knows what it told in the last minutes, and tells of a repetition as one. Of thousands of resources that is much: what
    /// was told before the last so many is forgotten.
    fn recorder(&self) -> Recorder {
        const REMEMBERED: u32 = 256;
        let mut recorder = self.recorder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recorder.1 += 1;
        if recorder.1 > REMEMBERED {
            *recorder = (Recorder::new(self.client.clone(), self.reporter.clone()), 1);
        }
        recorder.0.clone()
    }

    /// What to do after a reconcile that did not go on: it is tried again, later each time.
    pub(crate) fn after_error<K>(&self, resource: &K, error: &ReconcileError) -> Action
    where
        K: Resource<DynamicType = ()>,
    {
        let failures = self.backoff.failed(&resource.uid().unwrap_or_default());
        let pause = error.pause(failures);
        tracing::warn!(
            kind = %K::kind(&()),
            name = %resource.name_any(),
            namespace = resource.namespace(),
            error = %chain(error),
            failures,
            again_in_ms = pause.as_millis(),
            "a reconcile did not go on; it is tried again"
        );
        Action::requeue(pause)
    }

    /// Whether it is time to write a resource's counters again: they change all the time, and each write costs the API
    /// server one. Of one resource not more often than every five seconds, and of all together twenty a second.
    pub(crate) fn counters_are_due(&self, uid: &str) -> bool {
        const EVERY: Duration = Duration::from_secs(5);
        const MOST: usize = 100;
        let mut counted = self.counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        counted.retain(|_, at| now.duration_since(*at) < EVERY);
        if counted.len() >= MOST || counted.contains_key(uid) {
            return false;
        }
        counted.insert(uid.to_owned(), now);
        true
    }
}
