//! The RabbitMQ that is moved from: one node, of which each test has a virtual host of its own.

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use lapin::{Channel, Connection, ConnectionProperties};

/// How long anything may take that RabbitMQ is asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A virtual host of it.
pub(crate) struct Rabbit {
    pub(crate) virtual_host: &'static str,
}

impl Rabbit {
    /// A new virtual host, empty, of a user who may do everything there.
    pub(crate) fn with(virtual_host: &'static str) -> Self {
        let _ = ask("DELETE", &format!("/api/vhosts/{virtual_host}"), "");
        must("PUT", &format!("/api/vhosts/{virtual_host}"), "{}");
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        must("PUT", &format!("/api/permissions/{virtual_host}/guest"), all);
        Self { virtual_host }
    }

    pub(crate) fn uri(&self) -> String {
        let base = env::var("FERRYMQ_RABBITMQ").expect("cargo xtask test import says where RabbitMQ is");
        let (base, _) = base.rsplit_once('/').expect("its address names a virtual host");
        format!("{base}/{}", self.virtual_host)
    }

    pub(crate) async fn channel(&self) -> (Connection, Channel) {
        channel(&self.uri()).await
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        let _ = ask("DELETE", &format!("/api/vhosts/{}", self.virtual_host), "");
    }
}

/// Where its management API is.
pub(crate) fn management() -> String {
    env::var("FERRYMQ_RABBITMQ_MANAGEMENT").expect("cargo xtask test import says where its management API is")
}

/// A connection to either side, and a channel with confirms.
pub(crate) async fn channel(uri: &str) -> (Connection, Channel) {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(Default::default()).await.unwrap();
    (connection, channel)
}

fn must(method: &str, path: &str, body: &str) -> String {
    let (status, answer) = ask(method, path, body);
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

/// One call, as guest; HTTP 1.0, so that the answer ends with its connection.
fn ask(method: &str, path: &str, body: &str) -> (u16, String) {
    let base = management();
    let mut socket = TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}
