//! Why a reconcile, or the operator as a whole, did not go on.

use std::time::Duration;

use ferrymq_admin_api::{CallError, ClientError};
use kube::core::Status;

use crate::backoff;

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
    #[error("the API server did not take {what}")]
    Status {
        what: String,
        #[source]
        source: kube::Error,
    },
    #[error(
        "{what} does not stay as the operator writes it: {change} each time, by {by}; let nobody else write it, or leave it \
         out of what does"
    )]
    Overwritten {
        what: String,
        change: String,
        by: String,
        /// When it is written again.
        again: Duration,
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
    /// What the API server said, where it was reached.
    fn answer(&self) -> Option<&Status> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } | Self::Status { source, .. } => match source {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }

    /// Somebody else wrote at the same time: nothing is wrong, the next reconcile sees what they wrote.
    pub(crate) fn is_conflict(&self) -> bool {
        self.answer().is_some_and(|status| status.code == 409)
    }

    /// How long to wait before it is tried again, after so many failures in a row.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let first = if self.is_conflict() { Duration::from_millis(100) } else { Duration::from_secs(1) };
        let asked_for = match self {
            Self::Overwritten { again, .. } => Some(*again),
            _ => self
                .answer()
                .and_then(|status| status.details.as_ref())
                .map(|details| Duration::from_secs(details.retry_after_seconds.into())),
        };
        backoff::pause(failures, first, asked_for)
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
