//! Connections, spoken to in bytes by [`client::Client`] and by a client library, against a broker in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;
mod confirming;
mod consuming;
mod declaring;
mod handshake;
mod hostile;
mod library;
mod publishing;
mod waiting;
