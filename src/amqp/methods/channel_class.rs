//! The class `channel`: section 1.5.

use ferrymq_core::{Session, Settlement};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    channel::{Channel, Place},
    codec::{ChannelClose, ChannelCloseOk, ChannelFlow, ChannelFlowOk, ChannelOpenOk},
    counts::OpenChannel,
    fault::{Code, Exception, Stop},
    link::Link,
};

/// `channel.open`
pub(crate) fn open<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
) -> Result<(), Exception> {
    let most = link.peer.channel_max;
    if number > most {
        let sentence = format!("channel {number} is above the negotiated channel_max ({most})");
        return Err(Exception::new(Code::NotAllowed, sentence));
    }
    let _counted = Some(OpenChannel::new(&link.settings.counts));
    link.channels.put(number, Place::Open(Box::new(Channel { _counted, ..Channel::default() })));
    link.send(number, ChannelOpenOk::default());
    Ok(())
}

/// `channel.flow`: a client may not stop its deliveries by it; it has `basic.qos`.
pub(crate) fn flow<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: &ChannelFlow,
) -> Result<(), Exception> {
    if !method.active {
        return Err(Exception::not_implemented("active=false"));
    }
    link.send(number, ChannelFlowOk { active: true });
    Ok(())
}

/// `channel.close`: answered when all that the channel held is back.
pub(crate) async fn close<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
) -> Result<(), Stop> {
    // Confirms that are decided are told before.
    link.tell_confirms();
    if let Some(channel) = link.channels.put(number, Place::Free) {
        release(link, *channel).await?;
    }
    link.send(number, ChannelCloseOk {});
    Ok(())
}

/// Closes a channel whose client did wrong. Until it answers, what it sends there is passed over.
pub(crate) async fn close_with<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    exception: Exception,
) -> Result<(), Stop> {
    let text = exception.text();
    tracing::info!(user = %link.peer.user, channel = number, "closing a channel: {text}");
    link.tell_confirms();
    let Some(channel) = link.channels.put(number, Place::Closing) else { return Ok(()) };
    let (class_id, method_id) = exception.method;
    let close = ChannelClose { reply_code: exception.code.number(), reply_text: text.into(), class_id, method_id };
    link.send(number, close);
    release(link, *channel).await
}

/// Its consumers go first, so that nothing that is given back comes to them again.
async fn release<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    mut channel: Channel,
) -> Result<(), Stop> {
    if let Some(content) = channel.incoming.take().and_then(|incoming| incoming.content) {
        link.incoming_bytes -= content.body.len();
    }
    for consumer in channel.consumers.keys() {
        link.wait(link.session.cancel(*consumer)).await?;
    }
    link.settle_later(Settlement::Requeue, |ids| {
        ids.extend(channel.unsettled.drain().map(|(id, _)| id));
        ids.extend(channel.held.iter().map(|(_, delivery)| delivery.id));
    });
    link.settle_now();
    Ok(())
}
