//! Our tensor operations against the framework's own, in value and gradient, and their promise
//! that a record's bits do not depend on the batch or on the number of threads.

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{
    Activation, Conv1dOptions, conv_transpose1d, conv_transpose1d_reference, conv1d, conv1d_grouped,
    conv1d_grouped_reference, conv1d_joined, conv1d_matrix, conv1d_reference, group_norm_act, group_norm_act_add,
    group_norm_act_reference, linear, linear_reference, max_pool, max_pool_reference, rms_norm, rms_norm_add,
    rms_norm_reference, silu, silu_reference, upsample_nearest, upsample_nearest_reference,
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

struct Case {
    batch: usize,
    channels: [usize; 2],
    length: usize,
    kernel: usize,
    options: Conv1dOptions,
}

fn cases() -> Vec<Case> {
    let case = |batch, channels, length, kernel, stride, padding, dilation| Case {
        batch,
        channels,
        length,
        kernel,
        options: Conv1dOptions { stride, padding, dilation },
    };
    let mut cases = vec![
        case(2, [1, 1], 1, 1, 1, 0, 1),
        case(2, [3, 2], 1, 3, 1, 1, 1),
        case(3, [2, 5], 2, 7, 1, 3, 1),
        case(2, [4, 3], 4, 9, 1, 16, 4),
        case(2, [4, 3], 5, 9, 2, 16, 4),
        case(5, [70, 130], 33, 3, 1, 1, 1),
        case(9, [130, 70], 40, 3, 2, 1, 1),
        case(2, [32, 64], 257, 5, 1, 128, 64),
        case(1, [12, 32], 1000, 5, 2, 2, 1),
        // Many channels and three or five taps: fewer multiplications.
        case(2, [64, 96], 300, 3, 1, 1, 1),
        case(3, [70, 66], 250, 3, 1, 4, 4),
        case(1, [96, 64], 421, 3, 1, 40, 40),
        case(2, [96, 72], 125, 5, 1, 2, 1),
        case(1, [64, 64], 260, 5, 1, 0, 16),
        // Kernels of one tap over whole vectors are read where they lie.
        case(5, [8, 24], 32, 1, 1, 0, 1),
        case(2, [3, 6], 16, 1, 1, 0, 1),
        case(9, [66, 132], 128, 1, 1, 0, 1),
        case(2, [4, 8], 32, 1, 1, 1, 1),
        case(2, [4, 8], 32, 1, 2, 0, 1),
        case(3, [4, 70], 16, 3, 1, 1, 1),
    ];
    let pick = noise(400, 7);
    let mut pick = pick.iter().map(|value| (value + 1.0) / 2.0);
    let mut up_to = |low: usize, high: usize| low + (pick.next().unwrap() * (high - low + 1) as f64) as usize;
    while cases.len() < 51 {
        let case = Case {
            batch: up_to(1, 6),
            channels: [up_to(1, 20), up_to(1, 20)],
            length: up_to(1, 80),
            kernel: up_to(1, 9),
            options: Conv1dOptions { stride: up_to(1, 4), padding: up_to(0, 12), dilation: up_to(1, 5) },
        };
        if case.options.output_length(case.length, case.kernel) > 0 {
            cases.push(case);
        }
    }
    cases
}

type Convolution = fn(Tensor<3>, Tensor<3>, Option<Tensor<1>>, Conv1dOptions) -> Tensor<3>;

/// Output and the gradients of signal, weight and bias of the loss `sum(output * target)`.
fn conv_pass(case: &Case, dtype: DType, with_bias: bool, op: Convolution) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let [channels_in, channels_out] = case.channels;
    let x = tensor([case.batch, channels_in, case.length], 1, dtype, &device).require_grad();
    let weight = tensor([channels_out, channels_in, case.kernel], 2, dtype, &device).require_grad();
    let bias = with_bias.then(|| tensor([channels_out], 3, dtype, &device).require_grad());
    let out = op(x.clone(), weight.clone(), bias.clone(), case.options);
    let target = tensor(out.dims(), 4, dtype, &device);
    let grads = (out.clone() * target).sum().backward();
    let mut all = vec![values(out), values(x.grad(&grads).unwrap()), values(weight.grad(&grads).unwrap())];
    if let Some(bias) = bias {
        all.push(values(bias.grad(&grads).unwrap()));
    }
    all
}

#[test]
fn conv1d_agrees_with_the_framework_in_value_and_gradient() {
    for (index, case) in cases().iter().enumerate() {
        let with_bias = index % 3 != 0;
        let expected = conv_pass(case, DType::F64, with_bias, conv1d_reference);
        let runs = [(DType::F64, 1e-12), (DType::F32, 2e-5)];
        let ops = [conv1d as Convolution, conv1d_matrix];
        for ((dtype, tolerance), op) in runs.into_iter().flat_map(|run| ops.map(|op| (run, op))) {
            let actual = conv_pass(case, dtype, with_bias, op);
            assert_eq!(actual.len(), expected.len());
            for (name, (actual, expected)) in
                ["output", "signal", "weight", "bias"].iter().zip(actual.iter().zip(&expected))
            {
                let [channels_in, channels_out] = case.channels;
                let name = format!(
                    "{name} {dtype:?} [{}, {channels_in}->{channels_out}, {}] kernel {} {:?}",
                    case.batch, case.length, case.kernel, case.options
                );
                assert_near(&name, actual, expected, tolerance);
            }
        }
    }
}

#[test]
fn transposed_convolution_agrees_with_the_framework_in_value_and_gradient() {
    for (index, case) in cases().iter().enumerate() {
        let Case { batch, channels: [channels_in, channels_out], length, kernel, options } = *case;
        let extra = index % options.stride;
        let reach = (length - 1) * options.stride + options.dilation * (kernel - 1) + 1 + extra;
        if reach <= 2 * options.padding {
            continue;
        }
        let shapes = ([batch, channels_in, length], [channels_in, channels_out, kernel], [channels_out]);
        let expected = transposed_pass(shapes, DType::F64, (options, extra), conv_transpose1d_reference);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
            let actual = transposed_pass(shapes, dtype, (options, extra), conv_transpose1d);
            let name = format!("{dtype:?} {shapes:?} {options:?} extra {extra}");
            for (part, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                assert_near(&format!("{name}, part {part}"), actual, expected, tolerance);
            }
        }
    }
}

type Transposed = fn(Tensor<3>, Tensor<3>, Tensor<1>, Conv1dOptions, usize) -> Tensor<3>;

/// Output and gradients of signal, weight and bias.
fn transposed_pass(
    (x, weight, bias): ([usize; 3], [usize; 3], [usize; 1]),
    dtype: DType,
    (options, extra): (Conv1dOptions, usize),
    op: Transposed,
) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let x = tensor(x, 1, dtype, &device).require_grad();
    let weight = tensor(weight, 2, dtype, &device).require_grad();
    let bias = tensor(bias, 3, dtype, &device).require_grad();
    let out = op(x.clone(), weight.clone(), bias.clone(), options, extra);
    let target = tensor(out.dims(), 4, dtype, &device);
    let grads = (out.clone() * target).sum().backward();
    let [for_x, for_weight] = [x, weight].map(|input| values(input.grad(&grads).unwrap()));
    vec![values(out), for_x, for_weight, values(bias.grad(&grads).unwrap())]
}

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
fn convolution_in_groups_agrees_with_the_framework() {
    let device = Device::flex();
    for (channels, groups) in [([6, 9], 3), ([8, 8], 8), ([4, 6], 1), ([16, 4], 2)] {
        let options = Conv1dOptions { stride: 2, padding: 3, dilation: 2 };
        let x = tensor([3, channels[0], 37], 1, DType::F64, &device);
        let weight = tensor([channels[1], channels[0] / groups, 5], 2, DType::F64, &device);
        let bias = Some(tensor([channels[1]], 3, DType::F64, &device));
        let expected = conv1d_grouped_reference(x.clone(), weight.clone(), bias.clone(), options, groups);
        let actual = conv1d_grouped(x, weight, bias, options, groups);
        assert_near(&format!("{channels:?} in {groups} groups"), &values(actual), &values(expected), 1e-12);
    }
}

#[test]
fn conv1d_of_two_signals_is_that_of_their_channels_together() {
    for (channels, length, kernel, padding, stride) in
        [([1, 1], 1, 1, 0, 1), ([3, 5], 37, 3, 1, 1), ([64, 70], 32, 1, 0, 1), ([130, 3], 16, 5, 2, 2)]
    {
        let pass = |dtype, is_joined| {
            let device = Device::flex().autodiff();
            let signal =
                |index: usize| tensor([3, channels[index], length], index as u64, dtype, &device).require_grad();
            let (x, skip) = (signal(0), signal(1));
            let weight = tensor([70, channels[0] + channels[1], kernel], 2, dtype, &device).require_grad();
            let bias = tensor([70], 3, dtype, &device).require_grad();
            let options = Conv1dOptions { stride, padding, dilation: 1 };
            let out = if is_joined {
                conv1d_joined(x.clone(), skip.clone(), weight.clone(), bias.clone(), options)
            } else {
                let both = Tensor::cat(vec![x.clone(), skip.clone()], 1);
                conv1d_reference(both, weight.clone(), Some(bias.clone()), options)
            };
            let grads = (out.clone() * tensor(out.dims(), 4, dtype, &device)).sum().backward();
            let signals = [x, skip].map(|signal| values(signal.grad(&grads).unwrap()));
            [
                vec![values(out), values(weight.grad(&grads).unwrap()), values(bias.grad(&grads).unwrap())],
                signals.into(),
            ]
            .concat()
        };
        let expected = pass(DType::F64, false);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
            assert_all_near(
                &format!("{channels:?} {length} {kernel} {dtype:?}"),
                &pass(dtype, true),
                &expected,
                tolerance,
            );
        }
    }
}

#[test]
fn conv1d_reads_tensors_that_are_views() {
    let device = Device::flex();
    let x = tensor([6, 40, 3], 1, DType::F32, &device).swap_dims(1, 2).narrow(0, 1, 4);
    let weight = tensor([3, 5, 4], 2, DType::F32, &device).permute([1, 0, 2]);
    let options = Conv1dOptions { stride: 1, padding: 2, dilation: 1 };
    let actual = conv1d(x.clone(), weight.clone(), None, options);
    assert_near("view", &values(actual), &values(conv1d_reference(x, weight, None, options)), 1e-5);
}

#[test]
fn conv1d_leaves_inputs_without_gradient_alone() {
    let device = Device::flex().autodiff();
    let x = tensor([2, 3, 16], 1, DType::F32, &device);
    let weight = tensor([4, 3, 3], 2, DType::F32, &device).require_grad();
    let out = conv1d(x.clone(), weight.clone(), None, Conv1dOptions::same(3, 1));
    let grads = out.sum().backward();
    assert!(x.grad(&grads).is_none());
    assert!(weight.grad(&grads).is_some());
}

#[test]
fn conv1d_gives_a_record_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    let device = Device::flex();
    for (channels_in, channels_out, kernel, stride) in [(1, 32, 3, 1), (32, 100, 3, 1), (130, 64, 5, 2), (80, 70, 3, 1)]
    {
        let options = Conv1dOptions { stride, padding: kernel / 2, dilation: 1 };
        let x = tensor([64, channels_in, 100], 1, DType::F32, &device);
        let weight = tensor([channels_out, channels_in, kernel], 2, DType::F32, &device);
        let bias = tensor([channels_out], 3, DType::F32, &device);
        let run = |threads, batch| {
            with_threads(threads, || {
                let x = x.clone().narrow(0, 0, batch);
                bits(conv1d(x, weight.clone(), Some(bias.clone()), options))
            })
        };
        let all = run(1, 64);
        let record = all.len() / 64;
        for threads in [1, 2, 3] {
            for batch in [1, 16, 64] {
                assert!(run(threads, batch) == all[..batch * record], "{batch} records on {threads} threads");
            }
        }
    }
}

#[test]
fn conv1d_gradients_have_the_same_bits_on_any_number_of_threads() {
    let device = Device::flex().autodiff();
    let run = |threads| {
        with_threads(threads, || {
            [24, 64].map(|channels| {
                let x = tensor([11, channels, 100], 1, DType::F32, &device).require_grad();
                let weight = tensor([70, channels, 3], 2, DType::F32, &device).require_grad();
                let out = conv1d(x.clone(), weight.clone(), None, Conv1dOptions::same(3, 2));
                let target = tensor(out.dims(), 4, DType::F32, &device);
                let grads = (out * target).sum().backward();
                [bits(x.grad(&grads).unwrap()), bits(weight.grad(&grads).unwrap())]
            })
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

/// Inputs of a normalization, in the order signal, gain, bias, scale, shift.
#[derive(Clone)]
struct NormInputs {
    x: Tensor<3>,
    gain: Tensor<1>,
    bias: Tensor<1>,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
}

fn norm_inputs(shape: [usize; 3], modulated: bool, dtype: DType, device: &Device) -> NormInputs {
    let [batch, channels, _] = shape;
    let track = |tensor: Tensor<1>| if device.is_autodiff() { tensor.require_grad() } else { tensor };
    let pair = |salt| {
        let tensor = tensor([batch, channels], salt, dtype, device);
        if device.is_autodiff() { tensor.require_grad() } else { tensor }
    };
    // Far from zero mean and unit spread, so that the normalization has something to do.
    let x = tensor(shape, 1, dtype, device) * 3.0 + 5.0;
    NormInputs {
        x: if device.is_autodiff() { x.detach().require_grad() } else { x },
        gain: track(tensor([channels], 2, dtype, device)),
        bias: track(tensor([channels], 3, dtype, device)),
        scale_shift: modulated.then(|| (pair(4), pair(5))),
    }
}

type Norm = Box<dyn Fn(NormInputs) -> Tensor<3> + Send + Sync>;

/// Output and the gradients of all inputs that have one.
fn norm_pass(shape: [usize; 3], modulated: bool, dtype: DType, op: &Norm) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let inputs = norm_inputs(shape, modulated, dtype, &device);
    let out = op(inputs.clone());
    let target = tensor(shape, 6, dtype, &device);
    let grads = (out.clone() * target).sum().backward();
    let mut all = vec![values(out), values(inputs.x.grad(&grads).unwrap())];
    all.push(values(inputs.gain.grad(&grads).unwrap()));
    all.extend(inputs.bias.grad(&grads).map(values));
    if let Some((scale, shift)) = inputs.scale_shift {
        all.push(values(scale.grad(&grads).unwrap()));
        all.push(values(shift.grad(&grads).unwrap()));
    }
    all
}

fn group(groups: usize, act: Activation) -> [Norm; 2] {
    [
        Box::new(move |i| group_norm_act(i.x, groups, i.gain, i.bias, i.scale_shift, act, 1e-5)),
        Box::new(move |i| group_norm_act_reference(i.x, groups, i.gain, i.bias, i.scale_shift, act, 1e-5)),
    ]
}

fn rms(act: Activation) -> [Norm; 2] {
    [
        Box::new(move |i| rms_norm(i.x, i.gain, i.scale_shift, act, 1e-12)),
        Box::new(move |i| rms_norm_reference(i.x, i.gain, i.scale_shift, act, 1e-12)),
    ]
}

#[test]
fn normalizations_agree_with_the_framework_in_value_and_gradient() {
    let shapes = [[1, 8, 1], [2, 8, 2], [3, 16, 37], [5, 32, 64], [2, 8, 1000], [3, 24, 129]];
    for shape in shapes {
        for modulated in [false, true] {
            for act in [Activation::None, Activation::Silu] {
                // The gradient of a group of one or two values is the difference of equal numbers.
                let values = shape[1] * shape[2];
                let groups = [1, 2, 8].into_iter().filter(|groups| values / groups >= 4);
                let mut pairs = vec![("rms".to_string(), rms(act))];
                pairs.extend(groups.map(|groups| (format!("{groups} groups"), group(groups, act))));
                for (name, [ours, reference]) in pairs {
                    let expected = norm_pass(shape, modulated, DType::F64, &reference);
                    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
                        let actual = norm_pass(shape, modulated, dtype, &ours);
                        assert_eq!(actual.len(), expected.len());
                        for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                            let name = format!("{name} {shape:?} {modulated} {act:?} {dtype:?} item {index}");
                            assert_near(&name, actual, expected, tolerance);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn rms_norm_of_zeros_is_zero_with_a_finite_gradient() {
    let device = Device::flex().autodiff();
    let x = Tensor::<3>::zeros([1, 4, 5], (&device, DType::F32)).require_grad();
    let gain = Tensor::<1>::ones([4], (&device, DType::F32));
    let out = rms_norm(x.clone(), gain, None, Activation::None, 1e-12);
    assert!(values(out.clone()).iter().all(|value| *value == 0.0));
    let gradient = values(x.grad(&out.sum().backward()).unwrap());
    assert_near("gradient", &gradient, &[2e12; 20], 1e-6);
}

#[test]
fn normalizations_give_a_record_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    let device = Device::flex();
    for length in [1, 37, 256] {
        let [group, _] = group(8, Activation::Silu);
        let [rms, _] = rms(Activation::Silu);
        for op in [group, rms] {
            let inputs = norm_inputs([64, 32, length], true, DType::F32, &device);
            let (scale, shift) = inputs.scale_shift.clone().unwrap();
            let run = |batch: usize| {
                bits(op(NormInputs {
                    x: inputs.x.clone().narrow(0, 0, batch),
                    scale_shift: Some((scale.clone().narrow(0, 0, batch), shift.clone().narrow(0, 0, batch))),
                    ..inputs.clone()
                }))
            };
            let all = run(64);
            for threads in [1, 2, 3] {
                for batch in [1, 16, 64] {
                    let same = with_threads(threads, || run(batch)) == all[..batch * 32 * length];
                    assert!(same, "{batch} records of {length} samples on {threads} threads");
                }
            }
        }
    }
}

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

#[test]
fn normalization_with_a_term_to_add_agrees_with_the_framework_in_value_and_gradient() {
    for shape in [[1, 8, 1], [3, 16, 37], [5, 32, 64], [2, 8, 129]] {
        for act in [Activation::None, Activation::Silu] {
            let shapes = (&shape, &[shape[1]], &shape);
            let device = Device::flex().autodiff();
            let bias = |dtype| tensor([shape[1]], 8, dtype, &device);
            let group = |x: Tensor<3>, gain: Tensor<1>, added: Tensor<3>| {
                let bias = bias(x.dtype());
                group_norm_act_add(x, 2, gain, bias, act, 1e-5, added)
            };
            let group_expected = |x: Tensor<3>, gain: Tensor<1>, added: Tensor<3>| {
                let bias = bias(x.dtype());
                group_norm_act_reference(x, 2, gain, bias, None, act, 1e-5) + added
            };
            let rms = |x: Tensor<3>, gain: Tensor<1>, added: Tensor<3>| rms_norm_add(x, gain, act, 1e-12, added);
            let rms_expected =
                |x: Tensor<3>, gain: Tensor<1>, added: Tensor<3>| rms_norm_reference(x, gain, None, act, 1e-12) + added;
            let expected = [pass(shapes, DType::F64, group_expected), pass(shapes, DType::F64, rms_expected)];
            for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
                let name = format!("{shape:?} {act:?} {dtype:?}");
                assert_all_near(&format!("group {name}"), &pass(shapes, dtype, group), &expected[0], tolerance);
                assert_all_near(&format!("rms {name}"), &pass(shapes, dtype, rms), &expected[1], tolerance);
            }
        }
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

/// The tests of all operations once more, on narrower vectors than this machine has.
#[test]
fn every_kind_of_vector_passes() {
    const KIND: &str = "EINTHOVEN_VECTORS";
    if std::env::var_os(KIND).is_some() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    for kind in ["portable", "avx2"] {
        let out = std::process::Command::new(&program)
            .args(["kernel::", "ops::", "attention::", "cross_entropy::"])
            .env(KIND, kind)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && !text.contains("running 0 tests"), "{kind}: {text}");
    }
}
