//! How long work tells how far it is.
//!
//! The library only reports numbers; bars with the remaining time on a terminal and plain lines
//! elsewhere are the command's.

/// Receiver of progress reports.
pub trait Progress {
    /// `done` of `total` units of the stage are finished; `note` is a short remark, such as the loss.
    fn update(&mut self, stage: &str, done: u64, total: u64, note: &str);

    /// Something the user may want to know.
    fn tell(&mut self, _message: &str) {}

    /// Something the user should know and that does not stop the work.
    fn warn(&mut self, _message: &str) {}
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&mut self, _stage: &str, _done: u64, _total: u64, _note: &str) {}
}
