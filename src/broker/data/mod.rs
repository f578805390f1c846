//! A node's data directory: opened, looked at, and set aside where it is damaged.
//!
//! ```text
//!   damage ──> damaged.json: found ──> moving ──> set aside ──> healed
//!      (at start, or at a read,        │           │            in sync again: all but the newest set goes
//!       and then at the next start)    │           joins as a new node, and is filled by the others
//!                                      into damaged-<unix time>/
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `open.rs` | [`open_when_free`]: the data, or what is to be done where it is damaged |
//! | `set_aside.rs` | [`Directory`]: moves damaged data aside, and clears it away in the end |
//! | `record.rs` | [`Record`]: `damaged.json`, what is known of the damage |
//! | `verify.rs` | [`verify()`]: looks at all of it, offline |

mod open;
mod record;
mod set_aside;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use open::{Opened, open_when_free};
pub(crate) use record::Record;
pub(crate) use set_aside::Directory;
pub use set_aside::SetAsideError;
pub use verify::{DataProblem, DataReport, FileReport, VerifyError, verify};
