//! What the operator is started with.

use std::{collections::BTreeSet, env, net::SocketAddr};

use crate::names::METRICS_PORT;

/// What the operator is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The image of brokers whose `MessageQueue` names none.
    pub broker_image: String,
    /// When that image is pulled, where a `MessageQueue` says nothing of it; Kubernetes' own default where there is none.
    pub broker_image_pull_policy: Option<String>,
    /// The only namespaces to look after; all of them where there are none.
    pub namespaces: Vec<String>,
    /// Where `/livez` and `/readyz` are served.
    pub probe_address: SocketAddr,
    /// Where `/metrics` is served.
    pub metrics_address: SocketAddr,
    /// The Lease that only one of several operators holds; none where this one is known to be the only one.
    pub lease: Option<LeaseSettings>,
}

/// The Lease that only one of several operators holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The operator's own namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who this operator is: the name of its pod.
    pub holder: String,
}

/// Why there are no settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A variable that must be there is not.
    #[error("the environment variable {name} is not set; the chart sets it to {meaning}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it should be.
        meaning: &'static str,
    },
    /// A variable is not what it should be.
    #[error("the environment variable {name} is '{value}', which is no {meaning}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        meaning: &'static str,
    },
}

impl Settings {
    /// Reads the settings from the environment, as the chart sets it: `FERRYMQ_BROKER_IMAGE`,
    /// `FERRYMQ_BROKER_IMAGE_PULL_POLICY`, `FERRYMQ_WATCH_NAMESPACES` (separated by commas), `FERRYMQ_PROBE_ADDRESS` (`0.0.0.0:8080`),
    /// `FERRYMQ_METRICS_ADDRESS` (`0.0.0.0:9419`), `POD_NAMESPACE` and `POD_NAME`.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] with the variable's name.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| env::var(name).ok())
    }

    fn from_lookup(lookup: impl Fn(&'static str) -> Option<String>) -> Result<Self, SettingsError> {
        let set = |name| lookup(name).filter(|value| !value.trim().is_empty());
        let broker_image = set("FERRYMQ_BROKER_IMAGE").ok_or(SettingsError::Missing {
            name: "FERRYMQ_BROKER_IMAGE",
            meaning: "the image of the brokers, which is the operator's own",
        })?;
        let address = |name, usual: SocketAddr| match set(name) {
            None => Ok(usual),
            Some(value) => {
                let parsed = value.parse::<SocketAddr>();
                parsed.map_err(|_| SettingsError::Invalid { name, value, meaning: "address with a port" })
            }
        };
        let lease = match (set("POD_NAMESPACE"), set("POD_NAME")) {
            (Some(namespace), Some(holder)) => {
                let name = set("FERRYMQ_LEASE").unwrap_or_else(|| "ferrymq-operator".to_owned());
                Some(LeaseSettings { namespace, name, holder })
            }
            _ => None,
        };
        Ok(Self {
            broker_image,
            broker_image_pull_policy: set("FERRYMQ_BROKER_IMAGE_PULL_POLICY"),
            namespaces: set("FERRYMQ_WATCH_NAMESPACES").map(|names| list(&names)).unwrap_or_default(),
            probe_address: address("FERRYMQ_PROBE_ADDRESS", ([0, 0, 0, 0], 8080).into())?,
            metrics_address: address("FERRYMQ_METRICS_ADDRESS", ([0, 0, 0, 0], METRICS_PORT).into())?,
            lease,
        })
    }
}

/// Names that are separated by commas, each once.
fn list(names: &str) -> Vec<String> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_without_a_broker_image_says_which_variable_is_missing() {
        let error = Settings::from_lookup(|_| None).unwrap_err();
        assert!(error.to_string().contains("FERRYMQ_BROKER_IMAGE"));
    }

    #[test]
    fn only_an_operator_in_a_pod_holds_a_lease() {
        let alone =
            Settings::from_lookup(|name| (name == "FERRYMQ_BROKER_IMAGE").then(|| "ferrymq:1".to_owned())).unwrap();
        assert_eq!((alone.lease, alone.namespaces), (None, Vec::new()));
        let in_pod =
            Settings::from_lookup(|name| Some(if name.ends_with("_ADDRESS") { "[::]:1" } else { "x" }.to_owned()));
        assert_eq!(in_pod.unwrap().lease.map(|lease| lease.holder), Some("x".to_owned()));
    }

    #[test]
    fn a_namespace_is_looked_after_once_however_often_it_is_named() {
        assert_eq!(list("shop, warehouse,,shop"), ["shop", "warehouse"]);
    }
}
