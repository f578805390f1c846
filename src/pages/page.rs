//! A page of rows: open, packed, or on the disk.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use crate::{PageStore, Row, Unpacker, store::Stored};

/// Rows that are not in memory as they are.
#[derive(Debug, Clone)]
enum Cold {
    Nothing,
    Packed(Bytes),
    Stored(Stored),
}

impl Cold {
    /// The rows. A page that its store has lost is empty.
    fn unpacked<R: Row>(&self, rows: u32) -> VecDeque<R> {
        match self {
            Self::Nothing => VecDeque::new(),
            Self::Packed(bytes) => unpack(bytes, rows),
            Self::Stored(stored) => stored.get().map(|bytes| unpack(&bytes, rows)).unwrap_or_default(),
        }
    }
}

/// Rows that follow each other; there is at least one.
#[derive(Debug, Clone)]
pub(crate) struct Page<R> {
    /// The first row when the page was made or packed: no row of the page comes before it, and all rows of the page
    /// before this one do.
    pub(crate) first: R,
    /// In memory as they are; those of a cold page are not.
    open: Option<VecDeque<R>>,
    cold: Cold,
    /// How many the cold ones are.
    rows: u32,
}

impl<R: Row> Page<R> {
    /// A page of these rows; none where there are none.
    pub(crate) fn new(rows: VecDeque<R>) -> Option<Self> {
        let first = rows.front()?.clone();
        Some(Self { first, open: Some(rows), cold: Cold::Nothing, rows: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.open.as_ref().map_or(self.rows as usize, VecDeque::len)
    }

    /// The rows, where they are in memory as they are.
    pub(crate) fn open_rows(&self) -> Option<&VecDeque<R>> {
        self.open.as_ref()
    }

    /// The rows of a cold page, beside it.
    pub(crate) fn unpacked(&self) -> VecDeque<R> {
        self.cold.unpacked(self.rows)
    }

    /// Opens the page, and gives its rows.
    pub(crate) fn open(&mut self) -> &mut VecDeque<R> {
        let Self { open, cold, rows, .. } = self;
        open.get_or_insert_with(|| std::mem::replace(cold, Cold::Nothing).unpacked(*rows))
    }

    /// Packs an open page, without rows in which nothing is; gives whether anything is left of it.
    pub(crate) fn pack(&mut self, store: Option<&Arc<dyn PageStore>>) -> bool {
        let Some(mut rows) = self.open.take() else { return true };
        rows.retain(|row| !row.is_void());
        self.rows = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let Some(first) = rows.front() else { return false };
        self.first = first.clone();
        let mut out = Vec::with_capacity(rows.len() * 8);
        let mut before = None;
        for row in &rows {
            row.pack(before, &mut out);
            before = Some(row);
        }
        self.cold = match store.and_then(|store| Stored::put(store, &out)) {
            Some(stored) => Cold::Stored(stored),
            None => Cold::Packed(Bytes::from(out.into_boxed_slice())),
        };
        true
    }
}

fn unpack<R: Row>(bytes: &[u8], count: u32) -> VecDeque<R> {
    let mut from = Unpacker::new(bytes);
    let mut rows = VecDeque::with_capacity(count.min(1 << 16) as usize);
    for _ in 0..count {
        let Some(row) = R::unpack(rows.back(), &mut from) else { break };
        rows.push_back(row);
    }
    rows
}
