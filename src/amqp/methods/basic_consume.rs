//! `basic.consume`: section 1.8.3.3. `no-local` is passed over, as RabbitMQ does.

use ferrymq_core::{ByteString, LogFilter, Session, Subscription};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    arguments,
    channel::Consumer,
    codec::{BasicConsume, BasicConsumeOk},
    fault::{Code, Exception, Stop},
    link::Link,
};

/// The queue that stands for answers without a queue, which there is none of here.
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: BasicConsume,
) -> Result<(), Stop> {
    if method.queue == DIRECT_REPLY_TO {
        let sentence = "direct reply-to is not supported; declare an exclusive queue for the answers";
        return Err(Exception::not_implemented(sentence).into());
    }
    let asked = arguments::of_consumer(&method.arguments)?;
    let queue = link.queue(number, method.queue)?;
    let tag = if method.consumer_tag.is_empty() { made_tag(link) } else { method.consumer_tag };
    let channel = link.channel(number)?;
    if channel.by_tag.contains_key(&tag) {
        return Err(Exception::new(Code::NotAllowed, format!("attempt to reuse consumer tag '{tag}'")).into());
    }
    let subscription = Subscription {
        queue,
        channel: number,
        tag: tag.clone(),
        // Where nothing is acknowledged, nothing is limited by it.
        prefetch: channel.prefetch.filter(|_| !method.no_ack),
        exclusive: method.exclusive,
        priority: asked.priority,
        no_ack: method.no_ack,
        position: asked.position,
        filter: asked.filter.map(|wanted| LogFilter::new(move |message| wanted.wants(message))),
    };
    channel.early = Some(Vec::new());
    let subscribed = link.wait(link.session.subscribe(subscription)).await?;
    let channel = link.channel(number)?;
    let early = channel.early.take().unwrap_or_default();
    let consumer = subscribed.map_err(Exception::from)?;
    channel.by_tag.insert(tag.clone(), consumer);
    channel.consumers.insert(consumer, Consumer { tag: tag.clone(), no_ack: method.no_ack });
    if !method.nowait {
        link.send(number, BasicConsumeOk { consumer_tag: tag });
    }
    for event in early {
        link.on_event(event)?;
    }
    Ok(())
}

fn made_tag<S: Session, T: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<'_, S, T>) -> ByteString {
    link.made_tags += 1;
    format!("amq.ctag-{:016x}{:06x}", link.number, link.made_tags).into()
}
