//! Our tensor operations against the framework's own, in value and gradient, and their promise
//! that a record's bits do not depend on the batch or on the number of threads.
//!
//! What many operations are held to at once is here, what is of one alone in its file.

mod conv;
mod linear;
mod norm;
mod resize;
mod silu;
mod vectors;

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{
    Activation, Conv1dOptions, conv1d, conv1d_reference, group_norm_act, group_norm_act_add, group_norm_act_reference,
    linear, linear_reference, rms_norm, rms_norm_add, silu, silu_reference, upsample_nearest,
};

/// Numbers in [-1, 1) from a hash of their index, so that every run sees the same ones.
pub(crate) fn noise(count: usize, salt: u64) -> Vec<f64> {
    (0..count as u64)
        .map(|index| {
            let mut word = index.wrapping_add(salt << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((word ^ (word >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

pub(crate) fn tensor<const D: usize>(shape: [usize; D], salt: u64, dtype: DType, device: &Device) -> Tensor<D> {
    let values = noise(shape.iter().product(), salt);
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert_dtype(DType::F64).try_into_vec().unwrap()
}

pub(crate) fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    tensor.into_data().try_into_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Asserts that two arrays agree within `tolerance` of the largest value of the second.
pub(crate) fn assert_near(name: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    let scale = expected.iter().fold(1e-30f64, |scale, value| scale.max(value.abs()));
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * scale, "{name}[{index}]: {a} against {e}, scale {scale}");
    }
}

/// Runs `work` on a pool of `threads` threads.
pub(crate) fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Output and the gradients of all inputs of the loss `sum(output * target)`, `inputs` being three
/// tensors of the given shapes with values in [-1, 1).
fn pass<const A: usize, const B: usize, const C: usize, const D: usize>(
    shapes: (&[usize; A], &[usize; B], &[usize; C]),
    dtype: DType,
    op: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<D>,
) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let a = tensor(*shapes.0, 1, dtype, &device).require_grad();
    let b = tensor(*shapes.1, 2, dtype, &device).require_grad();
    let c = tensor(*shapes.2, 3, dtype, &device).require_grad();
    let out = op(a.clone(), b.clone(), c.clone());
    let grads = (out.clone() * tensor(out.dims(), 4, dtype, &device)).sum().backward();
    let gradients = [a.grad(&grads).map(values), b.grad(&grads).map(values), c.grad(&grads).map(values)];
    [values(out)].into_iter().chain(gradients.into_iter().flatten()).collect()
}

fn assert_all_near(name: &str, actual: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert_near(&format!("{name} item {index}"), actual, expected, tolerance);
    }
}

/// Gradients in f64 against central differences of the loss, each along a direction of its own: a
/// check that shares nothing with the framework's gradients.
#[test]
fn gradients_agree_with_finite_differences() {
    fn check<const A: usize, const B: usize, const C: usize>(
        name: &str,
        shapes: ([usize; A], [usize; B], [usize; C]),
        op: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<3>,
    ) {
        let gradients = pass((&shapes.0, &shapes.1, &shapes.2), DType::F64, &op);
        let device = Device::flex();
        let loss = |steps: [f64; 3]| {
            let a = tensor(shapes.0, 1, DType::F64, &device) + tensor(shapes.0, 11, DType::F64, &device) * steps[0];
            let b = tensor(shapes.1, 2, DType::F64, &device) + tensor(shapes.1, 12, DType::F64, &device) * steps[1];
            let c = tensor(shapes.2, 3, DType::F64, &device) + tensor(shapes.2, 13, DType::F64, &device) * steps[2];
            let out = op(a, b, c);
            let target = noise(out.dims().iter().product(), 4);
            values(out).iter().zip(&target).map(|(out, target)| out * target).sum::<f64>()
        };
        for input in 0..3 {
            let count = gradients[input + 1].len();
            let direction = noise(count, 11 + input as u64);
            let expected: f64 = gradients[input + 1].iter().zip(&direction).map(|(g, d)| g * d).sum();
            let mut steps = [0.0; 3];
            steps[input] = 1e-5;
            let forward = loss(steps);
            steps[input] = -1e-5;
            let found = (forward - loss(steps)) / 2e-5;
            // The third derivative times 1e-10, and rounding of the loss over 1e-5.
            assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{name} {input}: {found} and {expected}");
        }
    }

    for (stride, padding, dilation) in [(1, 1, 1), (2, 1, 1), (1, 0, 2), (3, 4, 1)] {
        check("conv1d", ([2, 3, 11], [4, 3, 3], [4]), |x, weight, bias| {
            conv1d(x, weight, Some(bias), Conv1dOptions { stride, padding, dilation })
        });
    }
    check("linear", ([3, 5], [7, 5], [7]), |x, weight, bias| linear(x, weight, bias).unsqueeze_dim(2));
    check("group norm", ([2, 4, 9], [4], [4]), |x, gain, bias| {
        group_norm_act(x, 2, gain, bias, None, Activation::Silu, 1e-5)
    });
    check("group norm with a term", ([2, 4, 9], [4], [2, 4, 9]), |x, gain, added| {
        let bias = Tensor::zeros([4], (&x.device(), DType::F64));
        group_norm_act_add(x, 2, gain, bias, Activation::Silu, 1e-5, added)
    });
    check("rms norm with a term", ([2, 4, 9], [4], [2, 4, 9]), |x, gain, added| {
        rms_norm_add(x, gain, Activation::Silu, 1e-12, added)
    });
    check("upsampling and silu", ([2, 3, 5], [1], [2, 3, 15]), |x, factor, added| {
        silu(upsample_nearest(x, 3)) * factor.unsqueeze::<3>() + added
    });
}

#[test]
fn large_values_and_denormals_stay_finite() {
    let device = Device::flex();
    for scale in [1e4, 1e-40] {
        let x: Tensor<3> = tensor([2, 8, 37], 1, DType::F64, &device) * scale;
        let single: Tensor<3> =
            Tensor::from_data(x.clone().into_data().convert_dtype(DType::F32), (&device, DType::F32));
        let weight = |dtype| tensor([16, 8, 3], 2, dtype, &device);
        let ones = |dtype: DType| Tensor::<1>::ones([8], (&device, dtype));
        let zeros = |dtype: DType| Tensor::<1>::zeros([8], (&device, dtype));
        let near = |name: &str, actual: Tensor<3>, expected: Tensor<3>, tolerance| {
            // In units of the scale, so that denormals are compared too.
            let [actual, expected] = [actual, expected]
                .map(|tensor| values(tensor).into_iter().map(|value| value / scale).collect::<Vec<f64>>());
            assert!(actual.iter().all(|value| value.is_finite()), "{name} at {scale}");
            assert_near(&format!("{name} at {scale}"), &actual, &expected, tolerance);
        };
        // Multiples of the least denormal, 1.4e-45, are 1e-5 of these values apart.
        let options = Conv1dOptions::same(3, 1);
        near(
            "conv1d",
            conv1d(single.clone(), weight(DType::F32), None, options),
            conv1d_reference(x.clone(), weight(DType::F64), None, options),
            1e-4,
        );
        near(
            "group norm",
            group_norm_act(single.clone(), 2, ones(DType::F32), zeros(DType::F32), None, Activation::Silu, 1e-5),
            group_norm_act_reference(x.clone(), 2, ones(DType::F64), zeros(DType::F64), None, Activation::Silu, 1e-5),
            1e-4,
        );
        let rms = rms_norm(single.clone(), ones(DType::F32), None, Activation::Silu, 1e-12);
        assert!(values(rms).iter().all(|value| value.is_finite()), "rms norm at {scale}");
        near("silu", silu(single.clone()), silu_reference(x.clone()), 1e-4);
        let rows = |x: Tensor<3>| x.reshape([16, 37]);
        let map = |dtype| (tensor([5, 37], 3, dtype, &device), Tensor::<1>::zeros([5], (&device, dtype)));
        let ((weight, bias), (weight64, bias64)) = (map(DType::F32), map(DType::F64));
        near(
            "linear",
            linear(rows(single), weight, bias).unsqueeze_dim(2),
            linear_reference(rows(x), weight64, bias64).unsqueeze_dim(2),
            1e-4,
        );
    }
}
