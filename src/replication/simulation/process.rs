//! A simulated process: tasks that are stopped, killed and told the time together.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::{
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

/// When simulated time begins: the first of January 2026, in milliseconds since 1970.
const BEGINNING: u64 = 1_767_225_600_000;
/// Tasks that have ended are forgotten when so many more have been started.
const FORGET_AFTER: usize = 256;

thread_local! {
    static CURRENT: RefCell<Option<Process>> = const { RefCell::new(None) };
}

/// A simulated process. What its tasks start belongs to it as well. Cheap to clone; the same one.
#[derive(Clone)]
pub struct Process(Arc<Mutex<State>>);

struct State {
    began: Instant,
    /// How far its clock is off, in milliseconds.
    clock: i64,
    stopped: bool,
    dead: bool,
    /// Tasks that were to run while it was stopped.
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    forget_at: usize,
}

impl Process {
    /// A process without tasks. Its clock shows the time since `began`, from the same day on.
    #[must_use]
    pub fn new(began: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            began,
            clock: 0,
            stopped: false,
            dead: false,
            waiting: Vec::new(),
            tasks: Vec::new(),
            forget_at: FORGET_AFTER,
        })))
    }

    /// The process whose task runs.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs a task in it. Once it is dead, no task does anything.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let task = tokio::spawn(Bound::new(self.clone(), future));
        let mut state = self.state();
        if state.dead {
            task.abort();
            return task;
        }
        state.tasks.push(task.abort_handle());
        if state.tasks.len() >= state.forget_at {
            state.tasks.retain(|task| !task.is_finished());
            state.forget_at = state.tasks.len() + FORGET_AFTER;
        }
        task
    }

    /// Ends it without a word: none of its tasks runs any more.
    pub fn kill(&self) {
        let (tasks, waiting) = {
            let mut state = self.state();
            state.dead = true;
            (std::mem::take(&mut state.tasks), std::mem::take(&mut state.waiting))
        };
        tasks.iter().for_each(AbortHandle::abort);
        drop(waiting);
    }

    /// Stops it, as SIGSTOP does.
    pub fn stop(&self) {
        self.state().stopped = true;
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        let waiting = {
            let mut state = self.state();
            state.stopped = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Puts its clock wrong by so many milliseconds.
    pub fn set_clock(&self, off_by: i64) {
        self.state().clock = off_by;
    }

    /// Its time of day, in milliseconds since 1970.
    #[must_use]
    pub fn time_of_day(&self) -> u64 {
        let state = self.state();
        let since = u64::try_from(state.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        BEGINNING.saturating_add(since).saturating_add_signed(state.clock)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a task may run now; one that may not is woken when it may.
    fn lets_run(&self, task: &Waker) -> bool {
        let mut state = self.state();
        if state.stopped && !state.dead {
            state.waiting.push(task.clone());
        }
        !state.stopped && !state.dead
    }
}

/// A future that runs as part of the process that makes it.
pub(crate) fn bound<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    let process = Process::current();
    async move {
        match process {
            Some(process) => Bound::new(process, future).await,
            None => future.await,
        }
    }
}

/// A future that runs as part of a process.
struct Bound<F> {
    process: Process,
    /// Nothing once it is dropped.
    future: Option<Pin<Box<F>>>,
}

impl<F> Bound<F> {
    fn new(process: Process, future: F) -> Self {
        Self { process, future: Some(Box::pin(future)) }
    }
}

/// Makes a process the current one, until this is dropped.
struct Entered(Option<Process>);

impl Entered {
    fn enter(process: &Process) -> Self {
        Self(CURRENT.replace(Some(process.clone())))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl<F: Future> Future for Bound<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.process.lets_run(context.waker()) {
            return Poll::Pending;
        }
        let _entered = Entered::enter(&self.process);
        match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Bound<F> {
    fn drop(&mut self) {
        // What is started by what is dropped belongs to the process as well.
        let _entered = Entered::enter(&self.process);
        self.future = None;
    }
}
