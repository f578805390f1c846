//! The connections to both sides.

use super::{Errand, ImportError, link::Link, side::Side};

/// The connections, as far as they are open.
#[derive(Default)]
pub(super) struct Links {
    from: Option<Link>,
    to: Option<Link>,
}

impl Links {
    /// Opens what is not open.
    ///
    /// # Errors
    ///
    /// Where one cannot be opened.
    pub(super) async fn open(&mut self, errand: &Errand) -> Result<(), ImportError> {
        if self.from.is_none() {
            self.from = Some(Link::open(&errand.from, errand.patience).await?);
        }
        if self.to.is_none() {
            self.to = Some(Link::open(&errand.to, errand.patience).await?);
        }
        Ok(())
    }

    /// # Errors
    ///
    /// Where they are not open.
    pub(super) fn both(&self) -> Result<(&Link, &Link), ImportError> {
        let not_open = |side| ImportError::Lost { side, reason: "its connection is not open".to_owned() };
        let from = self.from.as_ref().ok_or_else(|| not_open(Side::RabbitMq))?;
        let to = self.to.as_ref().ok_or_else(|| not_open(Side::FerryMq))?;
        Ok((from, to))
    }

    /// Gives up both, as what is under way can only be told by what comes back.
    pub(super) async fn forget(&mut self) {
        for link in [self.from.take(), self.to.take()].into_iter().flatten() {
            link.close().await;
        }
    }
}
