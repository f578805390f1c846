//! A broker's pod: no root, no capability, nothing writable but its volume.

use ferrymq_api::Cluster;
use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction,
        HTTPGetAction, Lifecycle, LifecycleHandler, LocalObjectReference, ObjectFieldSelector, PodAffinityTerm,
        PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecretVolumeSource,
        SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{archives, selector};
use crate::{message_queue::certificates::client_secret, names};

/// The user and group that brokers run as.
const USER: i64 = 10_001;

pub(super) fn template(cluster: &Cluster, image: &str, pull_policy: Option<&str>) -> PodTemplateSpec {
    let ours = &cluster.pods.template;
    let mut labels = ours.labels.clone();
    labels.extend(names::labels(cluster));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(ours.annotations.clone()).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(names::service_account(&cluster.name)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(60),
            security_context: Some(pod_security()),
            image_pull_secrets: pull_secrets(cluster),
            affinity: Some(ours.affinity.clone().unwrap_or_else(|| one_on_each_machine(cluster))),
            topology_spread_constraints: Some(vec![TopologySpreadConstraint {
                max_skew: 1,
                topology_key: cluster.pods.spread_key.clone(),
                when_unsatisfiable: "ScheduleAnyway".to_owned(),
                label_selector: Some(selector(cluster)),
                ..TopologySpreadConstraint::default()
            }]),
            node_selector: Some(ours.node_selector.clone()).filter(|labels| !labels.is_empty()),
            tolerations: Some(ours.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
            priority_class_name: ours.priority_class_name.clone(),
            containers: vec![container(cluster, image, pull_policy)],
            volumes: Some(volumes(cluster)),
            ..PodSpec::default()
        }),
    }
}

pub(super) fn pull_secrets(cluster: &Cluster) -> Option<Vec<LocalObjectReference>> {
    let secrets = cluster.pods.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    Some(secrets.collect::<Vec<_>>()).filter(|secrets| !secrets.is_empty())
}

fn container(cluster: &Cluster, image: &str, pull_policy: Option<&str>) -> Container {
    let mut ports =
        vec![port("link", names::LINK_PORT), port("admin", names::ADMIN_PORT), port("metrics", names::METRICS_PORT)];
    ports.extend(cluster.listeners.iter().map(|listener| port(&listener.name, listener.port)));
    let config = format!("{}/{}", names::CONFIG_DIRECTORY, names::CONFIG_FILE);
    Container {
        name: "broker".to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: pull_policy.map(str::to_owned),
        command: Some(vec!["/ferrymq".to_owned()]),
        args: Some(vec!["broker".to_owned(), "--config".to_owned(), config.clone()]),
        env: Some(vec![
            from_field("FERRYMQ_NODE_NAME", "metadata.name"),
            // Kubernetes copies a machine's zone to its pods' labels, and leaves this empty where it does not.
            from_field("FERRYMQ_ZONE", "metadata.labels['topology.kubernetes.io/zone']"),
            EnvVar { name: "FERRYMQ_CONFIG".to_owned(), value: Some(config), ..EnvVar::default() },
        ]),
        ports: Some(ports),
        resources: cluster.pods.resources.clone(),
        security_context: Some(container_security()),
        startup_probe: Some(Probe { period_seconds: Some(1), failure_threshold: Some(300), ..probe("/livez") }),
        readiness_probe: Some(Probe { period_seconds: Some(1), failure_threshold: Some(2), ..probe("/readyz") }),
        liveness_probe: Some(Probe { period_seconds: Some(10), failure_threshold: Some(6), ..probe("/livez") }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some(vec!["/ferrymq".to_owned(), "ctl".to_owned(), "hand-over".to_owned()]),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // What a broker says last, the status says too.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(cluster)),
        ..Container::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            scheme: Some("HTTPS".to_owned()),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

fn port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: path.to_owned(), ..ObjectFieldSelector::default() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn mounts(cluster: &Cluster) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount("data", names::DATA_DIRECTORY, false),
        mount("config", names::CONFIG_DIRECTORY, true),
        mount("token", names::TOKEN_DIRECTORY, true),
        mount(names::INTERNAL_TLS_VOLUME, names::INTERNAL_TLS_DIRECTORY, true),
    ];
    let clients = client_secret(cluster);
    mounts.extend(clients.map(|_| mount(names::CLIENT_TLS_VOLUME, names::CLIENT_TLS_DIRECTORY, true)));
    mounts.extend(archives::mounts(cluster));
    mounts
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn volumes(cluster: &Cluster) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names::config_map(&cluster.name),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        of_secret("token", names::token_secret(&cluster.name), None),
        of_secret(names::INTERNAL_TLS_VOLUME, names::internal_certificate(&cluster.name), None),
    ];
    // A broker starts without: what it holds for others is worth more than a listener.
    volumes.extend(client_secret(cluster).map(|secret| of_secret(names::CLIENT_TLS_VOLUME, secret, Some(true))));
    volumes.extend(archives::volumes(cluster));
    volumes
}

fn of_secret(volume: &str, secret: String, optional: Option<bool>) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            // Readable by the group that the volume is given to, and by nobody else.
            default_mode: Some(0o440),
            optional,
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // Walking through a large volume at every start would take minutes.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

fn one_on_each_machine(cluster: &Cluster) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    label_selector: Some(selector(cluster)),
                    topology_key: "kubernetes.io/hostname".to_owned(),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    fn spec(spec: &str) -> PodSpec {
        template(&cluster(spec), "ferrymq:1", None).spec.unwrap()
    }

    #[test]
    fn the_restricted_pod_security_standard_is_met() {
        let pod = spec("{storage: {size: 1Gi}}");
        let security = pod.security_context.unwrap();
        assert_eq!((security.run_as_non_root, security.run_as_user), (Some(true), Some(10_001)));
        assert_eq!(security.seccomp_profile.map(|profile| profile.type_), Some("RuntimeDefault".to_owned()));
        let container = pod.containers.into_iter().next().and_then(|container| container.security_context).unwrap();
        assert_eq!(container.allow_privilege_escalation, Some(false));
        assert_eq!(container.read_only_root_filesystem, Some(true));
        assert_eq!(container.capabilities.and_then(|set| set.drop), Some(vec!["ALL".to_owned()]));
    }

    #[test]
    fn certificates_are_volumes_so_that_nothing_restarts_when_they_change() {
        let volumes = |text: &str| {
            let volumes = spec(text).volumes.unwrap();
            let secret = |volume: Volume| volume.secret.and_then(|secret| secret.secret_name);
            volumes.into_iter().filter_map(secret).collect::<Vec<_>>()
        };
        assert_eq!(volumes("{storage: {size: 1Gi}}"), ["orders-token", "orders-internal-tls"]);
        assert_eq!(volumes("{storage: {size: 1Gi}, tls: {}}"), ["orders-token", "orders-internal-tls", "orders-tls"]);
        let mine = volumes("{storage: {size: 1Gi}, tls: {mode: Secret, secretName: mine}}");
        assert_eq!(mine, ["orders-token", "orders-internal-tls", "mine"]);
    }

    #[test]
    fn brokers_are_spread_but_start_where_they_cannot_be() {
        let pod = spec("{storage: {size: 1Gi}, topologySpread: {key: rack}}");
        let spread = pod.topology_spread_constraints.unwrap().remove(0);
        assert_eq!((spread.topology_key.as_str(), spread.when_unsatisfiable.as_str()), ("rack", "ScheduleAnyway"));
    }

    #[test]
    fn what_a_user_adds_is_there_beside_what_the_operator_needs() {
        let cluster = cluster(
            "{storage: {size: 1Gi}, podTemplate: {labels: {team: shop}, nodeSelector: {disk: ssd}, priorityClassName: high}}",
        );
        let template = template(&cluster, "ferrymq:1", Some("Never"));
        let labels = template.metadata.and_then(|metadata| metadata.labels).unwrap();
        assert_eq!(labels.get("team").map(String::as_str), Some("shop"));
        assert_eq!(labels.get("ferrymq.io/cluster").map(String::as_str), Some("orders"));
        let spec = template.spec.unwrap();
        assert_eq!(spec.priority_class_name.as_deref(), Some("high"));
        assert_eq!(spec.containers.first().and_then(|broker| broker.image_pull_policy.as_deref()), Some("Never"));
    }
}
