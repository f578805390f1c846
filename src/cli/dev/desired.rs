//! What the file asks for; what of it cannot be done while the cluster runs.

use ferrymq_api::{CheckedTopic, CheckedUser, Cluster, ParseError, Resource, parse_resources};

/// One cluster and what lives in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Desired {
    pub(super) cluster: Cluster,
    pub(super) topics: Vec<CheckedTopic>,
    pub(super) users: Vec<CheckedUser>,
    /// What of the file is not for us, as sentences.
    pub(super) passed_over: Vec<String>,
}

/// Why a file asks for nothing that can be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// Something in it is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// There is no cluster in it.
    #[error("{file}: there is no MessageQueue in this file; dev runs the brokers of one")]
    NoCluster {
        /// The file.
        file: String,
    },
    /// There is more than one cluster in it.
    #[error(
        "{file}: there are several MessageQueues in this file ({names}); dev runs one: give each a file and a --base-port of its own"
    )]
    SeveralClusters {
        /// The file.
        file: String,
        /// Their names.
        names: String,
    },
}

impl Desired {
    /// Reads a file of resources.
    pub(super) fn read(text: &str, file: &str) -> Result<Self, DesiredError> {
        let (mut clusters, mut topics, mut users, mut passed_over) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for resource in parse_resources(text, file)? {
            match resource {
                Resource::MessageQueue(_, cluster) => clusters.push(*cluster),
                Resource::Topic(_, topic) => topics.push(*topic),
                Resource::User(_, user) => users.push(*user),
                Resource::Backup(_, backup) => {
                    passed_over.push(format!("{file}: Backup {} is for Kubernetes; dev passes it over", backup.name));
                }
                Resource::Other { kind, name, line, .. } => {
                    passed_over.push(format!("{file}:{line}: {kind} {name} is for Kubernetes; dev passes it over"));
                }
            }
        }
        let names: Vec<_> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        match names.as_slice() {
            [_] => {}
            [] => return Err(DesiredError::NoCluster { file: file.to_owned() }),
            several => {
                return Err(DesiredError::SeveralClusters { file: file.to_owned(), names: several.join(", ") });
            }
        }
        match clusters.pop() {
            Some(cluster) => Ok(Self { cluster, topics, users, passed_over }),
            None => Err(DesiredError::NoCluster { file: file.to_owned() }),
        }
    }
}

/// What the file asks of the cluster that a running one cannot become, a sentence for each. `brokers` and `mirrors` are
/// what it was formed with.
pub(super) fn not_done(running: &Cluster, brokers: u32, mirrors: u8, wanted: &Cluster) -> Vec<String> {
    let mut sentences = Vec::new();
    if wanted.name != running.name {
        // Nothing else of the file is about this cluster then.
        return vec![format!(
            "metadata.name: the file is about MessageQueue {} now; {} keeps running: stop dev, and start it again for {}",
            wanted.name, running.name, wanted.name
        )];
    }
    if wanted.replicas != brokers {
        sentences.push(format!(
            "spec.replicas: {} brokers are wanted and {brokers} run; dev does not change the number of brokers of a \
             cluster that was formed: set it back, or start with another --data-dir",
            wanted.replicas
        ));
    }
    if wanted.mirrors != mirrors {
        sentences.push(format!(
            "spec.mirrors: {} are wanted, and the cluster was formed with {mirrors} as its default, which stays: set \
             mirrors on the Topic instead",
            wanted.mirrors
        ));
    }
    if wanted.storage != running.storage {
        sentences.push(
            "spec.storage: dev keeps its data in --data-dir and gives no broker a volume of its own; this changes nothing"
                .to_owned(),
        );
    }
    if wanted.listeners != running.listeners {
        sentences.push("spec.listeners: ports change when dev is started again".to_owned());
    }
    if wanted.tls != running.tls {
        sentences.push("spec.tls: changes when dev is started again".to_owned());
    }
    if wanted.memory_high_water != running.memory_high_water {
        sentences.push("spec.config.memoryHighWater: changes when dev is started again".to_owned());
    }
    sentences
}

/// A cluster for tests, with more of its spec.
#[cfg(test)]
pub(super) fn cluster(spec: &str) -> Cluster {
    let text = format!(
        "apiVersion: ferrymq.io/v1alpha1\nkind: MessageQueue\nmetadata: {{name: orders}}\nspec: {{storage: {{size: 1Gi}}{spec}}}\n"
    );
    Desired::read(&text, "test.yaml").unwrap().cluster
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: orders}
spec: {replicas: 3, storage: {size: 1Gi}}
";

    fn read(text: &str) -> Result<Desired, DesiredError> {
        Desired::read(text, "shop.yaml")
    }

    fn not_done_after(from: &str, to: &str) -> Vec<String> {
        let running = read(CLUSTER).unwrap().cluster;
        let wanted = read(&CLUSTER.replace(from, to)).unwrap().cluster;
        not_done(&running, 3, 3, &wanted)
    }

    #[test]
    fn a_file_needs_exactly_one_cluster() {
        assert_eq!(read(""), Err(DesiredError::NoCluster { file: "shop.yaml".to_owned() }));
        let two = format!("{CLUSTER}---{}", CLUSTER.replace("orders", "invoices"));
        assert!(matches!(read(&two), Err(DesiredError::SeveralClusters { names, .. }) if names == "orders, invoices"));
    }

    #[test]
    fn what_is_for_kubernetes_is_passed_over_and_said() {
        let with_namespace = format!("{CLUSTER}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n");
        let passed_over = read(&with_namespace).unwrap().passed_over;
        assert_eq!(passed_over.len(), 1);
        assert!(passed_over[0].contains("Namespace shop"), "{passed_over:?}");
    }

    #[test]
    fn the_same_file_leaves_nothing_undone() {
        assert!(not_done_after("orders", "orders").is_empty());
    }

    #[test]
    fn what_a_running_cluster_cannot_become_is_said_field_by_field() {
        assert!(
            not_done_after("replicas: 3", "replicas: 5")[0]
                .starts_with("spec.replicas: 5 brokers are wanted and 3 run")
        );
        assert!(not_done_after("1Gi", "2Gi")[0].starts_with("spec.storage: "));
        assert!(not_done_after("replicas: 3", "replicas: 3, mirrors: 1")[0].starts_with("spec.mirrors: "));
        assert!(not_done_after("name: orders", "name: other")[0].starts_with("metadata.name: "));
    }
}
