//! What an operator may set of this protocol.

use std::{sync::Arc, time::Duration};

use crate::Counts;

/// Limits and names that a connection is served by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes that a frame may have; a client may ask for less, not below 4096.
    pub frame_max: u32,
    /// The highest number that a channel may have.
    pub channel_max: u16,
    /// How often each side says that it is there; a client may ask for another interval, or for none.
    pub heartbeat: Duration,
    /// How long a client may take from its first byte to its opened virtual host.
    pub handshake_timeout: Duration,
    /// Bytes that the body of a message may have.
    pub max_message_bytes: u64,
    /// The name of the broker, for people and for clients to read.
    pub product: String,
    /// Its version.
    pub version: String,
    /// The cluster that it belongs to.
    pub cluster_name: String,
    /// Where its connections are counted.
    pub counts: Arc<Counts>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            max_message_bytes: 16 * 1024 * 1024,
            product: "FerryMQ".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_name: "ferrymq".to_owned(),
            counts: Arc::default(),
        }
    }
}
