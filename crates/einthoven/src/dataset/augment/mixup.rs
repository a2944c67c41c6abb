//! A blend of two items of one class.

use serde_json::{Value, json};

use super::pool::move_towards;
use super::{Augmentation, Item, Pool};
use crate::error::Result;
use crate::seed::Stream;

/// Blends an item with another of its class, the larger share being its own.
///
/// # Differs from the paper
/// The paper blends any two items and their labels. A data set here has hard labels, so that both come from
/// one class: the blended label is the label, and nothing has to be rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixup {
    /// Both parameters of the beta law of the share; at most 1, the smaller the less is blended.
    pub alpha: f64,
}

impl Mixup {
    /// Two tenths, as in the reference.
    pub const DEFAULT: Mixup = Mixup { alpha: 0.2 };

    /// A draw from Beta(alpha, alpha) after Jöhnk 1964.
    fn share(&self, stream: &mut Stream) -> f64 {
        loop {
            let power = 1.0 / self.alpha;
            let (x, y) = (libm::pow(stream.uniform(), power), libm::pow(stream.uniform(), power));
            if x + y > 0.0 && x + y <= 1.0 {
                return x / (x + y);
            }
        }
    }
}

impl Augmentation for Mixup {
    fn name(&self) -> &'static str {
        "mixup"
    }

    fn summary(&self) -> &'static str {
        "blend with another item of the class, share from a beta law"
    }

    fn reference(&self) -> &'static str {
        "Zhang et al., mixup: beyond empirical risk minimization, ICLR 2018"
    }

    fn settings(&self) -> Value {
        json!({ "alpha": self.alpha, "partner": "same class" })
    }

    /// The only item of its class has none to be mixed with.
    fn source(&self, pool: &Pool, class: usize) -> Option<usize> {
        (pool.members(class).len() > 1).then_some(class)
    }

    fn mixes_patients(&self) -> bool {
        true
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let share = self.share(stream);
        let other = item.pool.other(item.class, item.base, stream);
        move_towards(ecg, item.pool.ecg(other), share.min(1.0 - share));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn shares_have_the_moments_of_the_beta_law() {
        let mut stream = Seed::new(2).stream();
        let n = 20_000;
        let shares: Vec<f64> = (0..n).map(|_| Mixup::DEFAULT.share(&mut stream)).collect();
        let mean = shares.iter().sum::<f64>() / n as f64;
        let variance = shares.iter().map(|s| (s - 0.5).powi(2)).sum::<f64>() / n as f64;
        // Mean 1/2 and variance 1 / (4 (2 alpha + 1)) = 0.1786; standard errors 0.003 and 0.0009.
        assert!((mean - 0.5).abs() < 0.012 && (variance - 0.25 / 1.4).abs() < 0.004, "{mean} {variance}");
    }
}
