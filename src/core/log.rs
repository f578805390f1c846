//! Logs: queues whose messages stay until retention removes them, and whose consumers each keep their own position.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Message;

/// A log that a client wants to be there: how long and how much of it is kept. What is over either bound goes, oldest first
/// and what was stored together at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogDeclaration {
    /// The oldest that a message may be, to the millisecond; no limit where there is none.
    pub age: Option<Duration>,
    /// The most bytes of messages; no limit where there is none.
    pub bytes: Option<u64>,
}

/// Where a consumer of a log begins. An offset is a message's place in its log: it counts from 0, and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogPosition {
    /// At the oldest message that is kept.
    First,
    /// At the messages that were stored last, and together.
    Last,
    /// At what comes from now on.
    Next,
    /// At this offset; where there is none, at the one of those that there are which is nearest.
    Offset(u64),
    /// At the first message that was stored at this time (milliseconds since 1970) or after it.
    Time(u64),
}

/// Which messages of a log a consumer wants; the others are passed over.
#[derive(Clone)]
pub struct LogFilter(Arc<dyn Fn(&Message) -> bool + Send + Sync>);

impl LogFilter {
    /// Those for which this is true.
    pub fn new(wants: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(wants))
    }

    /// Whether a message is wanted.
    #[must_use]
    pub fn wants(&self, message: &Message) -> bool {
        (self.0)(message)
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogFilter")
    }
}
