//! Tells publishers when messages are due. A thread of its own, because timers of the runtime are late by up to two
//! milliseconds, which would count as the broker's.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{schedule::Schedule, shared::Shared};

/// Beats until it is dropped.
#[derive(Debug)]
pub(crate) struct Metronome {
    ended: Arc<AtomicBool>,
    thread: Thread,
}

impl Metronome {
    /// Tells each publisher at its messages of the schedule; there must be one.
    ///
    /// # Errors
    ///
    /// Where the system has no more threads.
    pub(crate) fn start(schedule: Schedule, shared: Arc<Shared>, publishers: Vec<Arc<Notify>>) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&ended);
        let beat = move || beat(schedule, &shared, &publishers, &is_ended);
        let handle = thread::Builder::new().name("metronome".to_owned()).spawn(beat)?;
        Ok(Self { ended, thread: handle.thread().clone() })
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn beat(schedule: Schedule, shared: &Shared, publishers: &[Arc<Notify>], ended: &AtomicBool) {
    let mut turns = publishers.iter().cycle();
    let mut index = 0;
    while !ended.load(Ordering::Acquire) {
        let now = shared.now();
        let due = schedule.due(index);
        if due > now {
            thread::park_timeout(Duration::from_nanos(due - now));
            continue;
        }
        let mut told = 0;
        while schedule.due(index) <= now {
            if let Some(publisher) = turns.next()
                && told < publishers.len()
            {
                publisher.notify_one();
                told += 1;
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn publishers_are_told_in_turns_and_not_early() {
        let shared = Arc::new(Shared::new(Vec::new()));
        let publishers: Vec<Arc<Notify>> = (0..2).map(|_| Arc::default()).collect();
        let schedule = Schedule::new(shared.now(), 1000);
        let metronome = Metronome::start(schedule, Arc::clone(&shared), publishers.clone()).unwrap();
        for index in 0..10 {
            publishers[index % 2].notified().await;
            assert!(shared.now() >= schedule.due(index as u64));
        }
        drop(metronome);
    }
}
