//! Resources of one kind that are after the same name: the oldest one has it.

use std::sync::Arc;

use kube::ResourceExt;

/// The oldest of those that want the same, where it is another one than that of this uid; namespace and name.
pub(crate) fn older<K: ResourceExt>(all: &[Arc<K>], uid: &str, wants_the_same: impl Fn(&K) -> bool) -> Option<String> {
    let wanting = all.iter().filter(|resource| wants_the_same(resource));
    let oldest = wanting.min_by_key(|resource| (resource.creation_timestamp().map(|time| time.0), resource.uid()))?;
    let is_another = oldest.uid().as_deref() != Some(uid);
    is_another.then(|| format!("{}/{}", oldest.namespace().unwrap_or_default(), oldest.name_any()))
}
