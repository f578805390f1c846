//! From a frame to what is done about it.

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    channel::{Incoming, Place},
    codec::{ContentHeader, Frame, FrameKind, Method},
    fault::{Code, Exception, Stop},
    link::Link,
    methods::{
        basic_ack, basic_cancel, basic_consume, basic_get, basic_publish, basic_qos, basic_recover, channel_class,
        confirm_select, connection_class, exchange_declare, exchange_delete, queue_bind, queue_declare, queue_delete,
        queue_purge,
    },
};

const PUBLISH: (u16, u16) = (60, 40);

impl<S: Session, T: AsyncRead + AsyncWrite + Unpin> Link<'_, S, T> {
    /// Serves the client until the connection ends.
    pub(crate) async fn serve(&mut self) -> Stop {
        loop {
            let served = match self.serve_frames().await {
                Ok(()) if self.is_leaving() => return self.leave().await,
                Ok(()) => self.read().await,
                failed => failed,
            };
            if let Err(stop) = served {
                return stop;
            }
        }
    }

    /// Does all that was read.
    pub(crate) async fn serve_frames(&mut self) -> Result<(), Stop> {
        while let Some(frame) = self.wire.next_frame(self.peer.frame_max)? {
            let number = frame.channel;
            match self.on_frame(frame).await {
                Err(Stop::Exception(exception)) if number != 0 && exception.ends_channel_only() => {
                    channel_class::close_with(self, number, exception).await?;
                }
                done => done?,
            }
            if self.is_flooded() {
                self.drain().await?;
            }
        }
        Ok(())
    }

    async fn on_frame(&mut self, frame: Frame) -> Result<(), Stop> {
        match (frame.kind, frame.channel) {
            (FrameKind::Heartbeat, 0) => Ok(()),
            (FrameKind::Method, 0) => {
                let method = Method::decode(&frame.payload)?;
                let numbers = method.numbers();
                connection_class::run(self, &method).map_err(|stop| at(stop, numbers))
            }
            (_, 0) | (FrameKind::Heartbeat, _) => {
                let sentence = format!("a {:?} frame does not belong on channel {}", frame.kind, frame.channel);
                Err(Exception::new(Code::UnexpectedFrame, sentence).into())
            }
            (FrameKind::Method, number) => {
                let method = Method::decode(&frame.payload)?;
                let numbers = method.numbers();
                self.on_method(number, method).await.map_err(|stop| at(stop, numbers))
            }
            (kind, number) => self.on_content(kind, number, frame).await.map_err(|stop| at(stop, PUBLISH)),
        }
    }

    async fn on_method(&mut self, number: u16, method: Method) -> Result<(), Stop> {
        match (self.channels.place(number), &method) {
            (Place::Open(channel), _) => expect_no_content(channel.incoming.as_ref())?,
            (Place::Free, Method::ChannelOpen(_)) => return Ok(channel_class::open(self, number)?),
            (Place::Closing, Method::ChannelCloseOk(_)) => {
                self.channels.put(number, Place::Free);
                return Ok(());
            }
            // Both ends closed it at a time.
            (Place::Closing, Method::ChannelClose(_)) => {
                self.send(number, crate::codec::ChannelCloseOk {});
                return Ok(());
            }
            (Place::Closing, _) => return Ok(()),
            // The answer to a close that the client's own close had overtaken.
            (Place::Free, Method::ChannelCloseOk(_)) => return Ok(()),
            (Place::Free, _) => return Err(Exception::new(Code::ChannelError, "expected 'channel.open'").into()),
        }
        match method {
            Method::BasicPublish(publish) => Ok(basic_publish::begin(self, number, publish)?),
            Method::BasicAck(ack) => Ok(basic_ack::ack(self, number, &ack)?),
            Method::BasicNack(nack) => Ok(basic_ack::nack(self, number, &nack)?),
            Method::BasicReject(reject) => Ok(basic_ack::reject(self, number, &reject)?),
            Method::BasicGet(get) => basic_get::run(self, number, get).await,
            Method::BasicQos(qos) => Ok(basic_qos::run(self, number, &qos)?),
            Method::BasicConsume(consume) => basic_consume::run(self, number, consume).await,
            Method::BasicCancel(cancel) => basic_cancel::run(self, number, cancel).await,
            Method::BasicRecover(recover) => Ok(basic_recover::run(self, number, recover.requeue, true)?),
            Method::BasicRecoverAsync(recover) => Ok(basic_recover::run(self, number, recover.requeue, false)?),
            Method::ConfirmSelect(select) => Ok(confirm_select::run(self, number, &select)?),
            Method::ExchangeDeclare(declare) => exchange_declare::run(self, number, declare).await,
            Method::ExchangeDelete(delete) => exchange_delete::run(self, number, delete).await,
            Method::QueueDeclare(declare) => queue_declare::run(self, number, declare).await,
            Method::QueueBind(bind) => queue_bind::bind(self, number, bind).await,
            Method::QueueUnbind(unbind) => queue_bind::unbind(self, number, unbind).await,
            Method::QueuePurge(purge) => queue_purge::run(self, number, purge).await,
            Method::QueueDelete(delete) => queue_delete::run(self, number, delete).await,
            Method::ChannelFlow(flow) => Ok(channel_class::flow(self, number, &flow)?),
            Method::ChannelClose(_) => channel_class::close(self, number).await,
            Method::ChannelOpen(_) => Err(Exception::new(Code::ChannelError, "second 'channel.open' seen").into()),
            // The answer to a `basic.cancel` of ours, though that asks for none.
            Method::BasicCancelOk(_) | Method::ChannelFlowOk(_) => Ok(()),
            Method::ExchangeBind(_) | Method::ExchangeUnbind(_) => {
                let sentence = "bindings between exchanges are not supported; bind the queue to each exchange";
                Err(Exception::not_implemented(sentence).into())
            }
            Method::TxSelect(_) | Method::TxCommit(_) | Method::TxRollback(_) => {
                let sentence = "transactions are not supported; use publisher confirms (confirm.select)";
                Err(Exception::not_implemented(sentence).into())
            }
            other => {
                let sentence = format!("a client may not send '{}' on channel {number}", other.name());
                Err(Exception::new(Code::CommandInvalid, sentence).into())
            }
        }
    }

    async fn on_content(&mut self, kind: FrameKind, number: u16, frame: Frame) -> Result<(), Stop> {
        match self.channels.place(number) {
            Place::Open(_) => {}
            Place::Closing => return Ok(()),
            Place::Free => return Err(Exception::new(Code::ChannelError, "expected 'channel.open'").into()),
        }
        match kind {
            FrameKind::Header => {
                let header = ContentHeader::decode(&frame.payload)?;
                basic_publish::header(self, number, header).await
            }
            _ => basic_publish::body(self, number, frame.payload).await,
        }
    }
}

fn at(stop: Stop, method: (u16, u16)) -> Stop {
    match stop {
        Stop::Exception(exception) => Stop::Exception(exception.at(method)),
        other => other,
    }
}

/// A method may not come between another one and its content.
fn expect_no_content(incoming: Option<&Incoming>) -> Result<(), Exception> {
    let sentence = match incoming {
        None => return Ok(()),
        Some(Incoming { content: None, .. }) => {
            "expected content header for class 60, got non content header frame instead"
        }
        Some(_) => "expected content body, got non content body frame instead",
    };
    Err(Exception::new(Code::UnexpectedFrame, sentence))
}
