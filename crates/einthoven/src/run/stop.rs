//! When to stop: signals and the time limit.
//!
//! Loops ask [`Stop`] between steps. The first SIGINT or SIGTERM asks them to finish the step and
//! write a checkpoint; the second ends the process at once, which harms nothing because every write
//! is atomic. The time limit is asked with the time that the next step and the checkpoint will take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Why a loop has to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A signal arrived, by number.
    Signal(i32),
    /// The time limit is near.
    TimeLimit,
}

/// What long work polls to learn that it has to stop; clones share the signal.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    signal: Arc<AtomicUsize>,
    deadline: Option<(Instant, Duration)>,
}

impl Stop {
    /// Stops only when [`Stop::request`] is called.
    pub fn never() -> Stop {
        Stop::default()
    }

    /// Stops on the first SIGINT or SIGTERM; the second ends the process at once.
    ///
    /// Call it once per process.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system refuses the handlers.
    pub fn on_signals() -> Result<Stop> {
        let stop = Stop::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let refused =
                |error: std::io::Error| Error::Unsupported { what: format!("a handler for signal {signal} ({error})") };
            // The order matters: on the first signal the flag is not yet set when the first handler looks.
            let is_second = Arc::clone(second_signal());
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&is_second))
                .map_err(refused)?;
            signal_hook::flag::register(signal, is_second).map_err(refused)?;
            signal_hook::flag::register_usize(signal, Arc::clone(&stop.signal), signal as usize).map_err(refused)?;
        }
        Ok(stop)
    }

    /// The same, with a limit on the time from now on.
    pub fn with_time_limit(self, limit: Duration) -> Stop {
        Stop { deadline: Some((Instant::now(), limit)), ..self }
    }

    /// Asks for a stop as if this signal had arrived.
    pub fn request(&self, signal: i32) {
        self.signal.store(signal.max(0) as usize, Ordering::SeqCst);
    }

    /// Whether a time limit is set.
    pub fn has_time_limit(&self) -> bool {
        self.deadline.is_some()
    }

    /// Why to stop now, if at all; `needed` is the time that one more step and the saving would take.
    pub fn reason(&self, needed: Duration) -> Option<StopReason> {
        match self.signal.load(Ordering::SeqCst) {
            0 => {}
            signal => return Some(StopReason::Signal(signal as i32)),
        }
        let (start, limit) = self.deadline?;
        (start.elapsed().saturating_add(needed) >= limit).then_some(StopReason::TimeLimit)
    }

    /// For work without checkpoints: an error as soon as it has to stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`] or [`Error::Limit`], with `hint` on how to go on.
    pub fn check(&self, hint: &str) -> Result<()> {
        self.reason(Duration::ZERO).map_or(Ok(()), |reason| Err(self.error(reason, hint)))
    }

    /// The error for a reason, with `hint` on how to go on.
    pub fn error(&self, reason: StopReason, hint: &str) -> Error {
        match (reason, self.deadline) {
            (StopReason::Signal(signal), _) => Error::Interrupted { signal, hint: hint.to_owned() },
            (StopReason::TimeLimit, deadline) => {
                let seconds = deadline.map_or(0.0, |(_, limit)| limit.as_secs_f64());
                Error::Limit { reason: format!("the time limit of {seconds} s; {hint}") }
            }
        }
    }
}

/// Set by the first signal of the process, whichever of the two it is.
fn second_signal() -> &'static Arc<AtomicBool> {
    static FLAG: std::sync::OnceLock<Arc<AtomicBool>> = std::sync::OnceLock::new();
    FLAG.get_or_init(Arc::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reaches_every_clone() {
        let stop = Stop::never();
        let clone = stop.clone();
        assert_eq!(clone.reason(Duration::MAX), None);
        stop.request(15);
        assert_eq!(clone.reason(Duration::ZERO), Some(StopReason::Signal(15)));
        assert_eq!(clone.check("x").err().map(|error| error.exit_code()), Some(143));
    }

    #[test]
    fn the_limit_counts_the_time_still_needed() {
        let stop = Stop::never().with_time_limit(Duration::from_secs(3600));
        assert_eq!(stop.reason(Duration::from_secs(60)), None);
        assert_eq!(stop.reason(Duration::from_secs(3600)), Some(StopReason::TimeLimit));
        assert_eq!(stop.error(StopReason::TimeLimit, "x").exit_code(), 6);
    }
}
