//! `basic.recover` and `basic.recover-async`: sections 1.8.3.15 and 1.8.3.16.

use ferrymq_core::{Session, Settlement};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{codec::BasicRecoverOk, fault::Exception, link::Link};

pub(crate) fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    requeue: bool,
    answer: bool,
) -> Result<(), Exception> {
    if !requeue {
        let sentence = "recover with requeue=false is not supported; use requeue=true";
        return Err(Exception::not_implemented(sentence));
    }
    let mut unsettled = std::mem::take(&mut link.channel(number)?.unsettled);
    link.settle_later(Settlement::Requeue, |ids| ids.extend(unsettled.drain().map(|(id, _)| id)));
    link.settle_now();
    if answer {
        link.send(number, BasicRecoverOk {});
    }
    link.deliver_held(number);
    Ok(())
}
