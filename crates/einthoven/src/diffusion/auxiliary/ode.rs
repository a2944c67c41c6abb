//! The Euler loss: slopes of a beat should be those that the simulator's equation gives at the beat's own points.

use burn::tensor::Tensor;

use super::beats::{Beats, Waves, masked_mean};

/// Time in which slopes are measured, s: roughly that of a QRS flank, so that a typical slope is of size 1.
const FLANK_S: f64 = 0.02;
/// Time in which ECGSYN returns to its resting level, s.
const RETURN_S: f64 = 1.0;

/// Mean squared error of the slope between neighboring points, per 20 ms.
///
/// # Shape
/// `[batch]`; 0 for an item without a beat.
/// # Reference
/// The Euler loss of MultiODE-GAN, arXiv:2409.17833, on the third equation of McSharry et al. 2003.
/// # Differs from the paper
/// The equation is taken in the middle between two points, not at the first: at 100 Hz a QRS flank is two points wide.
pub fn euler_loss(beats: &Beats, waves: &Waves) -> Tensor<1> {
    let [n, leads, points] = beats.x.dims();
    let interval_s = beats.time_s[1] - beats.time_s[0];
    let part =
        |x: &Tensor<3>, from: usize, n_leads: usize| x.clone().slice([0..n, 0..n_leads, from..from + points - 1]);
    let (first, second) = (part(&beats.x, 0, leads), part(&beats.x, 1, leads));
    let middle_s: Vec<f64> = beats.time_s.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
    let found = (second.clone() - first.clone()) * (FLANK_S / interval_s);
    let wanted = equation(waves, (first + second) * 0.5, &middle_s) * FLANK_S;
    let mask = part(&beats.mask, 0, 1) * part(&beats.mask, 1, 1);
    masked_mean((found - wanted).square(), mask)
}

/// The slope `dz/dt` of McSharry's third equation at given amplitudes and times, per second.
fn equation(waves: &Waves, x: Tensor<3>, time_s: &[f64]) -> Tensor<3> {
    let (distance, bumps) = waves.bumps(time_s);
    let push = waves.in_leads(bumps * distance / waves.width_s.clone());
    // The resting level is not that of the solution without return; it pulls slowly.
    -push - (x - waves.offset.clone()) * (1.0 / RETURN_S)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::super::beats::WAVES;
    use super::super::tests::{check_gradient, example};
    use super::*;
    use crate::nn::weights::host;

    /// The equation, solved by many small steps on the host, is what costs nothing.
    #[test]
    fn a_solution_of_the_equation_costs_next_to_nothing() {
        let (mut beats, waves) = example();
        let (amplitude, offset) = (host(waves.amplitude.clone()), host(waves.offset.clone()));
        let slope = |lead: usize, t: f64, z: f64| {
            let push: f64 = WAVES
                .iter()
                .enumerate()
                .map(|(k, (center, width))| {
                    let (center, width) = (center + 0.004, width * 1.2);
                    let a = f64::from(amplitude[2 * k + lead]);
                    a * (t - center) / width.powi(2) * (-0.5 * ((t - center) / width).powi(2)).exp()
                })
                .sum();
            -push - (z - f64::from(offset[lead]))
        };
        let mut solution = vec![0.0f32; 2 * 77];
        for lead in 0..2 {
            let mut z = f64::from(offset[lead]);
            for t in 0..77 {
                solution[lead * 77 + t] = z as f32;
                (0..400).for_each(|k| {
                    let at = beats.time_s[t] + f64::from(k) * 0.01 / 400.0;
                    z += slope(lead, at, z) * 0.01 / 400.0;
                });
            }
        }
        let random = host(euler_loss(&beats, &waves))[0];
        beats.x = Tensor::from_data(TensorData::new(solution, [1, 2, 77]), &Device::flex());
        let solved = host(euler_loss(&beats, &waves))[0];
        assert!(solved < 1e-3 * random, "{solved} of {random}");
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let (beats, waves) = example();
        let of_beat = |x: Tensor<3>| {
            let device = &x.device();
            euler_loss(&beats.clone().with(x).on(device), &waves.clone().on(device))
        };
        check_gradient(of_beat, beats.x.clone());
        let of_waves = |stretch: Tensor<3>| {
            let device = &stretch.device();
            let width_s = waves.width_s.clone().to_device(device) * (stretch * 0.1).exp();
            euler_loss(&beats.clone().on(device), &Waves { width_s, ..waves.clone().on(device) })
        };
        check_gradient(of_waves, waves.width_s.zeros_like());
    }
}
