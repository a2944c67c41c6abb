//! Cross entropy over channels against the framework's own operations, finite differences and its promises.

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{cross_entropy, cross_entropy_reference};

use crate::kernel::{assert_near, bits, noise, tensor, values, with_threads};

type Op = fn(Tensor<3>, &[Option<usize>]) -> Tensor<1>;

/// A class for two of three positions.
fn classes([batch, channels, positions]: [usize; 3]) -> Vec<Option<usize>> {
    let class = |(at, value): (usize, f64)| (at % 3 != 1).then_some(((value + 1.0) / 2.0 * channels as f64) as usize);
    noise(batch * positions, 7).into_iter().enumerate().map(class).collect()
}

/// Three times the loss, and its gradient for the scores.
fn pass(shape: [usize; 3], scale: f64, dtype: DType, op: Op) -> [Vec<f64>; 2] {
    let scores = (tensor(shape, 1, dtype, &Device::flex().autodiff()) * scale).detach().require_grad();
    let loss = op(scores.clone(), &classes(shape)) * 3.0;
    let grads = loss.clone().backward();
    [values(loss), values(scores.grad(&grads).unwrap())]
}

#[test]
fn cross_entropy_agrees_with_the_framework_in_value_and_gradient() {
    for shape in [[1, 1, 1], [1, 2, 3], [3, 5, 16], [2, 512, 61], [5, 33, 17], [4, 7, 100]] {
        let expected = pass(shape, 8.0, DType::F64, cross_entropy_reference);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let actual = pass(shape, 8.0, dtype, cross_entropy);
            for (what, (actual, expected)) in ["loss", "gradient"].iter().zip(actual.iter().zip(&expected)) {
                assert_near(&format!("{what} {dtype:?} {shape:?}"), actual, expected, tolerance);
            }
        }
    }
}

#[test]
fn cross_entropy_gradients_agree_with_finite_differences() {
    let (shape, device, step) = ([2, 3, 4], Device::flex(), 1e-5);
    let [_, gradient] = pass(shape, 2.0, DType::F64, cross_entropy);
    let start = values(tensor(shape, 1, DType::F64, &device) * 2.0);
    let loss = |at: usize, by: f64| {
        let mut moved = start.clone();
        moved[at] += by;
        let scores = Tensor::<3>::from_data(TensorData::new(moved, shape), (&device, DType::F64));
        3.0 * values(cross_entropy(scores, &classes(shape)))[0]
    };
    let differences: Vec<f64> = (0..start.len()).map(|at| (loss(at, step) - loss(at, -step)) / (2.0 * step)).collect();
    assert_near("gradient", &gradient, &differences, 1e-8);
}

#[test]
fn cross_entropy_has_the_same_bits_on_any_number_of_threads_and_stays_finite() {
    let shape = [6, 40, 37];
    let run = |threads| {
        with_threads(threads, || {
            let scores = tensor(shape, 1, DType::F32, &Device::flex().autodiff()).require_grad();
            let loss = cross_entropy(scores.clone(), &classes(shape));
            let grads = loss.clone().backward();
            [bits(loss), bits(scores.grad(&grads).unwrap())]
        })
    };
    assert!(run(1) == run(2) && run(1) == run(3));
    for scale in [1e4, 1e-40, 0.0] {
        let [loss, gradient] = pass(shape, scale, DType::F32, cross_entropy);
        assert!(loss.iter().chain(&gradient).all(|value| value.is_finite()), "{scale}");
    }
}

#[test]
#[should_panic(expected = "cross_entropy: no position has a class")]
fn cross_entropy_refuses_scores_of_which_none_counts() {
    cross_entropy(Tensor::zeros([1, 2, 3], &Device::flex()), &[None; 3]);
}

#[test]
#[should_panic(expected = "cross_entropy: a class is none of 2 channels")]
fn cross_entropy_refuses_a_class_without_a_score() {
    cross_entropy(Tensor::zeros([1, 2, 1], &Device::flex()), &[Some(2)]);
}
