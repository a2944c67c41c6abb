//! Running statistics of batch normalizations: no parameters, but followed in training and read afterwards.
//!
//! They are arrays on the host under the names of PyTorch, below the name of their normalization. A training pass
//! writes down what it found, and they move only when [`follow`] is called: a step that is thrown away leaves no trace.

use super::kernel::ChannelStatistics;
use super::layer::declare_constant;
use super::weights::{Init, ParamSpec, Weights};
use crate::error::{Error, Result};

/// Added to every variance.
pub const EPS: f64 = 1e-5;
/// Share of a batch in the running statistics, unless a network says otherwise.
pub const MOMENTUM: f64 = 0.1;

/// What one normalization found in a training batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStatistics {
    /// Name of the normalization.
    pub name: String,
    /// Mean and biased variance of each channel.
    pub found: ChannelStatistics,
    /// Values per channel.
    pub count: usize,
    /// Share of this batch in the running statistics.
    pub momentum: f64,
}

/// Declares the running statistics of a normalization and the number of batches behind them.
pub fn declare(out: &mut Vec<ParamSpec>, name: &str, channels: usize) {
    declare_constant(out, &format!("{name}.running_mean"), &[channels], Init::Zeros);
    declare_constant(out, &format!("{name}.running_var"), &[channels], Init::Ones);
    declare_constant(out, &format!("{name}.num_batches_tracked"), &[], Init::Zeros);
}

/// The running statistics of a normalization.
///
/// # Errors
/// [`Error::Data`] for statistics that are missing; [`Error::Shape`] for another number of channels.
pub fn read(buffers: &Weights, name: &str, channels: usize) -> Result<ChannelStatistics> {
    let read = |what: &str| -> Result<Vec<f64>> {
        let key = format!("{name}.{what}");
        let found = buffers.entries.get(&key).ok_or_else(|| Error::data(&key, "is missing"))?;
        if found.shape != [channels] {
            let (expected, actual) = (vec![channels], found.shape.clone());
            return Err(Error::Shape { what: key, expected, actual });
        }
        Ok(found.values.iter().map(|&value| f64::from(value)).collect())
    };
    Ok(ChannelStatistics { mean: read("running_mean")?, variance: read("running_var")? })
}

/// Moves running statistics towards those of a batch, with the unbiased variance, as PyTorch does.
///
/// Statistics that `buffers` does not hold are passed over.
pub fn follow(buffers: &mut Weights, batch: &[BatchStatistics]) {
    for BatchStatistics { name, found, count, momentum } in batch {
        let unbiased = *count as f64 / (*count as f64 - 1.0).max(1.0);
        for (what, values, factor) in [("running_mean", &found.mean, 1.0), ("running_var", &found.variance, unbiased)] {
            let Some(running) = buffers.entries.get_mut(&format!("{name}.{what}")) else { continue };
            for (running, value) in running.values.iter_mut().zip(values) {
                let old = f64::from(*running);
                *running = (old + momentum * (value * factor - old)) as f32;
            }
        }
        if let Some(seen) = buffers.entries.get_mut(&format!("{name}.num_batches_tracked")) {
            seen.values.iter_mut().for_each(|seen| *seen += 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn running_statistics_move_a_tenth_of_the_way() {
        let mut specs = Vec::new();
        declare(&mut specs, "norm.bn", 2);
        let mut running = Weights::initialize(&specs, Seed::new(1));
        let found = ChannelStatistics { mean: vec![1.0, -2.0], variance: vec![3.0, 6.0] };
        follow(&mut running, &[BatchStatistics { name: "norm.bn".into(), found, count: 3, momentum: MOMENTUM }]);
        let of = |name: &str| running.entries[name].values.clone();
        assert_eq!(of("norm.bn.running_mean"), [0.1, -0.2]);
        // The unbiased variances are 4.5 and 9.
        assert_eq!(of("norm.bn.running_var"), [1.35, 1.8]);
        assert_eq!(of("norm.bn.num_batches_tracked"), [1.0]);
    }
}
