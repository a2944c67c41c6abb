//! Activations: GELU, gated linear unit, snake.

use burn::tensor::Tensor;
use einthoven::nn::kernel::{gelu, gelu_reference, glu, glu_reference, snake, snake_reference};

use super::{Case, Op, agrees, agrees_with_differences, keeps_bits, stays_finite};

fn pointwise(name: &str, shape: [usize; 3], scale: f64, pair: [fn(Tensor<3>) -> Tensor<3>; 2]) -> Case {
    let [ours, reference] = pair.map(|function| -> Op {
        Box::new(move |inputs: &[Tensor<1>]| {
            let batch = inputs[0].dims()[0] / (shape[1] * shape[2]);
            function(inputs[0].clone().reshape([batch, shape[1], shape[2]]))
        })
    });
    let shapes = vec![shape.to_vec()];
    Case { name: format!("{name} {shape:?}"), shapes, scales: vec![scale], ours, reference, weights_from: 1 }
}

#[test]
fn gelu_and_glu_agree_with_the_framework_in_value_and_gradient() {
    let cases = [
        pointwise("gelu", [1, 1, 1], 1.0, [gelu, gelu_reference]),
        pointwise("gelu", [3, 7, 1001], 6.0, [gelu, gelu_reference]),
        pointwise("glu", [1, 2, 1], 1.0, [glu, glu_reference]),
        pointwise("glu", [3, 8, 1001], 20.0, [glu, glu_reference]),
    ];
    agrees(&cases, 1e-6);
}

#[test]
fn gelu_and_glu_keep_bits_and_stay_finite() {
    for case in [
        pointwise("gelu", [8, 6, 97], 3.0, [gelu, gelu_reference]),
        pointwise("glu", [8, 6, 97], 3.0, [glu, glu_reference]),
    ] {
        keeps_bits(&case);
        stays_finite(&case);
        agrees_with_differences(&pointwise(
            &case.name,
            [1, 2, 5],
            2.0,
            if case.name.starts_with("gelu") { [gelu, gelu_reference] } else { [glu, glu_reference] },
        ));
    }
}

/// Values up to `scale` under frequencies of 0.2 to 0.5.
fn snakes([batch, channels, length]: [usize; 3], scale: f64) -> Case {
    let op = move |function: fn(Tensor<3>, Tensor<1>) -> Tensor<3>| -> Op {
        Box::new(move |inputs: &[Tensor<1>]| {
            let records = inputs[0].dims()[0] / (channels * length);
            let x = inputs[0].clone().reshape([records, channels, length]);
            function(x, inputs[1].clone() * 0.15 + 0.35)
        })
    };
    Case {
        name: format!("snake {channels}x{length} up to {scale}"),
        shapes: vec![vec![batch, channels, length], vec![channels]],
        scales: vec![scale],
        ours: op(snake),
        reference: op(snake_reference),
        weights_from: 1,
    }
}

#[test]
fn snake_agrees_with_the_framework_in_value_and_gradient() {
    agrees(&[snakes([1, 1, 1], 1.0), snakes([3, 5, 67], 4.0), snakes([2, 3, 33], 0.01)], 1e-5);
    // A phase in single precision is off by 6e-8 of itself.
    agrees(&[snakes([2, 4, 100], 1e3), snakes([2, 4, 100], 1e5)], 2e-2);
    agrees_with_differences(&snakes([2, 2, 5], 3.0));
}

#[test]
fn snake_keeps_the_bits_of_a_record_and_stays_finite() {
    keeps_bits(&snakes([6, 5, 97], 20.0));
    stays_finite(&snakes([6, 5, 97], 20.0));
}
