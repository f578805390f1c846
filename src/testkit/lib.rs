//! Fakes for tests: a broker, a disk, a network, history checkers
