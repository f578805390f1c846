//! `queue.delete`: section 1.7.2.9.

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{QueueDelete, QueueDeleteOk},
    fault::{Exception, Stop},
    link::Link,
};

pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: QueueDelete,
) -> Result<(), Stop> {
    let queue = link.queue(number, method.queue)?;
    let request = link.session.delete_queue(&queue, method.if_unused, method.if_empty);
    let messages = link.wait(request).await?.map_err(Exception::from)?;
    if !method.nowait {
        link.send(number, QueueDeleteOk { message_count: u32::try_from(messages).unwrap_or(u32::MAX) });
    }
    Ok(())
}
