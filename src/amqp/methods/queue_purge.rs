//! `queue.purge`: section 1.7.2.7.

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{QueuePurge, QueuePurgeOk},
    fault::{Exception, Stop},
    link::Link,
};

pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: QueuePurge,
) -> Result<(), Stop> {
    let queue = link.queue(number, method.queue)?;
    let messages = link.wait(link.session.purge_queue(&queue)).await?.map_err(Exception::from)?;
    if !method.nowait {
        link.send(number, QueuePurgeOk { message_count: u32::try_from(messages).unwrap_or(u32::MAX) });
    }
    Ok(())
}
