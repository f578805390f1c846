//! Accepting TLS on a socket: bounded in time, and clear about whoever speaks none.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::HANDSHAKE_BYTE;

/// Why a connection did not become one of TLS.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The other side speaks something else.
    #[error("it speaks no TLS, and TLS is spoken here")]
    Plain,
    /// It took too long.
    #[error("its TLS handshake was not done within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// It went away, or could not agree.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// Does the handshake, within a time.
///
/// # Errors
///
/// [`AcceptError`].
pub async fn accept(
    acceptor: &TlsAcceptor,
    socket: TcpStream,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, AcceptError> {
    let handshake = async {
        if !begins_with_tls(&socket).await? {
            return Err(AcceptError::Plain);
        }
        Ok(acceptor.accept(socket).await?)
    };
    timeout(limit, handshake).await.unwrap_or(Err(AcceptError::TimedOut(limit)))
}

/// Whether the other side begins with TLS; waits for its first byte, and takes nothing. Not bounded in time.
///
/// # Errors
///
/// The connection ended before.
pub async fn begins_with_tls(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match socket.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first == [HANDSHAKE_BYTE]),
    }
}
