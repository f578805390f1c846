//! The brokers that run, and how all of them stop.

use std::time::Duration;

use ferrymq_admin_api::Configuration;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::launch::{Launch, LaunchedBroker};

/// The longest that brokers may take to stop. They have nothing to lose by being cut off: what was confirmed is on disk.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The brokers that run.
pub(super) struct Crew {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    ended: mpsc::UnboundedReceiver<(u32, String)>,
}

impl Crew {
    /// Starts a broker for each configuration, the first one with ordinal 0.
    ///
    /// # Errors
    ///
    /// Which one did not start, and why; those that were started before are stopped.
    pub(super) async fn start<L: Launch>(launch: &L, configurations: &[Configuration]) -> Result<Self, (u32, String)> {
        let (stop, stopping) = watch::channel(false);
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let mut crew = Self { tasks: JoinSet::new(), stop, ended };
        for (ordinal, configuration) in (0..).zip(configurations) {
            let mut broker = match launch.launch(configuration.clone(), ordinal).await {
                Ok(broker) => broker,
                Err(why) => {
                    crew.stop().await;
                    return Err((ordinal, why));
                }
            };
            let (mut stopping, tell_ended) = (stopping.clone(), tell_ended.clone());
            crew.tasks.spawn(async move {
                tokio::select! {
                    why = broker.ended() => {
                        // Nobody listens any more where all of them are being stopped.
                        let _ = tell_ended.send((ordinal, why));
                    }
                    _ = stopping.wait_for(|stop| *stop) => {}
                }
                broker.stop().await;
            });
        }
        Ok(crew)
    }

    /// Waits until a broker ends by itself, which none should: says which, and why.
    pub(super) async fn one_ended(&mut self) -> (u32, String) {
        match self.ended.recv().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Stops all of them at once; whether all did within five seconds.
    pub(super) async fn stop(mut self) -> bool {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        timeout(STOP_LIMIT, all).await.is_ok()
    }
}
