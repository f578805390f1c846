//! What a simulation of whole clusters puts in the place of tokio's tasks and the system's clock. Only with the feature
//! `simulation`, which no release has.
//!
//! | file | what is in it |
//! |---|---|
//! | `process.rs` | [`Process`]: tasks that are stopped, killed and told the time together |
//! | `runtime.rs` | openraft's runtime, whose tasks belong to the process that starts them |
//! | `opened.rs` | [`Opened`]: which replicas were opened, for who looks on |
//! | `flaw.rs` | [`Flaw`]: promises that are broken on purpose, to prove that a simulation notices |

mod flaw;
mod opened;
mod process;
mod runtime;

pub use flaw::Flaw;
pub(crate) use flaw::{confirm_early, forget_damaged};
pub use opened::Opened;
pub use process::Process;
pub(crate) use process::bound;
pub(crate) use runtime::Runtime;
