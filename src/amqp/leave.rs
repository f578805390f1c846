//! The broker stops: what is under way with a client comes to its end before the client is let go.
//!
//! Nothing is delivered any more by then. The client settles what it holds, which would come again otherwise; and it is told
//! to publish no more, where it understands that, so that every publish has its confirm before the connection closes.

use std::{pin::Pin, time::Duration};

use ferrymq_core::Session;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until, timeout},
};

use crate::{
    channel::Channel,
    codec::ConnectionBlocked,
    fault::{Exception, Stop},
    link::Link,
};

/// The longest that a client is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// A client that has nothing under way, and says nothing for so long, is let go.
const QUIET: Duration = Duration::from_millis(20);

/// When a client is let go, whatever it has under way.
pub(crate) fn deadline() -> Pin<Box<Sleep>> {
    Box::pin(sleep_until(Instant::now() + PATIENCE))
}

/// What a client is told that is let go.
pub(crate) fn farewell() -> Stop {
    Exception::forced("shutdown").into()
}

impl<S: Session, T: AsyncRead + AsyncWrite + Unpin> Link<'_, S, T> {
    /// Serves the client until it has nothing under way.
    pub(crate) async fn leave(&mut self) -> Stop {
        let mut told = !self.peer.blocked;
        loop {
            if let Err(stop) = self.serve_frames().await {
                return stop;
            }
            // Not before: some clients send nothing once they are told, not even acknowledgements.
            if !told
                && !self.any(|channel| channel.unsettled.len() > 0)
                && self.any(|channel| channel.confirms.is_some())
            {
                told = true;
                self.send(0, ConnectionBlocked { reason: "this broker stops; others go on".into() });
            }
            match timeout(QUIET, self.read()).await {
                Ok(Err(stop)) => return stop,
                Ok(Ok(())) => {}
                Err(_) if self.any(Channel::has_under_way) => {}
                Err(_) => return farewell(),
            }
        }
    }

    fn any(&mut self, is: impl Fn(&Channel) -> bool) -> bool {
        self.channels.open().any(|channel| is(channel))
    }
}
