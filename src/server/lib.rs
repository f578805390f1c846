//! Configuration, listeners, wiring, shutdown
