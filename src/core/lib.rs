//! The words of the domain, and the port that front ends call.
//!
//! ```text
//!   amqp  (kafka, mqtt, stomp …)        front ends: bytes of a protocol <-> these types
//!     |
//!     v  Broker, Session                the port: what a client may ask of a node
//!   broker                              the node that answers it
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `broker.rs` | [`Broker`] and [`Session`]: the port |
//! | `event.rs` | what a session tells its client unasked: deliveries, confirms, alarms |
//! | `message.rs` | [`Message`]: one type for all protocols |
//! | `declaration.rs` | exchanges, queues and bindings as a client declares them |
//! | `log.rs` | queues that are logs: what is kept of them, and where their consumers begin |
//! | `name.rs` | names that cannot be wrong |
//! | `identity.rs` | who a client is, and what it may do |
//! | `refusal.rs` | why a request was refused |
//!
//! Invariant: nothing here knows of a protocol, a disk or a network.

mod broker;
mod declaration;
mod event;
mod identity;
mod log;
mod message;
mod name;
mod refusal;

pub use broker::{Broker, Gotten, Published, QueueState, Session, Subscription, Tag};
pub use declaration::{BindingDeclaration, ExchangeDeclaration, ExchangeKind, QueueDeclaration, UnknownExchangeKind};
pub use event::{
    Confirmation, ConsumerId, Delivery, DeliveryId, Event, EventReceiver, EventSender, Settlement, events,
};
pub use identity::{Credentials, Identity, Login, LoginRefused};
pub use log::{LogDeclaration, LogFilter, LogPosition};
pub use message::{Message, Properties, PropertyFormat};
pub use name::{ExchangeName, InvalidName, MAX_NAME_BYTES, QueueName, RoutingKey, VirtualHostName};
pub use refusal::{Kind, Refusal};

pub use bytestring::ByteString;
