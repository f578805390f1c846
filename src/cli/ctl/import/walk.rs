//! Reads what FerryMQ has of a queue, and gives it back.

use super::{
    ImportError, digest::Digest, link::Link, message::Message, reader::Reader, state::Reached, window::Window,
};

/// What was found behind the messages that were there before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Messages that were read in all.
    pub(super) messages: u64,
    /// The digest of as many as were moved.
    pub(super) digest: Digest,
    /// The first ones behind these, and bytes of their bodies.
    pub(super) behind: Vec<(Digest, u64)>,
}

impl Found {
    /// Whether what was moved is there, whole and in order.
    pub(super) fn holds(&self, reached: &Reached) -> bool {
        self.messages >= reached.there_before + reached.moved && self.digest == reached.digest
    }
}

/// Reads all messages of a queue, `most_behind` of which are told one by one.
///
/// # Errors
///
/// Where the connection is lost, or reading is refused.
pub(super) async fn walk(
    link: &Link,
    reached: &Reached,
    user: &str,
    mut window: Window,
    most_behind: u64,
) -> Result<Found, ImportError> {
    let mut reader = Reader::new(link, &reached.queue).await?;
    let mut found = Found { messages: 0, digest: Digest::default(), behind: Vec::new() };
    let end = reached.there_before + reached.moved;
    let last = end + most_behind;
    while found.messages < last {
        let most = u16::try_from(last - found.messages).unwrap_or(u16::MAX).min(window.size());
        let slice = reader.slice(most).await?;
        if slice.is_empty() {
            break;
        }
        let (count, mut bytes) = (slice.len(), 0);
        for delivery in slice {
            let message = Message::new(delivery, user);
            bytes += message.bytes();
            if found.messages >= end {
                found.behind.push((message.digest, message.bytes()));
            } else if found.messages >= reached.there_before {
                found.digest = found.digest.followed_by(&message.digest);
            }
            found.messages += 1;
        }
        window.learn(count, bytes);
    }
    reader.give_back().await;
    Ok(found)
}
