//! What carries connections between nodes: TCP, or a simulation.

use std::{future::Future, io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// An open connection. Each end sees that the other has gone once both halves there are dropped.
pub struct Stream {
    /// What comes in.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// What goes out.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
}

impl TryFrom<TcpStream> for Stream {
    type Error = io::Error;

    fn try_from(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let (input, output) = socket.into_split();
        Ok(Self { input: Box::new(input), output: Box::new(output) })
    }
}

/// How a node reaches others.
pub trait Network: Send + Sync + 'static {
    /// Opens a connection to an address. Not bounded in time.
    fn connect<'a>(&'a self, address: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>>;
}

/// Where a node is reached by others.
pub trait Listener: Send + 'static {
    /// The next connection, and where it comes from, for people. Nothing is lost where this is dropped.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Stream, String)>> + Send;
}

/// The operating system's network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move { TcpStream::connect(address).await?.try_into() })
    }
}

impl Listener for TcpListener {
    async fn accept(&mut self) -> io::Result<(Stream, String)> {
        loop {
            let (socket, address) = Self::accept(self).await?;
            match Stream::try_from(socket) {
                Ok(stream) => return Ok((stream, address.to_string())),
                Err(error) => tracing::debug!(%address, %error, "a link ended before it began"),
            }
        }
    }
}
