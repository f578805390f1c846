//! What the API server has of the machines that brokers are on, and of volumes that lie on machines: part of the reads of a
//! reconcile.

use std::collections::BTreeMap;

use ferrymq_api::MessageQueue;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, api::ListParams};

use crate::{
    context::Context,
    message_queue::{
        dereference::is_ready,
        endpoints,
        machines::{self, HOST_NAME, Machine, MachineState, OnLostMachine},
    },
};

/// The zones of the machines that pods run on. A machine that cannot be read has none: no reconcile waits for it.
pub(crate) async fn zones(context: &Context, pods: &BTreeMap<u32, Pod>) -> BTreeMap<u32, String> {
    let reads = pods.iter().filter_map(|(ordinal, pod)| {
        let machine = pod.spec.as_ref()?.node_name.clone()?;
        Some(async move {
            let machine = Api::<Node>::all(context.client.clone()).get_metadata_opt(&machine).await.ok()??;
            let zone = machine.metadata.labels?.get("topology.kubernetes.io/zone")?.clone();
            Some((*ordinal, zone))
        })
    });
    join_all(reads).await.into_iter().flatten().collect()
}

/// The addresses of the machines that pods run on, as far as clients come by them: the one that is reached from outside, or
/// else the one within.
pub(crate) async fn addresses(
    context: &Context,
    resource: &MessageQueue,
    pods: &BTreeMap<u32, Pod>,
) -> BTreeMap<u32, String> {
    if !resource.spec.listeners.iter().flatten().any(|listener| endpoints::at_machines(listener.expose.as_ref())) {
        return BTreeMap::new();
    }
    let reads = pods.iter().filter_map(|(ordinal, pod)| {
        let machine = pod.spec.as_ref()?.node_name.clone()?;
        Some(async move {
            let machine = Api::<Node>::all(context.client.clone()).get_opt(&machine).await.ok()??;
            let addresses = machine.status?.addresses?;
            let of = |kind| addresses.iter().find(|address| address.type_ == kind);
            let address = of("ExternalIP").or_else(|| of("InternalIP"))?;
            Some((*ordinal, address.address.clone()))
        })
    });
    join_all(reads).await.into_iter().flatten().collect()
}

/// Machines that are not as they should be, and volumes that went with theirs. Asked for only where pods are not ready; what
/// cannot be read is not known, and nothing is done by it.
pub(crate) async fn machines(
    context: &Context,
    pods: &BTreeMap<u32, Pod>,
    claims: &BTreeMap<u32, PersistentVolumeClaim>,
) -> (BTreeMap<u32, Machine>, BTreeMap<u32, OnLostMachine>) {
    let troubled = || pods.iter().filter(|(_, pod)| pod.metadata.deletion_timestamp.is_some() || !is_ready(pod));
    let machines = troubled().filter_map(|(ordinal, pod)| {
        let name = pod.spec.as_ref()?.node_name.clone()?;
        Some(async move {
            let node = Api::<Node>::all(context.client.clone()).get_opt(&name).await.ok()?;
            let state = machines::state(node.as_ref());
            (state != MachineState::Answers).then_some((*ordinal, Machine { name, state }))
        })
    });
    let lost = troubled().filter_map(|(ordinal, pod)| {
        let waiting_since = machines::unplaced_since(pod)?;
        let volume = claims.get(ordinal)?.spec.as_ref()?.volume_name.clone()?;
        Some(async move {
            let hosts = lost_hosts(context, &volume).await.filter(|hosts| !hosts.is_empty())?;
            Some((*ordinal, OnLostMachine { hosts, waiting_since }))
        })
    });
    let (machines, lost) = futures::join!(join_all(machines), join_all(lost));
    (machines.into_iter().flatten().collect(), lost.into_iter().flatten().collect())
}

/// The machines that a volume lies on, where none of them is there any more.
async fn lost_hosts(context: &Context, volume: &str) -> Option<Vec<String>> {
    let volume = Api::<PersistentVolume>::all(context.client.clone()).get_opt(volume).await.ok()??;
    let hosts = machines::hosts(&volume);
    if hosts.is_empty() {
        return None;
    }
    let selected = ListParams::default().labels(&format!("{HOST_NAME} in ({})", hosts.join(","))).limit(1);
    let left = Api::<Node>::all(context.client.clone()).list_metadata(&selected).await.ok()?;
    left.items.is_empty().then_some(hosts)
}
