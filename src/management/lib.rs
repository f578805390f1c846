//! HTTP: the admin API
