//! Where pages go that nobody looks at.

use std::{fmt::Debug, sync::Arc};

use bytes::Bytes;

/// How much of a table stays in memory as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of a page, when it is made; at least one.
    pub page_rows: usize,
    /// Pages that may be open at a time: what is settled out of order is mostly within so many.
    pub open_pages: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { page_rows: 128, open_pages: 16 }
    }
}

/// Where a page lies in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Bytes before it.
    pub offset: u64,
    /// Bytes of the page.
    pub length: u32,
    /// Of the page, by whoever keeps it.
    pub checksum: u32,
}

/// Keeps pages for as long as the process runs. It blocks for no longer than a write into the page cache, or a read of
/// some kilobytes, takes.
pub trait PageStore: Debug + Send + Sync {
    /// Keeps a page; none where it cannot, which is no fault: the page stays in memory then.
    fn put(&self, page: &[u8]) -> Option<Slot>;

    /// The page that was put there. Where it is there no more as it was written, the store is broken from then on.
    fn get(&self, slot: Slot) -> Option<Bytes>;

    /// This page is not asked for again.
    fn free(&self, slot: Slot);

    /// A page is lost: what tables have said since may be wrong, and the state that they hold is to be built anew.
    fn is_broken(&self) -> bool;

    /// How much of a table stays in memory as it is.
    fn sizes(&self) -> Sizes {
        Sizes::default()
    }
}

/// A page in a store, given back with the last who has it.
#[derive(Debug, Clone)]
pub(crate) struct Stored(Arc<Held>);

#[derive(Debug)]
struct Held {
    store: Arc<dyn PageStore>,
    slot: Slot,
}

impl Stored {
    pub(crate) fn put(store: &Arc<dyn PageStore>, page: &[u8]) -> Option<Self> {
        let slot = store.put(page)?;
        Some(Self(Arc::new(Held { store: store.clone(), slot })))
    }

    pub(crate) fn get(&self) -> Option<Bytes> {
        self.0.store.get(self.0.slot)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.store.free(self.slot);
    }
}
