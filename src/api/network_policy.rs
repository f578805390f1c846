//! Who may reach the brokers in the network, besides the clients of each listener.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may reach the brokers in the network.
#[derive(KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Who makes the NetworkPolicy.
    #[serde(default)]
    pub mode: NetworkPolicyMode,

    /// Who may read the metrics, as in the `from` of a NetworkPolicy. Default: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub metrics_from: Vec<NetworkPolicyPeer>,
}

/// Who makes the NetworkPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum NetworkPolicyMode {
    /// The operator, for what the spec says.
    #[default]
    Managed,
    /// Nobody, or somebody else.
    Disabled,
}
