//! White noise.

use serde_json::{Value, json};

use super::{Augmentation, Item};
use crate::error::Result;
use crate::seed::Stream;

/// Adds white Gaussian noise in proportion to the spread of each lead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter {
    /// Standard deviation of the noise, as a fraction of the lead's standard deviation over the item.
    pub noise_fraction: f64,
}

impl Jitter {
    /// Five hundredths, as in the reference.
    pub const DEFAULT: Jitter = Jitter { noise_fraction: 0.05 };
}

impl Augmentation for Jitter {
    fn name(&self) -> &'static str {
        "jitter"
    }

    fn summary(&self) -> &'static str {
        "white noise with a small fraction of the lead's standard deviation"
    }

    fn reference(&self) -> &'static str {
        "Um et al., Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural networks, ICMI 2017"
    }

    fn settings(&self) -> Value {
        json!({ "noise_fraction": self.noise_fraction })
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let sig_len = item.pool.sig_len();
        for lead in ecg.chunks_mut(sig_len) {
            let n = lead.len() as f64;
            let mean = lead.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let variance = lead.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
            let noise_sd = self.noise_fraction * variance.sqrt();
            for x in lead {
                *x += (noise_sd * stream.normal()) as f32;
            }
        }
        Ok(())
    }
}
