//! A machine for tests.

use std::collections::VecDeque;

use bytes::Bytes;
use ferrymq_replication::{Applied, Group, Machine, State, StateReader};

/// Keeps in mind which words it was told, in order, and leaves them in the log; `-` makes it forget the second.
#[derive(Default)]
pub(crate) struct Memory(VecDeque<u64>);

impl Machine for Memory {
    fn apply(&mut self, at: Applied, command: Bytes, freed: &mut Vec<u64>) -> Bytes {
        if command == "-" {
            freed.extend(self.0.remove(1));
        } else {
            self.0.push_back(at.index);
        }
        command
    }

    fn needs(&self, index: u64) -> bool {
        self.0.contains(&index)
    }

    fn snapshot(&self) -> Box<dyn State> {
        Box::new(Bytes::from(self.0.iter().map(u64::to_string).collect::<Vec<_>>().join("\n")))
    }

    fn restore(&mut self, from: &mut StateReader) -> Result<(), String> {
        let text = String::from_utf8(from.whole()?.to_vec()).map_err(|error| error.to_string())?;
        self.0 = text.lines().map(|line| line.parse().unwrap()).collect();
        Ok(())
    }
}

/// The words that it has, where all of them are there.
pub(crate) fn words_of(group: &Group<Memory>) -> Option<Vec<Bytes>> {
    let indexes = group.machine().0.clone();
    indexes.into_iter().map(|index| group.command(index).ok()).collect()
}
