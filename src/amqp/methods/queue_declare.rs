//! `queue.declare`: section 1.7.2.1.

use ferrymq_core::{QueueDeclaration, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    arguments,
    codec::{QueueDeclare, QueueDeclareOk},
    convert,
    fault::{Exception, Stop},
    link::Link,
};

pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: QueueDeclare,
) -> Result<(), Stop> {
    let name = convert::queue_name(method.queue).map_err(Exception::from)?;
    let state = if method.passive {
        link.wait(link.session.check_queue(&name)).await?
    } else {
        let arguments = arguments::of_queue(&method.arguments)?;
        let declaration = QueueDeclaration {
            name,
            durable: method.durable,
            exclusive: method.exclusive,
            auto_delete: method.auto_delete,
            mirrors: arguments.mirrors,
            log: arguments.log,
        };
        link.wait(link.session.declare_queue(declaration)).await?
    }
    .map_err(Exception::from)?;
    let queue = state.name.as_text().clone();
    link.channel(number)?.last_queue = Some(state.name);
    if !method.nowait {
        let message_count = u32::try_from(state.messages).unwrap_or(u32::MAX);
        link.send(number, QueueDeclareOk { queue, message_count, consumer_count: state.consumers });
    }
    Ok(())
}
