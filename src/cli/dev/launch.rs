//! How brokers are started, which is another crate's matter.

use std::future::Future;

use ferrymq_admin_api::Configuration;

/// Starts brokers.
pub trait Launch {
    /// A broker that runs.
    type Broker: LaunchedBroker;

    /// Starts the broker with this ordinal. Returns when it listens.
    ///
    /// # Errors
    ///
    /// A sentence that says why it does not run.
    fn launch(
        &self,
        configuration: Configuration,
        ordinal: u32,
    ) -> impl Future<Output = Result<Self::Broker, String>> + Send;
}

/// A broker that runs.
pub trait LaunchedBroker: Send + 'static {
    /// Returns when the broker ended by itself, with a sentence that says why. May be dropped and asked again.
    fn ended(&mut self) -> impl Future<Output = String> + Send;

    /// Stops it.
    fn stop(self) -> impl Future<Output = ()> + Send;
}
