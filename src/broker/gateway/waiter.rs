//! Who is told when a request has taken effect.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferrymq_core::{Confirmation, Event, EventSender, Tag};
use ferrymq_queue::QueueId;
use tokio::sync::{Semaphore, oneshot};

use super::Consumers;
use crate::counters::Count;

/// One session's publishing: where its confirms go, and how much it may have under way.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) events: EventSender,
    /// Bytes that may still be put under way.
    pub(crate) room: Semaphore,
}

/// A message that went to several queues, and is confirmed when all of them have it.
#[derive(Debug)]
pub(crate) struct Several {
    pub(crate) left: AtomicUsize,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) tag: Option<Tag>,
    pub(crate) room: u32,
}

/// Who is told.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A publisher: its message is in its only queue.
    Published { publisher: Arc<Publisher>, tag: Option<Tag>, room: u32 },
    /// A publisher: its message is in one of its queues.
    PublishedToOneOf(Arc<Several>),
    /// Whoever settled: these messages are settled, and no longer held.
    Settled { queue: QueueId, messages: Vec<u64> },
    /// Whoever waits for it.
    Done(oneshot::Sender<()>),
}

/// Confirms of one channel that go out together.
type Gathered = (Arc<Publisher>, u16, Vec<(u64, Confirmation)>);

/// Tells all of them; confirms of one channel go out together.
pub(crate) fn complete(waiters: Vec<Waiter>, consumers: &Consumers) {
    let mut confirms: Option<Gathered> = None;
    let flush = |confirms: &mut Option<Gathered>| {
        if let Some((publisher, channel, confirms)) = confirms.take() {
            // Before it is told: who has heard of it finds it counted.
            consumers.counters().add(Count::Confirmed, confirms.len() as u64);
            // The session may be gone.
            let _ = publisher.events.send(Event::Confirms { channel, confirms });
        }
    };
    for waiter in waiters {
        let (publisher, tag, room) = match waiter {
            Waiter::Published { publisher, tag, room } => (publisher, tag, room),
            Waiter::PublishedToOneOf(several) => {
                if several.left.fetch_sub(1, Ordering::AcqRel) > 1 {
                    continue;
                }
                (several.publisher.clone(), several.tag, several.room)
            }
            Waiter::Settled { queue, messages } => {
                consumers.release(queue, &messages);
                continue;
            }
            Waiter::Done(tell) => {
                // Whoever waited may have given up.
                let _ = tell.send(());
                continue;
            }
        };
        publisher.room.add_permits(room as usize);
        let Some(Tag { channel, sequence }) = tag else { continue };
        match &mut confirms {
            Some((known, same, list)) if Arc::ptr_eq(known, &publisher) && *same == channel => {
                list.push((sequence, Confirmation::Stored));
            }
            _ => {
                flush(&mut confirms);
                confirms = Some((publisher, channel, vec![(sequence, Confirmation::Stored)]));
            }
        }
    }
    flush(&mut confirms);
}
