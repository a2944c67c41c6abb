//! The gated residual layer.

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{
    Gate, GateConv, GateOut, Kept, gated_output, gated_output_reference, gated_residual, gated_residual_reference,
};

use super::{Case, Op, agrees, agrees_with_differences, inputs, keeps_bits, pass, stays_finite};
use crate::kernel::{bits, noise};

fn gated(sizes: [usize; 7], gate: Gate, has_conditioner: bool) -> Case {
    gated_as(Kept::Whole, sizes, gate, has_conditioner)
}

/// Sizes of a gated layer: batch, residual, skip, gated, length, kernel, dilation.
fn gated_as(kept: Kept, sizes: [usize; 7], gate: Gate, has_conditioner: bool) -> Case {
    let [batch, residual, skip, gated, length, kernel, dilation] = sizes;
    let state = residual + skip;
    let mut shapes = vec![vec![batch, state, length], vec![batch, residual]];
    if has_conditioner {
        shapes.push(vec![batch, 2 * gated, length]);
    }
    let weights_from = shapes.len();
    shapes.extend([vec![2 * gated, residual, kernel], vec![2 * gated], vec![state, gated, 1], vec![state]]);
    let op = |ours: bool| -> Op {
        Box::new(move |inputs: &[Tensor<1>]| {
            let mut inputs = inputs.iter().cloned();
            let mut next = || inputs.next().unwrap();
            // The batch follows from the signal, so that a part of it can be given.
            let state_signal = next();
            let batch = state_signal.dims()[0] / (state * length);
            let state_signal = state_signal.reshape([batch, state, length]);
            let shift = next().reshape([batch, residual]);
            let conditioner = has_conditioner.then(|| next().reshape([batch, 2 * gated, length]));
            let weight = next().reshape([2 * gated, residual, kernel]);
            let conv = GateConv { weight, bias: next(), dilation };
            let out = GateOut { weight: next().reshape([state, gated, 1]), bias: next() };
            match ours {
                true => gated_residual(state_signal, shift, conv, conditioner, out, gate, kept),
                false => gated_residual_reference(state_signal, shift, conv, conditioner, out, gate),
            }
        })
    };
    let name = format!("gated residual {sizes:?} {gate:?} {has_conditioner} {kept:?}");
    Case { name, shapes, scales: vec![], ours: op(true), reference: op(false), weights_from }
}

fn gated_out(sizes: [usize; 4], gate: Gate) -> Case {
    gated_out_as(Kept::Whole, sizes, gate)
}

fn gated_out_as(kept: Kept, [batch, gated, skip, length]: [usize; 4], gate: Gate) -> Case {
    let state = gated + skip;
    let shapes = vec![vec![batch, state, length], vec![batch, 2 * gated, length], vec![state, gated, 1], vec![state]];
    let op = |ours: bool| -> Op {
        Box::new(move |inputs: &[Tensor<1>]| {
            let batch = inputs[0].dims()[0] / (state * length);
            let out = GateOut { weight: inputs[2].clone().reshape([state, gated, 1]), bias: inputs[3].clone() };
            let z = inputs[1].clone().reshape([batch, 2 * gated, length]);
            let state_signal = inputs[0].clone().reshape([batch, state, length]);
            match ours {
                true => gated_output(state_signal, z, out, gate, kept),
                false => gated_output_reference(state_signal, z, out, gate),
            }
        })
    };
    let name = format!("gated output {:?} {gate:?} {kept:?}", [batch, gated, skip, length]);
    Case { name, shapes, scales: vec![], ours: op(true), reference: op(false), weights_from: 2 }
}

#[test]
fn gated_residual_agrees_with_the_framework_in_value_and_gradient() {
    let mut cases = vec![
        gated([1, 1, 0, 1, 1, 1, 1], Gate::First, false),
        gated([2, 3, 2, 5, 1, 3, 4], Gate::Second, true),
        gated([2, 4, 4, 4, 7, 9, 3], Gate::First, true),
        gated([3, 17, 9, 20, 97, 3, 64], Gate::First, false),
        gated([2, 8, 8, 8, 48, 3, 1], Gate::Second, false),
        gated([1, 40, 33, 36, 200, 5, 16], Gate::First, true),
        // Wide enough for fewer multiplications.
        gated([2, 64, 30, 40, 450, 3, 2], Gate::First, true),
        gated([1, 72, 0, 64, 700, 3, 64], Gate::Second, false),
        gated([2, 64, 64, 64, 130, 5, 1], Gate::First, false),
        gated_out([1, 1, 0, 1], Gate::First),
        gated_out([3, 9, 11, 100], Gate::Second),
        gated_out([2, 33, 40, 49], Gate::First),
    ];
    cases.extend(random_layers(11, 5).into_iter().map(|(sizes, gate, is_told)| gated(sizes, gate, is_told)));
    agrees(&cases, 2e-5);
}

/// Sizes, gate and whether there is a conditioner.
fn random_layers(count: usize, seed: u64) -> Vec<([usize; 7], Gate, bool)> {
    let pick = noise(20 * count, seed);
    let mut pick = pick.iter().map(|value| (value + 1.0) / 2.0);
    let mut up_to = |high: usize| 1 + (pick.next().unwrap() * high as f64) as usize;
    let mut layer = || {
        let sizes = [up_to(3), up_to(12), up_to(9) - 1, up_to(12), up_to(120), 2 * up_to(3) - 1, up_to(30)];
        (sizes, if up_to(2) == 1 { Gate::First } else { Gate::Second }, up_to(2) == 1)
    };
    (0..count).map(|_| layer()).collect()
}

/// The result is that of the layer that keeps its values whole, bit by bit; the gradients are near and not the same.
#[test]
fn gated_layers_that_keep_bf16_give_the_same_result_and_near_gradients() {
    let mut pairs: Vec<[Case; 2]> = Vec::new();
    for (sizes, gate, is_told) in random_layers(12, 6) {
        pairs.push([Kept::Whole, Kept::Bf16].map(|kept| gated_as(kept, sizes, gate, is_told)));
        let [batch, _, skip, gated, length, ..] = sizes;
        pairs.push([Kept::Whole, Kept::Bf16].map(|kept| gated_out_as(kept, [batch, gated, skip, length], gate)));
    }
    for [whole, rounded] in &pairs {
        for dtype in [DType::F32, DType::F64] {
            let (expected, found) = (pass(whole, dtype, &whole.ours), pass(rounded, dtype, &rounded.ours));
            assert!(expected[0] == found[0], "{}: result", rounded.name);
            let [expected, found] = [expected, found].map(|all| all[1..].concat());
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
            let error =
                norm(&mut expected.iter().zip(&found).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied());
            assert!(error > 0.0 && error < 1e-2, "{} {dtype:?}: gradients off by {error}", rounded.name);
        }
    }
}

/// Half of the state is kept for no gradient, so none may depend on it.
#[test]
fn gradients_of_a_gated_layer_do_not_depend_on_the_skip_sum() {
    let (batch, residual, skip, length) = (2, 5, 7, 100);
    let case = gated([batch, residual, skip, 4, length, 3, 2], Gate::First, true);
    let gradients = |skip_sum: f32| {
        let device = Device::flex().autodiff();
        let mut all = inputs(&case, DType::F32, &device);
        let state = all[0].clone().reshape([batch, residual + skip, length]).narrow(1, 0, residual);
        let skips = Tensor::<3>::full([batch, skip, length], skip_sum, &device);
        all[0] = Tensor::cat(vec![state, skips], 1).reshape([batch * (residual + skip) * length]);
        let all: Vec<Tensor<1>> = all.into_iter().map(Tensor::require_grad).collect();
        let out = (case.ours)(&all);
        let target =
            Tensor::<3>::from_data(TensorData::new(noise(out.shape().num_elements(), 99), out.dims()), &device);
        let grads = (out * target).sum().backward();
        all.iter().map(|input| bits(input.grad(&grads).unwrap())).collect::<Vec<_>>()
    };
    assert!(gradients(0.0) == gradients(3.0));
}

#[test]
fn gated_residual_gradients_agree_with_finite_differences() {
    agrees_with_differences(&gated([2, 2, 1, 3, 6, 3, 2], Gate::First, true));
    agrees_with_differences(&gated_out([2, 2, 1, 5], Gate::Second));
}

#[test]
fn gated_residual_keeps_the_bits_of_a_record() {
    keeps_bits(&gated([8, 10, 6, 12, 100, 3, 8], Gate::First, true));
    keeps_bits(&gated([3, 64, 6, 48, 250, 3, 4], Gate::Second, false));
    keeps_bits(&gated_out([8, 10, 6, 100], Gate::Second));
    keeps_bits(&gated_as(Kept::Bf16, [8, 10, 6, 12, 100, 3, 8], Gate::First, true));
    keeps_bits(&gated_out_as(Kept::Bf16, [8, 10, 6, 100], Gate::Second));
}

#[test]
fn gated_residual_of_large_and_of_tiny_values_is_finite() {
    stays_finite(&gated([2, 8, 8, 8, 50, 3, 2], Gate::First, false));
    stays_finite(&gated_out([2, 8, 8, 50], Gate::Second));
}

#[test]
#[should_panic(expected = "gated_residual: a tensor without values")]
fn gated_residual_refuses_a_batch_of_no_records() {
    let case = gated([1, 2, 2, 2, 4, 3, 1], Gate::First, false);
    let mut all = inputs(&case, DType::F32, &Device::flex());
    let out = GateOut { weight: all.remove(4).reshape([4, 2, 1]), bias: Tensor::zeros([4], &Device::flex()) };
    let conv =
        GateConv { weight: all.remove(2).reshape([4, 2, 3]), bias: Tensor::zeros([4], &Device::flex()), dilation: 1 };
    let empty = Tensor::zeros([0, 4, 4], &Device::flex());
    gated_residual(empty, Tensor::zeros([0, 2], &Device::flex()), conv, None, out, Gate::First, Kept::Whole);
}
