//! Why a reconcile, or the operator as a whole, did not go on.

use ferrymq_admin_api::{CallError, ClientError};

/// Why the operator stopped.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// There is no API server to be found.
    #[error("cannot find a Kubernetes API server; run the operator in a pod, or with a KUBECONFIG")]
    Configuration(#[source] kube::config::InferConfigError),
    /// The client could not be made.
    #[error("cannot make a client of the Kubernetes API server")]
    Client(#[source] kube::Error),
    /// A port could not be had.
    #[error("cannot serve {what} at {address}; is something else there?")]
    Listen {
        /// What was to be served there.
        what: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The lease went to another operator, or could not be renewed in time.
    #[error("the lease is lost; another operator acts from now on, and this one starts again")]
    LeaseLost,
}

/// Why one reconcile did not go on. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("the API server did not give {what}")]
    Read {
        what: String,
        #[source]
        source: kube::Error,
    },
    #[error("the API server did not take {what}")]
    Write {
        what: String,
        #[source]
        source: kube::Error,
    },
    #[error("{what} cannot be written as JSON")]
    Serialize {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{what} in the API server is not what it should be")]
    Malformed {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("a certificate was not made")]
    Certificate(#[from] ferrymq_tls::AuthorityError),
    #[error("cannot ask the brokers")]
    AdminClient(#[from] ClientError),
    #[error("none of the brokers that are to form the cluster answers with the data that it had when that was decided")]
    NoMember,
    #[error("a broker did not do as asked")]
    Broker(#[from] CallError),
}

impl ReconcileError {
    /// Somebody else wrote at the same time: nothing is wrong, the next reconcile sees what they wrote.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Write { source: kube::Error::Api(status), .. } if status.code == 409)
    }

    /// What the API server said, where it refused an object for what it is and not for a moment's trouble.
    pub(crate) fn refusal(&self) -> Option<(&str, &str)> {
        match self {
            Self::Write { what, source: kube::Error::Api(status) } if matches!(status.code, 400 | 403 | 422) => {
                Some((what, &status.message))
            }
            _ => None,
        }
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
