//! What the operator, `dev` and `ctl` say to a broker, and what it answers.
//!
//! ```text
//!   operator, dev, ctl --Client--> HTTP --> management --AdminPort--> server, broker
//!            \------------Configuration (a file) --------------------^
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `configuration.rs` | the file that a broker starts with |
//! | `status.rs` | what a node and its cluster say of themselves |
//! | `formation.rs` | how a cluster is formed, once |
//! | `archive.rs` | where a cluster's archive is, how it is with it, and backups |
//! | `placement.rs` | a node that is emptied, and goes |
//! | `topic.rs`, `user.rs` | a topic and a user, as they are declared, and as they are |
//! | `error.rs` | why a call was refused |
//! | `port.rs` | [`AdminPort`]: what `management` serves |
//! | `routes.rs` | where each call is served |
//! | `client.rs` | [`Client`]: what the operator, `dev` and `ctl` call with |
//!
//! All types are the JSON of `/admin/v1/…`; fields are only ever added, and a reader passes over fields unknown to it.

mod archive;
mod client;
mod configuration;
mod error;
mod formation;
mod placement;
mod port;
pub mod routes;
mod status;
mod topic;
mod user;

pub use archive::{
    ArchiveConfiguration, ArchiveDestination, ArchiveView, BackupRemoval, BackupRequest, BackupState, BackupView,
    RestorationView, RestoreOrder,
};
pub use client::{CALL_TIMEOUT, CallError, Client, ClientError, HAND_OVER_TIMEOUT};
pub use configuration::{Configuration, InternalTls, Listener, Protocol};
pub use error::{AdminError, Reason};
pub use formation::{Formation, Member, NewUser};
pub use placement::{Draining, NodeRemoval};
pub use port::AdminPort;
pub use status::{
    CertificatePurpose, CertificateView, ClusterStatus, DiskUse, NodeStatus, NodeView, Phase, Safety, ShardView,
};
pub use topic::{
    Adoption, Owner, QueueInTopic, QueueView, TopicBinding, TopicDeclaration, TopicList, TopicLog, TopicName,
    TopicRemoval, TopicView, TopicsAfter,
};
pub use user::{Permission, UserDeclaration, UserDeclared, UserRemoval, UserView};
