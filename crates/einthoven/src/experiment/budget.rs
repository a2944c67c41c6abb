//! How much memory a training takes, found out before it starts (rule K10).
//!
//! Two steps with small batches are taken on a copy of the weights and their peaks are counted. A step's memory is a
//! fixed part (weights, gradients, moments) and a part in proportion to the batch, so two points give the line. No
//! formula has to follow the networks as they change.

use super::MemoryProbe;
use crate::error::{Error, Result};
use crate::run::{Progress, available_memory};

/// Batches of the two steps: large enough that a buffer for one record is not the peak.
const BATCHES: [usize; 2] = [4, 8];

/// Memory of a training step as a line over the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Bytes in use before the training, data included.
    pub idle_bytes: f64,
    /// Bytes that a step takes whatever the batch.
    pub fixed_bytes: f64,
    /// Bytes for each record of a batch.
    pub item_bytes: f64,
}

impl Budget {
    /// Takes one step with each of two small batches.
    ///
    /// # Errors
    /// Whatever a step returns.
    pub fn measure(probe: &dyn MemoryProbe, mut step: impl FnMut(usize) -> Result<()>) -> Result<Budget> {
        let idle = probe.current();
        let mut peak = |batch| -> Result<f64> {
            probe.reset_peak();
            step(batch)?;
            Ok(probe.peak().saturating_sub(idle) as f64)
        };
        let peaks = [peak(BATCHES[0])?, peak(BATCHES[1])?];
        let item_bytes = ((peaks[1] - peaks[0]) / (BATCHES[1] - BATCHES[0]) as f64).max(0.0);
        let fixed_bytes = (peaks[0] - item_bytes * BATCHES[0] as f64).max(0.0);
        Ok(Budget { idle_bytes: idle as f64, fixed_bytes, item_bytes })
    }

    /// Bytes that a step takes on top of what is in use before it.
    pub fn step_bytes(&self, batch: usize) -> f64 {
        self.fixed_bytes + self.item_bytes * batch as f64
    }

    /// Tells the estimate, and refuses a batch that does not fit, naming the largest one that does.
    ///
    /// The limit is on the whole process where one is given, else on what the machine has free.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn refuse_oversize(
        &self,
        role: &str,
        batch: usize,
        max_memory_bytes: Option<u64>,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mib = |bytes: f64| (bytes / f64::from(1 << 20)).ceil();
        let (room, limit) = match max_memory_bytes {
            Some(limit) => (limit as f64 - self.idle_bytes, format!("the limit of {} MiB", mib(limit as f64))),
            None => match available_memory() {
                Some(free) => (free as f64, format!("the {} MiB that are free", mib(free as f64))),
                None => return Ok(()),
            },
        };
        let needed = self.step_bytes(batch);
        progress.tell(&format!(
            "{role}: about {} MiB of memory for batches of {batch}, beside {} MiB of data",
            mib(needed),
            mib(self.idle_bytes)
        ));
        if needed <= room {
            return Ok(());
        }
        let fitting = ((room - self.fixed_bytes) / self.item_bytes.max(1.0)).floor();
        let advice = if fitting >= 1.0 {
            format!("a batch of {fitting} fits")
        } else {
            "not even a batch of 1 fits; choose a smaller network".into()
        };
        Err(Error::Limit {
            reason: format!(
                "training {role} with batches of {batch} needs about {} MiB beside {} MiB of data, more than {limit}; \
                 {advice}",
                mib(needed),
                mib(self.idle_bytes)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::run::Silent;

    /// An allocator whose steps take 1000 bytes and 100 more for each record.
    struct Linear {
        peak: Cell<usize>,
    }

    impl MemoryProbe for Linear {
        fn current(&self) -> usize {
            500
        }
        fn peak(&self) -> usize {
            self.peak.get()
        }
        fn reset_peak(&self) {
            self.peak.set(500);
        }
    }

    fn budget() -> Budget {
        let probe = Linear { peak: Cell::new(0) };
        let step = |batch| {
            probe.peak.set(500 + 1000 + 100 * batch);
            Ok(())
        };
        Budget::measure(&probe, step).unwrap()
    }

    #[test]
    fn two_steps_give_the_line() {
        assert_eq!(budget(), Budget { idle_bytes: 500.0, fixed_bytes: 1000.0, item_bytes: 100.0 });
        assert_eq!(budget().step_bytes(64), 7400.0);
    }

    #[test]
    fn k10_what_does_not_fit_is_refused_with_the_batch_that_fits() {
        budget().refuse_oversize("teacher", 64, Some(7900), &mut Silent).unwrap();
        let error = budget().refuse_oversize("teacher", 64, Some(7899), &mut Silent).unwrap_err();
        assert_eq!(error.exit_code(), 6);
        assert!(error.to_string().contains("a batch of 63 fits"), "{error}");
        let error = budget().refuse_oversize("teacher", 64, Some(1000), &mut Silent).unwrap_err();
        assert!(error.to_string().contains("not even a batch of 1"), "{error}");
    }
}
