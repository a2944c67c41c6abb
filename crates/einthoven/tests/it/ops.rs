//! The fused operations against the framework's own, finite differences, and their promises about
//! bits, edges and large values: the gated residual layer, long convolution, layer and batch
//! normalization, activations, convolution channel by channel.

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{
    Affine, ChannelStatistics, DepthwiseOptions, Edge, Gate, GateConv, GateOut, Kept, KernelSpectrum, Pointwise,
    batch_norm_act, batch_norm_act_fixed, batch_norm_act_fixed_reference, batch_norm_act_reference, depthwise,
    depthwise_reference, fft_conv, fft_conv_reference, gated_output, gated_output_reference, gated_residual,
    gated_residual_reference, gelu, gelu_reference, glu, glu_reference, layer_norm_act, layer_norm_act_reference,
    snake, snake_reference,
};

use crate::kernel::{assert_near, bits, noise, values, with_threads};

/// An operation on inputs of given shapes, flat, so that one set of checks serves all.
struct Case {
    name: String,
    shapes: Vec<Vec<usize>>,
    /// Factor of each input, 1 where it ends early.
    scales: Vec<f64>,
    ours: Op,
    reference: Op,
    /// Input whose first axis is not the batch, counted from the first such one.
    weights_from: usize,
}

type Op = Box<dyn Fn(&[Tensor<1>]) -> Tensor<3> + Send + Sync>;

fn input(case: &Case, index: usize, dtype: DType, device: &Device) -> Tensor<1> {
    let count: usize = case.shapes[index].iter().product();
    let scale = case.scales.get(index).copied().unwrap_or(1.0);
    let values: Vec<f64> = noise(count, index as u64 + 1).into_iter().map(|value| value * scale).collect();
    Tensor::from_data(TensorData::new(values, [count]).convert_dtype(dtype), (device, dtype))
}

fn inputs(case: &Case, dtype: DType, device: &Device) -> Vec<Tensor<1>> {
    (0..case.shapes.len()).map(|index| input(case, index, dtype, device)).collect()
}

/// Output and gradients of the loss `sum(output * target)`.
fn pass(case: &Case, dtype: DType, op: &Op) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let inputs: Vec<Tensor<1>> = inputs(case, dtype, &device).into_iter().map(Tensor::require_grad).collect();
    let out = op(&inputs);
    let count: usize = out.dims().iter().product();
    let target = TensorData::new(noise(count, 99), out.dims()).convert_dtype(dtype);
    let grads = (out.clone() * Tensor::<3>::from_data(target, (&device, dtype))).sum().backward();
    let mut all = vec![values(out)];
    all.extend(inputs.iter().map(|input| values(input.grad(&grads).unwrap())));
    all
}

fn agrees(cases: &[Case], tolerance: f64) {
    for case in cases {
        let expected = pass(case, DType::F64, &case.reference);
        for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, tolerance)] {
            let actual = pass(case, dtype, &case.ours);
            assert_eq!(actual.len(), expected.len());
            for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                let what = if index == 0 { "output".to_string() } else { format!("gradient {}", index - 1) };
                assert_near(&format!("{} {dtype:?} {what}", case.name), actual, expected, tolerance);
            }
        }
    }
}

/// The gradients against central differences in f64.
fn agrees_with_differences(case: &Case) {
    let device = Device::flex();
    let gradients = pass(case, DType::F64, &case.ours);
    let start: Vec<Vec<f64>> = inputs(case, DType::F64, &device).into_iter().map(values).collect();
    let loss = |at: &[Vec<f64>]| {
        let tensors: Vec<Tensor<1>> = at
            .iter()
            .map(|values| Tensor::from_data(TensorData::new(values.clone(), [values.len()]), (&device, DType::F64)))
            .collect();
        let out = values((case.ours)(&tensors));
        out.iter().zip(noise(out.len(), 99)).map(|(a, b)| a * b).sum::<f64>()
    };
    // The error of a central difference is about step^2, its rounding about 1e-16 / step.
    let step = 1e-5;
    for index in 0..start.len() {
        let differences: Vec<f64> = (0..start[index].len())
            .map(|entry| {
                let [mut above, mut below] = [start.clone(), start.clone()];
                above[index][entry] += step;
                below[index][entry] -= step;
                (loss(&above) - loss(&below)) / (2.0 * step)
            })
            .collect();
        assert_near(&format!("{} input {index}", case.name), &gradients[index + 1], &differences, 1e-7);
    }
}

/// Record by record the same bits, whatever the batch and the number of threads.
fn keeps_bits(case: &Case) {
    let device = Device::flex();
    let all = inputs(case, DType::F32, &device);
    let batch = case.shapes[0][0];
    let run = |records: usize| {
        let part: Vec<Tensor<1>> = all
            .iter()
            .enumerate()
            .map(|(index, tensor)| match index < case.weights_from {
                true => tensor.clone().narrow(0, 0, tensor.dims()[0] / batch * records),
                false => tensor.clone(),
            })
            .collect();
        bits((case.ours)(&part))
    };
    let whole = run(batch);
    for threads in [1, 2, 3] {
        for records in [1, batch / 2, batch] {
            let same = with_threads(threads, || run(records)) == whole[..whole.len() / batch * records];
            assert!(same, "{}: {records} records on {threads} threads", case.name);
        }
    }
    let gradients = |threads| {
        with_threads(threads, || {
            let device = Device::flex().autodiff();
            let inputs: Vec<_> = inputs(case, DType::F32, &device).into_iter().map(Tensor::require_grad).collect();
            let out = (case.ours)(&inputs);
            let grads = (out.clone() * out).sum().backward();
            inputs.iter().map(|input| bits(input.grad(&grads).unwrap())).collect::<Vec<_>>()
        })
    };
    let one = gradients(1);
    assert!(one == gradients(2) && one == gradients(3), "{}: gradients", case.name);
}

/// Values up to 1e4 and denormal ones give finite results and gradients.
fn stays_finite(case: &Case) {
    for scale in [1e4, 1e-40, 0.0] {
        let mut scaled = Vec::new();
        for index in 0..case.shapes.len() {
            scaled.push(if index == 0 { scale } else { case.scales.get(index).copied().unwrap_or(1.0) });
        }
        let device = Device::flex().autodiff();
        let inputs: Vec<Tensor<1>> = (0..case.shapes.len())
            .map(|index| {
                let count: usize = case.shapes[index].iter().product();
                let values: Vec<f32> =
                    noise(count, index as u64 + 1).into_iter().map(|v| (v * scaled[index]) as f32).collect();
                Tensor::<1>::from_data(TensorData::new(values, [count]), &device).require_grad()
            })
            .collect();
        let out = (case.ours)(&inputs);
        let grads = out.clone().sum().backward();
        assert!(values(out).iter().all(|value| value.is_finite()), "{} at {scale}", case.name);
        for input in &inputs {
            assert!(values(input.grad(&grads).unwrap()).iter().all(|v| v.is_finite()), "{} at {scale}", case.name);
        }
    }
}

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

/// Batch, channels, length, taps, origin.
fn long(sizes: [usize; 5]) -> Case {
    let [batch, channels, length, taps, origin] = sizes;
    let op = |ours: bool| -> Op {
        Box::new(move |inputs: &[Tensor<1>]| {
            let batch = inputs[0].dims()[0] / (channels * length);
            let x = inputs[0].clone().reshape([batch, channels, length]);
            let kernel = inputs[1].clone().reshape([channels, taps]);
            if ours { fft_conv(x, kernel, origin) } else { fft_conv_reference(x, kernel, origin) }
        })
    };
    let shapes = vec![vec![batch, channels, length], vec![channels, taps]];
    Case {
        name: format!("long convolution {sizes:?}"),
        shapes,
        scales: vec![],
        ours: op(true),
        reference: op(false),
        weights_from: 1,
    }
}

#[test]
fn fft_conv_agrees_with_the_matrix_in_value_and_gradient() {
    let mut cases = vec![
        long([1, 1, 1, 1, 0]),
        long([2, 3, 1, 9, 4]),
        long([2, 2, 5, 40, 0]),
        long([2, 2, 5, 40, 39]),
        long([1, 2, 37, 37, 0]),
        long([2, 3, 64, 128, 64]),
        long([1, 2, 101, 7, 3]),
    ];
    let pick = noise(200, 6);
    let mut pick = pick.iter().map(|value| (value + 1.0) / 2.0);
    let mut up_to = |high: usize| 1 + (pick.next().unwrap() * high as f64) as usize;
    while cases.len() < 20 {
        let taps = up_to(120);
        cases.push(long([up_to(3), up_to(4), up_to(90), taps, up_to(taps) - 1]));
    }
    agrees(&cases, 1e-5);
}

#[test]
fn fft_conv_keeps_bits_and_stays_finite() {
    keeps_bits(&long([8, 5, 100, 150, 70]));
    stays_finite(&long([2, 3, 50, 50, 0]));
}

#[test]
fn transformed_kernels_give_the_bits_of_kernels() {
    let device = Device::flex();
    let case = long([2, 3, 50, 70, 20]);
    let [x, kernel] = inputs(&case, DType::F32, &device).try_into().unwrap();
    let spectrum = KernelSpectrum::new(&kernel.clone().into_data().try_into_vec::<f32>().unwrap(), 3, 20, 50);
    let x = x.reshape([2, 3, 50]);
    assert!(bits(spectrum.convolve(x.clone())) == bits(fft_conv(x, kernel.reshape([3, 70]), 20)));
}

#[test]
fn an_impulse_reaches_no_sample_before_it_through_a_causal_kernel() {
    let device = Device::flex();
    let mut impulse = vec![0.0f32; 40];
    impulse[17] = 1.0;
    let x = Tensor::<3>::from_data(TensorData::new(impulse, [1, 1, 40]), &device);
    let kernel = Tensor::<2>::from_data(TensorData::new(noise(40, 1), [1, 40]).convert_dtype(DType::F32), &device);
    let y = values(fft_conv(x, kernel.clone(), 0));
    // Rounding of the transform is some 1e-7 of the largest value, which is about 1.
    assert!(y[..17].iter().all(|value| value.abs() < 1e-6), "{y:?}");
    assert_near("impulse response", &y[17..], &values(kernel)[..23], 1e-6);
}

#[test]
#[should_panic(expected = "fft_conv: a tensor without values")]
fn fft_conv_refuses_a_batch_of_no_records() {
    let device = Device::flex();
    fft_conv(Tensor::zeros([0, 2, 8], &device), Tensor::zeros([2, 8], &device), 0);
}

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
