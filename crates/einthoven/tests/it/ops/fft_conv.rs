//! Long convolution.

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{KernelSpectrum, fft_conv, fft_conv_reference};

use super::{Case, Op, agrees, inputs, keeps_bits, stays_finite};
use crate::kernel::{assert_near, bits, noise, values};

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
fn the_reference_is_the_sum_over_the_lags() {
    let device = Device::flex();
    for [batch, channels, length, taps, origin] in
        [[1, 1, 1, 1, 0], [2, 3, 1, 9, 4], [2, 2, 5, 40, 39], [1, 2, 37, 37, 0], [2, 3, 64, 128, 64], [1, 2, 101, 7, 3]]
    {
        let case = long([batch, channels, length, taps, origin]);
        let found = inputs(&case, DType::F64, &device);
        let (x, kernel) = (values(found[0].clone()), values(found[1].clone()));
        let sum = |at: usize| {
            let (row, t) = (at / length, at % length);
            let of_tap = |tap: usize| match (t + origin).checked_sub(tap) {
                Some(from) if from < length => kernel[row % channels * taps + tap] * x[row * length + from],
                _ => 0.0,
            };
            (0..taps).map(of_tap).sum::<f64>()
        };
        let expected: Vec<f64> = (0..batch * channels * length).map(sum).collect();
        assert_near(&case.name, &values((case.reference)(&found)), &expected, 1e-12);
    }
}

#[test]
fn fft_conv_agrees_with_the_reference_in_value_and_gradient() {
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
