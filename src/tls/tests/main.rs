//! Certificates from files, as a process meets them: replaced while connections are made, wrong, expired, another's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ferrymq_tls::{
    Authority, CA_FILE, CERTIFICATE_FILE, Certificate, ClientSide, ClusterSide, Files, Identity, IdentityError, Issued,
    KEY_FILE, PLAIN_FILE, POLL, Reloaded, ServerName, Trust, Usage,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

const HOUR: Duration = Duration::from_secs(3600);
const NAME: &str = "orders-nodes.shop.svc";

fn authority() -> Authority {
    Authority::make("orders", SystemTime::now(), HOUR * 24).unwrap()
}

fn issued(authority: &Authority, name: &str) -> Issued {
    authority.issue(&[name.to_owned()], Usage::BothEnds, SystemTime::now(), HOUR).unwrap()
}

fn files(issued: &Issued, trusted: &Authority) -> Files {
    Files {
        certificate: issued.certificate.clone().into_bytes(),
        key: issued.key.clone().into_bytes(),
        authorities: Some(trusted.pem().certificate.clone().into_bytes()),
        accept_plain: false,
    }
}

/// As Kubernetes does it: a new directory, and one link to it that is replaced.
fn swap(mounted: &Path, state: &str, issued: &Issued, trusted: &Authority) {
    let data = mounted.join(state);
    fs::create_dir(&data).unwrap();
    fs::write(data.join(CERTIFICATE_FILE), &issued.certificate).unwrap();
    fs::write(data.join(KEY_FILE), &issued.key).unwrap();
    fs::write(data.join(CA_FILE), &trusted.pem().certificate).unwrap();
    std::os::unix::fs::symlink(state, mounted.join("..new")).unwrap();
    fs::rename(mounted.join("..new"), mounted.join("..data")).unwrap();
}

fn mounted(issued: &Issued, trusted: &Authority) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    swap(directory.path(), "..1", issued, trusted);
    directory
}

fn cluster_side(issued: &Issued, trusted: &Authority) -> (TempDir, Arc<Reloaded<ClusterSide>>) {
    let directory = mounted(issued, trusted);
    let name = ServerName::try_from(NAME).unwrap();
    let side = Reloaded::load(directory.path(), name).unwrap();
    (directory, side)
}

/// A link from one broker to another: what both say of it, the one who accepts first.
async fn linked(
    accepts: &Reloaded<ClusterSide>,
    dials: &Reloaded<ClusterSide>,
) -> (Result<(), String>, Result<(), String>) {
    let (near, far) = duplex(1 << 16);
    let (accepts, dials) = (accepts.current().unwrap(), dials.current().unwrap());
    let name = ServerName::try_from(NAME).unwrap();
    let accepted = async move {
        let mut socket = accepts.links.accept(far).await.map_err(|error| error.to_string())?;
        socket.write_all(b"!").await.map_err(|error| error.to_string())?;
        socket.flush().await.map_err(|error| error.to_string())
    };
    let dialled = async move {
        let mut socket = dials.dialler.connect(name, near).await.map_err(|error| error.to_string())?;
        // In TLS 1.3 whoever dials is done before its certificate was looked at.
        socket.read_u8().await.map(drop).map_err(|error| error.to_string())
    };
    tokio::join!(accepted, dialled)
}

#[test]
fn a_certificate_says_what_it_was_made_for() {
    let authority = authority();
    let names = ["orders.shop.svc".to_owned(), "10.0.0.7".to_owned(), "*.orders-nodes.shop.svc".to_owned()];
    let now = SystemTime::now();
    let made = authority.issue(&names, Usage::Server, now, HOUR).unwrap();
    let certificate = Certificate::read_pem(made.certificate.as_bytes()).unwrap();
    assert_eq!(certificate.names, names.into_iter().collect());
    assert!(certificate.is_from(&authority.certificate) && authority.certificate.is_authority);
    assert!(certificate.is_good_at(now) && !certificate.is_good_at(now + HOUR * 2));
    let renewal = certificate.renewal().duration_since(now).unwrap();
    assert!((HOUR / 2..HOUR / 3 * 2).contains(&renewal), "{renewal:?}");
}

#[test]
fn a_certificate_does_not_outlive_its_authority() {
    let authority = Authority::make("orders", SystemTime::now(), HOUR).unwrap();
    let made = authority.issue(&["a.b".to_owned()], Usage::Server, SystemTime::now(), HOUR * 50).unwrap();
    let certificate = Certificate::read_pem(made.certificate.as_bytes()).unwrap();
    assert_eq!(certificate.not_after, authority.certificate.not_after);
}

#[test]
fn an_authority_that_is_read_again_signs_as_before() {
    let made = authority();
    let read = Authority::read(&made.pem().certificate, &made.pem().key).unwrap();
    let certificate = issued(&read, "a.b");
    assert!(Certificate::read_pem(certificate.certificate.as_bytes()).unwrap().is_from(&made.certificate));
    assert!(!Certificate::read_pem(certificate.certificate.as_bytes()).unwrap().is_from(&authority().certificate));
}

#[test]
fn what_is_wrong_with_files_is_said_with_the_file() {
    let (authority, now) = (authority(), SystemTime::now());
    let good = files(&issued(&authority, NAME), &authority);
    let other = files(&issued(&authority, NAME), &authority);
    let told = |files: &Files, now| Identity::check(files, now).unwrap_err().to_string();
    let mut wrong = Files { certificate: b"nothing".to_vec(), ..good.clone() };
    assert!(told(&wrong, now).starts_with("tls.crt holds no certificate"), "{}", told(&wrong, now));
    wrong = Files { key: b"nothing".to_vec(), ..good.clone() };
    assert!(told(&wrong, now).starts_with("tls.key holds no private key"), "{}", told(&wrong, now));
    wrong = Files { key: other.key, ..good.clone() };
    assert_eq!(Identity::check(&wrong, now).unwrap_err(), IdentityError::OtherKey);
    wrong = Files { authorities: Some(b"nothing".to_vec()), ..good.clone() };
    assert_eq!(Identity::check(&wrong, now).unwrap_err(), IdentityError::NoAuthority);
    assert!(matches!(Identity::check(&good, now + HOUR * 2), Err(IdentityError::Expired { .. })));
    assert!(Identity::check(&good, now).is_ok());
}

#[test]
fn a_directory_that_is_not_there_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let error = Reloaded::<ClientSide>::load(directory.path(), ()).err().unwrap().to_string();
    assert!(error.contains("tls.crt"), "{error}");
    assert!(Reloaded::<ClientSide>::open(directory.path(), ()).current().is_none());
}

#[tokio::test]
async fn brokers_of_one_cluster_know_each_other() {
    let authority = authority();
    let (_one, one) = cluster_side(&issued(&authority, NAME), &authority);
    let (_two, two) = cluster_side(&issued(&authority, NAME), &authority);
    assert_eq!(linked(&one, &two).await, (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_both_ends() {
    let (ours, theirs) = (authority(), authority());
    let (_one, one) = cluster_side(&issued(&ours, NAME), &ours);
    // Who dials trusts us, and is of another authority.
    let (_two, two) = cluster_side(&issued(&theirs, NAME), &ours);
    let (accepted, dialled) = linked(&one, &two).await;
    assert!(accepted.is_err() && dialled.is_err(), "{accepted:?} {dialled:?}");
    let (accepted, dialled) = linked(&two, &one).await;
    assert!(accepted.is_err() && dialled.is_err(), "{accepted:?} {dialled:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_by_both_ends() {
    let authority = authority();
    let (_one, one) = cluster_side(&issued(&authority, NAME), &authority);
    let (_two, two) = cluster_side(&issued(&authority, "invoices-nodes.shop.svc"), &authority);
    assert!(linked(&one, &two).await.0.is_err());
    assert!(linked(&two, &one).await.1.is_err());
}

#[tokio::test]
async fn whoever_shows_no_certificate_gets_no_link() {
    let authority = authority();
    let (_one, one) = cluster_side(&issued(&authority, NAME), &authority);
    let trust = Trust::new(authority.pem().certificate.as_bytes(), NAME).unwrap();
    let (near, far) = duplex(1 << 16);
    let side = one.current().unwrap();
    let dialled = async {
        let mut socket = trust.connector().connect(trust.name.clone(), near).await?;
        socket.read_u8().await
    };
    let (accepted, dialled) = tokio::join!(side.links.accept(far), dialled);
    assert!(accepted.is_err() && dialled.is_err());
}

async fn echo(mut socket: tokio_rustls::server::TlsStream<DuplexStream>) {
    let mut buffer = [0; 64];
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        if socket.write_all(&buffer[..count]).await.is_err() || socket.flush().await.is_err() {
            break;
        }
    }
}

/// The serial number that a new connection is shown; the connection with it.
async fn connect(
    side: &Reloaded<ClientSide>,
    trust: &Trust,
) -> (String, tokio_rustls::client::TlsStream<DuplexStream>) {
    let (near, far) = duplex(1 << 16);
    let acceptor = side.current().unwrap().acceptor.clone();
    tokio::spawn(async move { echo(acceptor.accept(far).await.unwrap()).await });
    let socket = trust.connector().connect(trust.name.clone(), near).await.unwrap();
    let shown = socket.get_ref().1.peer_certificates().unwrap().first().cloned().unwrap();
    (Certificate::read(&shown).unwrap().serial, socket)
}

async fn says_back(socket: &mut tokio_rustls::client::TlsStream<DuplexStream>) -> bool {
    socket.write_all(b"ping").await.unwrap();
    socket.flush().await.unwrap();
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).await.is_ok() && &answer == b"ping"
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_is_shown_to_new_connections_and_drops_none() {
    let authority = authority();
    let (first, second) = (issued(&authority, NAME), issued(&authority, NAME));
    let serial = |issued: &Issued| Certificate::read_pem(issued.certificate.as_bytes()).unwrap().serial;
    let directory = mounted(&first, &authority);
    let side = Reloaded::<ClientSide>::load(directory.path(), ()).unwrap();
    let kept_up = tokio::spawn(side.clone().keep_up());
    let trust = Trust::new(authority.pem().certificate.as_bytes(), NAME).unwrap();
    let (shown, mut old) = connect(&side, &trust).await;
    assert_eq!(shown, serial(&first));
    swap(directory.path(), "..2", &second, &authority);
    let changed = async {
        // Connections are made all the while, and none fails.
        while connect(&side, &trust).await.0 != serial(&second) {
            tokio::time::sleep(POLL / 10).await;
        }
    };
    timeout(POLL * 20, changed).await.unwrap();
    assert!(says_back(&mut old).await, "the connection from before was dropped");
    kept_up.abort();
}

#[tokio::test(start_paused = true)]
async fn a_bad_new_file_is_told_and_the_old_certificate_goes_on() {
    let authority = authority();
    let (first, second) = (issued(&authority, NAME), issued(&authority, NAME));
    let directory = mounted(&first, &authority);
    let side = Reloaded::<ClientSide>::load(directory.path(), ()).unwrap();
    let kept_up = tokio::spawn(side.clone().keep_up());
    let trust = Trust::new(authority.pem().certificate.as_bytes(), NAME).unwrap();
    // The key of another certificate.
    swap(directory.path(), "..2", &Issued { key: second.key.clone(), ..first.clone() }, &authority);
    let told = async {
        while side.problem().is_none() {
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(POLL * 20, told).await.unwrap();
    assert!(side.problem().unwrap().contains("tls.key is not the key"), "{:?}", side.problem());
    let (_, mut socket) = connect(&side, &trust).await;
    assert!(says_back(&mut socket).await);
    swap(directory.path(), "..3", &second, &authority);
    let mended = async {
        while side.problem().is_some() {
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(POLL * 20, mended).await.unwrap();
    assert_eq!(connect(&side, &trust).await.0, Certificate::read_pem(second.certificate.as_bytes()).unwrap().serial);
    kept_up.abort();
}

#[test]
fn links_without_tls_are_taken_while_a_file_says_so() {
    let authority = authority();
    let directory = tempfile::tempdir().unwrap();
    let issued = issued(&authority, NAME);
    swap(directory.path(), "..1", &issued, &authority);
    let side = || {
        let name = ServerName::try_from(NAME).unwrap();
        Reloaded::<ClusterSide>::load(directory.path(), name).unwrap().current().unwrap()
    };
    assert!(!side().accept_plain);
    fs::write(directory.path().join("..1").join(PLAIN_FILE), "true\n").unwrap();
    assert!(side().accept_plain);
    fs::write(directory.path().join("..1").join(PLAIN_FILE), "false").unwrap();
    assert!(!side().accept_plain);
}
