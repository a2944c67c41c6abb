//! The fused operations against the framework's own, finite differences, and their promises about
//! bits, edges and large values: the checks, which are the same for all.

mod activation;
mod depthwise;
mod empty;
mod fft_conv;
mod gated;
mod norm;

use burn::tensor::{DType, Device, Tensor, TensorData};

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
