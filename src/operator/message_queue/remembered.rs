//! The names and passwords that clusters have: a Secret that somebody deletes is put back as it was, so that brokers and
//! clients notice nothing. Known only as long as this operator runs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ferrymq_api::MessageQueue;
use kube::{ResourceExt, runtime::reflector::Store};

use crate::message_queue::dereference::Credentials;

/// Credentials by the uid of their cluster.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<HashMap<String, Credentials>>);

impl Remembered {
    /// What a cluster had when its Secrets were read last.
    pub(crate) fn get(&self, uid: &str) -> Option<Credentials> {
        self.all().get(uid).cloned()
    }

    /// A cluster has these in its Secrets. What is known of clusters that are gone is forgotten with the next new one.
    pub(crate) fn keep(&self, uid: &str, credentials: &Credentials, clusters: &Store<MessageQueue>) {
        let mut all = self.all();
        if !all.contains_key(uid) {
            let living = clusters.state();
            all.retain(|known, _| living.iter().any(|cluster| cluster.uid().as_deref() == Some(known)));
        }
        all.insert(uid.to_owned(), credentials.clone());
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Credentials>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
