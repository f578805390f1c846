//! Frames, section 4.2.3.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{BASIC_CLASS, FRAME_END, Method};

/// Bytes of a frame around its payload: type, channel, size, end.
pub const OVERHEAD_BYTES: u32 = 8;

/// The least that a peer may ask frames to be limited to, and the most that is read before a client is let in.
pub const MINIMUM_FRAME_BYTES: u32 = 4096;

const HEADER_BYTES: usize = 7;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A method.
    Method,
    /// A content header.
    Header,
    /// A piece of a body.
    Body,
    /// Nothing.
    Heartbeat,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: FrameKind,
    /// Its channel; 0 is the connection's own.
    pub channel: u16,
    /// What is in it; shares the memory that it was read into.
    pub payload: Bytes,
}

/// Why the next bytes are no frame. Nothing after them can be made sense of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No such type.
    #[error("type {0} is no frame type")]
    UnknownKind(u8),
    /// Larger than was agreed upon.
    #[error("type {kind}, channel {channel}: frame too large: {bytes} bytes where at most {limit} are allowed")]
    TooLarge {
        /// Its type.
        kind: u8,
        /// Its channel.
        channel: u16,
        /// Its size, with all that is around the payload.
        bytes: u64,
        /// The limit.
        limit: u32,
    },
    /// The last octet is not [`FRAME_END`].
    #[error("type {kind}, channel {channel}: the frame ends with {found:#04x} instead of 0xce")]
    WrongEnd {
        /// Its type.
        kind: u8,
        /// Its channel.
        channel: u16,
        /// The octet that is there.
        found: u8,
    },
}

/// A frame where it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSlice<'a> {
    /// What it carries.
    pub kind: FrameKind,
    /// Its channel; 0 is the connection's own.
    pub channel: u16,
    /// What is in it.
    pub payload: &'a [u8],
}

impl FrameSlice<'_> {
    /// Bytes from its first to its last octet: the next frame follows them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len() + 1
    }
}

/// Finds the frame that what was read begins with, and leaves it there. `None` where more must be read first. `limit` is
/// what was agreed upon; as some clients forget that it counts [`OVERHEAD_BYTES`] too, so many more are let pass.
///
/// # Errors
///
/// [`FrameError`], as soon as it is certain.
pub fn peek_frame(input: &[u8], limit: u32) -> Result<Option<FrameSlice<'_>>, FrameError> {
    let Some(&[kind_octet, c0, c1, s0, s1, s2, s3]) = input.first_chunk::<HEADER_BYTES>() else {
        return match input.first() {
            Some(&octet) => FrameKind::from_octet(octet).map(|_| None),
            None => Ok(None),
        };
    };
    let kind = FrameKind::from_octet(kind_octet)?;
    let channel = u16::from_be_bytes([c0, c1]);
    let size = u32::from_be_bytes([s0, s1, s2, s3]);
    let bytes = u64::from(size) + u64::from(OVERHEAD_BYTES);
    if u64::from(size) > u64::from(limit) {
        return Err(FrameError::TooLarge { kind: kind_octet, channel, bytes, limit });
    }
    let end = HEADER_BYTES + usize::try_from(size).unwrap_or(usize::MAX);
    match (input.get(HEADER_BYTES..end), input.get(end)) {
        (Some(payload), Some(&FRAME_END)) => Ok(Some(FrameSlice { kind, channel, payload })),
        (Some(_), Some(&found)) => Err(FrameError::WrongEnd { kind: kind_octet, channel, found }),
        _ => Ok(None),
    }
}

/// Cuts the next frame out of what was read. `None` where more must be read first; for `limit` see [`peek_frame`].
///
/// # Errors
///
/// [`FrameError`], as soon as it is certain.
pub fn take_frame(input: &mut BytesMut, limit: u32) -> Result<Option<Frame>, FrameError> {
    let Some(found) = peek_frame(input, limit)? else { return Ok(None) };
    let (kind, channel, bytes) = (found.kind, found.channel, found.bytes());
    let mut frame = input.split_to(bytes);
    frame.truncate(bytes - 1);
    frame.advance(HEADER_BYTES);
    Ok(Some(Frame { kind, channel, payload: frame.freeze() }))
}

impl FrameKind {
    fn from_octet(octet: u8) -> Result<Self, FrameError> {
        match octet {
            1 => Ok(Self::Method),
            2 => Ok(Self::Header),
            3 => Ok(Self::Body),
            8 => Ok(Self::Heartbeat),
            _ => Err(FrameError::UnknownKind(octet)),
        }
    }

    fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }
}

/// Begins a frame whose size is not known yet, and gives where it begins.
pub(crate) fn begin_frame(out: &mut BytesMut, kind: FrameKind, channel: u16) -> usize {
    let start = out.len();
    out.put_u8(kind.octet());
    out.put_u16(channel);
    out.put_u32(0);
    start
}

/// Ends the frame that began there.
pub(crate) fn end_frame(out: &mut BytesMut, start: usize) {
    let payload = start + HEADER_BYTES;
    let size = u32::try_from(out.len() - payload).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(payload - 4..payload) {
        place.copy_from_slice(&size.to_be_bytes());
    }
    out.put_u8(FRAME_END);
}

/// Appends a method frame.
pub fn put_method(out: &mut BytesMut, channel: u16, method: &Method) {
    let start = begin_frame(out, FrameKind::Method, channel);
    method.encode(out);
    end_frame(out, start);
}

/// Appends a header frame; `properties` are the flags and the list, empty where there are none.
pub fn put_content_header(out: &mut BytesMut, channel: u16, body_size: u64, properties: &[u8]) {
    let start = begin_frame(out, FrameKind::Header, channel);
    out.put_u16(BASIC_CLASS);
    out.put_u16(0);
    out.put_u64(body_size);
    if properties.is_empty() {
        out.put_u16(0);
    } else {
        out.put_slice(properties);
    }
    end_frame(out, start);
}

/// Appends what precedes a piece of a body of this size; the piece and [`FRAME_END`] must follow.
pub(crate) fn put_body_start(out: &mut BytesMut, channel: u16, size: u32) {
    out.put_u8(FrameKind::Body.octet());
    out.put_u16(channel);
    out.put_u32(size);
}

/// Appends a body frame.
pub fn put_body(out: &mut BytesMut, channel: u16, piece: &[u8]) {
    let start = begin_frame(out, FrameKind::Body, channel);
    out.put_slice(piece);
    end_frame(out, start);
}

/// Appends a heartbeat.
pub fn put_heartbeat(out: &mut BytesMut) {
    let start = begin_frame(out, FrameKind::Heartbeat, 0);
    end_frame(out, start);
}
