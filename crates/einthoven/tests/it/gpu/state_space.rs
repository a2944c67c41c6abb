//! Kernels of state space layers and their convolution at the published length, with gradients, against the CPU.

use burn::tensor::{DType, Device};
use einthoven::nn::device::device;
use einthoven::nn::kernel::{DiagonalSystem, fft_conv, s4_kernel, s4d_kernel};
use einthoven::nn::s4::{FrozenS4, join_kernels};

use super::accelerators;
use crate::kernel::{assert_near, tensor, values};
use crate::s4::published_layer;

const LENGTH: usize = 1000;

/// Signals after both kinds of kernels, and the gradients of all weights.
fn found(layer: &FrozenS4, dtype: DType, device: &Device) -> Vec<Vec<f64>> {
    let device = device.clone().autodiff();
    let uniform = |shape, salt| tensor::<2>(shape, salt, dtype, &device);
    let c = |salt| tensor::<4>([2, 4, 32, 2], salt, dtype, &device).require_grad();
    let (frozen, diagonal) = (c(1), c(2));
    let log_step = tensor::<1>([4], 3, dtype, &device) - 4.0;
    let trained =
        [uniform([4, 32], 4) * 0.1 - 0.7, uniform([4, 32], 5) * 100.0].map(|part| part.detach().require_grad());
    let [log_decay, frequency] = trained.clone();
    let system = DiagonalSystem { log_step, log_decay, frequency, c: diagonal.clone() };
    let x = tensor::<3>([3, 4, LENGTH], 6, dtype, &device).require_grad();
    let direct = tensor::<1>([4], 7, dtype, &device);
    let convolved = [s4_kernel(frozen.clone(), layer.poles()), s4d_kernel(system, LENGTH)].map(|kernels| {
        let (taps, origin) = join_kernels(kernels, direct.clone());
        fft_conv(x.clone(), taps, origin)
    });
    let target = tensor(convolved[0].dims(), 8, dtype, &device);
    let sum = convolved.clone().map(|y| (y * target.clone()).sum());
    let gradients = sum.into_iter().reduce(|a, b| a + b).expect("two sums").backward();
    let mut all: Vec<Vec<f64>> = convolved.map(values).into();
    all.push(values(x.grad(&gradients).expect("a gradient")));
    all.extend([frozen, diagonal].map(|part| values(part.grad(&gradients).expect("a gradient"))));
    all.extend(trained.map(|part| values(part.grad(&gradients).expect("a gradient"))));
    all
}

#[test]
fn long_kernels_are_those_of_the_cpu() {
    let layer = published_layer(2);
    let expected = found(&layer, DType::F64, &Device::flex());
    for name in accelerators() {
        let found = found(&layer, DType::F32, &device(name).unwrap());
        for (part, (actual, expected)) in found.iter().zip(&expected).enumerate() {
            // Single precision, less the digits that poles near the nodes cost.
            assert_near(&format!("{name}, part {part}"), actual, expected, 1e-3);
        }
    }
}
