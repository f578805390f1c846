//! Fakes for tests: a broker, a disk, a network, history checkers

mod broker;
mod broker_session;
mod broker_state;
mod disk;
mod disk_file;
mod disk_world;

pub use broker::FakeBroker;
pub use broker_session::FakeSession;
pub use disk::SimulatedDisk;
