//! What the catalogue denied, in the words of the port.

use ferrymq_core::Refusal;

use crate::catalogue::Denied;

pub(crate) fn unavailable(reason: &str) -> Refusal {
    Refusal::Unavailable { reason: reason.to_owned() }
}

pub(crate) fn refusal_of(why: Denied, host: &str) -> Refusal {
    let virtual_host = host.to_owned();
    match why {
        Denied::NotFound { kind, name } => Refusal::NotFound { kind: kind.into(), name, virtual_host },
        Denied::Inequivalent { kind, name, argument, received, current } => Refusal::Inequivalent {
            kind: kind.into(),
            name,
            virtual_host,
            argument: argument_name(&argument),
            received,
            current,
        },
        Denied::Locked { name } => Refusal::Locked { name, virtual_host },
        Denied::InUse { kind, name } => Refusal::InUse { kind: kind.into(), name, virtual_host },
        Denied::Owned { owner } => Refusal::Forbidden { reason: format!("it belongs to topic {owner}") },
        Denied::NotAdopted { name, .. } => Refusal::Forbidden { reason: format!("'{name}' was there before") },
        Denied::Not { reason } => Refusal::Unavailable { reason },
        Denied::UserOfCluster { name } => {
            Refusal::Forbidden { reason: format!("user '{name}' belongs to the cluster itself, and may do everything") }
        }
        Denied::FewerPartitions { name, partitions } => Refusal::Precondition {
            reason: format!(
                "topic '{name}' in vhost '{host}' has {partitions} partitions, which cannot be fewer: the messages of those \
                 that go would be lost"
            ),
        },
    }
}

fn argument_name(argument: &str) -> &'static str {
    const KNOWN: [&str; 8] =
        ["type", "durable", "auto_delete", "internal", "exclusive", "x-queue-type", "x-max-age", "x-max-length-bytes"];
    KNOWN.into_iter().find(|known| *known == argument).unwrap_or("arguments")
}
