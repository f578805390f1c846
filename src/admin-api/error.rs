//! Why a call was refused.

use serde::{Deserialize, Serialize};

/// Why a call was refused; the JSON of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct AdminError {
    /// For programs.
    pub reason: Reason,
    /// For people: what is wrong, where, and what to do.
    pub message: String,
}

impl AdminError {
    /// An error of this kind.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The node belongs to no cluster yet. HTTP 409.
    NotFormed,
    /// The node, or a member that was named, belongs to another cluster already. HTTP 409.
    AlreadyFormed,
    /// A member that was named is not who it is said to be, or not reachable. HTTP 409.
    MemberMismatch,
    /// What was sent makes no sense. HTTP 400.
    Invalid,
    /// No token, or another one. HTTP 401.
    Unauthorized,
    /// It is not there. HTTP 404.
    NotFound,
    /// Another owner has it. HTTP 409.
    Owned,
    /// It is there already, and is not what was declared. HTTP 409.
    Incompatible,
    /// It has messages. HTTP 409.
    NotEmpty,
    /// Queues would lose mirrors. HTTP 409.
    WouldNotFit,
    /// What the cluster is to begin with cannot be read from the archive. HTTP 409.
    NotRestored,
    /// Not now: no leader or no majority. HTTP 503.
    Unavailable,
}

impl Reason {
    /// The status of an HTTP answer that says this.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::NotFound => 404,
            Self::NotFormed
            | Self::AlreadyFormed
            | Self::MemberMismatch
            | Self::Owned
            | Self::Incompatible
            | Self::NotEmpty
            | Self::WouldNotFit
            | Self::NotRestored => 409,
            Self::Unavailable => 503,
        }
    }
}
