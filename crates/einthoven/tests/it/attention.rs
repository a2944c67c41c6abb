//! Attention and linear attention against the framework's own operations, finite differences and
//! their promises about bits and large values.

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{attention, attention_reference, linear_attention, linear_attention_reference};

use crate::kernel::{assert_near, bits, noise, tensor, values, with_threads};

type Op = fn(Tensor<3>, usize, usize) -> Tensor<3>;

/// Each operation beside its reference.
const OPS: [(&str, Op, Op); 2] =
    [("attention", attention, attention_reference), ("linear attention", linear_attention, linear_attention_reference)];

/// Batch, heads, width of a head, length.
fn shapes() -> Vec<[usize; 4]> {
    let mut shapes = vec![
        [1, 1, 1, 1],
        [2, 1, 3, 1],
        [1, 2, 1, 2],
        [2, 4, 8, 16],
        [3, 2, 5, 47],
        [2, 2, 32, 48],
        [1, 3, 16, 49],
        [2, 4, 32, 64],
        [1, 1, 64, 97],
        [1, 2, 7, 250],
        // More than two blocks of keys, the last one short.
        [2, 1, 5, 389],
    ];
    let pick = noise(200, 11);
    let mut pick = pick.iter().map(|value| (value + 1.0) / 2.0);
    let mut up_to = |high: usize| 1 + (pick.next().unwrap() * high as f64) as usize;
    while shapes.len() < 35 {
        shapes.push([up_to(4), up_to(4), up_to(20), up_to(120)]);
    }
    shapes
}

/// Output and gradient of the loss `sum(output * target)`.
fn pass([batch, heads, width, length]: [usize; 4], scale: f64, dtype: DType, op: Op) -> [Vec<f64>; 2] {
    let device = Device::flex().autodiff();
    let qkv = tensor([batch, 3 * heads * width, length], 1, dtype, &device) * scale;
    let qkv = qkv.detach().require_grad();
    let out = op(qkv.clone(), heads, width);
    let target = tensor(out.dims(), 2, dtype, &device);
    let grads = (out.clone() * target).sum().backward();
    [values(out), values(qkv.grad(&grads).unwrap())]
}

#[test]
fn attention_agrees_with_the_framework_in_value_and_gradient() {
    for shape in shapes() {
        for (name, ours, reference) in OPS {
            let expected = pass(shape, 3.0, DType::F64, reference);
            // A softmax of numbers up to 3 loses about as many digits as they have units.
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
                let actual = pass(shape, 3.0, dtype, ours);
                for (what, (actual, expected)) in ["output", "gradient"].iter().zip(actual.iter().zip(&expected)) {
                    assert_near(&format!("{name} {what} {dtype:?} {shape:?}"), actual, expected, tolerance);
                }
            }
        }
    }
}

#[test]
fn attention_gradients_agree_with_finite_differences() {
    let [batch, heads, width, length] = [2, 2, 3, 5];
    let shape = [batch, 3 * heads * width, length];
    let device = Device::flex();
    let input = noise(shape.iter().product(), 1);
    for (name, op, _) in OPS {
        let loss = |input: &[f64]| {
            let qkv = Tensor::<3>::from_data(TensorData::new(input.to_vec(), shape), (&device, DType::F64));
            let out = op(qkv, heads, width);
            let target = noise(out.dims().iter().product(), 2);
            values(out).iter().zip(&target).map(|(a, b)| a * b).sum::<f64>()
        };
        let [_, gradient] = pass([batch, heads, width, length], 1.0, DType::F64, op);
        // The error of a central difference is about step^2, its rounding about 1e-16 / step.
        let step = 1e-5;
        let differences: Vec<f64> = (0..input.len())
            .map(|index| {
                let [mut above, mut below] = [input.clone(), input.clone()];
                above[index] += step;
                below[index] -= step;
                (loss(&above) - loss(&below)) / (2.0 * step)
            })
            .collect();
        assert_near(name, &gradient, &differences, 1e-8);
    }
}

#[test]
fn attention_gives_a_record_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    let device = Device::flex();
    for (name, op, _) in OPS {
        for length in [1, 37, 64, 100] {
            let qkv = tensor([64, 3 * 2 * 9, length], 1, DType::F32, &device);
            let run = |batch| bits(op(qkv.clone().narrow(0, 0, batch), 2, 9));
            let all = run(64);
            for threads in [1, 2, 3] {
                for batch in [1, 16, 64] {
                    let same = with_threads(threads, || run(batch)) == all[..batch * 2 * 9 * length];
                    assert!(same, "{name}: {batch} records of {length} samples on {threads} threads");
                }
            }
        }
    }
}

#[test]
fn attention_gradients_have_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    let device = Device::flex().autodiff();
    for (name, op, _) in OPS {
        let run = |threads, batch| {
            with_threads(threads, || {
                let qkv = tensor([8, 3 * 2 * 9, 100], 1, DType::F32, &device).narrow(0, 0, batch).detach();
                let qkv = qkv.require_grad();
                let out = op(qkv.clone(), 2, 9);
                bits(qkv.grad(&(out.clone() * out).sum().backward()).unwrap())
            })
        };
        let all = run(1, 8);
        for (threads, batch) in [(1, 1), (2, 3), (3, 8)] {
            assert!(run(threads, batch) == all[..batch * all.len() / 8], "{name}: {batch} on {threads} threads");
        }
    }
}

#[test]
fn attention_of_large_and_of_tiny_values_is_finite() {
    for (name, op, reference) in OPS {
        for scale in [1e4, 1e-40, 0.0] {
            let [out, gradient] = pass([2, 2, 8, 300], scale, DType::F32, op);
            assert!(out.iter().chain(&gradient).all(|value| value.is_finite()), "{name} at {scale}");
            let [expected, _] = pass([2, 2, 8, 300], scale, DType::F64, reference);
            // Scores of 1e8 leave the softmax a choice between keys that f32 cannot tell apart.
            if scale < 1.0 {
                assert_near(&format!("{name} at {scale}"), &out, &expected, 1e-5);
            }
        }
    }
}

#[test]
fn attention_reads_tensors_that_are_views() {
    let device = Device::flex();
    for (name, op, reference) in OPS {
        let qkv = tensor([50, 24, 4], 1, DType::F32, &device).permute([2, 1, 0]).narrow(0, 1, 2);
        assert_near(name, &values(op(qkv.clone(), 2, 4)), &values(reference(qkv, 2, 4)), 1e-5);
    }
}

#[test]
#[should_panic(expected = "attention: a tensor without values")]
fn attention_refuses_a_batch_of_no_records() {
    attention(Tensor::zeros([0, 12, 8], &Device::flex()), 2, 2);
}

#[test]
#[should_panic(expected = "linear_attention: channels of queries, keys and values")]
fn linear_attention_refuses_channels_that_do_not_fit() {
    linear_attention(Tensor::zeros([1, 13, 8], &Device::flex()), 2, 2);
}
