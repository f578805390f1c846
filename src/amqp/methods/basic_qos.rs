//! `basic.qos`: section 1.8.3.1, with RabbitMQ's meaning of `global`: false is for each consumer that is made after it,
//! true is shared by all consumers of the channel.

use std::num::NonZeroU16;

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{BasicQos, BasicQosOk},
    fault::Exception,
    link::Link,
};

pub(crate) fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: &BasicQos,
) -> Result<(), Exception> {
    if method.prefetch_size != 0 {
        return Err(Exception::not_implemented(format!("prefetch_size!=0 ({})", method.prefetch_size)));
    }
    let most = NonZeroU16::new(method.prefetch_count);
    let channel = link.channel(number)?;
    if method.global {
        channel.shared_prefetch = most;
    } else {
        channel.prefetch = most;
    }
    link.send(number, BasicQosOk {});
    link.deliver_held(number);
    Ok(())
}
