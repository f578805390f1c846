//! What Kubernetes had of clusters when it was read last, as long as no watch has told of a change: a cluster at rest costs
//! the API server nothing. Only what is calm is kept; what is on its way somewhere is read anew each time.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ferrymq_api::MessageQueue;
use kube::runtime::reflector::ObjectRef;

use crate::message_queue::dereference::Observed;

/// How long a snapshot is good for, should a watch have told nothing.
const GOOD_FOR: Duration = Duration::from_secs(300);

/// Snapshots by cluster.
#[derive(Default)]
pub(crate) struct Snapshots(Mutex<HashMap<ObjectRef<MessageQueue>, Entry>>);

#[derive(Default)]
struct Entry {
    /// Changes that watches have told of.
    changes: u64,
    kept: Option<(Instant, Observed)>,
}

/// How many changes there had been when a reading began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began(u64);

impl Snapshots {
    /// A watch has told of a change.
    pub(crate) fn touched(&self, cluster: &ObjectRef<MessageQueue>) {
        if let Some(entry) = self.all().get_mut(cluster) {
            (entry.changes, entry.kept) = (entry.changes + 1, None);
        }
    }

    /// What was read last, where nothing has changed since.
    pub(crate) fn get(&self, cluster: &ObjectRef<MessageQueue>) -> Option<Observed> {
        let all = self.all();
        let (at, observed) = all.get(cluster)?.kept.as_ref()?;
        (at.elapsed() < GOOD_FOR).then(|| observed.clone())
    }

    /// Reading begins: what changes from now on may not be in what is read.
    pub(crate) fn begin(&self, cluster: &ObjectRef<MessageQueue>) -> Began {
        Began(self.all().entry(cluster.clone()).or_default().changes)
    }

    /// Keeps what was read, unless something has changed meanwhile.
    pub(crate) fn keep(&self, cluster: &ObjectRef<MessageQueue>, began: Began, observed: Observed) {
        if let Some(entry) = self.all().get_mut(cluster).filter(|entry| entry.changes == began.0) {
            entry.kept = Some((Instant::now(), observed));
        }
    }

    /// The cluster is gone, or something was done to it that watches have yet to tell of.
    pub(crate) fn forget(&self, cluster: &ObjectRef<MessageQueue>) {
        self.all().remove(cluster);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ObjectRef<MessageQueue>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_good_until_a_watch_tells_of_a_change() {
        let (snapshots, cluster) = (Snapshots::default(), ObjectRef::new("orders").within("shop"));
        assert!(snapshots.get(&cluster).is_none());
        let began = snapshots.begin(&cluster);
        snapshots.keep(&cluster, began, Observed::default());
        assert!(snapshots.get(&cluster).is_some());
        snapshots.touched(&cluster);
        assert!(snapshots.get(&cluster).is_none());
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_kept() {
        let (snapshots, cluster) = (Snapshots::default(), ObjectRef::new("orders").within("shop"));
        let began = snapshots.begin(&cluster);
        snapshots.touched(&cluster);
        snapshots.keep(&cluster, began, Observed::default());
        assert!(snapshots.get(&cluster).is_none());
    }
}
