//! Publishes, ready to be written: copies of one message in a row, in which only the time and the queue change.

use std::ops::Range;

use bytes::{BufMut, BytesMut};
use ferrymq_amqp::codec::{self, BasicPublish};

use crate::{link::CHANNEL, noise::Noise};

/// Bytes that are written at a time, unless a single message has more.
const BYTES: usize = 64 * 1024;

/// Bytes of a frame before its payload: kind, channel, length.
const FRAME_HEAD_BYTES: usize = 7;

/// Bytes of a body in which the time and the mark of the run fit.
pub(crate) const STAMP_BYTES: usize = 12;

/// What all messages of a publisher have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Bytes of a body.
    pub(crate) size: usize,
    /// Whether the message outlives a restart of the broker.
    pub(crate) persistent: bool,
    /// Whether each body is unlike all others.
    pub(crate) varied: bool,
    /// Tells the messages of this run from those of others.
    pub(crate) mark: u32,
}

/// Messages that follow each other. The bodies are written once, when room is made; publishing changes a few bytes of
/// them, in place.
#[derive(Debug)]
pub(crate) struct Train {
    message: Vec<u8>,
    /// Where the routing key is.
    key_at: usize,
    /// Where the time is, if the body has room for it.
    stamp_at: Option<usize>,
    /// Where the rest of the body is, and what is put there; nothing where all bodies are alike.
    varied: Option<(Vec<Range<usize>>, Noise)>,
    most: usize,
    /// As many copies of the message as there ever were at a time.
    copies: Vec<u8>,
    filled: usize,
    written: usize,
}

impl Train {
    /// For queues whose names are as long as this one.
    pub(crate) fn new(shape: Shape, queue: &str, frame_max: u32) -> Self {
        /// `delivery-mode`, and no other property.
        const DELIVERY_MODE: u16 = 1 << 12;
        let mut out = BytesMut::new();
        codec::put_method(&mut out, CHANNEL, &BasicPublish { routing_key: queue.into(), ..Default::default() }.into());
        // Behind it the bits, and the end of the frame.
        let key_at = out.len() - 2 - queue.len();
        let mut properties = BytesMut::new();
        properties.put_u16(DELIVERY_MODE);
        properties.put_u8(if shape.persistent { 2 } else { 1 });
        codec::put_content_header(&mut out, CHANNEL, shape.size as u64, &properties);
        let mut body: Vec<u8> =
            (0..shape.size).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13).to_le_bytes()[0]).collect();
        let stamped = body.first_chunk_mut::<STAMP_BYTES>().map(|stamp| {
            stamp[8..].copy_from_slice(&shape.mark.to_be_bytes());
        });
        let body_at = out.len() + FRAME_HEAD_BYTES;
        let mut pieces = Vec::new();
        for piece in body.chunks((frame_max - codec::OVERHEAD_BYTES) as usize) {
            let at = out.len() + FRAME_HEAD_BYTES;
            pieces.push(at..at + piece.len());
            codec::put_body(&mut out, CHANNEL, piece);
        }
        if let (Some(()), Some(first)) = (stamped, pieces.first_mut()) {
            first.start += STAMP_BYTES;
        }
        Self {
            key_at,
            varied: shape.varied.then(|| (pieces, Noise::default())),
            stamp_at: stamped.map(|()| body_at),
            most: (BYTES / out.len()).max(1),
            message: out.to_vec(),
            copies: Vec::new(),
            filled: 0,
            written: 0,
        }
    }

    /// Messages that fit behind those that were put; none while some of those are written and others not.
    pub(crate) fn room(&self) -> usize {
        if self.written > 0 { 0 } else { self.most - self.filled / self.message.len() }
    }

    /// Puts a message to this queue, with this time in it. There must be room.
    pub(crate) fn put(&mut self, queue: &str, stamp: u64) {
        let from = self.filled;
        if self.copies.len() == from {
            self.copies.extend_from_slice(&self.message);
        }
        self.filled += self.message.len();
        let copy = &mut self.copies[from..self.filled];
        copy[self.key_at..self.key_at + queue.len()].copy_from_slice(queue.as_bytes());
        if let Some(at) = self.stamp_at {
            copy[at..at + 8].copy_from_slice(&stamp.to_be_bytes());
        }
        if let Some((pieces, noise)) = &mut self.varied {
            noise.turn(stamp);
            pieces.iter().for_each(|piece| noise.fill(&mut copy[piece.clone()]));
        }
    }

    /// What is to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.copies[self.written..self.filled]
    }

    /// So many bytes of it were written.
    pub(crate) fn written(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.filled {
            (self.written, self.filled) = (0, 0);
        }
    }
}

/// The time of a message, where its body begins with one of this run.
pub(crate) fn stamp(body: &[u8], mark: u32) -> Option<u64> {
    let (time, rest) = body.split_first_chunk()?;
    (*rest.first_chunk()? == mark.to_be_bytes()).then(|| u64::from_be_bytes(*time))
}

#[cfg(test)]
mod tests {
    use ferrymq_amqp::codec::{ContentHeader, FrameKind, Method, take_frame};

    use super::*;

    const SHAPE: Shape = Shape { size: 100, persistent: true, varied: false, mark: 77 };

    /// Queue, properties, body of each message.
    fn messages(mut bytes: BytesMut) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some(frame) = take_frame(&mut bytes, 4096).unwrap() {
            assert_eq!(frame.kind, FrameKind::Method);
            let Method::BasicPublish(publish) = Method::decode(&frame.payload).unwrap() else { panic!("no publish") };
            let header = take_frame(&mut bytes, 4096).unwrap().unwrap();
            let header = ContentHeader::decode(&header.payload).unwrap();
            let mut body = Vec::new();
            while (body.len() as u64) < header.body_size {
                body.extend_from_slice(&take_frame(&mut bytes, 4096).unwrap().unwrap().payload);
            }
            messages.push((publish.routing_key.to_string(), header.properties.to_vec(), body));
        }
        messages
    }

    #[test]
    fn each_message_has_its_queue_and_its_time() {
        let mut train = Train::new(SHAPE, "q-1", 4096);
        for round in 0..3_u64 {
            train.put("q-1", round);
            train.put("q-2", round + 10);
            let messages = messages(BytesMut::from(train.pending()));
            assert_eq!(messages.len(), 2);
            for ((queue, properties, body), (expected, time)) in messages.iter().zip([("q-1", 0), ("q-2", 10)]) {
                assert_eq!((&**queue, &**properties), (expected, &[0x10, 0, 2][..]));
                assert_eq!((body.len(), stamp(body, 77)), (100, Some(round + time)));
                assert_eq!(stamp(body, 78), None);
            }
            let count = train.pending().len();
            train.written(count);
        }
    }

    #[test]
    fn bodies_that_are_to_differ_do_and_have_their_times_and_frames() {
        for size in [11, 12, 100, 10_000] {
            let mut train = Train::new(Shape { size, varied: true, ..SHAPE }, "q", 4096);
            train.put("q", 5);
            let one = messages(BytesMut::from(train.pending()));
            let count = train.pending().len();
            train.written(count);
            train.put("q", 5);
            let other = messages(BytesMut::from(train.pending()));
            let (one, other) = (&one[0].2, &other[0].2);
            assert_eq!((one.len(), stamp(one, 77)), (size, (size >= STAMP_BYTES).then_some(5)));
            let alike = one.iter().zip(other).skip(STAMP_BYTES).filter(|(one, other)| one == other).count();
            assert!(alike <= size / 8, "{alike} of {size}");
        }
    }

    #[test]
    fn nothing_is_changed_that_is_half_written() {
        let mut train = Train::new(SHAPE, "q", 4096);
        assert!(train.room() > 100);
        train.put("q", 1);
        train.written(50);
        assert_eq!(train.room(), 0);
        let rest = train.pending().len();
        train.written(rest);
        assert!(train.pending().is_empty() && train.room() > 100);
    }

    #[test]
    fn a_large_body_is_cut_into_frames_and_a_small_one_has_no_time() {
        let mut train = Train::new(Shape { size: 10_000, ..SHAPE }, "q", 4096);
        train.put("q", 5);
        let large = messages(BytesMut::from(train.pending()));
        assert_eq!((large[0].2.len(), stamp(&large[0].2, 77)), (10_000, Some(5)));
        for size in [0, 1, 11] {
            let mut train = Train::new(Shape { size, persistent: false, ..SHAPE }, "q", 4096);
            train.put("q", 5);
            let small = messages(BytesMut::from(train.pending()));
            assert_eq!((&*small[0].1, small[0].2.len(), stamp(&small[0].2, 77)), (&[0x10, 0, 1][..], size, None));
        }
        let mut huge = Train::new(Shape { size: 1 << 20, ..SHAPE }, "q", 4096);
        assert_eq!(huge.room(), 1);
        huge.put("q", 1);
        assert_eq!(huge.room(), 0);
    }
}
