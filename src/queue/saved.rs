//! A shard's state as it was at a moment, to be written while the shard goes on.

use bytes::BytesMut;
use ferrymq_wire::Write;

use crate::{Queue, QueueId, progress::Progress};

pub(crate) const FORMAT: u8 = 2;
/// The format in which each run took forty bytes; it is still read.
pub(crate) const FORMAT_OF_WHOLE_RUNS: u8 = 1;
/// Bytes that gather before they are passed on.
const PIECE: usize = 64 << 10;

/// A shard's state as it was at a moment. It shares the pages of long queues with the shard.
#[derive(Debug)]
pub struct SavedShard {
    pub(crate) progress: Progress,
    pub(crate) queues: Vec<(QueueId, Queue)>,
    pub(crate) left_out: Vec<(u64, Box<[u32]>)>,
}

/// Fields that are passed on piece by piece.
pub(crate) struct Pieces<'a, E> {
    fields: BytesMut,
    pass: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
}

impl<E> Pieces<'_, E> {
    pub(crate) fn fields(&mut self) -> &mut BytesMut {
        &mut self.fields
    }

    /// Passes on what has gathered, where that is enough. To be called again and again.
    pub(crate) fn pass_on(&mut self) -> Result<(), E> {
        if self.fields.len() < PIECE { Ok(()) } else { self.pass_all() }
    }

    fn pass_all(&mut self) -> Result<(), E> {
        (self.pass)(&self.fields)?;
        self.fields.clear();
        Ok(())
    }
}

/// Writes something by itself.
#[cfg(test)]
pub(crate) fn in_pieces(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Pieces<'_, std::convert::Infallible>) -> Result<(), std::convert::Infallible>,
) {
    let pass = &mut |piece: &[u8]| {
        out.extend_from_slice(piece);
        Ok(())
    };
    let mut pieces = Pieces { fields: BytesMut::new(), pass };
    match write(&mut pieces).and_then(|()| pieces.pass_all()) {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

impl SavedShard {
    /// Writes the whole state, piece by piece; the messages that are live stay in their entries.
    ///
    /// # Errors
    ///
    /// Those of `pass`, which takes the pieces.
    pub fn write<E>(&self, pass: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut out = Pieces { fields: BytesMut::with_capacity(PIECE * 2), pass };
        out.fields().write_u8(FORMAT);
        self.progress.save(out.fields());
        out.fields().write_u64(self.queues.len() as u64);
        for (id, queue) in &self.queues {
            out.fields().write_u64(id.get());
            queue.save(&mut out)?;
            out.pass_on()?;
        }
        out.fields().write_u64(self.left_out.len() as u64);
        for (entry, requests) in &self.left_out {
            out.fields().write_u64(*entry);
            out.fields().write_u32(u32::try_from(requests.len()).unwrap_or(u32::MAX));
            requests.iter().for_each(|request| out.fields().write_u32(*request));
            out.pass_on()?;
        }
        out.pass_all()
    }
}
