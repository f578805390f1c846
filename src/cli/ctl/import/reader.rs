//! Reads a queue in order, a slice at a time, and leaves open what becomes of the messages.
//!
//! Each slice has a consumer of its own, which is gone before the slice is worked on: the broker holds what was read and
//! not settled, and hands out no more than was asked for. So memory is bounded by one slice, also where nothing is settled
//! until the end, and whatever is marked as handed out before was in the slice that was under way.

use std::time::{Duration, Instant};

use futures::StreamExt;
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};

use super::{ImportError, link::Link};

/// Without a message for so long, it is looked whether there are any.
const IDLE: Duration = Duration::from_millis(200);

/// A queue that is read.
pub(super) struct Reader<'a> {
    link: &'a Link,
    channel: Channel,
    queue: &'a str,
    slices: u64,
}

impl<'a> Reader<'a> {
    /// # Errors
    ///
    /// Where the connection is lost.
    pub(super) async fn new(link: &'a Link, queue: &'a str) -> Result<Self, ImportError> {
        Ok(Self { link, channel: link.channel().await?, queue, slices: 0 })
    }

    /// The channel that deliveries are settled on.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The next messages; fewer than `most` only where there are no more.
    ///
    /// # Errors
    ///
    /// Where the connection is lost, reading is refused, or there are messages and none comes.
    pub(super) async fn slice(&mut self, most: u16) -> Result<Vec<Delivery>, ImportError> {
        let fault = |error: &lapin::Error| self.link.fault(&format!("reading queue '{}'", self.queue), error);
        if most == 0 {
            return Ok(Vec::new());
        }
        self.channel.basic_qos(most, BasicQosOptions::default()).await.map_err(|error| fault(&error))?;
        self.slices += 1;
        let tag = format!("ferrymq-import-{}", self.slices);
        let consume = self.channel.basic_consume(
            self.queue.into(),
            tag.as_str().into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let mut consumer = consume.await.map_err(|error| fault(&error))?;
        let mut slice = Vec::with_capacity(usize::from(most).min(1024));
        let mut last = Instant::now();
        while slice.len() < usize::from(most) {
            match tokio::time::timeout(IDLE, consumer.next()).await {
                Ok(Some(Ok(delivery))) => {
                    slice.push(delivery);
                    last = Instant::now();
                }
                Ok(Some(Err(error))) => return Err(fault(&error)),
                Ok(None) => return Err(self.gone()),
                Err(_) if self.link.count(&self.channel, self.queue).await?.messages == 0 => break,
                Err(_) if last.elapsed() >= self.link.patience => return Err(self.nothing_comes()),
                Err(_) => {}
            }
        }
        self.channel.basic_cancel(tag.as_str().into(), Default::default()).await.map_err(|error| fault(&error))?;
        // What was on its way; the prefetch bounds it.
        while let Some(delivery) = consumer.next().await {
            slice.push(delivery.map_err(|error| fault(&error))?);
        }
        Ok(slice)
    }

    /// Gives back all that was read and not settled.
    pub(super) async fn give_back(self) {
        // Where the connection is lost, that gives it back.
        let _ = self.channel.close(200, "given back".into()).await;
    }

    /// What an error of the client library means, where it comes of settling.
    pub(super) fn fault(&self, what: &str, error: &lapin::Error) -> ImportError {
        self.link.fault(&format!("{what} of queue '{}'", self.queue), error)
    }

    fn gone(&self) -> ImportError {
        ImportError::Lost { side: self.link.side, reason: format!("it ended reading queue '{}'", self.queue) }
    }

    fn nothing_comes(&self) -> ImportError {
        ImportError::Silent {
            side: self.link.side,
            what: format!("handed out nothing of queue '{}', which has messages,", self.queue),
            seconds: self.link.patience.as_secs(),
            advice: "another consumer may be its single active one, or have a higher priority: stop it".to_owned(),
        }
    }
}
