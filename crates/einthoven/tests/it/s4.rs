//! State space kernels against their references, the recurrence they stand for, and finite
//! differences.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{
    CauchySum, DiagonalSystem, FrozenPoles, s4_kernel, s4_kernel_reference, s4d_kernel, s4d_kernel_reference,
};
use einthoven::nn::s4::{FrozenS4, S4d, join_kernels, nodes};
use einthoven::nn::sssd::{Sssd, SssdConfig};
use einthoven::nn::weights::Weights;
use einthoven::seed::Seed;
use realfft::num_complex::Complex64;

use crate::kernel::{assert_near, noise, tensor, values};

fn poles(features: usize, modes: usize, length: usize, sum: CauchySum) -> Arc<FrozenPoles> {
    let complex = |salt| {
        let parts = noise(2 * features * modes, salt);
        parts.chunks_exact(2).map(|pair| Complex64::new(pair[0], pair[1])).collect::<Vec<_>>()
    };
    Arc::new(FrozenPoles {
        features,
        poles: complex(1).into_iter().map(|pole| Complex64::new(-0.5 - pole.re.abs(), 10.0 * pole.im)).collect(),
        b: complex(2),
        p: complex(3).into_iter().map(|p| 0.3 * p).collect(),
        q: complex(4).into_iter().map(|q| 0.3 * q).collect(),
        step: noise(features, 5).into_iter().map(|step| 0.05 + 0.04 * step).collect(),
        nodes: nodes(length),
        sum,
    })
}

#[test]
fn frozen_kernels_and_their_gradients_agree_with_the_framework() {
    for sum in [CauchySum::ConjugatePairs, CauchySum::StoredHalf] {
        for [channels, features, modes, length] in [[1, 1, 1, 2], [2, 3, 4, 20], [1, 2, 8, 50]] {
            let poles = poles(features, modes, length, sum);
            let run = |dtype, ours: bool| {
                let device = Device::flex().autodiff();
                let c = tensor([channels, features, modes, 2], 9, dtype, &device).require_grad();
                let k = if ours { s4_kernel(c.clone(), &poles) } else { s4_kernel_reference(c.clone(), &poles) };
                let grads = (k.clone() * tensor(k.dims(), 8, dtype, &device)).sum().backward();
                [values(k), values(c.grad(&grads).unwrap())]
            };
            let expected = run(DType::F64, false);
            for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-5)] {
                for (actual, expected) in run(dtype, true).iter().zip(&expected) {
                    assert_near(&format!("{sum:?} {dtype:?} {length}"), actual, expected, tolerance);
                }
            }
        }
    }
}

/// A layer of the published length and number of modes, with systems for twice `width` features.
pub(crate) fn published_layer(width: usize) -> FrozenS4 {
    let config = SssdConfig { width, blocks: 1, ..SssdConfig::published(0) };
    let network = Sssd::new(config, Seed::new(3)).unwrap();
    let prefix = "residual_layer.residual_blocks.0.S41.s4_layer.kernel.kernel";
    FrozenS4::read(network.buffers(), prefix, CauchySum::ConjugatePairs).unwrap()
}

/// The published size, where poles lie close to the nodes: what a device computes in single precision.
#[test]
fn the_reference_keeps_its_digits_at_the_published_size() {
    let layer = published_layer(1);
    let kernels = |dtype, op: fn(Tensor<4>, &Arc<FrozenPoles>) -> Tensor<3>| {
        values(op(tensor([2, 2, 32, 2], 9, dtype, &Device::flex()), layer.poles()))
    };
    let exact = kernels(DType::F64, s4_kernel);
    let reference = |c, poles: &Arc<FrozenPoles>| s4_kernel_reference(c, poles);
    assert_near("f64", &kernels(DType::F64, reference), &exact, 1e-9);
    // Poles of 1000 i and a distance of 1/2 to the nodes cost three of seven digits at most.
    assert_near("f32", &kernels(DType::F32, reference), &exact, 1e-4);
}

fn system(shape: [usize; 3], dtype: DType, device: &Device) -> DiagonalSystem {
    let [channels, features, modes] = shape;
    let make = |tensor: Tensor<2>| if device.is_autodiff() { tensor.detach().require_grad() } else { tensor };
    let steps = tensor::<1>([features], 1, dtype, device) - 3.0;
    DiagonalSystem {
        log_step: if device.is_autodiff() { steps.detach().require_grad() } else { steps },
        log_decay: make(tensor::<2>([features, modes], 2, dtype, device) - 0.7),
        frequency: make(tensor::<2>([features, modes], 3, dtype, device) * 20.0),
        c: {
            let c = tensor::<4>([channels, features, modes, 2], 4, dtype, device);
            if device.is_autodiff() { c.require_grad() } else { c }
        },
    }
}

#[test]
fn diagonal_kernels_and_their_gradients_agree_with_the_framework() {
    for (shape, length) in [([1, 1, 1], 1), ([2, 3, 4], 30), ([1, 2, 16], 257)] {
        let run = |dtype, op: fn(DiagonalSystem, usize) -> Tensor<3>| {
            let device = Device::flex().autodiff();
            let system = system(shape, dtype, &device);
            let k = op(system.clone(), length);
            let grads = (k.clone() * tensor(k.dims(), 8, dtype, &device)).sum().backward();
            [
                values(k),
                values(system.log_step.grad(&grads).unwrap()),
                values(system.log_decay.grad(&grads).unwrap()),
                values(system.frequency.grad(&grads).unwrap()),
                values(system.c.grad(&grads).unwrap()),
            ]
        };
        let expected = run(DType::F64, s4d_kernel_reference);
        for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-4)] {
            for (index, (actual, expected)) in run(dtype, s4d_kernel).iter().zip(&expected).enumerate() {
                assert_near(&format!("{shape:?} {dtype:?} item {index}"), actual, expected, tolerance);
            }
        }
    }
}

/// The kernel is the impulse response of the recurrence with zero-order hold.
#[test]
fn a_diagonal_kernel_is_the_answer_of_its_recurrence_to_an_impulse() {
    let device = Device::flex();
    let system = system([1, 2, 3], DType::F64, &device);
    let kernel = values(s4d_kernel(system.clone(), 40));
    let [steps, decays] = [values(system.log_step), values(system.log_decay)];
    let [frequencies, c] = [values(system.frequency), values(system.c)];
    for feature in 0..2 {
        let mut states = [Complex64::new(0.0, 0.0); 3];
        for time in 0..40 {
            let mut answer = 0.0;
            for mode in 0..3 {
                let index = feature * 3 + mode;
                let pole = Complex64::new(-decays[index].exp(), frequencies[index]);
                let factor = (pole * steps[feature].exp()).exp();
                let impulse = if time == 0 { 1.0 } else { 0.0 };
                states[mode] = factor * states[mode] + (factor - 1.0) / pole * impulse;
                answer += 2.0 * (Complex64::new(c[2 * index], c[2 * index + 1]) * states[mode]).re;
            }
            let found = kernel[feature * 40 + time];
            assert!((found - answer).abs() < 1e-10, "feature {feature}, time {time}: {found} against {answer}");
        }
    }
}

#[test]
fn joined_kernels_put_lag_zero_at_the_origin() {
    let device = Device::flex();
    let kernels = Tensor::<3>::from_data(TensorData::new(vec![1f32, 2.0, 3.0, 10.0, 20.0, 30.0], [2, 1, 3]), &device);
    let direct = Tensor::<1>::from_floats([0.5], &device);
    let (taps, origin) = join_kernels(kernels, direct);
    assert_eq!(origin, 3);
    assert_eq!(values(taps), [30.0, 20.0, 10.0, 1.5, 2.0, 3.0]);
}

#[test]
fn a_diagonal_layer_runs_and_learns_its_poles() {
    let layer = S4d { features: 6, modes: 4, is_bidirectional: true };
    let mut specs = Vec::new();
    layer.declare(&mut specs, "s4");
    let mut weights = Weights::initialize(&specs, Seed::new(1));
    layer.start(&mut weights, "s4", Seed::new(1));
    weights.check(&specs, "layer").unwrap();
    let device = Device::flex();
    let params = weights.tracked(&device);
    let x = tensor([2, 6, 50], 1, DType::F32, &device.clone().autodiff());
    let y = layer.forward(&params.root().at("s4"), x);
    assert_eq!(y.dims(), [2, 6, 50]);
    let gradients = params.gradients((y.clone() * y).sum().backward());
    for (name, gradient) in gradients {
        assert!(gradient.iter().any(|value| *value != 0.0), "{name} has no gradient");
    }
}
