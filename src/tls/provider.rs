//! The one implementation of cryptography.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Makes aws-lc-rs the implementation that all of this process uses. To be called first in `main`; more calls change
/// nothing.
pub fn install() {
    if aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("an implementation of cryptography was installed before");
    }
}

/// The implementation, for settings that are made here: they must not depend on whether [`install`] was called.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}
