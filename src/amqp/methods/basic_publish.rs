//! `basic.publish`: section 1.8.3.7. A method, a content header, and as many bodies as it takes.

use bytes::{Bytes, BytesMut};
use ferrymq_core::{Confirmation, Published, Refusal, Session, Tag};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    channel::{Incoming, IncomingContent},
    codec::{BasicPublish, BasicReturn, ContentHeader},
    convert,
    fault::{Code, Exception, Stop},
    link::Link,
};

/// What is set aside for a body at once; more as it comes, not as it is announced.
const FIRST_ROOM: usize = 256 * 1024;
/// Bytes of unfinished bodies that a connection may have, over all of its channels.
const MOST_INCOMING: usize = 256 * 1024 * 1024;

/// The method; its content follows.
pub(crate) fn begin<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    publish: BasicPublish,
) -> Result<(), Exception> {
    if publish.immediate {
        let sentence = "immediate=true is not supported; publish without it";
        return Err(Exception::not_implemented(sentence));
    }
    link.channel(number)?.incoming = Some(Incoming { publish, content: None });
    Ok(())
}

/// The content header.
pub(crate) async fn header<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    header: ContentHeader,
) -> Result<(), Stop> {
    let most = link.settings.max_message_bytes;
    let channel = link.channel(number)?;
    let sentence = match &mut channel.incoming {
        Some(incoming @ Incoming { content: None, .. }) => {
            let size = header.body_size;
            let body_size = usize::try_from(size).ok().filter(|_| size <= most).ok_or_else(|| {
                let sentence = format!("message size {size} is larger than configured max size {most}");
                Exception::new(Code::PreconditionFailed, sentence)
            })?;
            incoming.content =
                Some(IncomingContent { properties: header.properties, body_size, body: BytesMut::new() });
            if body_size > 0 {
                return Ok(());
            }
            return body(link, number, Bytes::new()).await;
        }
        Some(_) => "expected content body, got non content body frame instead",
        None => "expected method frame, got non method frame instead",
    };
    Err(Exception::new(Code::UnexpectedFrame, sentence).into())
}

/// A piece of the body.
pub(crate) async fn body<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    piece: Bytes,
) -> Result<(), Stop> {
    let channel = link.channel(number)?;
    let Some(incoming) = channel.incoming.take() else {
        let sentence = "expected method frame, got non method frame instead";
        return Err(Exception::new(Code::UnexpectedFrame, sentence).into());
    };
    let Incoming { publish, content: Some(mut content) } = incoming else {
        let sentence = "expected content header for class 60, got non content header frame instead";
        return Err(Exception::new(Code::UnexpectedFrame, sentence).into());
    };
    let left = content.body_size - content.body.len();
    if piece.len() > left {
        let sentence = format!("{} bytes of content where {left} are left of what was announced", piece.len());
        return Err(Exception::new(Code::FrameError, sentence).into());
    }
    if piece.len() == content.body_size {
        // The body of most messages: one frame, kept as it was read.
        return publish_message(link, number, publish, content.properties, piece).await;
    }
    if content.body.is_empty() {
        content.body.reserve(content.body_size.min(FIRST_ROOM));
    }
    content.body.extend_from_slice(&piece);
    link.incoming_bytes += piece.len();
    if piece.len() == left {
        link.incoming_bytes -= content.body.len();
        return publish_message(link, number, publish, content.properties, content.body.freeze()).await;
    }
    link.channel(number)?.incoming = Some(Incoming { publish, content: Some(content) });
    if link.incoming_bytes > MOST_INCOMING {
        let sentence = format!("more than {MOST_INCOMING} bytes of unfinished messages on one connection");
        return Err(Exception::new(Code::NotAllowed, sentence).into());
    }
    Ok(())
}

async fn publish_message<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    publish: BasicPublish,
    properties: Bytes,
    body: Bytes,
) -> Result<(), Stop> {
    let mandatory = publish.mandatory;
    let (message, partition) = convert::message(publish, properties, body, &link.peer.user)?;
    let before = link.channels.published_before(number);
    let own = link.channel(number)?.confirms.as_mut().map(|confirms| confirms.next());
    let tag = own.map(|own| Tag { channel: number, sequence: before + own });
    let outcome = match link.wait_to_publish(link.session.publish(message, partition, tag)).await? {
        Ok(Published::Routed) => return Ok(()),
        Ok(Published::Unroutable(message)) => {
            if mandatory {
                let returned = BasicReturn {
                    reply_code: Code::NoRoute.number(),
                    reply_text: Code::NoRoute.name().into(),
                    exchange: message.exchange.as_text().clone(),
                    routing_key: message.routing_key.as_text().clone(),
                };
                link.send(number, returned);
                link.put_content(number, &message);
                link.settings.counts.was_returned();
            }
            Confirmation::Stored
        }
        // Who waits for confirms is told that this one failed, and may try it again on the same channel.
        Err(Refusal::Unavailable { .. }) if own.is_some() => Confirmation::Rejected,
        Err(refusal) => return Err(Exception::from(refusal).into()),
    };
    if let (Some(own), Some(confirms)) = (own, &mut link.channel(number)?.confirms) {
        confirms.decide(own, outcome);
        link.has_news(number);
    }
    Ok(())
}
