//! dev and ctl
