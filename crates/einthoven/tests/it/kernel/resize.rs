//! Lengths changed without weights: pooling and upsampling.

use burn::tensor::{DType, Device, Tensor};
use einthoven::nn::kernel::{max_pool, max_pool_reference, upsample_nearest, upsample_nearest_reference};

use super::{assert_all_near, assert_near, pass, tensor, values};

#[test]
fn pooling_agrees_with_the_framework_in_value_and_gradient() {
    for (shape, width) in
        [([2, 3, 8], 2), ([3, 70, 9], 2), ([1, 1, 2], 2), ([2, 2, 11], 3), ([2, 1, 5], 5), ([1, 2, 4], 1)]
    {
        for (dtype, tolerance) in [(DType::F64, 0.0), (DType::F32, 0.0)] {
            let pass = |op: fn(Tensor<3>, usize) -> Tensor<3>| {
                let device = Device::flex().autodiff();
                // Rounded, so that equal neighbors occur.
                let x = (tensor(shape, 1, dtype, &device) * 2.0).round().require_grad();
                let out = op(x.clone(), width);
                let target = tensor(out.dims(), 4, dtype, &device);
                let grads = (out.clone() * target).sum().backward();
                [values(out), values(x.grad(&grads).unwrap())]
            };
            let (actual, expected) = (pass(max_pool), pass(max_pool_reference));
            for (name, (actual, expected)) in ["output", "signal"].iter().zip(actual.iter().zip(&expected)) {
                assert_near(&format!("{name} {dtype:?} {shape:?} width {width}"), actual, expected, tolerance);
            }
        }
    }
}

#[test]
fn upsampling_agrees_with_the_framework_in_value_and_gradient() {
    for (shape, factor) in [([1, 1, 1], 2), ([2, 3, 5], 1), ([3, 2, 7], 3), ([5, 40, 100], 2), ([2, 70, 64], 4)] {
        let shapes = (&shape, &[1], &[1]);
        let expected =
            pass(shapes, DType::F64, |x: Tensor<3>, _: Tensor<1>, _: Tensor<1>| upsample_nearest_reference(x, factor));
        for dtype in [DType::F64, DType::F32] {
            let actual = pass(shapes, dtype, |x: Tensor<3>, _: Tensor<1>, _: Tensor<1>| upsample_nearest(x, factor));
            assert_all_near(&format!("{shape:?} times {factor} {dtype:?}"), &actual, &expected, 2e-7);
        }
    }
}
