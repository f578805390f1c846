//! What is to be written to a client: small things in one buffer, large bodies beside it, not copied.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::codec::{self, FRAME_END, Method, OVERHEAD_BYTES};

/// A piece of a body of at least so many bytes is not copied.
const SHARED_BYTES: usize = 4096;
/// A buffer that grew above this is let go once it is empty.
const KEPT_BYTES: usize = 256 * 1024;
/// Slices of one write.
pub(crate) const SLICES: usize = 32;

/// Frames in the order in which they are to be written.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// What comes before `tail`; never holds an empty one.
    ahead: VecDeque<Bytes>,
    ahead_bytes: usize,
    tail: BytesMut,
}

impl Output {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.ahead_bytes + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn method(&mut self, channel: u16, method: impl Into<Method>) {
        codec::put_method(&mut self.tail, channel, &method.into());
    }

    pub(crate) fn heartbeat(&mut self) {
        codec::put_heartbeat(&mut self.tail);
    }

    /// The buffer's end, to append whole frames to.
    pub(crate) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// A content header and a body, in frames of at most `frame_max` bytes.
    pub(crate) fn content(&mut self, channel: u16, properties: &[u8], body: &Bytes, frame_max: u32) {
        codec::put_content_header(&mut self.tail, channel, body.len() as u64, properties);
        let most = (frame_max.saturating_sub(OVERHEAD_BYTES) as usize).max(1);
        let mut from = 0;
        while from < body.len() {
            let size = most.min(body.len() - from);
            let piece = from..from + size;
            codec::put_body_start(&mut self.tail, channel, u32::try_from(size).unwrap_or(u32::MAX));
            if size < SHARED_BYTES {
                self.tail.put_slice(&body[piece]);
            } else {
                self.push(body.slice(piece));
            }
            self.tail.put_u8(FRAME_END);
            from += size;
        }
    }

    fn push(&mut self, bytes: Bytes) {
        let before = self.tail.split().freeze();
        self.ahead_bytes += before.len() + bytes.len();
        self.ahead.push_back(before);
        self.ahead.push_back(bytes);
    }

    /// The first bytes to write, in at most so many slices; gives how many were filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut count = 0;
        let all = self.ahead.iter().map(|bytes| &bytes[..]).chain(std::iter::once(&self.tail[..]));
        for (place, bytes) in slices.iter_mut().zip(all.filter(|bytes| !bytes.is_empty())) {
            *place = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// So many bytes were written.
    pub(crate) fn written(&mut self, mut count: usize) {
        while let Some(first) = self.ahead.front_mut() {
            let step = count.min(first.len());
            first.advance(step);
            self.ahead_bytes -= step;
            count -= step;
            if !first.is_empty() {
                return;
            }
            self.ahead.pop_front();
        }
        self.tail.advance(count.min(self.tail.len()));
        if self.tail.is_empty() {
            if self.tail.capacity() > KEPT_BYTES {
                self.tail = BytesMut::new();
            } else {
                self.tail.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(output: &mut Output, step: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while !output.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = output.slices(&mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
            output.written(bytes.len());
            written.extend(bytes);
        }
        written
    }

    #[test]
    fn a_large_body_is_written_as_it_is_and_between_the_same_bytes_as_a_small_one() {
        let body = Bytes::from(vec![7; 3 * SHARED_BYTES + 5]);
        let mut expected = BytesMut::new();
        codec::put_content_header(&mut expected, 3, body.len() as u64, &[]);
        for piece in body.chunks(SHARED_BYTES + 1) {
            codec::put_body(&mut expected, 3, piece);
        }
        for step in [1, 100, usize::MAX] {
            let mut output = Output::default();
            output.content(3, &[], &body, u32::try_from(SHARED_BYTES).unwrap() + 1 + OVERHEAD_BYTES);
            assert_eq!(all(&mut output, step), expected);
        }
    }
}
