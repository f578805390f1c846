//! Each node's requests are taken once, and in order.

use std::collections::BTreeMap;

use bytes::BytesMut;
use ferrymq_wire::{Fields, Malformed, Write};

/// How far each node's requests were taken. One place a node: an earlier run's numbers go when a new run begins.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    nodes: BTreeMap<u64, Run>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    session: u64,
    last: u64,
}

/// What is to be done with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Take it.
    Take,
    /// It was taken already.
    Taken,
    /// This one is wanted first.
    Wanted(u64),
}

impl Progress {
    /// Whose turn it is; a request that is to be taken is counted as taken.
    pub(crate) fn turn(&mut self, node: u64, session: u64, sequence: u64) -> Turn {
        let run = self.nodes.entry(node).or_insert(Run { session, last: 0 });
        // Runs are numbered by when they began: what is left over from an earlier one is not taken any more.
        if session > run.session {
            *run = Run { session, last: 0 };
        } else if session < run.session {
            return Turn::Taken;
        }
        if sequence <= run.last {
            Turn::Taken
        } else if sequence == run.last + 1 {
            run.last = sequence;
            Turn::Take
        } else {
            Turn::Wanted(run.last + 1)
        }
    }

    pub(crate) fn save(&self, out: &mut BytesMut) {
        out.write_u32(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        for (node, run) in &self.nodes {
            out.write_u64(*node);
            out.write_u64(run.session);
            out.write_u64(run.last);
        }
    }

    pub(crate) fn restore(from: &mut impl Fields) -> Result<Self, Malformed> {
        let mut nodes = BTreeMap::new();
        for _ in 0..from.u32("nodes")? {
            let node = from.u64("node")?;
            nodes.insert(node, Run { session: from.u64("session")?, last: from.u64("last")? });
        }
        Ok(Self { nodes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_and_in_order() {
        let mut progress = Progress::default();
        assert_eq!(progress.turn(1, 10, 1), Turn::Take);
        assert_eq!(progress.turn(1, 10, 1), Turn::Taken);
        assert_eq!(progress.turn(1, 10, 3), Turn::Wanted(2));
        assert_eq!(progress.turn(1, 10, 2), Turn::Take);
        assert_eq!(progress.turn(2, 10, 1), Turn::Take);
    }

    #[test]
    fn a_new_run_begins_anew_and_ends_the_earlier_one() {
        let mut progress = Progress::default();
        assert_eq!(progress.turn(1, 10, 1), Turn::Take);
        assert_eq!(progress.turn(1, 11, 1), Turn::Take);
        assert_eq!(progress.turn(1, 10, 2), Turn::Taken);
        assert_eq!(progress.turn(1, 11, 2), Turn::Take);
    }
}
