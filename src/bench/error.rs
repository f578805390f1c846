//! What ends a run.

use std::{io, path::PathBuf};

use ferrymq_amqp::codec::{DecodeError, FrameError};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Options that do not go together.
    #[error("{0}")]
    Arguments(String),
    /// A connection could not be opened, or what it needs was refused.
    #[error("{uri}: {error}{}", advice(.error))]
    Broken {
        /// Where, without the password.
        uri: String,
        /// What happened.
        error: Broken,
    },
    /// Not everything that was published arrived.
    #[error("{missing} messages were not received, and none came for {seconds} s; the counts above are what did come")]
    NotReceived {
        /// How many.
        missing: u64,
        /// How long none came.
        seconds: u64,
    },
    /// The system has no more threads.
    #[error("cannot start the thread that keeps the rate")]
    Thread(#[source] io::Error),
    /// A task panicked.
    #[error("a part of the load generator failed, which is a fault of its own: {0}")]
    Crashed(#[from] tokio::task::JoinError),
    /// The result could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The result could not be printed.
    #[error("cannot print the result")]
    Print(#[source] io::Error),
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nobody answers.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Socket(io::Error),
    /// The broker let go of it.
    #[error("the broker closed the connection without a word")]
    Gone,
    /// Nothing was heard for two intervals of the heartbeat.
    #[error("nothing was heard of the broker for {0} s")]
    Silent(u64),
    /// The broker took too long to let us in, or to answer.
    #[error("no answer after {0} s")]
    Late(u64),
    /// The broker closed the connection or the channel, and said why.
    #[error("{code}: {text}")]
    Closed {
        /// The reply code.
        code: u16,
        /// The broker's words.
        text: String,
    },
    /// The broker cancelled a consumer.
    #[error("the broker cancelled the consumer of a queue: the queue was deleted, or cannot be served")]
    Cancelled,
    /// The broker speaks something else.
    #[error("the broker does not speak AMQP 0-9-1 here: it answered {0}")]
    Unwelcome(String),
    /// The broker said something that cannot be at this point.
    #[error("'{0}' was not expected here")]
    Unexpected(&'static str),
    /// What the broker sent is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What the broker sent is malformed.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl Broken {
    pub(crate) fn at(self, uri: String) -> BenchError {
        BenchError::Broken { uri, error: self }
    }
}

/// What a person can do about it.
fn advice(error: &Broken) -> &'static str {
    match error {
        Broken::Connect(_) => "; is the broker up, and is this its AMQP port?",
        Broken::Closed { code: 403, .. } => "; check user and password of the URI, and the user's permissions",
        Broken::Closed { code: 404, .. } => "; the queues must be there for --no-declare",
        Broken::Closed { code: 406, .. } => {
            "; a queue of this name is there with other arguments: take another --queue-prefix, or give --no-declare"
        }
        Broken::Closed { code: 530, .. } => "; check the URI's virtual host, and whether the user may use it",
        Broken::Closed { code: 540, .. } => "; this broker does not know it: leave out --queue-type",
        Broken::Gone => "; a broker does so before the login when the user or the password is wrong",
        _ => "",
    }
}
