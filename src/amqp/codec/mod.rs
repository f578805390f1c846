//! The bytes of AMQP 0-9-1: frames, methods, content headers, field tables. No state, no I/O.
//!
//! | file | what is in it |
//! |---|---|
//! | `frame.rs` | cutting frames out of what was read; writing frames |
//! | `method.rs` | every method of the protocol, as the definition has it |
//! | `content.rs` | the content header and the walk over a message's properties |
//! | `table.rs` | field tables and their values |
//! | `reader.rs`, `writer.rs` | the elementary types |
//!
//! Invariants: no input makes it panic; what it allocates is bounded by the bytes that it was given; tables deeper than
//! [`MAX_DEPTH`] are refused.

mod content;
mod error;
mod frame;
mod method;
mod reader;
mod table;
mod writer;

pub use content::{ContentHeader, PARTITION_HEADER, PropertyScan, header, scan_properties, with_header};
pub use error::DecodeError;
pub use frame::{
    Frame, FrameError, FrameKind, FrameSlice, MINIMUM_FRAME_BYTES, OVERHEAD_BYTES, peek_frame, put_body,
    put_content_header, put_heartbeat, put_method, take_frame,
};
pub(crate) use frame::{begin_frame, end_frame, put_body_start};
pub use method::*;
pub use reader::Reader;
pub use table::{MAX_DEPTH, Table, Value};
pub use writer::Writer;

/// What a client sends first.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// The octet that every frame ends with.
pub const FRAME_END: u8 = 0xce;
