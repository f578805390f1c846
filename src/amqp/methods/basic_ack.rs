//! `basic.ack`, `basic.nack`, `basic.reject`: sections 1.8.3.13, 1.8.3.14, and RabbitMQ's extension.

use ferrymq_core::{Session, Settlement};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{BasicAck, BasicNack, BasicReject},
    fault::{Code, Exception},
    link::Link,
};

pub(crate) fn ack<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: &BasicAck,
) -> Result<(), Exception> {
    settle(link, number, Settlement::Accept, method.delivery_tag, method.multiple)
}

pub(crate) fn nack<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: &BasicNack,
) -> Result<(), Exception> {
    settle(link, number, unwanted(method.requeue), method.delivery_tag, method.multiple)
}

pub(crate) fn reject<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: &BasicReject,
) -> Result<(), Exception> {
    settle(link, number, unwanted(method.requeue), method.delivery_tag, false)
}

fn unwanted(requeue: bool) -> Settlement {
    if requeue { Settlement::Requeue } else { Settlement::Discard }
}

fn settle<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    settlement: Settlement,
    tag: u64,
    multiple: bool,
) -> Result<(), Exception> {
    // Taken out of the link while both are in use.
    let mut unsettled = std::mem::take(&mut link.channel(number)?.unsettled);
    let mut known = Ok(());
    link.settle_later(settlement, |ids| known = unsettled.settle(tag, multiple, ids));
    link.channel(number)?.unsettled = unsettled;
    known.map_err(|unknown| Exception::new(Code::PreconditionFailed, format!("unknown delivery tag {}", unknown.0)))?;
    link.deliver_held(number);
    Ok(())
}
