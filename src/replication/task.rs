//! Tasks, work that blocks, and the time of day: as tokio and the system have them, or as a simulation does.

use std::future::Future;

use tokio::task::{JoinError, JoinHandle};

/// Runs a task.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    #[cfg(feature = "simulation")]
    if let Some(process) = crate::simulation::Process::current() {
        return process.spawn(future);
    }
    tokio::spawn(future)
}

/// A task for a set of tasks: what a simulated process does is bound to that process.
#[cfg(not(feature = "simulation"))]
pub fn bound<F: Future>(future: F) -> F {
    future
}

/// A task for a set of tasks: what a simulated process does is bound to that process.
#[cfg(feature = "simulation")]
pub fn bound<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    crate::simulation::bound(future)
}

/// Does what waits for a disk, or computes for long, where that holds up no task.
///
/// # Errors
///
/// It panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    #[cfg(feature = "simulation")]
    if crate::simulation::Process::current().is_some() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}

/// Milliseconds since 1970.
#[must_use]
pub fn time_of_day() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(process) = crate::simulation::Process::current() {
        return process.time_of_day();
    }
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
