//! The thread that reads old entries of the log for consumers, so that the threads that serve do not wait for the disk.
//!
//! It is one thread for all that a node leads: what it has read is let go of by other threads, and an allocator gets such
//! memory back when the thread that it came from asks for more. Many threads that read now and then would each keep theirs.

use std::{
    io,
    sync::mpsc::{self, Sender},
    thread,
};

type Job = Box<dyn FnOnce() + Send>;

/// Reads, one thing after the other. Ends when it is dropped.
pub(crate) struct Reader {
    jobs: Sender<Job>,
}

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("log-reader".to_owned())
            .spawn(move || waiting.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Does this behind what it was given before. Never blocks.
    pub(crate) fn read(&self, job: impl FnOnce() + Send + 'static) {
        #[cfg(feature = "simulation")]
        if ferrymq_replication::simulation::Process::current().is_some() {
            ferrymq_replication::task::spawn(async move { job() });
            return;
        }
        // The thread lives as long as this does.
        let _ = self.jobs.send(Box::new(job));
    }
}
