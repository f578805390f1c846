//! Frames: a length, a kind, a number that an answer repeats, and bytes. And the hello that begins a connection.

use std::io;

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Malformed, Reader, Write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most bytes of a frame; a snapshot's pieces and entries are far smaller.
const MAX_FRAME_BYTES: usize = 80 << 20;
/// The most bytes of a hello: nothing bigger is read before it is known who is there.
const MAX_HELLO_BYTES: usize = 4096;
const MAGIC: u32 = 0x4C51_4D46;
const VERSION: u8 = 1;

/// Bytes before a frame's content.
pub(super) const HEAD_BYTES: usize = 13;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A request to a group's replica.
    Raft = 1,
    /// A call.
    Call = 2,
    /// The answer to either.
    Answer = 3,
    /// Why there is no answer: a sentence.
    Refusal = 4,
    /// Told, not answered.
    Tell = 5,
    /// Asks for a pong.
    Ping = 6,
    /// Answers a ping.
    Pong = 7,
}

impl Kind {
    fn of(number: u8) -> Result<Self, Malformed> {
        Ok(match number {
            1 => Self::Raft,
            2 => Self::Call,
            3 => Self::Answer,
            4 => Self::Refusal,
            5 => Self::Tell,
            6 => Self::Ping,
            7 => Self::Pong,
            value => return Err(Malformed::Unknown { field: "frame kind", value: value.into() }),
        })
    }
}

/// A frame that came in.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) content: Bytes,
}

/// Puts a frame's head and the beginning of its content; so many bytes more of it follow.
pub(super) fn head(kind: Kind, number: u64, beginning: &[u8], more: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_BYTES + beginning.len());
    out.write_u32(u32::try_from(beginning.len() + more + 9).unwrap_or(u32::MAX));
    out.write_u8(kind as u8);
    out.write_u64(number);
    out.extend_from_slice(beginning);
    out.freeze()
}

/// Takes the first frame off a buffer, where it is all there.
pub(super) fn take(buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if !(9..=MAX_FRAME_BYTES).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    if buffer.len() < length + 4 {
        buffer.reserve(length + 4 - buffer.len());
        return Ok(None);
    }
    let mut reader = Reader::new(buffer.split_to(length + 4).split_off(4).freeze());
    let invalid = |error: Malformed| io::Error::new(io::ErrorKind::InvalidData, error);
    let kind = Kind::of(reader.u8("frame kind").map_err(invalid)?).map_err(invalid)?;
    let number = reader.u64("frame number").map_err(invalid)?;
    Ok(Some(Frame { kind, number, content: reader.rest() }))
}

/// Who is at one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hello {
    /// What both ends know, and nobody else.
    pub(crate) token: String,
    /// The cluster; empty where the node belongs to none.
    pub(crate) cluster_id: String,
    /// The node's number; 0 where it has none.
    pub(crate) node: u64,
    /// Its identity.
    pub(crate) uuid: String,
    /// Counts its starts.
    pub(crate) run: u64,
    /// The node that the one who dials wants to reach; 0 where it does not know.
    pub(crate) wanted: u64,
}

pub(super) async fn write_hello(
    socket: &mut (impl AsyncWrite + Unpin),
    hello: &Result<Hello, String>,
) -> io::Result<()> {
    let mut out = BytesMut::new();
    out.write_u32(MAGIC);
    out.write_u8(VERSION);
    match hello {
        Ok(hello) => {
            out.write_u8(1);
            out.write_bytes(hello.token.as_bytes());
            out.write_bytes(hello.cluster_id.as_bytes());
            out.write_u64(hello.node);
            out.write_bytes(hello.uuid.as_bytes());
            out.write_u64(hello.run);
            out.write_u64(hello.wanted);
        }
        Err(reason) => {
            out.write_u8(0);
            out.write_bytes(reason.as_bytes());
        }
    }
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    socket.write_all(&length.to_le_bytes()).await?;
    socket.write_all(&out).await?;
    socket.flush().await
}

pub(super) async fn read_hello(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Hello> {
    let length = socket.read_u32_le().await? as usize;
    if length > MAX_HELLO_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a FerryMQ node"));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await?;
    parse_hello(bytes.into())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        .map_err(io::Error::other)
}

fn parse_hello(bytes: Bytes) -> Result<Result<Hello, String>, Malformed> {
    let mut from = Reader::new(bytes);
    let magic = from.u32("magic")?;
    let version = from.u8("version")?;
    if magic != MAGIC || version != VERSION {
        return Err(Malformed::Unknown { field: "link version", value: version.into() });
    }
    if from.u8("hello")? == 0 {
        return Ok(Err(from.text("reason")?.to_string()));
    }
    Ok(Ok(Hello {
        token: from.text("token")?.to_string(),
        cluster_id: from.text("cluster")?.to_string(),
        node: from.u64("node")?,
        uuid: from.text("uuid")?.to_string(),
        run: from.u64("run")?,
        wanted: from.u64("wanted")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_when_all_of_it_is_there() {
        let mut whole = BytesMut::from(&head(Kind::Call, 7, &[], 3)[..]);
        whole.extend_from_slice(b"abc");
        let mut buffer = BytesMut::new();
        for byte in &whole[..whole.len() - 1] {
            buffer.extend_from_slice(&[*byte]);
            assert!(take(&mut buffer).unwrap().is_none());
        }
        buffer.extend_from_slice(b"c");
        let frame = take(&mut buffer).unwrap().unwrap();
        assert_eq!((frame.kind, frame.number, &frame.content[..]), (Kind::Call, 7, &b"abc"[..]));
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(take(&mut buffer).is_err());
    }

    #[tokio::test]
    async fn a_hello_is_read_as_it_was_written() {
        let hello = Hello { token: "t".into(), node: 3, wanted: 4, ..Hello::default() };
        let mut bytes = Vec::new();
        write_hello(&mut bytes, &Ok(hello.clone())).await.unwrap();
        assert_eq!(read_hello(&mut &bytes[..]).await.unwrap(), hello);
        let mut refusal = Vec::new();
        write_hello(&mut refusal, &Err("no".into())).await.unwrap();
        assert_eq!(read_hello(&mut &refusal[..]).await.unwrap_err().to_string(), "no");
    }
}
