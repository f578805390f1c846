//! Queues: their names, declaring many of them, deleting them.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrymq_amqp::codec::{Method, QueueDeclare, QueueDelete, Table};
use tokio::{
    task::JoinSet,
    time::{Instant, interval_at},
};

use crate::{
    arguments::QueueType,
    error::{BenchError, Broken},
    link::Link,
    measures::Quantiles,
    shared::{Attempts, Phase, Shared},
    uri::Uri,
};

const SECOND: Duration = Duration::from_secs(1);
/// Connections that declare the queues of a load.
const CONNECTIONS: u32 = 8;

/// The names of so many queues, all of the same length.
pub(crate) fn names(prefix: &str, count: u32) -> Vec<String> {
    let digits = count.saturating_sub(1).max(1).ilog10() as usize + 1;
    (0..count).map(|number| format!("{prefix}{number:0digits$}")).collect()
}

/// The share of one of `count` publishers or consumers: with fewer queues than these, one; with more, every `count`th.
pub(crate) fn share(names: &[String], number: u32, count: u32) -> Vec<String> {
    let (number, count) = (number as usize, count as usize);
    if names.len() > count {
        names.iter().skip(number).step_by(count).cloned().collect()
    } else {
        names.get(number % names.len().max(1)).cloned().into_iter().collect()
    }
}

/// What is to be done to each of many queues.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Task {
    /// Make it; nothing where it is there already.
    Declare(Option<QueueType>),
    /// See that it is there.
    Find,
    /// Delete it with its messages.
    Delete,
}

impl Task {
    async fn run(self, link: &mut Link, queue: &str) -> Result<(), Broken> {
        let queue = queue.into();
        let method: Method = match self {
            Self::Declare(kind) => {
                let arguments =
                    kind.map_or_else(Table::default, |kind| Table::default().with("x-queue-type", kind.name()));
                QueueDeclare { queue, durable: true, arguments, ..Default::default() }.into()
            }
            Self::Find => QueueDeclare { queue, passive: true, ..Default::default() }.into(),
            Self::Delete => QueueDelete { queue, ..Default::default() }.into(),
        };
        match link.ask(method).await? {
            Method::QueueDeclareOk(_) | Method::QueueDeleteOk(_) => Ok(()),
            other => Err(Broken::Unexpected(other.name())),
        }
    }
}

/// Something to be done to each of many queues.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) uris: Vec<Uri>,
    pub(crate) names: Arc<Vec<String>>,
    pub(crate) task: Task,
    pub(crate) connections: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) count: u64,
    pub(crate) nanoseconds: u64,
    pub(crate) latency: Option<Quantiles>,
}

impl Work {
    /// As few connections as it can be done by in good time.
    pub(crate) fn new(uris: &[Uri], names: &Arc<Vec<String>>, task: Task) -> Self {
        let connections = u32::try_from(names.len() / 10).unwrap_or(CONNECTIONS).clamp(1, CONNECTIONS);
        Self { uris: uris.to_vec(), names: Arc::clone(names), task, connections }
    }

    /// Does it without a word.
    ///
    /// # Errors
    ///
    /// [`BenchError::Broken`] with the first queue that it failed for.
    pub(crate) async fn run(self) -> Result<Done, BenchError> {
        self.run_until(std::future::pending(), |_, _| Ok(())).await
    }

    /// Does it, or what of it can be done before `stop`. Tells each second how many are done, and the 99th percentile
    /// of that second in microseconds.
    ///
    /// # Errors
    ///
    /// [`BenchError`] with the first queue that it failed for, and those of `tell`.
    pub(crate) async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        mut tell: impl FnMut(u64, Option<u64>) -> Result<(), BenchError>,
    ) -> Result<Done, BenchError> {
        let shared = Arc::new(Shared::new(self.uris));
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for number in 0..self.connections {
            let worker = Worker {
                shared: Arc::clone(&shared),
                names: Arc::clone(&self.names),
                next: Arc::clone(&next),
                task: self.task,
            };
            workers.spawn(worker.run(number));
        }
        let mut stop = pin!(stop);
        let mut ticks = interval_at(Instant::now() + SECOND, SECOND);
        let mut start = None;
        loop {
            tokio::select! {
                ended = workers.join_next() => match ended {
                    Some(ended) => ended??,
                    None => break,
                },
                _ = shared.ready.acquire_many(self.connections), if start.is_none() => {
                    let now = shared.now();
                    start = Some(now);
                    shared.enter(Phase::Running { start: now });
                    ticks.reset();
                }
                () = &mut stop, if !shared.phase().borrow().is_over() => {
                    shared.enter(Phase::Over { stop: shared.now() });
                }
                _ = ticks.tick(), if start.is_some() => {
                    let (count, p99) = {
                        let mut measures = shared.measures();
                        (measures.counts.confirmed, measures.confirm.turn())
                    };
                    tell(count, p99)?;
                }
            }
        }
        let now = shared.now();
        let mut measures = shared.measures();
        Ok(Done {
            count: measures.counts.confirmed,
            nanoseconds: now - start.unwrap_or(now),
            latency: measures.confirm.quantiles(),
        })
    }
}

/// A connection that does it to one queue after the other.
struct Worker {
    shared: Arc<Shared>,
    names: Arc<Vec<String>>,
    /// The first that nobody has taken.
    next: Arc<AtomicUsize>,
    task: Task,
}

impl Worker {
    async fn run(self, number: u32) -> Result<(), BenchError> {
        let shared = &self.shared;
        let mut phase = shared.phase();
        let mut link = shared.connect(&mut Attempts::new(number as usize)).await?;
        shared.ready.add_permits(1);
        // Its sender lives as long as this.
        let _ = phase.wait_for(|phase| *phase != Phase::Opening).await;
        while !phase.borrow().is_over() {
            let Some(name) = self.names.get(self.next.fetch_add(1, Ordering::Relaxed)) else { break };
            let asked = shared.now();
            if let Err(broken) = self.task.run(&mut link, name).await {
                let place = format!("{}: queue '{name}'", link.name);
                link.leave(&broken);
                return Err(broken.at(place));
            }
            let mut measures = shared.measures();
            measures.counts.confirmed += 1;
            measures.confirm.record(shared.now() - asked, 1);
        }
        let place = link.name.clone();
        link.close().await.map_err(|broken| broken.at(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equally_long() {
        assert_eq!(names("q-", 1), ["q-0"]);
        assert_eq!(names("q-", 10).last().unwrap(), "q-9");
        let many = names("q-", 101);
        assert_eq!((&*many[7], &*many[100]), ("q-007", "q-100"));
    }

    #[test]
    fn shares_are_even_and_leave_nothing_out() {
        let names = names("", 5);
        assert_eq!(share(&names, 0, 2), ["0", "2", "4"]);
        assert_eq!(share(&names, 1, 2), ["1", "3"]);
        let of_seven: Vec<String> = (0..7).flat_map(|number| share(&names, number, 7)).collect();
        assert_eq!(of_seven, ["0", "1", "2", "3", "4", "0", "1"]);
    }
}
