//! How often each kind of fault was thrown, and how often it hit something.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Fault;

/// How often each kind of fault was thrown, and how often it hit something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    counts: BTreeMap<Fault, (u64, u64)>,
}

impl Coverage {
    pub(crate) fn thrown(&mut self, fault: Fault) {
        self.counts.entry(fault).or_default().0 += 1;
    }

    pub(crate) fn hit(&mut self, fault: Fault) {
        self.counts.entry(fault).or_default().1 += 1;
    }

    pub(crate) fn hit_where(&mut self, fault: Fault, something: bool) {
        if something {
            self.hit(fault);
        }
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (fault, (thrown, hit)) in &other.counts {
            let count = self.counts.entry(*fault).or_default();
            count.0 += thrown;
            count.1 += hit;
        }
    }

    /// How often a kind was thrown, and how often it hit something.
    #[must_use]
    pub fn of(&self, fault: Fault) -> (u64, u64) {
        self.counts.get(&fault).copied().unwrap_or_default()
    }

    /// A line for each kind.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |fault: &Fault| {
            let (thrown, hit) = self.of(*fault);
            format!("{:<20} thrown {thrown:>6}, hit something {hit:>6}", format!("{fault:?}"))
        };
        Fault::ALL.iter().map(line).collect()
    }
}
