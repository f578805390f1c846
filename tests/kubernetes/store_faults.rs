//! A store with something between it and whoever asks it: what goes wrong is said while it runs.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::store::{Store, destination, free_address};
use crate::world::World;

/// The most bytes of a request: a part of a base, and its head.
const MOST_BYTES: usize = 64 << 20;

/// What goes wrong with what the store is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It takes its time, half of it before it does what it was asked, and has so many bytes a second.
    Slow(Duration, u64),
    /// It does nothing, and answers with this status, code and sentence.
    Answers(u16, &'static str, &'static str),
    /// Of objects that are read, the second half is missing: of those whose paths are such.
    CutsOff(fn(&str) -> bool),
    /// In objects that are read, a bit is another one.
    FlipsABit(fn(&str) -> bool),
}

/// A store in front of which something goes wrong.
pub(crate) struct FaultyStore {
    pub(crate) store: Store,
    address: SocketAddr,
    present: Arc<Present>,
    work: JoinHandle<()>,
}

struct Present {
    fault: Mutex<Fault>,
    /// Requests that met it.
    met: AtomicUsize,
}

impl FaultyStore {
    /// Nothing goes wrong yet.
    pub(crate) async fn before(world: &World, store: Store) -> Self {
        let listener = TcpListener::bind(free_address(world)).await.expect("the port is free");
        let address = listener.local_addr().expect("it has an address");
        let present = Arc::new(Present { fault: Mutex::new(Fault::None), met: AtomicUsize::new(0) });
        let (server, throwing) = (store.address(), present.clone());
        let work = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let throwing = throwing.clone();
                // Whoever asked sees how it ended.
                tokio::spawn(async move { pass_on(client, server, &throwing).await });
            }
        });
        Self { store, address, present, work }
    }

    /// From now on this goes wrong.
    pub(crate) fn throw(&self, fault: Fault) {
        *self.present.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        self.present.met.store(0, Ordering::Relaxed);
    }

    /// How many requests met what goes wrong now.
    pub(crate) fn met(&self) -> usize {
        self.present.met.load(Ordering::Relaxed)
    }

    /// What is in front of the store, as a destination of a spec.
    pub(crate) fn destination(&self) -> String {
        destination(self.address, "backups")
    }
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Any object.
pub(crate) fn any(_: &str) -> bool {
    true
}

/// One request a connection, so that each meets what goes wrong when it comes.
async fn pass_on(mut client: TcpStream, server: SocketAddr, present: &Present) -> io::Result<()> {
    let Some((head, asked)) = request(&mut client).await? else { return Ok(()) };
    let fault = *present.fault.lock().unwrap_or_else(PoisonError::into_inner);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let is_read = head.starts_with("GET ") && !target.contains("list-type");
    let concerned = |such: fn(&str) -> bool| is_read && such(target);
    match fault {
        Fault::Answers(status, code, message) => {
            present.met.fetch_add(1, Ordering::Relaxed);
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
            let head =
                format!("HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ncontent-length: {}", body.len());
            return client.write_all(format!("{head}\r\nconnection: close\r\n\r\n{body}").as_bytes()).await;
        }
        Fault::Slow(wait, rate) => {
            present.met.fetch_add(1, Ordering::Relaxed);
            sleep(wait / 2 + taking(asked.len(), rate)).await;
        }
        _ => {}
    }
    let mut answer = answered(server, &head, &asked).await?;
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    let is_there = answer.starts_with(b"HTTP/1.1 200") && answer.len() > body;
    match fault {
        Fault::CutsOff(such) if concerned(such) && is_there => {
            present.met.fetch_add(1, Ordering::Relaxed);
            answer.truncate(body + (answer.len() - body) / 2);
        }
        Fault::FlipsABit(such) if concerned(such) && is_there => {
            let met = present.met.fetch_add(1, Ordering::Relaxed);
            // Another one each time.
            let at = body + met * 7919 % (answer.len() - body);
            answer[at] ^= 1 << (met % 8);
        }
        Fault::Slow(wait, rate) => sleep(wait / 2 + taking(answer.len(), rate)).await,
        _ => {}
    }
    client.write_all(&answer).await
}

/// How long so many bytes take.
fn taking(bytes: usize, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}

/// What is asked: its head, without the empty line behind it, and its body.
async fn request(client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if read.len() > MOST_BYTES || client.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = read.split_off(end + 4);
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let length = head.lines().filter_map(|line| line.split_once(':'));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.filter_map(|(_, value)| value.trim().parse::<usize>().ok()).next().unwrap_or(0);
    while body.len() < length {
        if length > MOST_BYTES || client.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, body)))
}

/// What the store answers, whole. It is told to end the connection behind that.
async fn answered(server: SocketAddr, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(server).await?;
    server.write_all(head.as_bytes()).await?;
    server.write_all(b"\r\nconnection: close\r\n\r\n").await?;
    server.write_all(body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}
