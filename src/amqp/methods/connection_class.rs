//! The class `connection`, once it is open: section 1.4.

use ferrymq_core::Session;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    codec::Method,
    fault::{Code, Exception, Stop},
    link::Link,
};

pub(crate) fn run<S: Session, T: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<'_, S, T>,
    method: &Method,
) -> Result<(), Stop> {
    match method {
        Method::ConnectionClose(_) => {
            // Confirms that are decided are told before the answer.
            link.tell_confirms();
            Err(Stop::ClosedByClient)
        }
        Method::ConnectionUpdateSecret(_) => {
            let sentence = "secrets cannot be renewed on an open connection; connect anew";
            Err(Exception::not_implemented(sentence).into())
        }
        other => {
            let sentence = format!("unexpected method '{}' on channel 0 of an open connection", other.name());
            Err(Exception::new(Code::CommandInvalid, sentence).into())
        }
    }
}
