//! Convolution channel by channel.

use burn::tensor::{Device, Tensor};
use einthoven::nn::kernel::{DepthwiseOptions, Edge, depthwise, depthwise_reference};

use super::{Case, Op, agrees, agrees_with_differences, keeps_bits, stays_finite};

/// Sizes: batch, channels, rows, width, multiple, kernel rows, taps, stride.
fn channelwise([batch, channels, rows, width, multiple, reach, taps, stride]: [usize; 8], edge: Edge) -> Case {
    let op = move |function: fn(Tensor<3>, Tensor<4>, Tensor<1>, DepthwiseOptions) -> Tensor<3>| -> Op {
        Box::new(move |inputs: &[Tensor<1>]| {
            let records = inputs[0].dims()[0] / (channels * width);
            let x = inputs[0].clone().reshape([records, channels, width]);
            let weight = inputs[1].clone().reshape([channels, multiple, reach, taps]);
            let y = function(x, weight, inputs[2].clone(), DepthwiseOptions { rows, stride, edge });
            let count = y.dims().iter().product::<usize>() / (records / rows);
            y.reshape([records / rows, 1, count])
        })
    };
    Case {
        name: format!("depthwise {channels}x{rows}x{width} by {multiple}x{reach}x{taps} every {stride} {edge:?}"),
        shapes: vec![vec![batch, rows, channels, width], vec![channels, multiple, reach, taps], vec![channels]],
        scales: Vec::new(),
        ours: op(depthwise),
        reference: op(depthwise_reference),
        weights_from: 1,
    }
}

/// One value; odd and even widths; lines shorter than a kernel, around a whole step, and longer; kernels of more
/// rows than there are.
fn channelwise_sizes() -> Vec<[usize; 8]> {
    vec![
        [1, 1, 1, 1, 1, 1, 1, 1],
        [2, 3, 1, 2, 2, 3, 3, 1],
        [3, 2, 3, 9, 1, 3, 4, 2],
        [2, 4, 2, 10, 1, 3, 4, 2],
        [2, 5, 3, 64, 2, 3, 3, 1],
        [2, 2, 4, 131, 1, 5, 7, 1],
        [1, 2, 2, 257, 3, 1, 6, 3],
        [2, 3, 3, 129, 1, 3, 2, 2],
    ]
}

#[test]
fn depthwise_agrees_with_the_framework_in_value_and_gradient() {
    for edge in [Edge::Zeros, Edge::Repeat] {
        agrees(&channelwise_sizes().into_iter().map(|sizes| channelwise(sizes, edge)).collect::<Vec<_>>(), 1e-5);
        agrees_with_differences(&channelwise([2, 2, 3, 5, 2, 3, 4, 2], edge));
    }
}

#[test]
fn depthwise_keeps_the_bits_of_a_record_and_stays_finite() {
    for edge in [Edge::Zeros, Edge::Repeat] {
        for sizes in [[6, 5, 3, 97, 2, 3, 3, 1], [6, 3, 2, 71, 1, 3, 4, 2]] {
            keeps_bits(&channelwise(sizes, edge));
            stays_finite(&channelwise(sizes, edge));
        }
    }
}

#[test]
#[should_panic(expected = "found 3 taps and stride 2, expected a multiple of the stride")]
fn depthwise_refuses_taps_that_are_no_multiple_of_the_stride() {
    let device = Device::flex();
    let options = DepthwiseOptions { rows: 1, stride: 2, edge: Edge::Zeros };
    depthwise(
        Tensor::ones([1, 1, 8], &device),
        Tensor::ones([1, 1, 1, 3], &device),
        Tensor::ones([1], &device),
        options,
    );
}
