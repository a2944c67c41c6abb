//! Public databases, one file each.

pub mod mitdb;
pub mod simulated;
