//! Why a command did not do what it should.

use std::{error::Error, io, path::PathBuf};

use ferrymq_admin_api::{CallError, ClientError};
use ferrymq_tls::TrustError;

use crate::told::told;

/// Why a command did not do what it should. What it came from is part of the sentence: it is the last that is read.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// There is no Kubernetes to ask.
    #[error("no Kubernetes cluster is known: {0}; name one by KUBECONFIG or --context")]
    Kubeconfig(String),
    /// It is not there.
    #[error("there is no {kind} {name} in namespace {namespace}; see `kubectl get mq -A`")]
    NotFound {
        /// What kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where.
        namespace: String,
    },
    /// The API server did not answer, or refused.
    #[error("{what} cannot be read: {reason}")]
    Read {
        /// What.
        what: String,
        /// Why not.
        reason: String,
    },
    /// That is no broker's name.
    #[error("'{0}' is no broker's pod: it should look like orders-2")]
    NotABroker(String),
    /// The operator would undo it.
    #[error(
        "the operator gives {broker} its share back, as spec.replicas asks for it; to empty it for a while, pause the cluster \
         first: kubectl patch mq/{cluster} --type=merge -p '{{\"spec\":{{\"paused\":true}}}}'; to have fewer brokers, lower replicas"
    )]
    NotPaused {
        /// The broker.
        broker: String,
        /// Its cluster.
        cluster: String,
    },
    /// No broker of the cluster answers.
    #[error("no broker of {cluster} answers: {reason}")]
    Silent {
        /// The cluster.
        cluster: String,
        /// What the last one said, or why it said nothing.
        reason: String,
    },
    /// A broker refused.
    #[error("{0}")]
    Call(String),
    /// The port on this machine cannot be had.
    #[error("no port of this machine can be had to forward: {0}")]
    Listen(io::Error),
    /// The token makes no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The authority of the cluster's own certificates cannot be used.
    #[error("the certificate in the Secret of the cluster's own authority cannot be used: {0}")]
    Trust(#[from] TrustError),
    /// It cannot be written as JSON.
    #[error("it cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The output is gone.
    #[error("cannot write: {0}")]
    Output(io::Error),
    /// The bundle cannot be written.
    #[error("cannot write {file}: {reason}; name another file by --file")]
    Bundle {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: io::Error,
    },
}

impl PluginError {
    /// Something of the API server that could not be read.
    pub(crate) fn read(what: impl Into<String>, error: &dyn Error) -> Self {
        Self::Read { what: what.into(), reason: told(error) }
    }
}

impl From<CallError> for PluginError {
    fn from(error: CallError) -> Self {
        Self::Call(told(&error))
    }
}
