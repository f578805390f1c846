//! One file a method: parse, do, answer.

use ferrymq_core::{ByteString, QueueName, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    convert,
    fault::{Code, Exception},
    link::Link,
};

pub(crate) mod basic_ack;
pub(crate) mod basic_cancel;
pub(crate) mod basic_consume;
pub(crate) mod basic_get;
pub(crate) mod basic_publish;
pub(crate) mod basic_qos;
pub(crate) mod basic_recover;
pub(crate) mod channel_class;
pub(crate) mod confirm_select;
pub(crate) mod connection_class;
pub(crate) mod exchange_declare;
pub(crate) mod exchange_delete;
pub(crate) mod queue_bind;
pub(crate) mod queue_declare;
pub(crate) mod queue_delete;
pub(crate) mod queue_purge;

impl<S: Session, T: AsyncRead + AsyncWrite + Unpin> Link<'_, S, T> {
    /// The queue that is meant: an empty name stands for the one that the channel declared last.
    fn queue(&mut self, number: u16, name: ByteString) -> Result<QueueName, Exception> {
        if !name.is_empty() {
            return Ok(convert::queue_name(name)?);
        }
        self.channel(number)?
            .last_queue
            .clone()
            .ok_or_else(|| Exception::new(Code::NotFound, "no previously declared queue"))
    }
}
