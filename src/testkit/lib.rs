//! Fakes for tests: a broker, a disk, a network, history checkers

mod disk;
mod disk_file;
mod disk_world;

pub use disk::SimulatedDisk;
