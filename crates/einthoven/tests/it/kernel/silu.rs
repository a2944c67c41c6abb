//! SiLU.

use burn::tensor::{DType, Device, Tensor};
use einthoven::nn::kernel::{silu, silu_reference};

use super::{assert_near, tensor, values};

#[test]
fn silu_agrees_with_the_framework_in_value_and_gradient() {
    let device = Device::flex().autodiff();
    let pass = |dtype, op: fn(Tensor<2>) -> Tensor<2>| {
        let x = (tensor([7, 3001], 1, dtype, &device) * 30.0).detach().require_grad();
        let out = op(x.clone());
        let grads = (out.clone() * tensor([7, 3001], 2, dtype, &device)).sum().backward();
        [values(out), values(x.grad(&grads).unwrap())]
    };
    let expected = pass(DType::F64, silu_reference);
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-6)] {
        for (actual, expected) in pass(dtype, silu).iter().zip(&expected) {
            assert_near("silu", actual, expected, tolerance);
        }
    }
}
