//! A channel's state; what is done with it is in `methods/` and `deliver.rs`.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU16,
};

use bytes::{Bytes, BytesMut};
use ferrymq_core::{ByteString, ConsumerId, Delivery, Event, QueueName};

use crate::{codec::BasicPublish, confirms::Confirms, counts::OpenChannel, unsettled::Unsettled};

/// A consumer of a channel.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) tag: ByteString,
    /// Its client does not acknowledge: what it was sent is settled here.
    pub(crate) no_ack: bool,
}

/// A message on its way in: its method is there, its header and body are not all.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) publish: BasicPublish,
    pub(crate) content: Option<IncomingContent>,
}

/// The part of it that follows its content header.
#[derive(Debug)]
pub(crate) struct IncomingContent {
    pub(crate) properties: Bytes,
    pub(crate) body_size: usize,
    /// What came of a body that takes more than one frame.
    pub(crate) body: BytesMut,
}

/// An open channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) incoming: Option<Incoming>,
    pub(crate) confirms: Option<Confirms>,
    pub(crate) consumers: HashMap<ConsumerId, Consumer>,
    pub(crate) by_tag: HashMap<ByteString, ConsumerId>,
    /// What new consumers may hold unsettled.
    pub(crate) prefetch: Option<NonZeroU16>,
    /// What all consumers together may hold unsettled.
    pub(crate) shared_prefetch: Option<NonZeroU16>,
    /// Deliveries that there is no room for under `shared_prefetch`; each consumer's window bounds them.
    pub(crate) held: VecDeque<(ConsumerId, Delivery)>,
    pub(crate) unsettled: Unsettled,
    pub(crate) last_delivery_tag: u64,
    /// What an empty queue name stands for.
    pub(crate) last_queue: Option<QueueName>,
    /// Events that came for a consumer before its subscription returned; none where no subscription is under way.
    pub(crate) early: Option<Vec<Event>>,
    /// Counts it while it is open.
    pub(crate) _counted: Option<OpenChannel>,
}

impl Channel {
    pub(crate) fn next_delivery_tag(&mut self) -> u64 {
        self.last_delivery_tag += 1;
        self.last_delivery_tag
    }

    /// Whether the client has something to settle, or waits for a confirm.
    pub(crate) fn has_under_way(&self) -> bool {
        self.unsettled.len() > 0 || self.incoming.is_some() || self.confirms.as_ref().is_some_and(Confirms::is_waiting)
    }

    /// Whether one more delivery may go out.
    pub(crate) fn has_room(&self) -> bool {
        self.shared_prefetch.is_none_or(|most| self.unsettled.len() < usize::from(most.get()))
    }

    pub(crate) fn remove_consumer(&mut self, consumer: ConsumerId) -> Option<Consumer> {
        let removed = self.consumers.remove(&consumer)?;
        self.by_tag.remove(&removed.tag);
        Some(removed)
    }
}

/// What a channel number stands for just now.
#[derive(Debug, Default)]
pub(crate) enum Place {
    #[default]
    Free,
    Open(Box<Channel>),
    /// The client was told that it is closed, and has not answered.
    Closing,
}

#[derive(Debug, Default)]
struct Slot {
    place: Place,
    /// Confirmed publishes of the channels that had this number before. Their confirms may still come, and must not be
    /// taken for those of the channel that has it now.
    published_before: u64,
}

/// The channels of a connection, by number.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    slots: Vec<Slot>,
}

impl Channels {
    pub(crate) fn place(&self, number: u16) -> &Place {
        self.slots.get(usize::from(number)).map_or(&Place::Free, |slot| &slot.place)
    }

    pub(crate) fn get(&mut self, number: u16) -> Option<&mut Channel> {
        match &mut self.slots.get_mut(usize::from(number))?.place {
            Place::Open(channel) => Some(channel),
            Place::Free | Place::Closing => None,
        }
    }

    /// Puts another thing at this number, and gives the channel that was there. The number must be at most the agreed
    /// `channel_max`, which bounds the memory.
    pub(crate) fn put(&mut self, number: u16, place: Place) -> Option<Box<Channel>> {
        let index = usize::from(number);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let slot = self.slots.get_mut(index)?;
        let Place::Open(channel) = std::mem::replace(&mut slot.place, place) else { return None };
        slot.published_before += channel.confirms.as_ref().map_or(0, Confirms::count);
        Some(channel)
    }

    /// What is added to a channel's own numbers to tell its publishes from those of its forerunners.
    pub(crate) fn published_before(&self, number: u16) -> u64 {
        self.slots.get(usize::from(number)).map_or(0, |slot| slot.published_before)
    }

    /// All open channels.
    pub(crate) fn open(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.slots.iter_mut().filter_map(|slot| match &mut slot.place {
            Place::Open(channel) => Some(&mut **channel),
            Place::Free | Place::Closing => None,
        })
    }
}
