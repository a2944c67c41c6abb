//! The head that the benchmark's networks share: both kinds of pooling, then a small perceptron.
//!
//! The largest value of each channel comes first, the mean second. Before each linear map stand a normalization and
//! dropout. The names of the layers count positions in a sequence, in which a dropout of share 0 has no place.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::{Layers, Pass, Trace};
use crate::error::{Error, Result};
use crate::nn::kernel::Pointwise;
use crate::nn::layer::linear;
use crate::nn::onnx::{Attribute, Graph, Value};
use crate::nn::weights::View;

/// Share of a batch in the running statistics of the logits, where they are normalized.
const FINAL_MOMENTUM: f64 = 0.01;

/// Shape of the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Share of features that training hides before each linear map; one more than hidden layers.
    pub dropout: Vec<f64>,
    /// Whether a normalization stands before each linear map.
    pub has_norm: bool,
    /// Whether the logits are normalized too.
    pub has_final_norm: bool,
}

impl HeadConfig {
    /// The published head: one hidden layer of 128.
    pub fn published() -> HeadConfig {
        HeadConfig { hidden: vec![128], dropout: vec![0.25, 0.5], has_norm: true, has_final_norm: false }
    }

    /// Checks that a head can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if self.hidden.contains(&0) {
            return Err(Error::config("head.hidden", "found 0, expected at least 1"));
        }
        if self.dropout.len() != self.hidden.len() + 1 {
            let reason = format!("found {} shares for {} linear maps", self.dropout.len(), self.hidden.len() + 1);
            return Err(Error::config("head.dropout", reason));
        }
        if let Some(share) = self.dropout.iter().find(|share| !(0.0..1.0).contains(*share)) {
            return Err(Error::config("head.dropout", format!("found {share}, expected 0 to below 1")));
        }
        Ok(())
    }

    /// Positions of the normalization and the linear map of each layer, and of what comes after the last.
    fn positions(&self) -> (Vec<(usize, usize)>, usize) {
        // The pooling and its flattening come first.
        let mut next = 2;
        let mut layers = Vec::new();
        for share in &self.dropout {
            let norm = next;
            let linear = norm + usize::from(self.has_norm) + usize::from(*share != 0.0);
            layers.push((norm, linear));
            // An activation follows each hidden layer.
            next = linear + 2;
        }
        (layers, next - 1)
    }

    /// Declares the head `name` for a number of channels and labels.
    pub(super) fn declare(&self, layers: &mut Layers, name: &str, channels: usize, classes: usize) {
        let (positions, last) = self.positions();
        let mut n_in = 2 * channels;
        for ((norm, linear), n_out) in positions.into_iter().zip(self.hidden.iter().copied().chain([classes])) {
            if self.has_norm {
                layers.norm(&format!("{name}.{norm}"), n_in);
            }
            layers.linear(&format!("{name}.{linear}"), n_in, n_out);
            n_in = n_out;
        }
        if self.has_final_norm {
            layers.norm(&format!("{name}.{last}"), classes);
        }
    }

    /// As [`HeadConfig::forward`] by the running statistics, as a graph.
    pub(super) fn graph(&self, g: &mut Graph, name: &str, x: &Value) -> Value {
        let over_time = [("axes", Attribute::Ints(vec![2])), ("keepdims", Attribute::Int(0))];
        let (most, mean) = (g.op("ReduceMax", &[x], &over_time), g.op("ReduceMean", &[x], &over_time));
        let mut x = g.concat(&[&most, &mean], 1);
        let (positions, last) = self.positions();
        for (at, (norm, map)) in positions.into_iter().enumerate() {
            if self.has_norm {
                x = g.batch_norm(&format!("{name}.{norm}"), &x);
            }
            x = g.linear(&format!("{name}.{map}"), &x);
            if at < self.hidden.len() {
                x = g.relu(&x);
            }
        }
        if self.has_final_norm {
            x = g.batch_norm(&format!("{name}.{last}"), &x);
        }
        x
    }

    /// Logits of the channels `[batch, channel, time]`.
    pub(super) fn forward(
        &self,
        p: &View,
        pass: &mut Pass,
        name: &str,
        x: Tensor<3>,
        trace: &mut Trace,
    ) -> Result<Tensor<2>> {
        let mut x = Tensor::cat(vec![x.clone().max_dim(2), x.mean_dim(2)], 1);
        trace("pooled", &x);
        let (positions, last) = self.positions();
        for (at, (norm, map)) in positions.into_iter().enumerate() {
            if self.has_norm {
                x = pass.norm(p, &format!("{name}.{norm}"), x, None, Pointwise::None)?;
            }
            let features = pass.hide(x.squeeze_dim(2), self.dropout[at]);
            let out = linear(&p.at(&format!("{name}.{map}")), features);
            let out = if at < self.hidden.len() { activation::relu(out) } else { out };
            x = out.unsqueeze_dim(2);
        }
        if self.has_final_norm {
            x = pass.final_norm(p, &format!("{name}.{last}"), x, FINAL_MOMENTUM)?;
        }
        Ok(x.squeeze_dim(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_skip_what_is_not_there() {
        let head = HeadConfig::published();
        assert_eq!(head.positions(), (vec![(2, 4), (6, 8)], 9));
        let undropped = HeadConfig { dropout: vec![0.0, 0.0], ..head.clone() };
        assert_eq!(undropped.positions(), (vec![(2, 3), (5, 6)], 7));
        let plain = HeadConfig { hidden: Vec::new(), dropout: vec![0.5], has_norm: false, has_final_norm: true };
        assert_eq!(plain.positions(), (vec![(2, 3)], 4));
    }

    #[test]
    fn shares_that_do_not_fit_are_refused() {
        for dropout in [vec![0.5], vec![0.5, 1.0], vec![0.5, f64::NAN]] {
            let error = HeadConfig { dropout, ..HeadConfig::published() }.validate().unwrap_err().to_string();
            assert!(error.starts_with("head.dropout"), "{error}");
        }
    }
}
