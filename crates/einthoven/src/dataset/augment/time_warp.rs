//! A smooth change of the speed of time.

use serde_json::{Value, json};

use super::{Augmentation, Item};
use crate::error::Result;
use crate::seed::Stream;

/// Runs time faster and slower along the item, with its ends and its middle held in place.
///
/// The middle is where a beat's R annotation is, and class-specific timing is measured from it.
///
/// # Differs from the paper
/// The paper holds the ends only and joins the speeds at the knots by a spline; here they are joined by
/// straight lines, and speeds are exponentials of normals, so that time never runs backwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeWarp {
    /// Standard deviation of the logarithm of the speed at a knot.
    pub log_speed_sd: f64,
    /// Knots, spread evenly from the first to the last point.
    pub n_knots: usize,
}

impl TimeWarp {
    /// Two tenths at six knots, as in the reference.
    pub const DEFAULT: TimeWarp = TimeWarp { log_speed_sd: 0.2, n_knots: 6 };

    /// For each point of the result, the position in the original.
    fn path(&self, sig_len: usize, stream: &mut Stream) -> Vec<f64> {
        let speeds: Vec<f64> =
            (0..self.n_knots.max(2)).map(|_| libm::exp(self.log_speed_sd * stream.normal())).collect();
        let speed = |t: f64| {
            let place = t / (sig_len - 1) as f64 * (speeds.len() - 1) as f64;
            let knot = (place as usize).min(speeds.len() - 2);
            speeds[knot] + (place - knot as f64) * (speeds[knot + 1] - speeds[knot])
        };
        let mut path = vec![0.0; sig_len];
        for t in 1..sig_len {
            path[t] = path[t - 1] + speed(t as f64 - 0.5);
        }
        // Each half is stretched back to its own length.
        let (middle, last) = (sig_len / 2, sig_len - 1);
        let (at_middle, at_last) = (path[middle], path[last]);
        for (t, place) in path.iter_mut().enumerate() {
            *place = if t <= middle {
                *place / at_middle * middle as f64
            } else {
                middle as f64 + (*place - at_middle) / (at_last - at_middle) * (last - middle) as f64
            };
        }
        path
    }
}

impl Augmentation for TimeWarp {
    fn name(&self) -> &'static str {
        "time-warp"
    }

    fn summary(&self) -> &'static str {
        "time runs smoothly faster and slower; ends and middle stay in place"
    }

    fn reference(&self) -> &'static str {
        "Um et al., Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural networks, ICMI 2017"
    }

    fn settings(&self) -> Value {
        json!({ "log_speed_sd": self.log_speed_sd, "n_knots": self.n_knots })
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let sig_len = item.pool.sig_len();
        // Two points have no inside to warp.
        if sig_len < 4 {
            return Ok(());
        }
        let path = self.path(sig_len, stream);
        for lead in ecg.chunks_mut(sig_len) {
            let original = lead.to_vec();
            for (x, place) in lead.iter_mut().zip(&path) {
                let before = (*place as usize).min(sig_len - 2);
                let share = (place - before as f64) as f32;
                *x = original[before] + share * (original[before + 1] - original[before]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn path_rises_and_holds_ends_and_middle() {
        for index in 0..100 {
            let path = TimeWarp::DEFAULT.path(256, &mut Seed::new(1).index(index).stream());
            assert!(path.windows(2).all(|pair| pair[1] > pair[0]));
            assert!(path[0] == 0.0 && path[128] == 128.0 && path[255] == 255.0);
        }
    }
}
