//! A pod's port, on this machine, for as long as it is wanted.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::mq::PluginError;

/// The port of a broker's admin API.
pub(crate) const ADMIN_PORT: u16 = 7500;

/// The most connections at a time.
const MOST: usize = 8;

/// A pod's port, at an address of this machine that nobody else can reach. Closed when it is dropped.
pub(crate) struct Forward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Forward {
    pub(crate) async fn to(pods: Api<Pod>, pod: &str, port: u16) -> Result<Self, PluginError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(PluginError::Listen)?;
        let address = listener.local_addr().map_err(PluginError::Listen)?;
        let task = tokio::spawn(serve(listener, pods, pod.to_owned(), port));
        Ok(Self { address, task })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Each connection is one to the pod; one that cannot be made is closed, which its client takes for a broken connection.
async fn serve(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        while connections.len() >= MOST {
            connections.join_next().await;
        }
        connections.spawn(carry(socket, pods.clone(), pod.clone(), port));
    }
}

async fn carry(mut socket: TcpStream, pods: Api<Pod>, pod: String, port: u16) {
    let Ok(mut forwarder) = pods.portforward(&pod, &[port]).await else { return };
    let Some(mut stream) = forwarder.take_stream(port) else { return };
    // Whoever ends first ends the other; neither is an error of anybody.
    let _ = tokio::io::copy_bidirectional(&mut socket, &mut stream).await;
}
