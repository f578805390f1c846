//! TLS: certificates from files that change while a process runs, and certificates that are made here.
//!
//! ```text
//!   tls.crt, tls.key, ca.crt --read--> Files --check--> Identity --+--> ClientSide   (listeners for clients)
//!      (a mounted Secret)                                          +--> ClusterSide  (links between brokers, admin API)
//!                ^                                                        ^
//!                +------- looked at every second by Reloaded -------------+
//!
//!   Authority --issue--> certificate and key, as PEM      (the operator, `ferrymq dev`)
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `provider.rs` | the one implementation of cryptography |
//! | `files.rs` | [`Files`]: a directory with a certificate, read as one state |
//! | `certificate.rs` | [`Certificate`]: what is said in one: names, times, who signed it |
//! | `identity.rs` | [`Identity`]: a certificate, its key and the authorities, checked |
//! | `reloaded.rs` | [`Reloaded`]: what was made of a directory, made again when it changes |
//! | `sides.rs` | [`ClientSide`], [`ClusterSide`], [`Trust`]: settings of TLS connections |
//! | `accept.rs` | [`accept()`]: a handshake, bounded, clear about whoever speaks no TLS |
//! | `peer.rs` | both ends of a connection within a cluster show a certificate of this cluster |
//! | `authority.rs` | [`Authority`]: makes certificates |
//!
//! Invariants: what is served was checked as a whole, so a key never meets another certificate; a state of the files that
//! is wrong is told, and changes nothing; private keys are in no message and no `Debug`.

mod accept;
mod authority;
mod certificate;
mod files;
mod identity;
mod peer;
mod provider;
mod reloaded;
mod sides;

pub use accept::{AcceptError, accept, begins_with_tls};
pub use authority::{Authority, AuthorityError, BACKDATED, Issued, Usage};
pub use certificate::{Certificate, certificates, pem};
pub use files::{CA_FILE, CERTIFICATE_FILE, FileError, Files, KEY_FILE, PLAIN_FILE};
pub use identity::{Identity, IdentityError};
pub use provider::install;
pub use reloaded::{LoadError, POLL, Reloaded, Side};
pub use rustls::pki_types::ServerName;
pub use sides::{ClientSide, ClusterSide, Trust, TrustError};
pub use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The first byte of every TLS connection: the type of the record with the client's hello (RFC 8446, section 5.1). No
/// protocol that is spoken here begins with it.
pub const HANDSHAKE_BYTE: u8 = 0x16;
