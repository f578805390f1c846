//! Threads that read much of the disk, so that those that serve do not wait for it.
//!
//! What one has read is let go of by other threads, and an allocator gets such memory back when the thread that it came from
//! asks for more. Many threads that read now and then would each keep theirs: so it is one for all of a kind.

use std::{
    io,
    sync::{
        OnceLock,
        mpsc::{self, Sender},
    },
    thread,
};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Reads, one thing after the other. Ends when it is dropped.
pub struct DiskReader {
    jobs: Sender<Job>,
}

impl DiskReader {
    /// Starts a thread of this name.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub fn start(name: &str) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        thread::Builder::new().name(name.to_owned()).spawn(move || waiting.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Does this behind what it was given before. Never blocks.
    pub fn read(&self, job: impl FnOnce() + Send + 'static) {
        #[cfg(feature = "simulation")]
        if crate::simulation::Process::current().is_some() {
            crate::task::spawn(async move { job() });
            return;
        }
        // The thread lives as long as this does.
        let _ = self.jobs.send(Box::new(job));
    }
}

/// Reads what goes elsewhere as it is: to an archive, or to another replica.
pub(crate) async fn reading<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    static READER: OnceLock<DiskReader> = OnceLock::new();
    #[cfg(feature = "simulation")]
    if crate::simulation::Process::current().is_some() {
        return work();
    }
    let reader = match READER.get() {
        Some(reader) => reader,
        // Of two that start one, one ends again.
        None => {
            let started = DiskReader::start("bulk-reader")?;
            READER.get_or_init(|| started)
        }
    };
    let (done, result) = oneshot::channel();
    reader.read(move || {
        // Nobody waits for it any more where this fails.
        let _ = done.send(work());
    });
    result.await.map_err(io::Error::other)?
}
