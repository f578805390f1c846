//! The custom resources
