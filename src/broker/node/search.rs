//! The search in an archive for what a new cluster begins with.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{FormError, Inner, RestoreOrder};
use crate::archiving::{ArchiveOpener, Found, SourceError, find_in};

/// How long after it ended in vain it begins anew: the archive may have been mended.
const AGAIN: Duration = Duration::from_secs(5);

/// A search.
pub(super) struct Search {
    order: RestoreOrder,
    is_running: bool,
    /// How the last one ended, and when.
    ended: Option<(Instant, Result<Found, Arc<SourceError>>)>,
}

impl Search {
    /// The one for this order, where there is one.
    fn of<'a>(search: &'a mut Option<Self>, order: &RestoreOrder) -> &'a mut Self {
        if search.as_ref().is_some_and(|known| known.order != *order) {
            *search = None;
        }
        search.get_or_insert_with(|| Self { order: order.clone(), is_running: false, ended: None })
    }
}

impl Inner {
    /// What the cluster is to begin with. Who asks is not kept waiting for the archive, and asks again. Why there is nothing
    /// stays the answer until there is something, or another reason.
    pub(super) fn find_source(&self, order: &RestoreOrder) -> Result<Found, FormError> {
        let archive = self.settings.restore_from.clone().ok_or(FormError::NoSource)?;
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        let search = Search::of(&mut search, order);
        let is_due = match &search.ended {
            None => true,
            Some((_, Ok(_))) => false,
            Some((at, Err(_))) => at.elapsed() >= AGAIN,
        };
        if is_due && !search.is_running {
            search.is_running = true;
            self.search(archive, order.clone());
        }
        match &search.ended {
            None => Err(FormError::NotYet("the archive is being read".into())),
            Some((_, Ok(found))) => Ok(found.clone()),
            Some((_, Err(error))) => Err(FormError::Restore(error.clone())),
        }
    }

    fn search(&self, archive: ArchiveOpener, order: RestoreOrder) {
        let this = self.itself.clone();
        self.spawn(async move {
            let found = find_in(&archive, &order.target, order.allow_partial).await.map_err(Arc::new);
            let Some(this) = this.upgrade() else { return };
            let mut search = this.search.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(search) = search.as_mut().filter(|known| known.order == order) {
                (search.is_running, search.ended) = (false, Some((Instant::now(), found)));
            }
        });
    }
}
