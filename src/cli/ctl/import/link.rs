//! A connection to a side.

use std::time::{Duration, Instant};

use lapin::{
    Channel, Connection, ConnectionProperties, ErrorKind,
    options::QueueDeclareOptions,
    protocol::{AMQPErrorKind, AMQPHardError},
    types::FieldTable,
};

use super::{
    ImportError,
    side::{Endpoint, Side},
};

/// An exclusive queue that an import has on both sides: two imports would take each other's messages. It goes with the
/// connection, so that whoever gets it knows that the one before is gone.
const LOCK: &str = "ferrymq-import";
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// A number of messages is taken for settled when it was the same for so long.
const SETTLED: Duration = Duration::from_millis(300);
/// The longest that opening a connection may take.
const CONNECT: Duration = Duration::from_secs(15);

/// Messages of a queue that nobody holds, and its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) messages: u64,
    pub(super) consumers: u32,
}

/// An open connection.
pub(super) struct Link {
    pub(super) side: Side,
    pub(super) patience: Duration,
    connection: Connection,
}

impl Link {
    /// Opens a connection, and has the lock.
    ///
    /// # Errors
    ///
    /// Where nobody is there, it lets us not in, or another import has the lock for longer than `patience`.
    pub(super) async fn open(endpoint: &Endpoint, patience: Duration) -> Result<Self, ImportError> {
        let properties = ConnectionProperties::default().with_connection_name("ferrymq ctl import".into());
        let opened = tokio::time::timeout(CONNECT, Connection::connect_uri(endpoint.uri.clone(), properties)).await;
        let connection = match opened {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(not_opened(endpoint, &error)),
            Err(_) => {
                let reason = format!("{} did not answer within {} s", endpoint.host(), CONNECT.as_secs());
                return Err(ImportError::Lost { side: endpoint.side, reason });
            }
        };
        let link = Self { side: endpoint.side, patience, connection };
        link.lock().await?;
        Ok(link)
    }

    async fn lock(&self) -> Result<(), ImportError> {
        let began = Instant::now();
        loop {
            let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
            let channel = self.channel().await?;
            match channel.queue_declare(LOCK.into(), options, FieldTable::default()).await {
                Ok(_) => return Ok(()),
                Err(error) if is_locked(&error) && began.elapsed() < self.patience => tokio::time::sleep(LOOK).await,
                Err(error) if is_locked(&error) => {
                    return Err(ImportError::Silent {
                        side: self.side,
                        what: format!("did not free the exclusive queue '{LOCK}'"),
                        seconds: self.patience.as_secs(),
                        advice: "another import runs, or the connection of one is not given up yet".to_owned(),
                    });
                }
                Err(error) => return Err(self.fault(&format!("the exclusive queue '{LOCK}'"), &error)),
            }
        }
    }

    /// # Errors
    ///
    /// Where the connection is lost.
    pub(super) async fn channel(&self) -> Result<Channel, ImportError> {
        self.connection.create_channel().await.map_err(|error| self.fault("a channel", &error))
    }

    /// How many messages and consumers a queue has now.
    ///
    /// # Errors
    ///
    /// Where it is not there, or the connection is lost.
    pub(super) async fn count(&self, channel: &Channel, queue: &str) -> Result<Count, ImportError> {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        let declared = declared.map_err(|error| self.fault(&format!("queue '{queue}'"), &error))?;
        Ok(Count { messages: declared.message_count().into(), consumers: declared.consumer_count() })
    }

    /// The same, once it does not change any more: what a lost connection held comes back a moment after it.
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count). A count that changes for longer than `patience` is taken as it is.
    pub(super) async fn settled_count(&self, channel: &Channel, queue: &str) -> Result<Count, ImportError> {
        let began = Instant::now();
        let (mut last, mut since) = (self.count(channel, queue).await?, Instant::now());
        while since.elapsed() < SETTLED && began.elapsed() < self.patience {
            tokio::time::sleep(LOOK).await;
            let now = self.count(channel, queue).await?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(last)
    }

    /// Why publishes are held back, where they are.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// What an error of the client library means.
    pub(super) fn fault(&self, what: &str, error: &lapin::Error) -> ImportError {
        match refusal(error) {
            Some(reason) => ImportError::Refused { side: self.side, what: what.to_owned(), reason },
            None => ImportError::Lost { side: self.side, reason: error.to_string() },
        }
    }

    /// Closes it, and waits until the other side knows.
    pub(super) async fn close(self) {
        // It may be lost already.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.connection.close(200, "done".into())).await;
    }
}

/// The broker's own words, where it refused something; a connection that it closes for its own reasons is only lost.
fn refusal(error: &lapin::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::ProtocolError(refused) => match refused.kind() {
            AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED | AMQPHardError::INTERNALERROR) => None,
            _ => Some(refused.get_message().to_string()),
        },
        _ => None,
    }
}

fn is_locked(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(refused) if refused.get_id() == 405)
}

fn not_opened(endpoint: &Endpoint, error: &lapin::Error) -> ImportError {
    let refused = |what: String, reason: String| ImportError::Refused { side: endpoint.side, what, reason };
    match refusal(error) {
        Some(text) if text.contains("vhost") => refused(
            format!("virtual host '{}'", endpoint.virtual_host()),
            format!("{text}; name one that is there at the end of the address, with '/' written as %2F"),
        ),
        Some(text) => {
            refused(format!("user '{}'", endpoint.user()), format!("{text}; look at the user's name and password"))
        }
        None => {
            ImportError::Lost { side: endpoint.side, reason: format!("{} cannot be reached: {error}", endpoint.host()) }
        }
    }
}
