//! The trend of a decoder block: a cubic without constant term in time, whose coefficients the network
//! reads from the whole signal.

use burn::tensor::{Device, Tensor, TensorData};

use super::super::kernel::{Conv1dOptions, conv1d};
use super::super::layer::{conv, declare_conv};
use super::super::weights::{ParamSpec, View};
use super::{DiffusionTsConfig, Gelu};

/// Highest power of time.
const POWERS: usize = 3;

/// Adds the two convolutions that lead to the coefficients: time counts as channels in the first, and
/// the width as time.
pub(super) fn declare(out: &mut Vec<ParamSpec>, name: &str, c: &DiffusionTsConfig) {
    declare_conv(out, &format!("{name}.trend.0"), c.length, POWERS, 3, true);
    declare_conv(out, &format!("{name}.trend.3"), c.width, c.channels, 3, true);
}

/// Powers 1 to 3 of time, which rises from just above 0 to just below 1: `[time, power, 1]`.
pub(super) fn powers(length: usize, device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(power_values(length), [length, POWERS, 1]), device)
}

/// Values of [`powers`], row-major.
pub(super) fn power_values(length: usize) -> Vec<f32> {
    let row = |i: usize| {
        let time = i as f64 / (length + 1) as f64;
        (1..=POWERS as i32).map(move |power| time.powi(power) as f32)
    };
    (1..=length).flat_map(row).collect()
}

/// The trend of each lead.
///
/// # Shape
/// `x` is `[batch, time, width]`, `powers` as from [`powers`]; the result `[batch, lead, time]`.
/// # Reference
/// Yuan and Qiao 2024, "Diffusion-TS"; `TrendBlock` of Y-debug-sys/Diffusion-TS.
pub(super) fn apply(p: &View, x: Tensor<3>, powers: Tensor<3>, gelu: Gelu) -> Tensor<3> {
    let x = gelu.apply(conv(&p.at("trend.0"), x, 1, 1));
    // The second convolution runs along the powers.
    let coefficients = conv(&p.at("trend.3"), x.swap_dims(1, 2), 1, 1);
    conv1d(coefficients.swap_dims(1, 2), powers, None, Conv1dOptions::default()).swap_dims(1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::host;

    #[test]
    fn powers_of_time_leave_out_both_ends() {
        let expected = [0.25, 0.0625, 0.015625, 0.5, 0.25, 0.125, 0.75, 0.5625, 0.421875];
        assert_eq!(host(powers(3, &Device::flex())), expected);
    }
}
