//! Who a client is, and what it may do.

use std::{net::IpAddr, sync::Arc};

/// What a client shows to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its user's name.
    pub user: String,
    /// That user's password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// An attempt to log in.
#[derive(Debug, Clone)]
pub struct Login {
    /// What the client showed.
    pub credentials: Credentials,
    /// Where it connects from.
    pub address: IpAddr,
}

/// A user whose password was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub user: Arc<str>,
}

/// Why a client was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// No such user, or another password. Which of the two is not said.
    #[error("user '{user}' - invalid credentials")]
    Credentials {
        /// The name that was given.
        user: String,
    },
    /// A user that may connect only from the broker's own machine.
    #[error("user '{user}' can only connect via localhost")]
    LoopbackOnly {
        /// The name that was given.
        user: String,
    },
    /// The node cannot tell just now.
    #[error("this broker cannot check passwords yet: {reason}; try again, or connect to another broker")]
    Unavailable {
        /// Why.
        reason: String,
    },
}
