//! Convolution, in groups, of two signals, and transposed.

use burn::tensor::{DType, Device, Tensor};
use einthoven::nn::kernel::{
    Conv1dOptions, conv_transpose1d, conv_transpose1d_reference, conv1d, conv1d_grouped, conv1d_grouped_reference,
    conv1d_joined, conv1d_matrix, conv1d_reference,
};

use super::{assert_all_near, assert_near, bits, noise, pass, tensor, values, with_threads};

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
fn convolution_in_groups_agrees_with_the_framework_in_value_and_gradient() {
    let options = Conv1dOptions { stride: 2, padding: 3, dilation: 2 };
    for ([channels_in, channels_out], groups) in [([6, 9], 3), ([8, 8], 8), ([4, 6], 1), ([16, 4], 2)] {
        let shapes = (&[3, channels_in, 37], &[channels_out, channels_in / groups, 5], &[channels_out]);
        let run = |dtype, op: Grouped| {
            pass(shapes, dtype, |x: Tensor<3>, weight: Tensor<3>, bias: Tensor<1>| {
                op(x, weight, Some(bias), options, groups)
            })
        };
        let expected = run(DType::F64, conv1d_grouped_reference);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
            let name = format!("{dtype:?} {channels_in} to {channels_out} channels in {groups} groups");
            assert_all_near(&name, &run(dtype, conv1d_grouped), &expected, tolerance);
        }
    }
}

type Grouped = fn(Tensor<3>, Tensor<3>, Option<Tensor<1>>, Conv1dOptions, usize) -> Tensor<3>;

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
