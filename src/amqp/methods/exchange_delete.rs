//! `exchange.delete`: section 1.6.2.3.

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::{ExchangeDelete, ExchangeDeleteOk},
    convert,
    fault::{Exception, Stop},
    link::Link,
};

pub(crate) async fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    number: u16,
    method: ExchangeDelete,
) -> Result<(), Stop> {
    let name = convert::named_exchange(method.exchange)?;
    link.wait(link.session.delete_exchange(&name, method.if_unused)).await?.map_err(Exception::from)?;
    if !method.nowait {
        link.send(number, ExchangeDeleteOk {});
    }
    Ok(())
}
