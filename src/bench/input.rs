//! What was read from a socket: many frames a read, none of them copied.

use ferrymq_amqp::codec::{FrameSlice, peek_frame};

use crate::error::Broken;

/// Bytes that there is room for at first, and at most unless a single frame needs more.
const LEAST: usize = 8 * 1024;
const MOST: usize = 256 * 1024;

/// A buffer with frames in it.
#[derive(Debug, Default)]
pub(crate) struct Input {
    data: Vec<u8>,
    /// Frames were taken up to here.
    head: usize,
    /// And read up to here.
    tail: usize,
}

impl Input {
    /// Where to read to; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
        if self.tail == self.data.len() {
            self.data.copy_within(self.head..self.tail, 0);
            (self.head, self.tail) = (0, self.tail - self.head);
            // The last read filled it, or a frame does not fit in.
            if self.data.len() < MOST || self.tail == self.data.len() {
                self.data.resize((self.data.len() * 2).max(LEAST), 0);
            }
        }
        &mut self.data[self.tail..]
    }

    /// So many bytes of the room were read.
    pub(crate) fn filled(&mut self, count: usize) {
        self.tail = (self.tail + count).min(self.data.len());
    }

    /// Takes the next frame, where it is there as a whole.
    pub(crate) fn next(&mut self, limit: u32) -> Result<Option<FrameSlice<'_>>, Broken> {
        let found = peek_frame(&self.data[self.head..self.tail], limit)?;
        if let Some(frame) = &found {
            self.head += frame.bytes();
        }
        Ok(found)
    }

    /// The hello of a broker that speaks another version, or of a server that speaks something else.
    pub(crate) fn other_protocol(&self) -> Option<String> {
        let read = &self.data[self.head..self.tail];
        let greeting = read.iter().take(32).map(|byte| char::from(*byte).escape_default().to_string()).collect();
        read.first().is_some_and(|first| !matches!(first, 1..=3 | 8)).then_some(greeting)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ferrymq_amqp::codec::{FrameKind, put_body, put_heartbeat};

    use super::*;

    fn read(input: &mut Input, mut bytes: &[u8], at_once: usize) -> Vec<(FrameKind, usize)> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let room = input.room();
            let count = bytes.len().min(room.len()).min(at_once);
            room[..count].copy_from_slice(&bytes[..count]);
            input.filled(count);
            bytes = &bytes[count..];
            while let Some(frame) = input.next(1 << 20).unwrap() {
                assert!(frame.payload.iter().enumerate().all(|(at, byte)| *byte == at.to_le_bytes()[0]));
                frames.push((frame.kind, frame.payload.len()));
            }
        }
        frames
    }

    #[test]
    fn frames_are_whole_however_they_are_cut() {
        let mut bytes = BytesMut::new();
        let body: Vec<u8> = (0..700_000_usize).map(|at| at.to_le_bytes()[0]).collect();
        let mut expected = Vec::new();
        for size in [1, 100, 5000, 700_000, 0, 20_000] {
            put_body(&mut bytes, 1, &body[..size]);
            put_heartbeat(&mut bytes);
            expected.extend([(FrameKind::Body, size), (FrameKind::Heartbeat, 0)]);
        }
        for at_once in [1, 7, 1000, 65_536, usize::MAX] {
            assert_eq!(read(&mut Input::default(), &bytes, at_once), expected);
        }
    }

    #[test]
    fn memory_is_bounded_by_the_largest_frame() {
        let mut bytes = BytesMut::new();
        for _ in 0..10_000 {
            put_body(&mut bytes, 1, &[0]);
        }
        let mut input = Input::default();
        assert_eq!(read(&mut input, &bytes, usize::MAX).len(), 10_000);
        assert!(input.data.len() <= MOST);
    }

    #[test]
    fn another_protocol_is_told_by_its_hello() {
        let mut input = Input::default();
        input.room()[..8].copy_from_slice(b"AMQP\0\x01\0\0");
        input.filled(8);
        assert_eq!(input.other_protocol().unwrap(), "AMQP\\u{0}\\u{1}\\u{0}\\u{0}");
    }
}
