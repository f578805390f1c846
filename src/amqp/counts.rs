//! What only this protocol knows to count. The rest is counted behind the port, for all protocols alike.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts of all connections that have it in their [`Settings`](crate::Settings).
#[derive(Debug, Default)]
pub struct Counts {
    channels: AtomicU64,
    returned: AtomicU64,
}

impl Counts {
    /// Channels that are open.
    #[must_use]
    pub fn channels(&self) -> u64 {
        self.channels.load(Ordering::Relaxed)
    }

    /// Messages that went to no queue, and were sent back to their publishers, which had asked for that.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    pub(crate) fn was_returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }
}

/// A channel that is open, for as long as this lives.
#[derive(Debug)]
pub(crate) struct OpenChannel(Arc<Counts>);

impl OpenChannel {
    pub(crate) fn new(counts: &Arc<Counts>) -> Self {
        counts.channels.fetch_add(1, Ordering::Relaxed);
        Self(counts.clone())
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Ordering::Relaxed);
    }
}
