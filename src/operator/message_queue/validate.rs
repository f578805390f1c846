//! The raw spec to types that cannot be wrong; and whether what the cluster needs can be had.

use ferrymq_api::{Cluster, InvalidResource, MessageQueue};
use kube::ResourceExt;

use crate::{message_queue::dereference::Observed, objects::controller};

/// Why nothing can be done for a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    /// Its spec cannot be. Admission refuses this; it is met where the rules of admission were changed or left out.
    #[error("{0}")]
    Invalid(#[from] InvalidResource),
    /// An object of a name that it needs belongs to somebody else.
    #[error("{0}")]
    NameTaken(String),
}

pub(crate) fn check(resource: &MessageQueue, observed: &Observed) -> Result<Cluster, Obstacle> {
    let cluster = Cluster::check(resource)?;
    for ((kind, name), object) in &observed.objects {
        let title = format!("{} {name}", kind.as_str());
        match controller(object) {
            Some(owner) if owner.uid == cluster.uid => {}
            Some(owner) => {
                return Err(Obstacle::NameTaken(format!(
                    "{title} belongs to {} {}; delete that one, or make this MessageQueue under another name",
                    owner.kind, owner.name
                )));
            }
            None if object.metadata.deletion_timestamp.is_some() => {
                return Err(Obstacle::NameTaken(format!("{title} is being deleted; waiting until it is gone")));
            }
            None => {
                return Err(Obstacle::NameTaken(format!(
                    "{title} is there already and was not made for this MessageQueue; delete it, or make this \
                     MessageQueue under another name"
                )));
            }
        }
        if object.uid().is_none() {
            return Err(Obstacle::NameTaken(format!("{title} has no uid")));
        }
    }
    Ok(cluster)
}
