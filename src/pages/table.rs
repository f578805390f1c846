//! Rows by key.

use std::{cell::Cell, collections::VecDeque, fmt, sync::Arc};

use crate::{PageStore, Row, Sizes, page::Page};

/// Rows in which nothing is that may be among the last ones before they are left out.
const VOID_ROWS: usize = 16;

/// A place in a table, until that is changed; it may be behind the last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The page; behind the pages are the last rows.
    page: usize,
    row: usize,
}

impl At {
    /// The first row.
    pub const FIRST: Self = Self { page: 0, row: 0 };
}

/// Rows in the order of their keys.
pub struct Table<R> {
    /// None is empty.
    pages: VecDeque<Page<R>>,
    /// Fewer than two pages would have.
    last: VecDeque<R>,
    sizes: Sizes,
    /// Rows among the last ones in which nothing is.
    voids: usize,
    /// Keys of the first rows of the pages that are open, in the order in which they were opened.
    opened: Vec<u64>,
    /// The cold page that was looked at last.
    looked: Cell<Option<Box<Unpacked<R>>>>,
    store: Option<Arc<dyn PageStore>>,
}

/// A cold page's rows, by the key of the first.
struct Unpacked<R> {
    key: u64,
    rows: VecDeque<R>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self::new(None)
    }
}

impl<R> Table<R> {
    /// An empty table, whose cold pages go to this store, where there is one.
    #[must_use]
    pub fn new(store: Option<Arc<dyn PageStore>>) -> Self {
        let sizes = store.as_ref().map_or_else(Sizes::default, |store| store.sizes());
        let (pages, last, opened) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self { pages, last, sizes, voids: 0, opened, looked: Cell::default(), store }
    }

    /// See [`PageStore::is_broken`].
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.is_broken())
    }

    /// An empty table whose pages go where this one's go.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.store.clone())
    }
}

impl<R: Row> Table<R> {
    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.last.is_empty()
    }

    /// Rows, those too in which nothing is any more and that were not left out yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pages.iter().map(Page::len).sum::<usize>() + self.last.len()
    }

    /// The first row of which this is not true. It must be true of the first rows, and of none behind them.
    pub fn find(&self, before: impl Fn(&R) -> bool) -> At {
        let behind = self.pages.partition_point(|page| before(&page.first));
        let in_last = |row| At { page: self.pages.len(), row };
        if behind == self.pages.len() && self.last.front().is_some_and(&before) {
            return in_last(self.last.partition_point(before));
        }
        let Some(page) = behind.checked_sub(1) else { return At::FIRST };
        let row = self.rows(page, |rows| (rows.partition_point(before), rows.len()));
        if row.0 < row.1 { At { page, row: row.0 } } else { At { page: page + 1, row: 0 } }
    }

    /// The row with this key, or where it would be.
    #[must_use]
    pub fn find_key(&self, key: u64) -> At {
        self.find(|row| row.key() < key)
    }

    /// Looks at a row; none behind the last one.
    pub fn look<T>(&self, at: At, look: impl FnOnce(&R) -> T) -> Option<T> {
        self.rows(at.page, |rows| rows.get(at.row).map(look))
    }

    /// The first row, where it is in memory as it is.
    #[must_use]
    pub fn first_at_hand(&self) -> Option<&R> {
        self.pages.front().map_or(Some(&self.last), Page::open_rows)?.front()
    }

    /// A row.
    #[must_use]
    pub fn get(&self, at: At) -> Option<R> {
        self.look(at, R::clone)
    }

    /// Rows from a place on.
    #[must_use]
    pub fn iter_from(&self, at: At) -> Iter<'_, R> {
        Iter { table: self, at, unpacked: None }
    }

    /// All rows.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, R> {
        self.iter_from(At::FIRST)
    }

    /// The last row of which this is true.
    pub fn last_that(&self, is: impl Fn(&R) -> bool) -> Option<R> {
        let of = |rows: &VecDeque<R>| rows.iter().rev().find(|row| is(row)).cloned();
        of(&self.last).or_else(|| (0..self.pages.len()).rev().find_map(|page| self.rows(page, of)))
    }

    /// The last row, to change anything of it but its key.
    pub fn last_mut(&mut self) -> Option<&mut R> {
        self.last.back_mut()
    }

    /// Puts a row at the end: its key is greater than all others.
    pub fn push(&mut self, row: R) {
        self.last.push_back(row);
        if self.last.len() < self.sizes.page_rows * 2 {
            return;
        }
        self.leave_out_voids();
        if self.last.len() < self.sizes.page_rows * 2 {
            return;
        }
        let behind = self.last.split_off(self.sizes.page_rows);
        let rows = std::mem::replace(&mut self.last, behind);
        if let Some(mut page) = Page::new(rows) {
            page.pack(self.store.as_ref());
            self.pages.push_back(page);
        }
    }

    /// Puts a row in its place, and gives the one that had its key.
    pub fn insert(&mut self, row: R) -> Option<R> {
        let key = row.key();
        let at = self.find_key(key);
        match self.look(at, Row::key) {
            Some(found) if found == key => return self.update(at, |old| std::mem::replace(old, row)),
            Some(_) => {}
            None => {
                self.push(row);
                return None;
            }
        }
        let in_page = at.row > 0 || self.pages.get(at.page).is_some_and(|page| page.first.key() < key);
        match at.page.checked_sub(1) {
            _ if in_page => self.insert_in(at.page, at.row, row),
            // Behind the rows of the page before.
            Some(page) => self.insert_in(page, usize::MAX, row),
            None if self.pages.is_empty() => self.last.push_front(row),
            None => self.add(0, VecDeque::from([row])),
        }
        self.settle();
        None
    }

    /// Changes anything of a row but its key.
    pub fn update<T>(&mut self, at: At, change: impl FnOnce(&mut R) -> T) -> Option<T> {
        if at.page < self.pages.len() {
            let changed = self.open(at.page).get_mut(at.row).map(change);
            self.settle();
            return changed;
        }
        let row = self.last.get_mut(at.row)?;
        let before = row.is_void();
        let changed = change(row);
        if row.is_void() && !before {
            self.voids += 1;
            if self.voids > VOID_ROWS && self.voids > self.last.len() / 2 {
                self.leave_out_voids();
            }
        }
        Some(changed)
    }

    /// Removes a row.
    pub fn remove(&mut self, at: At) -> Option<R> {
        if at.page < self.pages.len() {
            let rows = self.open(at.page);
            let removed = rows.remove(at.row);
            if rows.is_empty() {
                self.pages.remove(at.page);
            }
            self.settle();
            return removed;
        }
        let removed = self.last.remove(at.row)?;
        self.voids -= usize::from(removed.is_void() && self.voids > 0);
        self.shrink();
        Some(removed)
    }

    /// Removes the first row.
    pub fn pop_front(&mut self) -> Option<R> {
        self.remove(At::FIRST)
    }

    /// Removes the first rows, up to the first one in which something is.
    pub fn leave_out_front(&mut self) {
        while let Some(page) = self.pages.front_mut() {
            // In a cold one, something is in each.
            if page.open_rows().is_none() {
                return;
            }
            let rows = page.open();
            while rows.front().is_some_and(Row::is_void) {
                rows.pop_front();
            }
            if !rows.is_empty() {
                return;
            }
            self.pages.pop_front();
        }
        while self.last.front().is_some_and(Row::is_void) {
            self.last.pop_front();
            self.voids = self.voids.saturating_sub(1);
        }
        self.shrink();
    }

    /// Keeps only the rows of which this is true.
    pub fn retain(&mut self, mut is: impl FnMut(&R) -> bool) {
        self.looked.take();
        self.opened.clear();
        let store = self.store.as_ref();
        self.pages.retain_mut(|page| {
            page.open().retain(&mut is);
            page.pack(store)
        });
        self.last.retain(is);
        self.voids = self.last.iter().filter(|row| row.is_void()).count();
        self.shrink();
    }

    /// Looks at the rows of a page, or behind the pages at the last rows.
    fn rows<T>(&self, page: usize, look: impl FnOnce(&VecDeque<R>) -> T) -> T {
        let Some(page) = self.pages.get(page) else { return look(&self.last) };
        if let Some(rows) = page.open_rows() {
            return look(rows);
        }
        let unpacked = self.unpacked(page);
        let seen = look(&unpacked.rows);
        self.looked.set(Some(unpacked));
        seen
    }

    /// A cold page, unpacked. To be put back into `looked`.
    fn unpacked(&self, page: &Page<R>) -> Box<Unpacked<R>> {
        let key = page.first.key();
        let looked = self.looked.take().filter(|looked| looked.key == key);
        looked.unwrap_or_else(|| Box::new(Unpacked { key, rows: page.unpacked() }))
    }

    /// The rows of a page, which is open from now on until [`Table::settle`] is called and later.
    fn open(&mut self, page: usize) -> &mut VecDeque<R> {
        let Some(page) = self.pages.get_mut(page) else { return &mut self.last };
        if page.open_rows().is_none() {
            self.opened.push(page.first.key());
            self.looked.take();
        }
        page.open()
    }

    fn insert_in(&mut self, page: usize, at: usize, row: R) {
        let (is_page, page_rows) = (page < self.pages.len(), self.sizes.page_rows);
        let rows = self.open(page);
        rows.insert(at.min(rows.len()), row);
        if is_page && rows.len() >= page_rows * 2 {
            let behind = rows.split_off(page_rows);
            self.add(page + 1, behind);
        }
    }

    /// Adds a page.
    fn add(&mut self, at: usize, rows: VecDeque<R>) {
        if let Some(page) = Page::new(rows) {
            self.opened.push(page.first.key());
            self.pages.insert(at, page);
        }
    }

    /// Packs pages, those that were opened first, until no more are open than may be.
    fn settle(&mut self) {
        while self.opened.len() > self.sizes.open_pages {
            let key = self.opened.remove(0);
            let at = self.pages.partition_point(|page| page.first.key() < key);
            let Some(page) = self.pages.get_mut(at).filter(|page| page.first.key() == key) else { continue };
            if !page.pack(self.store.as_ref()) {
                self.pages.remove(at);
            }
        }
    }

    fn leave_out_voids(&mut self) {
        self.last.retain(|row| !row.is_void());
        self.voids = 0;
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.last.capacity() > 64 && self.last.len() < self.last.capacity() / 4 {
            self.last.shrink_to(self.last.len() * 2);
        }
        if self.pages.capacity() > 64 && self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }
}

impl<R: Row> Clone for Table<R> {
    fn clone(&self) -> Self {
        let Self { pages, last, sizes, voids, opened, looked: _, store } = self;
        Self {
            pages: pages.clone(),
            last: last.clone(),
            sizes: *sizes,
            voids: *voids,
            opened: opened.clone(),
            looked: Cell::default(),
            store: store.clone(),
        }
    }
}

impl<R> fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pages, last) = (self.pages.len(), self.last.len());
        f.debug_struct("Table").field("pages", &pages).field("last", &last).finish_non_exhaustive()
    }
}

/// The rows of a table from a place on.
pub struct Iter<'a, R> {
    table: &'a Table<R>,
    at: At,
    /// The page, where that is cold.
    unpacked: Option<Box<Unpacked<R>>>,
}

impl<R: Row> Iterator for Iter<'_, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        loop {
            let page = self.table.pages.get(self.at.page);
            let rows = match (page, page.map_or(Some(&self.table.last), Page::open_rows)) {
                (_, Some(rows)) => rows,
                (Some(page), None) => &self.unpacked.get_or_insert_with(|| self.table.unpacked(page)).rows,
                (None, None) => return None,
            };
            if let Some(row) = rows.get(self.at.row).cloned() {
                self.at.row += 1;
                return Some(row);
            }
            page?;
            self.unpacked = None;
            self.at = At { page: self.at.page + 1, row: 0 };
        }
    }
}

impl<R> Drop for Iter<'_, R> {
    fn drop(&mut self) {
        // Whoever asks next asks mostly for what follows.
        if let Some(unpacked) = self.unpacked.take() {
            self.table.looked.set(Some(unpacked));
        }
    }
}

#[cfg(test)]
mod tests;
