//! HTTP: the admin API of a node, and its metrics.
//!
//! ```text
//!   socket --serve--> router --(token, time limit)--> handlers --AdminPort--> the node
//!      bounded           every answer that is not
//!      connections       a success is an AdminError
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `serve.rs` | [`fn@serve`], [`serve_metrics`]: connections, their bounds, and the stop |
//! | `connections.rs` | how many connections there may be, in all and of one address |
//! | `router.rs` | [`fn@router`]: which call is answered by what |
//! | `handlers.rs` | one function for each call |
//! | `metrics.rs` | [`MetricsPort`], and where it is served |
//! | `guard.rs` | what stands before every call: the token and the time limit |
//! | `token.rs` | [`Token`]: the secret, compared in constant time |
//! | `json.rs` | bodies in and out |
//! | `refused.rs` | an [`AdminError`](ferrymq_admin_api::AdminError) as an HTTP answer |
//!
//! Invariants: of the admin API nothing but the two probes is answered without the token, and a body is read only after the token was
//! checked; every request ends within [`REQUEST_LIMIT`]; connections, headers and bodies are bounded in number, size
//! and time.

mod connections;
mod guard;
mod handlers;
mod json;
mod metrics;
mod refused;
mod router;
mod serve;
mod token;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

pub use guard::REQUEST_LIMIT;
pub use json::BODY_LIMIT;
pub use metrics::{METRICS, METRICS_PER_OBJECT, MetricsPort};
pub use router::router;
pub use serve::{serve, serve_metrics};
pub use token::{EmptyToken, Token};
