//! `basic.get`: section 1.8.3.10.

use ferrymq_core::{Session, Settlement};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{BasicGet, BasicGetEmpty, BasicGetOk},
    fault::{Exception, Stop},
    link::Link,
};

pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: BasicGet,
) -> Result<(), Stop> {
    let queue = link.queue(number, method.queue)?;
    let Some(gotten) = link.wait(link.session.get(&queue)).await?.map_err(Exception::from)? else {
        link.send(number, BasicGetEmpty::default());
        return Ok(());
    };
    let delivery = gotten.delivery;
    let channel = link.channel(number)?;
    let delivery_tag = channel.next_delivery_tag();
    if !method.no_ack {
        channel.unsettled.push(delivery_tag, delivery.id, None);
    }
    let answer = BasicGetOk {
        delivery_tag,
        redelivered: delivery.redelivered,
        exchange: delivery.message.exchange.as_text().clone(),
        routing_key: delivery.message.routing_key.as_text().clone(),
        message_count: u32::try_from(gotten.remaining).unwrap_or(u32::MAX),
    };
    link.send(number, answer);
    link.put_content(number, &delivery.message);
    if method.no_ack {
        link.settle_later(Settlement::Accept, |ids| ids.push(delivery.id));
    }
    Ok(())
}
