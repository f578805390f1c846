//! A connection from its socket to its end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ferrymq_core::Broker;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use crate::{
    Settings,
    codec::{ConnectionClose, ConnectionCloseOk, FrameKind, Method},
    fault::{Exception, Stop},
    handshake,
    link::{Link, Shutdown},
    wire::Wire,
};

/// How long a client may take to let go after it was told to.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves one client until one of the two closes the connection, or `shutdown` becomes true: then the client is told,
/// and let go. What goes wrong is logged here.
pub async fn serve<B: Broker, T: AsyncRead + AsyncWrite + Unpin + Send>(
    broker: B,
    socket: T,
    peer: SocketAddr,
    settings: Arc<Settings>,
    mut shutdown: watch::Receiver<bool>,
) {
    let frame_max = settings.frame_max;
    let mut wire = Wire::new(socket);
    let mut shutdown: Shutdown = Box::pin(async move {
        if shutdown.wait_for(|stop| *stop).await.is_err() {
            // Nobody is left to say so.
            std::future::pending::<()>().await;
        }
    });
    let opened = {
        let handshake = timeout(settings.handshake_timeout, handshake::run(&broker, &mut wire, peer, &settings));
        tokio::select! {
            done = handshake => done.unwrap_or(Err(Stop::Silent)),
            () = &mut shutdown => Err(Stop::Unwelcome),
        }
    };
    let (mut wire, stop) = match opened {
        Ok(opened) => {
            tracing::debug!(%peer, user = %opened.peer.user, vhost = %opened.peer.virtual_host, "connection open");
            let session = opened.session;
            let mut link = Link::new(&session, wire, opened.peer, settings, opened.events, shutdown);
            let stop = link.serve().await;
            // The session is dropped before the client is told that all is closed.
            (link.release(), stop)
        }
        Err(stop) => (wire, stop),
    };
    log(peer, &stop);
    // Whoever does not listen any more must not keep the connection.
    let _ = timeout(FAREWELL, say_goodbye(&mut wire, stop, frame_max)).await;
}

async fn say_goodbye<T: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<T>,
    stop: Stop,
    frame_max: u32,
) -> Result<(), Stop> {
    match stop {
        Stop::Exception(exception) => close_with(wire, exception, frame_max).await,
        Stop::ClosedByClient => {
            wire.output.method(0, ConnectionCloseOk {});
            wire.flush().await?;
            Ok(wire.shut_down().await?)
        }
        Stop::Unwelcome => Ok(wire.shut_down().await?),
        Stop::Gone | Stop::Silent | Stop::Socket(_) => Ok(()),
    }
}

/// Tells the client what it did wrong, and waits until it knows: a socket that is closed while the client still sends
/// would take the message with it.
async fn close_with<T: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<T>,
    exception: Exception,
    frame_max: u32,
) -> Result<(), Stop> {
    let (class_id, method_id) = exception.method;
    let reply_code = exception.code.number();
    let close = ConnectionClose { reply_code, reply_text: exception.text().into(), class_id, method_id };
    wire.output.method(0, close);
    wire.flush().await?;
    loop {
        match wire.next_frame(frame_max) {
            Ok(Some(frame)) if (frame.kind, frame.channel) == (FrameKind::Method, 0) => {
                match Method::decode(&frame.payload) {
                    Ok(Method::ConnectionCloseOk(_)) => break,
                    // Both closed at a time.
                    Ok(Method::ConnectionClose(_)) => wire.output.method(0, ConnectionCloseOk {}),
                    _ => {}
                }
                wire.flush().await?;
            }
            Ok(Some(_)) => {}
            Ok(None) => wire.read().await?,
            // No frames any more: thrown away until the client lets go.
            Err(_) => {
                wire.input().clear();
                wire.read().await?;
            }
        }
    }
    Ok(wire.shut_down().await?)
}

fn log(peer: SocketAddr, stop: &Stop) {
    match stop {
        Stop::Exception(exception) => tracing::info!(%peer, "closing a connection: {}", exception.text()),
        Stop::ClosedByClient => tracing::debug!(%peer, "connection closed by its client"),
        Stop::Gone => tracing::info!(%peer, "the client closed the socket without closing the connection"),
        Stop::Unwelcome => tracing::info!(%peer, "the client was not let in"),
        Stop::Silent => tracing::info!(%peer, "nothing was heard from the client for too long"),
        Stop::Socket(error) => tracing::info!(%peer, %error, "the connection broke"),
    }
}
