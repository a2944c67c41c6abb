//! Views whose axes have an extent of one: the framework's fusion of operations (0.22.1) reads them at wrong places.

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::nn::device::device;
use einthoven::nn::weights::host;

use super::accelerators;

/// Loss of a convolution's last step with one channel, and both gradients of a product of channels.
fn found(device: &Device) -> Vec<f32> {
    let device = device.clone().autodiff();
    let wave = |shape: [usize; 3], phase: f32| {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|k| (1.7 * k as f32 + phase).sin()).collect();
        Tensor::<3>::from_data(TensorData::new(values, shape), &device)
    };
    let error = wave([4, 16, 1], 0.1).swap_dims(1, 2) - wave([4, 1, 16], 0.2);
    let mut all = host(error.square().mean());
    let (x, w) = (wave([8, 1, 1], 0.3).require_grad(), wave([8, 1, 1], 0.4).require_grad());
    let y = (x.clone() * w.clone()).swap_dims(0, 1).reshape([2, 4, 1]);
    let gradients = (y * wave([2, 4, 1], 0.5)).sum().backward();
    for parameter in [x, w] {
        // The loss depends on both.
        all.extend(host(parameter.grad(&gradients).expect("a gradient")));
    }
    all
}

#[test]
fn views_with_axes_of_one_are_those_of_the_cpu() {
    let expected = found(&Device::flex());
    for name in accelerators() {
        let found = found(&device(name).unwrap());
        // Numbers below 2 in single precision.
        assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {found:?}\n{expected:?}");
    }
}
