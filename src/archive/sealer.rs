//! The one thread that packs, compresses and encrypts, and back. It keeps what it needs for that; done by whichever threads are
//! idle, each of them would keep as much.

use std::{
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::sync::oneshot;

use crate::sealed::Tools;

type Work = Box<dyn FnOnce(&mut Tools) + Send>;

static THREAD: OnceLock<Option<mpsc::Sender<Work>>> = OnceLock::new();

/// Does the work there, one after the other; none where the thread cannot be started.
pub(crate) async fn on_its_thread<T: Send + 'static>(work: impl FnOnce(&mut Tools) -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let work: Work = Box::new(move |tools| {
        // Nobody waits for it any more where this fails.
        let _ = done.send(work(tools));
    });
    THREAD.get_or_init(start).as_ref()?.send(work).ok()?;
    result.await.ok()
}

fn start() -> Option<mpsc::Sender<Work>> {
    let (sender, works) = mpsc::channel::<Work>();
    let run = move || {
        let mut tools = Tools::default();
        works.into_iter().for_each(|work| work(&mut tools));
    };
    thread::Builder::new().name("archive".to_owned()).spawn(run).ok().map(|_| sender)
}
