//! The linear map.

use burn::tensor::{DType, Device, Tensor};
use einthoven::nn::kernel::{linear, linear_reference};

use super::{assert_all_near, bits, pass, tensor, with_threads};

#[test]
fn linear_agrees_with_the_framework_in_value_and_gradient() {
    for [rows, n_in, n_out] in [[1, 1, 1], [3, 5, 7], [8, 16, 16], [9, 33, 17], [64, 256, 40], [17, 1, 70], [70, 9, 1]]
    {
        let shapes = (&[rows, n_in], &[n_out, n_in], &[n_out]);
        let expected = pass(shapes, DType::F64, linear_reference);
        for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 2e-6)] {
            let name = format!("{dtype:?} {rows} rows, {n_in} to {n_out}");
            assert_all_near(&name, &pass(shapes, dtype, linear), &expected, tolerance);
        }
    }
}

#[test]
fn linear_gives_a_row_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    let device = Device::flex();
    let x = tensor([64, 45], 1, DType::F32, &device);
    let weight = tensor([37, 45], 2, DType::F32, &device);
    let bias = tensor([37], 3, DType::F32, &device);
    let run = |threads, batch| {
        with_threads(threads, || bits(linear(x.clone().narrow(0, 0, batch), weight.clone(), bias.clone())))
    };
    let all = run(1, 64);
    for threads in [1, 2, 3] {
        for batch in [1, 3, 16, 64] {
            assert!(run(threads, batch) == all[..batch * 37], "{batch} rows on {threads} threads");
        }
    }
}

#[test]
#[should_panic(expected = "expected no 0")]
fn linear_refuses_no_rows() {
    let device = Device::flex();
    linear(Tensor::zeros([0, 3], &device), Tensor::zeros([2, 3], &device), Tensor::zeros([2], &device));
}
