//! Fakes for tests: a broker, a disk, a network, history checkers

mod broker;
mod broker_session;
mod broker_state;
mod chance;
mod disk;
mod disk_file;
mod disk_world;
mod history;
mod kstatus;

pub use broker::FakeBroker;
pub use broker_session::FakeSession;
pub use chance::Chance;
pub use disk::SimulatedDisk;
pub use history::{Broken, Event, History, MessageId};
pub use kstatus::Kstatus;
