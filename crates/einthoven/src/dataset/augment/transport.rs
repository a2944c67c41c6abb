//! Items of the most frequent class carried to where another class lies.

use serde_json::{Value, json};

use super::pool::{move_towards, squared_distance};
use super::{Augmentation, Item, Pool};
use crate::error::{Error, Result};
use crate::seed::Stream;
use crate::signal::median::median;
use crate::signal::transport::{Sinkhorn, sinkhorn};

/// Carries an item of the largest class along an optimal transport to the class that is to grow.
///
/// A batch of the largest class and one of the growing class are matched by entropic transport; the item goes to
/// the mean of its matches, by a share of the way that leaves little of what it was, so that the growing
/// class's label is true.
///
/// # Differs from the paper
/// Mini-batches instead of all items, and the share of the way is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimalTransport {
    /// Items in each batch.
    pub batch: usize,
    /// Entropy, as a fraction of the median cost.
    pub epsilon: f64,
    /// Smallest share of the way; the largest is 1.
    pub least_share: f64,
}

impl OptimalTransport {
    /// Batches of 32, a twentieth of the median cost, seven tenths of the way or more.
    pub const DEFAULT: OptimalTransport = OptimalTransport { batch: 32, epsilon: 0.05, least_share: 0.7 };
}

impl Augmentation for OptimalTransport {
    fn name(&self) -> &'static str {
        "optimal-transport"
    }

    fn summary(&self) -> &'static str {
        "items of the largest class carried to a smaller class"
    }

    fn reference(&self) -> &'static str {
        "Zhu et al., Optimal transport based data augmentation for heart disease diagnosis and prediction, arXiv:2202.00567, 2022"
    }

    fn settings(&self) -> Value {
        json!({ "batch": self.batch, "epsilon": self.epsilon, "least_share": self.least_share })
    }

    fn mixes_patients(&self) -> bool {
        true
    }

    fn source(&self, pool: &Pool, _class: usize) -> Option<usize> {
        Some(pool.largest_class())
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let pool = item.pool;
        let from = pool.batch(pool.largest_class(), self.batch, Some(item.base), stream);
        let to = pool.batch(item.class, self.batch, None, stream);
        if to.is_empty() {
            return Err(Error::data(pool.name(item.class), "no training item to transport to"));
        }
        let pairs = from.iter().flat_map(|&i| to.iter().map(move |&j| (i, j)));
        let cost: Vec<f64> = pairs.map(|(i, j)| squared_distance(pool.ecg(i), pool.ecg(j))).collect();
        let weights = matching(&cost, from.len(), to.len(), self.epsilon)?;
        let mut mean = vec![0.0f64; ecg.len()];
        for (weight, &j) in weights.iter().zip(&to) {
            mean.iter_mut().zip(pool.ecg(j)).for_each(|(sum, x)| *sum += weight * f64::from(*x));
        }
        let mean: Vec<f32> = mean.into_iter().map(|x| x as f32).collect();
        move_towards(ecg, &mean, stream.uniform_in(self.least_share, 1.0));
        Ok(())
    }
}

/// How the first source is matched: shares of the targets, which sum to 1.
pub(super) fn matching(cost: &[f64], n_from: usize, n_to: usize, epsilon: f64) -> Result<Vec<f64>> {
    let scale = median(cost);
    // All at one place: every match is as good.
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let settings = Sinkhorn { epsilon: epsilon * scale, tolerance: 1e-6, max_iterations: 500 };
    let even = |n: usize| vec![1.0 / n as f64; n];
    let plan = sinkhorn(cost, &even(n_from), &even(n_to), settings)?;
    let total: f64 = plan.row(0).iter().sum();
    Ok(plan.row(0).iter().map(|mass| mass / total).collect())
}
