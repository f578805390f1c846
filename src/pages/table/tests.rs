//! A table beside a map that does the same.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Slot, Unpacker, put_number};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    key: u64,
    value: u64,
}

impl Row for Pair {
    fn key(&self) -> u64 {
        self.key
    }

    fn is_void(&self) -> bool {
        self.value == 0
    }

    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        put_number(out, self.key - before.map_or(0, |before| before.key));
        put_number(out, self.value);
    }

    fn unpack(before: Option<&Self>, from: &mut Unpacker<'_>) -> Option<Self> {
        let key = from.number()? + before.map_or(0, |before| before.key);
        Some(Self { key, value: from.number()? })
    }
}

/// Pages in memory; it takes every third one only.
#[derive(Debug, Default)]
struct Shelf {
    pages: Mutex<HashMap<Slot, Bytes>>,
    asked: Mutex<u64>,
}

impl PageStore for Shelf {
    fn put(&self, page: &[u8]) -> Option<Slot> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        let slot = Slot { offset: *asked, length: page.len() as u32, checksum: 0 };
        let taken = asked.is_multiple_of(3);
        taken.then(|| self.pages.lock().unwrap().insert(slot, Bytes::copy_from_slice(page)));
        taken.then_some(slot)
    }

    fn get(&self, slot: Slot) -> Option<Bytes> {
        self.pages.lock().unwrap().get(&slot).cloned()
    }

    fn free(&self, slot: Slot) {
        assert!(self.pages.lock().unwrap().remove(&slot).is_some(), "it was given back already");
    }

    fn is_broken(&self) -> bool {
        false
    }

    fn sizes(&self) -> Sizes {
        Sizes { page_rows: 3, open_pages: 2 }
    }
}

#[derive(Debug, Clone)]
enum Act {
    /// Puts so many rows at the end.
    Push(u16),
    Insert(u16),
    /// Empties so many rows from about there on, each of a few.
    Empty(u16, u16),
    Remove(u16),
    PopFront(u16),
    LeaveOutFront,
    /// Keeps keys that this does not divide.
    Retain(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3000_u16).prop_map(Act::Push),
        4 => any::<u16>().prop_map(Act::Insert),
        3 => (any::<u16>(), 0..700_u16).prop_map(|(from, count)| Act::Empty(from, count)),
        2 => any::<u16>().prop_map(Act::Remove),
        2 => (0..600_u16).prop_map(Act::PopFront),
        2 => Just(Act::LeaveOutFront),
        1 => (2..9_u64).prop_map(Act::Retain),
    ]
}

/// A table, and what is in it.
struct Both {
    table: Table<Pair>,
    map: BTreeMap<u64, u64>,
    next: u64,
}

impl Both {
    fn new(store: Option<Arc<dyn PageStore>>) -> Self {
        Self { table: Table::new(store), map: BTreeMap::new(), next: 1 }
    }

    fn push(&mut self) {
        // Some keys are left out, for those that are inserted.
        self.next += 1 + self.next % 3;
        self.table.push(Pair { key: self.next, value: self.next * 7 });
        self.map.insert(self.next, self.next * 7);
    }

    /// A key within those that there were.
    fn key(&self, of: u16) -> u64 {
        u64::from(of) * (self.next + 1) / u64::from(u16::MAX)
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Push(rows) => (0..rows).for_each(|_| self.push()),
            Act::Insert(of) => {
                let key = self.key(of);
                let before = self.table.insert(Pair { key, value: 3 });
                let expected = self.map.insert(key, 3);
                // One in which nothing was may have been left out.
                assert_eq!(before.map_or(0, |row| row.value), expected.unwrap_or(0));
                self.next = self.next.max(key);
            }
            Act::Empty(from, count) => {
                let from = self.key(from);
                let keys: Vec<u64> =
                    self.map.range(from..).take(count.into()).map(|(key, _)| *key).filter(|key| key % 5 != 0).collect();
                for key in keys {
                    let at = self.table.find_key(key);
                    if self.table.look(at, Row::key) == Some(key) {
                        self.table.update(at, |row| row.value = 0);
                    }
                    self.map.insert(key, 0);
                }
            }
            Act::Remove(of) => {
                let key = self.key(of);
                let at = self.table.find_key(key);
                let removed =
                    self.table.look(at, Row::key).filter(|found| *found == key).and_then(|_| self.table.remove(at));
                assert_eq!(removed.map_or(0, |row| row.value), self.map.remove(&key).unwrap_or(0));
            }
            Act::PopFront(rows) => {
                for _ in 0..rows {
                    let Some(row) = self.table.pop_front() else { return };
                    self.map = self.map.split_off(&row.key);
                    assert_eq!(self.map.remove(&row.key), Some(row.value));
                }
            }
            Act::LeaveOutFront => self.table.leave_out_front(),
            Act::Retain(number) => {
                self.table.retain(|row| row.key % number != 0);
                self.map.retain(|key, _| key % number != 0);
            }
        }
    }

    fn live(&self) -> Vec<(u64, u64)> {
        self.map.iter().map(|(key, value)| (*key, *value)).filter(|(_, value)| *value > 0).collect()
    }

    fn check(&self) {
        let rows: Vec<(u64, u64)> =
            self.table.iter().filter(|row| !row.is_void()).map(|row| (row.key, row.value)).collect();
        let live = self.live();
        assert_eq!(rows, live);
        let last = self.table.last_that(|row| !row.is_void()).map(|row| (row.key, row.value));
        assert_eq!(last, live.last().copied());
        for key in [0, self.next / 3, self.next / 2, self.next, self.next + 1] {
            let found = self.table.iter_from(self.table.find_key(key)).find(|row| !row.is_void());
            let expected = live.iter().copied().find(|(other, _)| *other >= key);
            assert_eq!(found.map(|row| (row.key, row.value)), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_table_has_what_was_put_into_it(acts in prop::collection::vec(act(), 1..40), on_disk in any::<bool>()) {
        let shelf = Arc::new(Shelf::default());
        let mut both = Both::new(on_disk.then(|| shelf.clone() as Arc<dyn PageStore>));
        for act in &acts {
            both.act(act);
            both.check();
        }
        let copy = both.table.clone();
        drop(both);
        copy.iter().for_each(drop);
        drop(copy);
        prop_assert!(shelf.pages.lock().unwrap().is_empty(), "not all pages were given back");
    }
}

#[test]
fn a_long_table_is_small() {
    const LONG: usize = 16 * 128;
    let mut both = Both::new(None);
    (0..100_000).for_each(|_| both.push());
    let open: usize = both.table.pages.iter().filter_map(Page::open_rows).map(VecDeque::len).sum();
    assert!(open <= LONG, "{open} rows are open");
    assert_eq!(both.table.len(), 100_000);
    // Looking at all does not open them.
    both.check();
    let open: usize = both.table.pages.iter().filter_map(Page::open_rows).map(VecDeque::len).sum();
    assert!(open <= LONG, "{open} rows are open");
}
