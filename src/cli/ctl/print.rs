//! Answers as tables.

use std::{collections::BTreeMap, time::SystemTime};

use ferrymq_admin_api::{CertificatePurpose, CertificateView, ClusterStatus, NodeStatus, Safety, TopicView, UserView};

use crate::table::Table;

pub(super) fn node(node: &NodeStatus) -> String {
    let mut table = Table::new(["ORDINAL", "PHASE", "NODE", "UUID", "CLUSTER", "VERSION", "MESSAGE"]);
    table.row([
        node.ordinal.to_string(),
        format!("{:?}", node.phase),
        node.node_id.map(|id| id.to_string()).unwrap_or_default(),
        node.uuid.clone(),
        node.cluster_id.clone().unwrap_or_default(),
        node.version.clone(),
        node.message.clone(),
    ]);
    if node.certificates.is_empty() {
        return table.to_string();
    }
    format!("{table}\n{}", certificates(&node.certificates))
}

fn certificates(certificates: &[CertificateView]) -> Table {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let good_for = |until: u64| match until.checked_sub(now) {
        Some(left) if left >= 172_800 => format!("{} days", left / 86_400),
        Some(left) => format!("{} minutes", left / 60),
        None => "has expired".to_owned(),
    };
    let mut table = Table::new(["CERTIFICATE FOR", "SERIAL", "GOOD FOR", "PROBLEM"]);
    for certificate in certificates {
        let purpose = match certificate.purpose {
            CertificatePurpose::Clients => "clients",
            CertificatePurpose::Cluster => "the cluster",
        };
        table.row([
            purpose.to_owned(),
            certificate.serial.clone().unwrap_or_else(|| "none".to_owned()),
            certificate.not_after.map(good_for).unwrap_or_default(),
            certificate.problem.clone().unwrap_or_default(),
        ]);
    }
    table
}

pub(super) fn cluster(cluster: &ClusterStatus) -> String {
    let names: BTreeMap<u64, u32> = cluster.nodes.iter().map(|node| (node.id, node.ordinal)).collect();
    // A broker is known to people by its ordinal; a node that is none of the cluster's any more by its number.
    let name = |id: &u64| names.get(id).map_or_else(|| format!("node {id}"), |ordinal| format!("broker {ordinal}"));
    let names = |ids: &[u64]| ids.iter().map(name).collect::<Vec<_>>().join(", ");

    let mut nodes = Table::new(["BROKER", "NODE", "REACHABLE", "LEADS", "REPLICAS", "ZONE", "VERSION", "UUID"]);
    for node in &cluster.nodes {
        nodes.row([
            node.ordinal.to_string(),
            node.id.to_string(),
            yes_or_no(node.reachable),
            node.leaders.to_string(),
            if node.draining { format!("{}, draining", node.replicas) } else { node.replicas.to_string() },
            node.zone.clone().unwrap_or_default(),
            node.version.clone().unwrap_or_default(),
            node.uuid.clone(),
        ]);
    }
    let mut shards = Table::new(["SHARD", "HEALTHY", "LEADER", "VOTERS", "IN SYNC"]);
    for shard in &cluster.shards {
        shards.row([
            if shard.id == 0 { "catalogue".to_owned() } else { shard.id.to_string() },
            yes_or_no(shard.healthy),
            shard.leader.as_ref().map(name).unwrap_or_default(),
            names(&shard.voters),
            names(&shard.in_sync),
        ]);
    }
    format!(
        "cluster {}: {} messages in {} queues\n\n{nodes}\n{shards}",
        cluster.cluster_id, cluster.messages, cluster.queues
    )
}

pub(super) fn topics(topics: &[TopicView]) -> String {
    if topics.is_empty() {
        return "there are no topics\n".to_owned();
    }
    let mut table =
        Table::new(["VHOST", "TOPIC", "TYPE", "OWNER", "QUEUE", "MESSAGES", "CONSUMERS", "REPLICATED", "IN SYNC"]);
    for topic in topics {
        let declaration = &topic.declaration;
        let in_sync = if topic.in_sync { "yes".to_owned() } else { format!("no: {}", topic.drift) };
        let mut row = |queue: &str, messages: String, consumers: String| {
            table.row([
                declaration.virtual_host.clone(),
                declaration.name.clone(),
                declaration.exchange_type.clone(),
                declaration.owner.name.clone(),
                queue.to_owned(),
                messages,
                consumers,
                yes_or_no(topic.replicated),
                in_sync.clone(),
            ]);
        };
        if topic.queues.is_empty() && topic.partitions.is_empty() {
            row("", String::new(), String::new());
        }
        for queue in topic.queues.iter().chain(&topic.partitions) {
            row(&queue.name, queue.messages.to_string(), queue.consumers.to_string());
        }
    }
    table.to_string()
}

pub(super) fn users(users: &[UserView]) -> String {
    let mut table = Table::new(["USER", "OWNER", "VHOST", "CONFIGURE", "WRITE", "READ"]);
    for user in users {
        let Some(declared) = &user.declared else {
            table.row([&user.name, "the cluster", "every one", ".*", ".*", ".*"].map(str::to_owned));
            continue;
        };
        let owner = declared.owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default();
        if declared.permissions.is_empty() {
            let none = String::new;
            table.row([user.name.clone(), owner, "none".to_owned(), none(), none(), none()]);
            continue;
        }
        for permission in &declared.permissions {
            table.row([
                user.name.clone(),
                owner.clone(),
                permission.virtual_host.clone(),
                permission.configure.clone(),
                permission.write.clone(),
                permission.read.clone(),
            ]);
        }
    }
    table.to_string()
}

pub(super) fn safety(safety: &Safety) -> String {
    if safety.safe { "yes\n".to_owned() } else { format!("no: {}\n", safety.reason) }
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
