//! The power fails at every point of what a journal does.

use std::collections::BTreeMap;

use ferrymq_journal::{AppendError, Position};
use ferrymq_testkit::SimulatedDisk;

use crate::fixture::{begin, record, try_open};

/// What the test knows of the journal.
#[derive(Default)]
struct History {
    next: u64,
    /// Acknowledged and not released, by sequence.
    live: BTreeMap<u64, (Position, usize)>,
}

impl History {
    /// Opens the journal, checks it, and appends and releases until the power fails or it is enough.
    fn live_on(&mut self, disk: &SimulatedDisk) {
        let Ok(opened) = try_open(disk) else {
            assert!(disk.is_dead(), "only a power loss may keep a journal from being opened");
            return;
        };
        let sequences = opened.sequences();
        assert!(sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a gap in {sequences:?}");
        for (position, found) in &opened.found {
            assert!(found.sequence < self.next, "{} was never appended", found.sequence);
            assert_eq!(*found, record(found.sequence, position.length as usize));
        }
        for (sequence, (position, _)) in &self.live {
            assert!(
                opened.found.iter().any(|(at, found)| (at, found.sequence) == (position, *sequence)),
                "{sequence} was acknowledged, and is lost; found {sequences:?}"
            );
        }
        // All that was found is on disk now.
        self.live = opened.found.iter().map(|(at, found)| (found.sequence, (*at, at.length as usize))).collect();
        self.next = self.live.last_key_value().map_or(self.next, |(last, _)| last + 1);
        let journal = opened.journal;
        for round in 0..12 {
            let mut calls = Vec::new();
            for call in 0..3 {
                let sizes: Vec<usize> = (0..=call).map(|index| (round * 97 + call * 411 + index * 53) % 900).collect();
                let records = sizes.iter().zip(self.next..).map(|(bytes, sequence)| record(sequence, *bytes)).collect();
                let Ok((positions, outcome)) = begin(&journal, records) else { return };
                calls.push((self.next, sizes, positions, outcome));
                self.next += call as u64 + 1;
            }
            for (first, sizes, positions, outcome) in calls {
                match outcome.recv() {
                    Ok(Ok(())) => {
                        self.live.extend((first..).zip(positions.into_iter().zip(sizes)));
                    }
                    Ok(Err(AppendError::Poisoned { .. })) => assert!(disk.is_dead()),
                    other => panic!("{other:?}"),
                }
            }
            if journal.write_indexes().is_err() {
                assert!(disk.is_dead());
                return;
            }
            while self.live.len() > 12 {
                if let Some((_, (position, _))) = self.live.pop_first() {
                    journal.release(position);
                }
            }
        }
    }
}

#[test]
fn a_power_loss_at_any_point_loses_nothing_acknowledged() {
    for seed in 0..6 {
        for operation in (1..).map(|step| step * 2 - seed % 2) {
            let mut disk = SimulatedDisk::new(seed * 1_000_003 + operation);
            let mut history = History::default();
            disk.lose_power_at(operation);
            history.live_on(&disk);
            let survived = !disk.is_dead();
            // The second one falls into the recovery from the first.
            disk = disk.power_loss();
            disk.lose_power_at(operation % 7 + 1);
            history.live_on(&disk);
            disk = disk.power_loss();
            history.live_on(&disk);
            history.live_on(&disk.kill());
            if survived {
                break;
            }
        }
    }
}
