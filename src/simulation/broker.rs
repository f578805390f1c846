//! One broker of a simulated cluster: its disk, and the process that runs on it.

use std::sync::{Arc, atomic::Ordering};

use ferrymq_broker::{Node, StartError};
use ferrymq_replication::simulation::Process;
use ferrymq_testkit::{Chance, SimulatedDisk};
use tokio::{task::JoinHandle, time::Instant};

use crate::disk::{Behaviour, QUICK};

/// A broker.
pub(crate) struct Broker {
    pub(crate) ordinal: u32,
    pub(crate) disk: SimulatedDisk,
    pub(crate) behaviour: Arc<Behaviour>,
    pub(crate) life: Life,
    /// How far its clock is off, in milliseconds.
    pub(crate) clock: i64,
    /// Its disk may refuse to take or to sync anything.
    pub(crate) failing: bool,
    /// How often it gave up by itself, and lost its power within a write.
    pub(crate) failed: u64,
    pub(crate) torn: u64,
}

/// Whether it runs.
pub(crate) enum Life {
    /// It does not, until then, or until it is told to.
    Down { until: Option<Instant> },
    /// It opens its data.
    Starting { process: Process, starting: JoinHandle<Result<Node, StartError>> },
    /// It does.
    Up { process: Process, node: Node },
}

impl Broker {
    pub(crate) fn new(ordinal: u32, chance: &mut Chance) -> Self {
        Self {
            ordinal,
            disk: SimulatedDisk::new(chance.any()),
            behaviour: Behaviour::new(chance.branch(2)),
            life: Life::Down { until: None },
            clock: 0,
            failing: false,
            failed: 0,
            torn: 0,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.life, Life::Up { .. })
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        match &self.life {
            Life::Up { process, .. } | Life::Starting { process, .. } => Some(process),
            Life::Down { .. } => None,
        }
    }

    /// That it does not start is no surprise.
    pub(crate) fn is_to_fail(&self) -> bool {
        self.failing
    }

    /// What was on its disk is gone.
    pub(crate) fn new_volume(&mut self, seed: u64) {
        self.disk = SimulatedDisk::new(seed);
    }

    /// Nothing is wrong with its disk from now on.
    pub(crate) fn mend_disk(&mut self) {
        self.disk.mend();
        self.behaviour.slowest.store(QUICK, Ordering::Relaxed);
        self.failing = false;
    }

    /// Nothing is wrong with its disk, its clock and its process from now on; where it does not run, it is started.
    pub(crate) fn mend(&mut self) {
        self.mend_disk();
        self.clock = 0;
        if let Life::Down { until } = &mut self.life {
            until.get_or_insert_with(Instant::now);
        }
        if let Some(process) = self.process() {
            process.go_on();
            process.set_clock(0);
        }
    }
}
