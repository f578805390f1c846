//! Brokers in this process, for `dev`.

use ferrymq_admin_api::Configuration;
use ferrymq_cli::dev::{Launch, LaunchedBroker};
use ferrymq_server::Running;

/// Starts brokers in this process.
pub(crate) struct InThisProcess;

/// A broker in this process.
pub(crate) struct Broker(Running);

impl Launch for InThisProcess {
    type Broker = Broker;

    async fn launch(&self, configuration: Configuration, ordinal: u32) -> Result<Broker, String> {
        let started = ferrymq_server::start(configuration, ordinal, None).await;
        started.map(Broker).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }
}

impl LaunchedBroker for Broker {
    async fn ended(&mut self) -> String {
        self.0.failed().await
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}
