//! AMQP 0-9-1, as RabbitMQ speaks it: a front end of the port [`ferrymq_core::Broker`].
//!
//! ```text
//!   socket -> wire -> codec -> dispatch -> methods/*  -> Session (the port)
//!               ^                              |
//!               +-- output <-- deliver <-- events, answers
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `connection.rs` | [`serve`]: a connection from its socket to its end |
//! | `handshake.rs`, `credentials.rs` | from the first byte to the open virtual host |
//! | `link.rs` | an open connection: its state, and how it waits for many things at a time |
//! | `leave.rs` | the broker stops, and lets its clients go |
//! | `dispatch.rs` | from a frame to the method that it is |
//! | `methods/` | one file a method: parse, do, answer |
//! | `deliver.rs` | events of the session, as frames |
//! | `channel.rs`, `confirms.rs`, `unsettled.rs` | a channel's state |
//! | `wire.rs`, `output.rs` | the socket, what was read, what is to be written |
//! | `convert.rs`, `arguments.rs` | between the protocol's words and the domain's |
//! | `counts.rs` | what only this protocol knows to count |
//! | `fault.rs` | what goes wrong, as reply codes and sentences |
//! | `codec/` | the bytes |
//!
//! Invariants:
//! - One task serves a connection; no message costs a task, a channel or a copy of its body (a body in several frames is
//!   joined once).
//! - What a client does not read stays with the broker: no events are taken while a megabyte waits to be written.
//! - While a request waits, events, confirms and heartbeats go on; see `link.rs`.
//! - Nothing that a client sends makes it panic, or hold more memory than its limits say.
//! - What is not there is refused with `NOT_IMPLEMENTED` and a sentence, never passed over.

mod arguments;
mod channel;
pub mod codec;
mod confirms;
mod connection;
mod convert;
mod counts;
mod credentials;
mod deliver;
mod dispatch;
mod fault;
mod handshake;
mod leave;
mod link;
mod methods;
mod output;
mod settings;
mod unsettled;
mod wire;

pub use connection::serve;
pub use counts::Counts;
pub use settings::Settings;
