//! One journal a node: segments, group commit, recovery
