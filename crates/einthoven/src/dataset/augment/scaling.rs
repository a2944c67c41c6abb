//! A random gain.

use serde_json::{Value, json};

use super::{Augmentation, Item};
use crate::error::Result;
use crate::seed::Stream;

/// Multiplies the whole item, all leads alike, by a random gain around 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Standard deviation of the logarithm of the gain, so that the gain stays positive.
    pub log_gain_sd: f64,
}

impl Scaling {
    /// One tenth, as in the reference.
    pub const DEFAULT: Scaling = Scaling { log_gain_sd: 0.1 };
}

impl Augmentation for Scaling {
    fn name(&self) -> &'static str {
        "scaling"
    }

    fn summary(&self) -> &'static str {
        "one random gain for the whole item"
    }

    fn reference(&self) -> &'static str {
        "Um et al., Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural networks, ICMI 2017"
    }

    fn settings(&self) -> Value {
        json!({ "log_gain_sd": self.log_gain_sd })
    }

    fn apply(&self, ecg: &mut [f32], _item: &Item, stream: &mut Stream) -> Result<()> {
        let gain = libm::exp(self.log_gain_sd * stream.normal()) as f32;
        for x in ecg {
            *x *= gain;
        }
        Ok(())
    }
}
