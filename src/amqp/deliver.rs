//! Events of the session, as the client reads them: deliveries, confirms, cancels, alarms.

use bytes::BufMut;
use ferrymq_core::{ByteString, Confirmation, ConsumerId, Delivery, Event, Message, Session, Settlement};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{BASIC_CLASS, BasicAck, BasicCancel, BasicNack, FrameKind, Writer, begin_frame, end_frame},
    fault::{Exception, Stop},
    link::Link,
    output::Output,
};

impl<S: Session, T: AsyncRead + AsyncWrite + Unpin> Link<'_, S, T> {
    /// Turns an event into frames.
    pub(crate) fn on_event(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Deliveries { channel, consumer, deliveries } => self.on_deliveries(channel, consumer, deliveries),
            Event::Confirms { channel, confirms } => self.on_confirms(channel, confirms),
            Event::ConsumerGone { channel, consumer } => self.on_consumer_gone(channel, consumer),
            Event::Blocked(reason) => self.on_alarm(Some(reason)),
            Event::Unblocked => self.on_alarm(None),
            Event::Closing(reason) => return Err(Exception::forced(&reason).into()),
        }
        Ok(())
    }

    fn on_deliveries(&mut self, number: u16, consumer: ConsumerId, deliveries: Vec<Delivery>) {
        let Some(channel) = self.channels.get(number) else { return self.give_back(consumer, deliveries) };
        if !channel.consumers.contains_key(&consumer) {
            match &mut channel.early {
                Some(early) => early.push(Event::Deliveries { channel: number, consumer, deliveries }),
                // It was cancelled.
                None => self.give_back(consumer, deliveries),
            }
            return;
        }
        if channel.shared_prefetch.is_some() || !channel.held.is_empty() {
            channel.held.extend(deliveries.into_iter().map(|delivery| (consumer, delivery)));
            return self.deliver_held(number);
        }
        let count = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
        for delivery in deliveries {
            self.deliver(number, consumer, delivery);
        }
        self.session.taken(consumer, count);
    }

    fn give_back(&mut self, consumer: ConsumerId, deliveries: Vec<Delivery>) {
        let count = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
        self.settle_later(Settlement::Requeue, |ids| ids.extend(deliveries.iter().map(|delivery| delivery.id)));
        self.session.taken(consumer, count);
    }

    /// Gives back what was held for a consumer that is gone, and passes on what waited behind it.
    pub(crate) fn give_back_held(&mut self, number: u16, consumer: ConsumerId) {
        let Some(channel) = self.channels.get(number) else { return };
        let (own, others) = channel.held.drain(..).partition::<Vec<_>, _>(|(holder, _)| *holder == consumer);
        channel.held.extend(others);
        if !own.is_empty() {
            self.give_back(consumer, own.into_iter().map(|(_, delivery)| delivery).collect());
        }
        self.deliver_held(number);
    }

    /// Passes on what was held, as far as there is room now.
    pub(crate) fn deliver_held(&mut self, number: u16) {
        while let Some(channel) = self.channels.get(number) {
            // A consumer that does not acknowledge takes no room, but keeps its turn.
            let Some((consumer, _)) = channel.held.front() else { return };
            let free = channel.consumers.get(consumer).is_some_and(|consumer| consumer.no_ack);
            if !free && !channel.has_room() {
                return;
            }
            let Some((consumer, delivery)) = channel.held.pop_front() else { return };
            self.deliver(number, consumer, delivery);
            self.session.taken(consumer, 1);
        }
    }

    fn deliver(&mut self, number: u16, id: ConsumerId, delivery: Delivery) {
        let Some(channel) = self.channels.get(number) else { return };
        let delivery_tag = channel.next_delivery_tag();
        let Some(consumer) = channel.consumers.get(&id) else { return };
        put_deliver(&mut self.wire.output, number, &consumer.tag, delivery_tag, &delivery);
        let no_ack = consumer.no_ack;
        if !no_ack {
            channel.unsettled.push(delivery_tag, delivery.id, Some(id));
        }
        match delivery.id.reader {
            None => self.put_content(number, &delivery.message),
            Some(_) => self.put_content_of_log(number, &delivery),
        }
        if no_ack {
            self.settle_later(Settlement::Accept, |ids| ids.push(delivery.id));
        }
    }

    /// A message's header and body.
    pub(crate) fn put_content(&mut self, number: u16, message: &Message) {
        let properties = crate::convert::properties_to_amqp(&message.properties);
        self.wire.output.content(number, properties, &message.body, self.peer.frame_max);
    }

    /// The same, with its offset.
    fn put_content_of_log(&mut self, number: u16, delivery: &Delivery) {
        let Delivery { id, message, .. } = delivery;
        match crate::convert::properties_with_offset(&message.properties, id.message) {
            Ok(properties) => self.wire.output.content(number, &properties, &message.body, self.peer.frame_max),
            // Properties are checked when they are published.
            Err(error) => {
                tracing::error!(offset = id.message, %error, "the properties of a message of a log cannot be read");
                self.put_content(number, message);
            }
        }
    }

    fn on_confirms(&mut self, number: u16, decided: Vec<(u64, Confirmation)>) {
        let before = self.channels.published_before(number);
        let Some(confirms) = self.channels.get(number).and_then(|channel| channel.confirms.as_mut()) else { return };
        for (sequence, confirmation) in decided {
            // Up to `before` they are of a channel that had this number and is closed.
            if let Some(own) = sequence.checked_sub(before) {
                confirms.decide(own, confirmation);
            }
        }
        self.has_news(number);
    }

    /// Has the client told of this channel's confirms, soon and together with what else is decided by then.
    pub(crate) fn has_news(&mut self, number: u16) {
        if !self.with_news.contains(&number) {
            self.with_news.push(number);
        }
    }

    pub(crate) fn tell_confirms(&mut self) {
        let mut numbers = std::mem::take(&mut self.with_news);
        for number in numbers.drain(..) {
            let Some(confirms) = self.channels.get(number).and_then(|channel| channel.confirms.as_mut()) else {
                continue;
            };
            let output = &mut self.wire.output;
            confirms.tell(|word| {
                let (delivery_tag, multiple) = (word.delivery_tag, word.multiple);
                match word.confirmation {
                    Confirmation::Stored => output.method(number, BasicAck { delivery_tag, multiple }),
                    Confirmation::Rejected => {
                        output.method(number, BasicNack { delivery_tag, multiple, requeue: false });
                    }
                }
            });
        }
        self.with_news = numbers;
    }

    fn on_consumer_gone(&mut self, number: u16, consumer: ConsumerId) {
        let Some(channel) = self.channels.get(number) else { return };
        let Some(gone) = channel.remove_consumer(consumer) else {
            if let Some(early) = &mut channel.early {
                early.push(Event::ConsumerGone { channel: number, consumer });
            }
            return;
        };
        if self.peer.consumer_cancel_notify {
            self.send(number, BasicCancel { consumer_tag: gone.tag, nowait: true });
        }
        self.give_back_held(number, consumer);
    }
}

/// `basic.deliver`, written from what is there: this is done once a message.
fn put_deliver(output: &mut Output, channel: u16, consumer_tag: &ByteString, delivery_tag: u64, delivery: &Delivery) {
    const DELIVER: u16 = 60;
    let out = output.tail();
    let start = begin_frame(out, FrameKind::Method, channel);
    out.put_u16(BASIC_CLASS);
    out.put_u16(DELIVER);
    let mut writer = Writer::new(out);
    writer.short_string(consumer_tag);
    writer.u64(delivery_tag);
    writer.bit(delivery.redelivered);
    writer.short_string(delivery.message.exchange.as_str());
    writer.short_string(delivery.message.routing_key.as_str());
    end_frame(out, start);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use bytes::BytesMut;
    use ferrymq_core::{DeliveryId, ExchangeName, Properties, RoutingKey};

    use super::*;
    use crate::codec::{BasicDeliver, Method, take_frame};

    #[test]
    fn a_delivery_is_written_as_the_definition_has_it() {
        let message = Message {
            exchange: ExchangeName::new("orders").unwrap(),
            routing_key: RoutingKey::new("a.b").unwrap(),
            properties: Properties::default(),
            body: bytes::Bytes::new(),
        };
        let id = DeliveryId { queue: NonZeroU64::MIN, message: 1, reader: None };
        let mut output = Output::default();
        put_deliver(&mut output, 9, &"tag".into(), 77, &Delivery { id, redelivered: true, message });
        let mut written: BytesMut = output.tail().split();
        let frame = take_frame(&mut written, 4096).unwrap().unwrap();
        assert_eq!(
            Method::decode(&frame.payload).unwrap(),
            Method::BasicDeliver(BasicDeliver {
                consumer_tag: "tag".into(),
                delivery_tag: 77,
                redelivered: true,
                exchange: "orders".into(),
                routing_key: "a.b".into(),
            })
        );
    }
}
