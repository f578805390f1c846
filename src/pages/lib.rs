//! Long tables in order, of which only the ends are in memory as they are: where messages lie, and where entries lie.
//!
//! ```text
//!   page ── page ── page ── page ── page ── last rows
//!   open    packed: a few bytes a row        open       <── push
//!    ^                 │   ^
//!    │ update, remove  v   │ looked at: one page unpacked beside it
//!                   PageStore: what is cold goes to the disk, its first row stays in memory
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `table.rs` | [`Table`]: rows by key, found by anything that grows with the key |
//! | `page.rs` | a page: open, packed, or on the disk |
//! | `row.rs` | [`Row`], and the integers that rows are packed with |
//! | `store.rs` | [`PageStore`]: where pages go that nobody looks at |
//!
//! Invariant: how rows are kept changes nothing of what is read, as long as the store gives back what it took. One that
//! cannot says so by [`PageStore::is_broken`], and nothing that was read since may be believed.

mod page;
mod row;
mod store;
mod table;

pub use row::{Row, Unpacker, put_number, put_signed};
pub use store::{PageStore, Sizes, Slot};
pub use table::{At, Table};
