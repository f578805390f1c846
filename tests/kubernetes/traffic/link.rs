//! A connection to whichever broker answers.

use std::sync::RwLock;
use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties};

use crate::world::Broker;

/// How long a client tries one broker before it takes the next.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether a connection is gone.
const LOOK: Duration = Duration::from_millis(500);

/// A connection with one channel.
pub(crate) struct Link {
    pub(crate) channel: Channel,
    connection: Connection,
}

impl Link {
    /// Returns when the connection is gone. What waits for an answer over it is not always told by the library.
    pub(crate) async fn gone(&self) {
        while self.connection.status().connected() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends in good order, or at least soon.
    pub(crate) async fn close(self) {
        let _ = tokio::time::timeout(PATIENCE, self.connection.close(200, "done".into())).await;
    }
}

/// A connection to this broker, if it answers soon.
pub(crate) async fn connect(uri: &str) -> Option<Link> {
    let connecting = async {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok::<_, lapin::Error>(Link { channel, connection })
    };
    tokio::time::timeout(PATIENCE, connecting).await.ok()?.ok()
}

/// The brokers in turn, beginning with one.
pub(super) struct Turn {
    next: usize,
}

impl Turn {
    pub(super) fn beginning_with(first: &str, brokers: &RwLock<Vec<Broker>>) -> Self {
        let brokers = brokers.read().expect("nobody panics with this lock");
        Self { next: brokers.iter().position(|broker| broker.pod == first).expect("the first broker is one of them") }
    }

    /// The next one.
    pub(super) fn next(&mut self, brokers: &RwLock<Vec<Broker>>) -> Broker {
        let brokers = brokers.read().expect("nobody panics with this lock");
        let broker = brokers[self.next % brokers.len()].clone();
        self.next += 1;
        broker
    }
}
