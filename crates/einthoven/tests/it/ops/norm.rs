//! Layer and batch normalization.

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{
    Affine, ChannelStatistics, Pointwise, batch_norm_act, batch_norm_act_fixed, batch_norm_act_fixed_reference,
    batch_norm_act_reference, layer_norm_act, layer_norm_act_reference,
};

use super::{Case, Op, agrees, agrees_with_differences, keeps_bits, stays_finite};
use crate::kernel::{assert_near, noise, values};

const ACTIVATIONS: [Pointwise; 4] = [Pointwise::None, Pointwise::Relu, Pointwise::Silu, Pointwise::Gelu];

fn layer_norm([batch, channels, length]: [usize; 3], activation: Pointwise) -> Case {
    let op = |ours: bool| -> Op {
        Box::new(move |inputs: &[Tensor<1>]| {
            let batch = inputs[0].dims()[0] / (channels * length);
            let x = inputs[0].clone().reshape([batch, channels, length]);
            let function = if ours { layer_norm_act } else { layer_norm_act_reference };
            function(x, inputs[1].clone(), inputs[2].clone(), activation, 1e-5)
        })
    };
    Case {
        name: format!("layer norm {:?} {activation:?}", [batch, channels, length]),
        shapes: vec![vec![batch, channels, length], vec![channels], vec![channels]],
        scales: vec![5.0],
        ours: op(true),
        reference: op(false),
        weights_from: 1,
    }
}

/// Batch normalization; with `fixed` by given statistics.
fn batch_norm([batch, channels, length]: [usize; 3], activation: Pointwise, has_added: bool, fixed: bool) -> Case {
    let statistics = ChannelStatistics {
        mean: noise(channels, 50),
        variance: noise(channels, 51).into_iter().map(|value| 0.1 + value.abs()).collect(),
    };
    let op = |ours: bool| -> Op {
        let statistics = statistics.clone();
        Box::new(move |inputs: &[Tensor<1>]| {
            let batch = inputs[0].dims()[0] / (channels * length);
            let signal = |input: &Tensor<1>| input.clone().reshape([batch, channels, length]);
            let added = has_added.then(|| signal(&inputs[1]));
            let first = 1 + usize::from(has_added);
            let affine = Affine { gain: inputs[first].clone(), bias: inputs[first + 1].clone() };
            let x = signal(&inputs[0]);
            match (fixed, ours) {
                (true, true) => batch_norm_act_fixed(x, affine, &statistics, added, activation, 1e-5),
                (true, false) => batch_norm_act_fixed_reference(x, affine, &statistics, added, activation, 1e-5),
                (false, true) => batch_norm_act(x, affine, added, activation, 1e-5).0,
                (false, false) => batch_norm_act_reference(x, affine, added, activation, 1e-5).0,
            }
        })
    };
    let mut shapes = vec![vec![batch, channels, length]];
    if has_added {
        shapes.push(vec![batch, channels, length]);
    }
    let weights_from = shapes.len();
    shapes.extend([vec![channels], vec![channels]]);
    Case {
        name: format!("batch norm {:?} {activation:?} {has_added} {fixed}", [batch, channels, length]),
        shapes,
        scales: vec![5.0],
        ours: op(true),
        reference: op(false),
        weights_from,
    }
}

#[test]
fn layer_norm_agrees_with_the_framework_in_value_and_gradient() {
    let shapes = [[1, 4, 1], [2, 5, 2], [3, 16, 37], [2, 64, 64], [1, 129, 20], [4, 24, 129]];
    let cases = shapes.iter().flat_map(|shape| ACTIVATIONS.map(|activation| layer_norm(*shape, activation)));
    agrees(&cases.collect::<Vec<_>>(), 5e-5);
}

#[test]
fn batch_norm_agrees_with_the_framework_in_value_and_gradient() {
    let mut cases = Vec::new();
    for shape in [[4, 3, 2], [3, 16, 37], [2, 5, 129], [9, 4, 16]] {
        for activation in ACTIVATIONS {
            for (has_added, fixed) in [(false, false), (true, false), (false, true), (true, true)] {
                cases.push(batch_norm(shape, activation, has_added, fixed));
            }
        }
    }
    cases.push(batch_norm([1, 2, 1], Pointwise::Relu, true, true));
    agrees(&cases, 5e-5);
}

#[test]
fn norm_gradients_agree_with_finite_differences() {
    // Not ReLU, whose slope jumps.
    agrees_with_differences(&layer_norm([2, 4, 3], Pointwise::Gelu));
    agrees_with_differences(&batch_norm([2, 3, 4], Pointwise::Silu, true, false));
    agrees_with_differences(&batch_norm([2, 3, 4], Pointwise::Gelu, true, true));
}

#[test]
fn batch_norm_returns_the_statistics_of_the_batch() {
    let device = Device::flex();
    let x = Tensor::<3>::from_data(TensorData::new(noise(4 * 3 * 50, 1), [4, 3, 50]), (&device, DType::F64));
    let affine =
        || Affine { gain: Tensor::ones([3], (&device, DType::F64)), bias: Tensor::zeros([3], (&device, DType::F64)) };
    let (_, ours) = batch_norm_act(x.clone(), affine(), None, Pointwise::None, 1e-5);
    let (_, reference) = batch_norm_act_reference(x.clone(), affine(), None, Pointwise::None, 1e-5);
    assert_near("mean", &ours.mean, &reference.mean, 1e-13);
    assert_near("variance", &ours.variance, &reference.variance, 1e-13);
    let all = values(x);
    let of_channel: Vec<f64> = (0..4).flat_map(|record| all[record * 150 + 50..record * 150 + 100].to_vec()).collect();
    let mean = of_channel.iter().sum::<f64>() / 200.0;
    assert!((ours.mean[1] - mean).abs() < 1e-14);
}

#[test]
fn norms_keep_the_bits_of_a_record_and_stay_finite() {
    keeps_bits(&layer_norm([8, 20, 37], Pointwise::Gelu));
    keeps_bits(&batch_norm([8, 6, 37], Pointwise::Relu, true, true));
    stays_finite(&layer_norm([2, 20, 37], Pointwise::Silu));
    stays_finite(&batch_norm([4, 6, 37], Pointwise::Relu, true, false));
}

#[test]
#[should_panic(expected = "layer_norm_act: a tensor without values")]
fn layer_norm_refuses_a_batch_of_no_records() {
    let device = Device::flex();
    let ones = Tensor::ones([2], &device);
    layer_norm_act(Tensor::zeros([0, 2, 8], &device), ones.clone(), ones, Pointwise::None, 1e-5);
}
