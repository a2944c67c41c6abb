//! The losses of a Wasserstein GAN with gradient penalty.
//!
//! The critic's score is to rise from synthetic to real signals, with a slope of one in between: the
//! penalty is on the gradient that [`super::critic::Critic::input_gradient`] gives at signals mixed of both.
//!
//! # Reference
//! Gulrajani et al. 2017, "Improved training of Wasserstein GANs", algorithm 1.

use burn::tensor::Tensor;

/// The published weight of the penalty: lambda in algorithm 1.
pub const PENALTY: f64 = 10.0;

/// Signals on the way between real and synthetic ones: algorithm 1, line 6.
///
/// # Shape
/// `real`, `synthetic` and the result are `[batch, lead, time]`; `share` of the real one is `[batch, 1, 1]`, to be
/// drawn uniformly within 0 to 1.
pub fn mixed(real: Tensor<3>, synthetic: Tensor<3>, share: Tensor<3>) -> Tensor<3> {
    real * share.clone() + synthetic * (1.0 - share)
}

/// Mean squared distance of the gradient's Euclidean norm from one, times `weight`: algorithm 1, line 7.
///
/// # Shape
/// `gradient` is `[batch, lead, time]`, one per score; the result is one number.
pub fn gradient_penalty(gradient: Tensor<3>, weight: f64) -> Tensor<1> {
    let norms = gradient.square().sum_dim(2).sum_dim(1).sqrt();
    (norms - 1.0).square().mean() * weight
}

/// What the critic makes smaller: its mean score of synthetic signals, less that of real ones, and the penalty.
///
/// # Shape
/// Scores are `[batch, 1]`; the result is one number.
pub fn critic_loss(real: Tensor<2>, synthetic: Tensor<2>, penalty: Tensor<1>) -> Tensor<1> {
    synthetic.mean() - real.mean() + penalty
}

/// What the generator makes smaller: the negative mean score of its signals.
///
/// # Shape
/// As [`critic_loss`].
pub fn generator_loss(synthetic: Tensor<2>) -> Tensor<1> {
    -synthetic.mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::weights::host;

    #[test]
    fn losses_of_a_batch_that_can_be_added_by_hand() {
        let device = Device::flex();
        let scores = |values: [f32; 2]| Tensor::<2>::from_floats([[values[0]], [values[1]]], &device);
        // Norms 5 and 1: (16 + 0) / 2 times 10.
        let gradient = Tensor::<3>::from_floats([[[3.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]], &device);
        let penalty = gradient_penalty(gradient, PENALTY);
        assert_eq!(host(penalty.clone()), [80.0]);
        assert_eq!(host(critic_loss(scores([1.0, 2.0]), scores([4.0, 6.0]), penalty)), [83.5]);
        assert_eq!(host(generator_loss(scores([4.0, 6.0]))), [-5.0]);
        let (real, synthetic) = (Tensor::ones([2, 1, 1], &device), Tensor::zeros([2, 1, 1], &device));
        let share = Tensor::<3>::from_floats([[[0.25]], [[1.0]]], &device);
        assert_eq!(host(mixed(real, synthetic, share)), [0.25, 1.0]);
    }
}
