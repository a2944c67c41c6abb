//! A point on the way to a near neighbor of the same class.

use serde_json::{Value, json};

use super::pool::{move_towards, squared_distance};
use super::{Augmentation, Item, Pool};
use crate::error::Result;
use crate::seed::Stream;

/// Moves an item by a random share of the way to one of its nearest neighbors in its class.
///
/// # Differs from the paper
/// Neighbors are sought among `n_candidates` random items of the class, the paper's all being too many for
/// a class of tens of thousands; a class with fewer is searched whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smote {
    /// Neighbors of which one is drawn.
    pub n_neighbors: usize,
    /// Items among which the neighbors are sought.
    pub n_candidates: usize,
}

impl Smote {
    /// Five neighbors as in the reference, among 512 candidates.
    pub const DEFAULT: Smote = Smote { n_neighbors: 5, n_candidates: 512 };
}

impl Augmentation for Smote {
    fn name(&self) -> &'static str {
        "smote"
    }

    fn summary(&self) -> &'static str {
        "a random share of the way to a near neighbor of the class"
    }

    fn reference(&self) -> &'static str {
        "Chawla et al., SMOTE: synthetic minority over-sampling technique, JAIR 2002"
    }

    fn settings(&self) -> Value {
        json!({ "n_neighbors": self.n_neighbors, "n_candidates": self.n_candidates })
    }

    /// The only item of its class has none to be mixed with.
    fn source(&self, pool: &Pool, class: usize) -> Option<usize> {
        (pool.members(class).len() > 1).then_some(class)
    }

    fn mixes_patients(&self) -> bool {
        true
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let pool = item.pool;
        let candidates = pool.batch(item.class, self.n_candidates, Some(item.base), stream);
        let mut near: Vec<(f64, usize)> = candidates
            .into_iter()
            .filter(|&i| i != item.base)
            .map(|i| (squared_distance(pool.ecg(item.base), pool.ecg(i)), i))
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        near.truncate(self.n_neighbors);
        if !near.is_empty() {
            let (_, neighbor) = near[stream.below(near.len())];
            move_towards(ecg, pool.ecg(neighbor), stream.uniform());
        }
        Ok(())
    }
}
