//! What is typed, against a broker that answers what it is told to.

use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
};

use clap::Parser;
use ferrymq_journal::{Journal as Written, Options, Record, SystemDisk};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    arguments: Arguments,
}

fn typed(line: &str) -> Arguments {
    Typed::try_parse_from(std::iter::once("ctl").chain(line.split(' '))).unwrap().arguments
}

/// A broker that gives one answer, and the configuration file that leads there.
async fn broker(folder: &Path, status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let count = socket.read(&mut request).await.unwrap();
        assert!(String::from_utf8_lossy(&request[..count]).contains("authorization: Bearer secret\r\n"));
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    let (config, token) = (folder.join("broker.json"), folder.join("token"));
    fs::write(&token, "secret\n").unwrap();
    let configuration = serde_json::json!({
        "cluster": "orders", "dataDirectory": "/data", "peerAddress": "orders-{ordinal}:7400",
        "linkListen": "0.0.0.0:7400", "adminListen": format!("0.0.0.0:{port}"), "tokenFile": token, "listeners": [],
    });
    fs::write(&config, configuration.to_string()).unwrap();
    config.display().to_string()
}

#[tokio::test]
async fn a_cluster_is_shown_by_brokers_and_shards() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"{"clusterId":"c","catalogueLeader":11,"messages":5,"queues":2,
        "nodes":[{"id":11,"ordinal":0,"uuid":"u-0","zone":"a","reachable":true,"version":"0.1.0","leaders":1,"replicas":1}],
        "shards":[{"id":0,"placedOn":[11],"voters":[11],"leader":11,"inSync":[11],"healthy":true}]}"#;
    let config = broker(folder.path(), "200 OK", body).await;
    let answer = run(&typed(&format!("cluster --config {config}"))).await.unwrap();
    assert_eq!(
        answer.text,
        "cluster c: 5 messages in 2 queues\n\n\
         BROKER  NODE  REACHABLE  LEADS  REPLICAS  ZONE  VERSION  UUID\n\
         0       11    yes        1      1         a     0.1.0    u-0\n\n\
         SHARD      HEALTHY  LEADER    VOTERS    IN SYNC\n\
         catalogue  yes      broker 0  broker 0  broker 0\n"
    );
}

#[tokio::test]
async fn users_are_shown_with_what_they_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"[{"name":"billing","declared":{"owner":{"name":"shop/billing","uid":"u"},"passwordVersion":"1",
        "permissions":[{"virtualHost":"/","configure":"","write":"","read":"^orders\\."}]}},
        {"name":"idle","declared":{"owner":null,"passwordVersion":"1","permissions":[]}},
        {"name":"user-1","declared":null}]"#;
    let config = broker(folder.path(), "200 OK", body).await;
    let answer = run(&typed(&format!("users --config {config}"))).await.unwrap();
    assert_eq!(
        answer.text,
        "USER     OWNER         VHOST      CONFIGURE  WRITE  READ\n\
         billing  shop/billing  /          -          -      ^orders\\.\n\
         idle     -             none       -          -\n\
         user-1   the cluster   every one  .*         .*     .*\n"
    );
}

#[tokio::test]
async fn a_broker_without_a_cluster_hands_over_nothing_and_may_stop() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"{"reason":"NotFormed","message":"belongs to no cluster"}"#;
    let config = broker(folder.path(), "409 Conflict", body).await;
    assert!(run(&typed(&format!("hand-over --config {config}"))).await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_said_in_the_brokers_words() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"{"reason":"Unavailable","message":"no majority: 1 of 3 brokers is there"}"#;
    let config = broker(folder.path(), "503 Service Unavailable", body).await;
    let error = run(&typed(&format!("hand-over --config {config}"))).await.unwrap_err();
    assert_eq!(error.to_string(), "no majority: 1 of 3 brokers is there");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_said_with_its_address_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "secret").unwrap();
    let line = format!("node --admin http://127.0.0.1:1 --token-file {}", token.display());
    let told = run(&typed(&line)).await.unwrap_err().to_string();
    assert!(told.starts_with("http://127.0.0.1:1 cannot be reached: "), "{told}");
    assert!(told.contains("refused"), "{told}");
}

#[tokio::test]
async fn a_configuration_file_that_is_not_there_is_said_with_what_to_do() {
    let told = run(&typed("node --config /nowhere/broker.json")).await.unwrap_err().to_string();
    assert!(told.starts_with("cannot read /nowhere/broker.json: ") && told.contains("--admin"), "{told}");
}

/// A journal of one small record, open.
fn journal(directory: &Path) -> Written {
    let journal = Written::open(Arc::new(SystemDisk), directory, Options::default(), &mut |_| Ok(())).unwrap();
    let (done, outcome) = mpsc::channel();
    let record = Record { stream: 1, kind: 2, sequence: 3, payload: "kept".into() };
    journal.append(vec![record], move |result| done.send(result).unwrap()).unwrap();
    outcome.recv().unwrap().unwrap();
    journal
}

#[tokio::test]
async fn a_journal_is_whole_or_damaged_or_cannot_be_looked_at_and_the_exit_code_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let line = typed(&format!("journal verify {}", folder.path().display()));
    let told = run(&line).await.unwrap_err();
    assert!(told.exit_code() == 2 && told.to_string().contains("neither the data directory"), "{told}");

    let open = journal(folder.path());
    let told = run(&line).await.unwrap_err();
    assert!(told.exit_code() == 2 && told.to_string().contains("in use by a running broker"), "{told}");
    open.close();
    drop(open);

    let whole = run(&line).await.unwrap();
    assert_eq!(
        whole.text,
        "FILE                          RECORDS  BYTES  VERDICT\n\
         00000000000000000001.journal  1        104    whole\n\n\
         all 104 bytes are as they were written\n"
    );
    assert_eq!(whole.exit_code, 0);

    let path = folder.path().join("00000000000000000001.journal");
    let mut bytes = fs::read(&path).unwrap();
    bytes[64 + 36] ^= 1;
    fs::write(&path, bytes).unwrap();
    let damaged = run(&line).await.unwrap();
    assert_eq!(damaged.exit_code, 1);
    for part in ["1.journal  0        64     damaged\n", "1.journal  64      ", "checksum", "they fill it anew"] {
        assert!(damaged.text.contains(part), "{part}: {}", damaged.text);
    }

    let told = run(&typed("journal verify /nowhere")).await.unwrap_err();
    assert!(told.exit_code() == 2 && told.to_string().contains("/nowhere"), "{told}");
}
