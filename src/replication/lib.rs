//! Shards: Raft groups over one journal
