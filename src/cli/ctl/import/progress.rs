//! What is told while messages are moved: a line every few seconds, on the standard error.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(3);

/// Tells how far it is, until it is dropped.
pub(super) struct Progress {
    now: Arc<Mutex<Option<Now>>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Now {
    queue: String,
    moved: u64,
    goal: u64,
    bytes: u64,
}

impl Progress {
    pub(super) fn start() -> Self {
        let now = Arc::new(Mutex::new(None::<Now>));
        let task = tokio::spawn(tell(now.clone()));
        Self { now, task }
    }

    /// Queue `queue` has come so far.
    pub(super) fn at(&self, queue: &str, moved: u64, goal: u64, bytes: u64) {
        let now = Now { queue: queue.to_owned(), moved, goal, bytes };
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Something that is to be known at once.
    pub(super) fn say(&self, line: &str) {
        eprintln!("import: {line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tell(now: Arc<Mutex<Option<Now>>>) {
    let mut last = (Instant::now(), None::<Now>);
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(now) = now.lock().unwrap_or_else(PoisonError::into_inner).clone() else { continue };
        let before = last.1.filter(|before| before.queue == now.queue).map_or(0, |before| before.moved);
        eprintln!("import: {}", line(&now, before, last.0.elapsed()));
        last = (Instant::now(), Some(now));
    }
}

fn line(now: &Now, before: u64, span: Duration) -> String {
    let Now { queue, moved, goal, bytes } = now;
    let rate = now.moved.saturating_sub(before) as f64 / span.as_secs_f64().max(0.001);
    format!("{queue}: {moved} of {goal} messages, {:.1} MB; {rate:.0} messages a second", *bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let now = Now { queue: "orders".to_owned(), moved: 9000, goal: 20_000, bytes: 2_500_000 };
        assert_eq!(
            line(&now, 3000, Duration::from_secs(3)),
            "orders: 9000 of 20000 messages, 2.5 MB; 2000 messages a second"
        );
    }
}
