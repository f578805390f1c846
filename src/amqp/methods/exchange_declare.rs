//! `exchange.declare`: section 1.6.2.1.

use ferrymq_core::{ExchangeDeclaration, ExchangeKind, Session};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    arguments,
    codec::{ExchangeDeclare, ExchangeDeclareOk},
    convert,
    fault::{Code, Exception, Stop},
    link::Link,
};

pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: ExchangeDeclare,
) -> Result<(), Stop> {
    let name = convert::named_exchange(method.exchange)?;
    if method.passive {
        link.wait(link.session.check_exchange(&name)).await?.map_err(Exception::from)?;
    } else {
        let kind = kind(&method.kind)?;
        arguments::of_exchange(&method.arguments)?;
        let declaration = ExchangeDeclaration {
            name,
            kind,
            durable: method.durable,
            auto_delete: method.auto_delete,
            internal: method.internal,
        };
        link.wait(link.session.declare_exchange(declaration)).await?.map_err(Exception::from)?;
    }
    if !method.nowait {
        link.send(number, ExchangeDeclareOk {});
    }
    Ok(())
}

/// The types that are there; those that RabbitMQ has and we have not are refused in other words than a misspelt one.
fn kind(name: &str) -> Result<ExchangeKind, Exception> {
    name.parse().map_err(|unknown: ferrymq_core::UnknownExchangeKind| {
        if name == "headers" || name.starts_with("x-") {
            let sentence = format!("exchanges of the type '{name}' are not supported; use direct, fanout or topic");
            Exception::not_implemented(sentence)
        } else {
            Exception::new(Code::PreconditionFailed, unknown.to_string())
        }
    })
}
