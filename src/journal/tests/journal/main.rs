//! The journal on a simulated disk, and once on the real one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod append;
mod fixture;
mod index;
mod power_loss;
mod recovery;
mod relocate;
mod space;
mod system_disk;
mod verify;
