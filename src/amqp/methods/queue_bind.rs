//! `queue.bind` and `queue.unbind`: sections 1.7.2.3 and 1.7.2.5.

use ferrymq_core::{BindingDeclaration, ByteString, RoutingKey, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{QueueBind, QueueBindOk, QueueUnbind, QueueUnbindOk},
    convert,
    fault::{Exception, Stop},
    link::Link,
};

pub(crate) async fn bind<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: QueueBind,
) -> Result<(), Stop> {
    let binding = binding(link, number, method.queue, method.exchange, method.routing_key)?;
    link.wait(link.session.bind(binding)).await?.map_err(Exception::from)?;
    if !method.nowait {
        link.send(number, QueueBindOk {});
    }
    Ok(())
}

pub(crate) async fn unbind<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: QueueUnbind,
) -> Result<(), Stop> {
    let binding = binding(link, number, method.queue, method.exchange, method.routing_key)?;
    link.wait(link.session.unbind(binding)).await?.map_err(Exception::from)?;
    link.send(number, QueueUnbindOk {});
    Ok(())
}

fn binding<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    queue: ByteString,
    exchange: ByteString,
    routing_key: ByteString,
) -> Result<BindingDeclaration, Exception> {
    let last = queue.is_empty();
    let queue = link.queue(number, queue)?;
    // Where both are left out, the last declared queue's name is the key as well.
    let routing_key = if last && routing_key.is_empty() { queue.as_text().clone() } else { routing_key };
    Ok(BindingDeclaration {
        source: convert::named_exchange(exchange)?,
        queue,
        routing_key: RoutingKey::new(routing_key)?,
    })
}
