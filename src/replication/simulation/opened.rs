//! Which replicas were opened, and whether they had anything.

use std::cell::RefCell;

use crate::types::{GroupId, NodeId};

/// A replica that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its node.
    pub node: NodeId,
    /// Its group.
    pub group: GroupId,
    /// It had nothing.
    pub pristine: bool,
}

thread_local! {
    static OPENED: RefCell<Vec<Opened>> = const { RefCell::new(Vec::new()) };
}

impl Opened {
    /// Takes note of it.
    pub(crate) fn note(self) {
        OPENED.with_borrow_mut(|opened| opened.push(self));
    }

    /// Those since this was asked last, by what runs on this thread.
    #[must_use]
    pub fn take() -> Vec<Self> {
        OPENED.take()
    }
}
