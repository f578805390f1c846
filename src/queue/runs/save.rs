//! The messages of a queue, written and read.

use std::sync::Arc;

use ferrymq_pages::{PageStore, Row, Unpacker};
use ferrymq_wire::{Fields, Malformed, Write};

use super::{Place, Run, Runs};
use crate::saved::{self, Pieces};

/// Runs that are packed behind each other, and bytes of them that are enough.
const FRAME_RUNS: u32 = 256;
const FRAME_BYTES: usize = 64 << 10;
/// The most bytes of such a frame: one run more than is enough.
const MAX_FRAME_BYTES: u32 = 16 << 20;

/// Runs that are packed behind each other.
#[derive(Default)]
struct Frame {
    bytes: Vec<u8>,
    runs: u32,
    last: Option<Run>,
}

impl Frame {
    fn write<E>(&mut self, out: &mut Pieces<'_, E>) -> Result<(), E> {
        if self.runs > 0 {
            out.fields().write_u32(self.runs);
            out.fields().write_bytes(&self.bytes);
        }
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
        self.bytes.clear();
        out.pass_on()
    }
}

impl Runs {
    pub(crate) fn save<E>(&self, out: &mut Pieces<'_, E>) -> Result<(), E> {
        out.fields().write_u64(self.last);
        let mut frame = Frame::default();
        for run in self.runs.iter().filter(|run| run.live > 0) {
            run.pack(frame.last.as_ref(), &mut frame.bytes);
            frame.last = Some(run);
            frame.runs += 1;
            if frame.runs == FRAME_RUNS || frame.bytes.len() >= FRAME_BYTES {
                frame.write(out)?;
            }
        }
        frame.write(out)?;
        out.fields().write_u32(0);
        Ok(())
    }

    pub(crate) fn restore(
        from: &mut impl Fields,
        format: u8,
        pages: Option<Arc<dyn PageStore>>,
    ) -> Result<Self, Malformed> {
        let mut all = Self { last: from.u64("last")?, ..Self::new(pages) };
        if format == saved::FORMAT_OF_WHOLE_RUNS {
            for _ in 0..from.u64("runs")? {
                all.add(whole_run(from)?)?;
            }
            return Ok(all);
        }
        loop {
            let count = from.u32("runs")?;
            if count == 0 {
                return Ok(all);
            }
            let bytes = from.bytes_within("packed runs", MAX_FRAME_BYTES)?;
            let (mut packed, mut before) = (Unpacker::new(&bytes), None);
            for _ in 0..count {
                let run = Run::unpack(before.as_ref(), &mut packed).ok_or(unknown("packed runs", count.into()))?;
                all.add(run.clone())?;
                before = Some(run);
            }
        }
    }

    /// Adds a run behind those that there are.
    fn add(&mut self, run: Run) -> Result<(), Malformed> {
        if run.live == 0 {
            return Err(unknown("live", 0));
        }
        let fits = run.first.checked_add(run.count.into()).is_some_and(|end| end <= self.last.saturating_add(1));
        if !fits || self.runs.last_that(|_| true).is_some_and(|last| last.end() > run.first) {
            return Err(unknown("first", run.first));
        }
        self.live += u64::from(run.live);
        self.bytes = self.bytes.saturating_add(run.bytes);
        self.runs.push(run);
        Ok(())
    }
}

fn whole_run(from: &mut impl Fields) -> Result<Run, Malformed> {
    let first = from.u64("first")?;
    let count = from.u32("count")?;
    let place = Place { entry: from.u64("entry")?, ordinal: from.u32("ordinal")? };
    let (time, bytes) = (from.u64("time")?, from.u64("bytes")?);
    let words = from.u32("gone")?;
    let gone = (0..words).map(|_| from.u64("gone")).collect::<Result<Vec<u64>, Malformed>>()?;
    let run = Run { first, count, live: count, place, time, bytes, gone: None };
    run.without(gone).ok_or(unknown("gone", words.into()))
}

fn unknown(field: &'static str, value: u64) -> Malformed {
    Malformed::Unknown { field, value }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ferrymq_wire::Reader;

    use super::*;

    #[test]
    fn runs_of_the_earlier_format_are_read() {
        let mut out = BytesMut::new();
        out.write_u64(9);
        out.write_u64(2);
        for (first, count, gone) in [(1, 3, None), (4, 6, Some(0b10))] {
            out.write_u64(first);
            out.write_u32(count);
            out.write_u64(first * 10);
            out.write_u32(0);
            out.write_u64(77);
            out.write_u64(100);
            out.write_u32(gone.is_some().into());
            gone.into_iter().for_each(|word| out.write_u64(word));
        }
        let runs = Runs::restore(&mut Reader::new(out.freeze()), saved::FORMAT_OF_WHOLE_RUNS, None).unwrap();
        assert_eq!((runs.len(), runs.last(), runs.bytes()), (8, 9, 200));
        assert_eq!((runs.place(5), runs.place(6)), (None, Some(Place { entry: 40, ordinal: 2 })));
    }

    #[test]
    fn what_is_no_queue_is_refused() {
        let read = |fields: &[u32], packed: &[u8]| {
            let mut out = BytesMut::new();
            out.write_u64(5);
            fields.iter().for_each(|field| out.write_u32(*field));
            out.extend_from_slice(packed);
            out.write_u32(0);
            Runs::restore(&mut Reader::new(out.freeze()), saved::FORMAT, None).map(|runs| runs.len())
        };
        // First, count, entry, ordinal, time, bytes, nothing gone.
        assert_eq!(read(&[1, 7], &[1, 5, 9, 0, 0, 9, 0]), Ok(5));
        // More than there ever were; two runs where one is; one behind itself; a length beyond all.
        assert!(read(&[1, 7], &[1, 6, 9, 0, 0, 9, 0]).is_err());
        assert!(read(&[2, 7], &[1, 5, 9, 0, 0, 9, 0]).is_err());
        assert!(read(&[u32::MAX, 7], &[1, 5, 9, 0, 0, 9, 0]).is_err());
        assert!(read(&[1, u32::MAX], &[1, 5, 9, 0, 0, 9, 0]).is_err());
        assert!(read(&[1, 7], &[1, 0, 9, 0, 0, 9, 0]).is_err());
    }
}
