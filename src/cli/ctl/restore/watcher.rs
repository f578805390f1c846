//! How far the broker is that restores, and when it is to be given up.

use std::time::{Duration, Instant};

use ferrymq_admin_api::{CallError, Client, Formation, Reason, RestorationView};
use tokio::time::sleep;

use super::RestoreError;
use crate::told::told;

/// How often the broker is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Forming writes to the disk.
const FORM_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a problem may stay that may go by itself: the broker tries again every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a broker may not say for, before it is taken for gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Watches a broker that restores, and tells how far it is on the standard error.
pub(super) struct Watcher {
    client: Client,
    /// How long a problem may stay.
    patience: Duration,
}

impl Watcher {
    /// What is wrong with a directory stays wrong; a store may be away for a moment. What is left out is a problem as well,
    /// until the shard is there without it.
    pub(super) fn new(client: Client, is_directory: bool, allow_partial: bool) -> Self {
        let patience = if is_directory && !allow_partial { Duration::ZERO } else { PATIENCE };
        Self { client, patience }
    }

    /// Forms the cluster, which takes as long as it takes to read the archive's catalogue.
    pub(super) async fn form(&self, formation: &Formation) -> Result<(), RestoreError> {
        let client = self.client.clone().with_timeout(FORM_TIMEOUT);
        let mut told_of = String::new();
        loop {
            match client.form(formation).await {
                Ok(()) => return Ok(()),
                Err(CallError::Refused(refusal)) if refusal.reason == Reason::Unavailable => {
                    if refusal.message != told_of {
                        eprintln!("restore: {}", refusal.message);
                        told_of = refusal.message;
                    }
                }
                Err(CallError::Refused(refusal)) => return Err(refused(refusal.message)),
                Err(error) => return Err(lost(&error)),
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Waits until all is there, or something is wrong that will not go by itself.
    pub(super) async fn all_there(&self) -> Result<RestorationView, RestoreError> {
        let mut told_of = None;
        let mut heard = Instant::now();
        let mut wrong: Option<Instant> = None;
        loop {
            sleep(ASK_EVERY).await;
            let node = match self.client.node().await {
                Ok(node) => node,
                Err(error) if heard.elapsed() >= SILENCE => return Err(lost(&error)),
                Err(_) => continue,
            };
            heard = Instant::now();
            let Some(view) = node.restoration else { continue };
            if told_of != Some(view.left) {
                eprintln!("restore: {} of {} shards are there", view.shards.saturating_sub(view.left), view.shards);
                told_of = Some(view.left);
                wrong = None;
            }
            if view.left == 0 && self.client.ready().await.unwrap_or(false) {
                return Ok(view);
            }
            if view.problems.is_empty() {
                wrong = None;
                continue;
            }
            if wrong.get_or_insert_with(Instant::now).elapsed() >= self.patience {
                return Err(refused(view.problems.join("; ")));
            }
        }
    }
}

fn refused(why: String) -> RestoreError {
    let hint = "; `ferrymq ctl backup verify` names all that is wrong, --backup or --time may lead before it, and \
                --allow-partial leaves it out";
    RestoreError::Refused { why, advice: hint }
}

fn lost(error: &CallError) -> RestoreError {
    RestoreError::Broker { what: format!("does not answer: {}", told(error)) }
}
