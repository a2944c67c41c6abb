//! Simulator consistency: a beat of the estimate should be one that a simulator can make.

use burn::tensor::Tensor;

use super::beats::{Beats, Waves, masked_mean};

/// Mean squared distance of each beat from the simulated one.
///
/// # Shape
/// `[batch]`; 0 for an item without a beat.
/// # Reference
/// SE-Diff, arXiv:2511.09895, with the closed form of McSharry et al. 2003 at a constant rate.
pub fn simulator_loss(beats: &Beats, waves: &Waves) -> Tensor<1> {
    masked_mean((beats.x.clone() - simulated(waves, &beats.time_s)).square(), beats.mask.clone())
}

/// The simulated beat `[batch, lead, point]` at times from its R peak.
fn simulated(waves: &Waves, time_s: &[f64]) -> Tensor<3> {
    let (_, bumps) = waves.bumps(time_s);
    waves.in_leads(bumps) + waves.offset.clone()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_gradient, example};
    use super::*;
    use crate::nn::weights::host;

    #[test]
    fn the_simulators_own_beat_costs_nothing() {
        let (mut beats, waves) = example();
        assert!(host(simulator_loss(&beats, &waves))[0] > 0.1);
        beats.x = simulated(&waves, &beats.time_s);
        assert!(host(simulator_loss(&beats, &waves))[0] < 1e-12);
        // What the mask leaves out does not count.
        beats.x = beats.x.clone() + (beats.mask.ones_like() - beats.mask.clone()) * 5.0;
        assert!(host(simulator_loss(&beats, &waves))[0] < 1e-12);
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let (beats, waves) = example();
        let of_beat = |x: Tensor<3>| {
            let device = &x.device();
            simulator_loss(&beats.clone().with(x).on(device), &waves.clone().on(device))
        };
        check_gradient(of_beat, beats.x.clone());
        let of_waves = |center: Tensor<3>| {
            let device = &center.device();
            let waves = Waves {
                center_s: center * 0.01 + waves.center_s.clone().to_device(device),
                ..waves.clone().on(device)
            };
            simulator_loss(&beats.clone().on(device), &waves)
        };
        check_gradient(of_waves, waves.center_s.zeros_like());
    }
}
