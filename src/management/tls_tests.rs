//! The admin API over TLS: who shows what, and who is taken in.

use std::{fs, time::SystemTime};

use ferrymq_admin_api::{CallError, Client};
use ferrymq_tls::{Authority, CA_FILE, CERTIFICATE_FILE, ClusterSide, KEY_FILE, Reloaded, ServerName, Trust, Usage};
use tokio::net::TcpListener;

use crate::{Token, fake::FakeNode, serve};

const NAME: &str = "orders-nodes.shop.svc";
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

fn authority() -> Authority {
    Authority::make("orders", SystemTime::now(), HOUR).unwrap()
}

fn trust(authority: &Authority, name: &str) -> Trust {
    Trust::new(authority.pem().certificate.as_bytes(), name).unwrap()
}

/// The port of a node that serves with a certificate of this authority.
async fn served(authority: &Authority) -> u16 {
    let directory = tempfile::tempdir().unwrap();
    let made = authority.issue(&[NAME.to_owned()], Usage::BothEnds, SystemTime::now(), HOUR).unwrap();
    for (file, text) in
        [(CERTIFICATE_FILE, &made.certificate), (KEY_FILE, &made.key), (CA_FILE, &authority.pem().certificate)]
    {
        fs::write(directory.path().join(file), text).unwrap();
    }
    let side = Reloaded::<ClusterSide>::load(directory.path(), ServerName::try_from(NAME).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = Token::new("secret").unwrap();
    tokio::spawn(serve(listener, Some(side), FakeNode::serving(), token, std::future::pending()));
    port
}

#[tokio::test]
async fn a_broker_is_known_by_its_certificate_whatever_its_address() {
    let authority = authority();
    let base = format!("https://127.0.0.1:{}", served(&authority).await);
    let client = Client::over_tls(&base, "secret", &trust(&authority, NAME)).unwrap();
    assert!(client.ready().await.unwrap());
    assert!(client.cluster().await.is_ok());
    // The token is asked for as well.
    let stranger = Client::over_tls(&base, "other", &trust(&authority, NAME)).unwrap();
    assert!(stranger.cluster().await.unwrap_err().refusal().is_some());
}

#[tokio::test]
async fn a_broker_of_another_authority_or_cluster_is_told_nothing() {
    let ours = authority();
    let base = format!("https://127.0.0.1:{}", served(&ours).await);
    for wrong in [trust(&authority(), NAME), trust(&ours, "invoices-nodes.shop.svc")] {
        let error = Client::over_tls(&base, "secret", &wrong).unwrap().cluster().await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_call_without_tls_is_refused() {
    let base = format!("http://127.0.0.1:{}", served(&authority()).await);
    let error = Client::new(&base, "secret").unwrap().cluster().await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
}
