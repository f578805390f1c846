//! `basic.cancel`: section 1.8.3.5.

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{BasicCancel, BasicCancelOk},
    fault::Stop,
    link::Link,
};

/// What the consumer was sent stays unsettled; what is held or under way is given back.
pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: BasicCancel,
) -> Result<(), Stop> {
    let channel = link.channel(number)?;
    // A consumer that is not there is no error: its queue may have gone a moment ago.
    if let Some(consumer) = channel.by_tag.get(&method.consumer_tag).copied() {
        channel.remove_consumer(consumer);
        link.give_back_held(number, consumer);
        link.wait(link.session.cancel(consumer)).await?;
    }
    if !method.nowait {
        link.send(number, BasicCancelOk { consumer_tag: method.consumer_tag });
    }
    Ok(())
}
