use std::{fs, time::SystemTime};

use ferrymq_tls::{Authority, CA_FILE, CERTIFICATE_FILE, KEY_FILE, PLAIN_FILE, Usage};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const NAME: &str = "orders-nodes.shop.svc";

fn authority() -> Authority {
    Authority::make("orders", SystemTime::now(), Duration::from_secs(3600)).unwrap()
}

/// The files of a broker: of this authority, and with or without links that speak no TLS.
fn side(authority: &Authority, accept_plain: bool) -> (TempDir, Arc<Reloaded<ClusterSide>>) {
    let directory = tempfile::tempdir().unwrap();
    let made =
        authority.issue(&[NAME.to_owned()], Usage::BothEnds, SystemTime::now(), Duration::from_secs(600)).unwrap();
    for (file, text) in
        [(CERTIFICATE_FILE, &made.certificate), (KEY_FILE, &made.key), (CA_FILE, &authority.pem().certificate)]
    {
        fs::write(directory.path().join(file), text).unwrap();
    }
    if accept_plain {
        fs::write(directory.path().join(PLAIN_FILE), "true").unwrap();
    }
    let side = Reloaded::load(directory.path(), name()).unwrap();
    (directory, side)
}

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}

async fn listening(side: &Arc<Reloaded<ClusterSide>>) -> (SecureListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (SecureListener::new(listener, side.clone(), Arc::default()), address)
}

fn network(side: &Arc<Reloaded<ClusterSide>>) -> SecureNetwork {
    SecureNetwork { side: side.clone(), name: name(), complaints: Arc::default() }
}

/// Whether a word goes there and another one back.
async fn talks(one: Stream, other: Stream) -> bool {
    let (mut one, mut other) = (one, other);
    one.output.write_all(b"to").await.unwrap();
    one.output.flush().await.unwrap();
    let mut word = [0; 2];
    other.input.read_exact(&mut word).await.unwrap();
    other.output.write_all(&word).await.unwrap();
    other.output.flush().await.unwrap();
    one.input.read_exact(&mut word).await.unwrap();
    &word == b"to"
}

#[tokio::test]
async fn links_of_one_cluster_speak_tls() {
    let authority = authority();
    let ((_a, here), (_b, there)) = (side(&authority, false), side(&authority, false));
    let (mut listener, address) = listening(&here).await;
    let network = network(&there);
    let (accepted, dialled) = tokio::join!(listener.accept(), network.connect(&address));
    assert!(talks(dialled.unwrap(), accepted.unwrap().0).await);
}

#[tokio::test]
async fn a_link_without_tls_is_refused_where_nothing_says_otherwise() {
    let (_a, here) = side(&authority(), false);
    let (mut listener, address) = listening(&here).await;
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(&[60, 0, 0, 0, 1]).await.unwrap();
    let mut answer = Vec::new();
    tokio::select! {
        _ = listener.accept() => panic!("it was taken for a link"),
        read = socket.read_to_end(&mut answer) => assert!(read.is_err() || answer.is_empty()),
    }
}

#[tokio::test]
async fn while_brokers_are_replaced_links_without_tls_go_both_ways() {
    let authority = authority();
    let (_a, new) = side(&authority, true);
    // An older broker dials.
    let (mut listener, address) = listening(&new).await;
    let mut dialled = Tcp.connect(&address).await.unwrap();
    // Until something comes it is not known what is spoken.
    dialled.output.write_all(&60_u32.to_le_bytes()).await.unwrap();
    let mut accepted = listener.accept().await.unwrap().0;
    assert_eq!(accepted.input.read_u32_le().await.unwrap(), 60);
    assert!(talks(dialled, accepted).await);
}

#[tokio::test]
async fn a_broker_that_knows_no_tls_is_dialled_without_while_that_is_allowed() {
    let authority = authority();
    let ((_a, rolling), (_b, strict)) = (side(&authority, true), side(&authority, false));
    let older = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = older.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        loop {
            let (mut socket, _) = older.accept().await.unwrap();
            // As a broker that knows no TLS: what comes is too long for its hello, and it hangs up.
            let length = socket.read_u32_le().await.unwrap();
            if length <= 4096 {
                return socket;
            }
        }
    });
    assert!(network(&strict).connect(&address).await.is_err());
    let mut link = network(&rolling).connect(&address).await.unwrap();
    link.output.write_all(&60_u32.to_le_bytes()).await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_never_answered_without_tls() {
    let ((_a, here), (_b, stranger)) = (side(&authority(), true), side(&authority(), true));
    let (_listener, address) = listening(&here).await;
    assert!(network(&stranger).connect(&address).await.is_err());
}
