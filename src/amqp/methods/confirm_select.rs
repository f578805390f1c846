//! `confirm.select`: RabbitMQ's extension, publisher confirms.

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{ConfirmSelect, ConfirmSelectOk},
    confirms::Confirms,
    fault::Exception,
    link::Link,
};

pub(crate) fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: &ConfirmSelect,
) -> Result<(), Exception> {
    link.channel(number)?.confirms.get_or_insert_with(Confirms::new);
    if !method.nowait {
        link.send(number, ConfirmSelectOk {});
    }
    Ok(())
}
