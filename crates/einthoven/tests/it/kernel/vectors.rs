//! What every kind of vector gives: the tests of all operations, and the same numbers within rounding.

use std::process::Command;

use burn::tensor::{DType, Device, Tensor};
use einthoven::nn::kernel::{
    Activation, Affine, Conv1dOptions, Gate, GateConv, GateOut, Kept, Pointwise, attention, batch_norm_act, conv1d,
    fft_conv, gated_residual, gelu, group_norm_act, layer_norm_act, linear,
};

use super::{assert_near, tensor, values};
use crate::folder::TempFolder;

/// Says which vectors a process uses, and where it writes what they give.
const KIND: &str = "EINTHOVEN_VECTORS";
const OUT: &str = "EINTHOVEN_TEST_OUT";

/// The tests of all operations once more, on narrower vectors than this machine has.
#[test]
fn every_kind_of_vector_passes() {
    if std::env::var_os(KIND).is_some() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    for kind in ["portable", "avx2"] {
        let out = Command::new(&program)
            .args(["kernel::", "ops::", "attention::", "cross_entropy::"])
            .env(KIND, kind)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && !text.contains("running 0 tests"), "{kind}: {text}");
    }
}

/// Operations one after the other, and the gradients of the first signal and weight.
fn chain() -> Vec<f64> {
    let device = Device::flex().autodiff();
    let given = |shape: [usize; 3], salt: u64| -> Tensor<3> { tensor(shape, salt, DType::F32, &device) };
    let row = |count: usize, salt: u64| -> Tensor<1> { tensor([count], salt, DType::F32, &device) };
    let (x, weight) = (given([3, 12, 203], 1).require_grad(), given([72, 12, 5], 2).require_grad());
    let options = Conv1dOptions { stride: 2, padding: 2, dilation: 1 };
    let y = conv1d(x.clone(), weight.clone(), Some(row(72, 3)), options);
    let y = group_norm_act(y, 8, row(72, 4), row(72, 5), None, Activation::Silu, 1e-5);
    let out = GateOut { weight: given([72, 72, 1], 6) * 0.1, bias: row(72, 7) };
    let conv = GateConv { weight: given([144, 72, 3], 8) * 0.1, bias: row(144, 9), dilation: 2 };
    let shift = tensor([3, 72], 10, DType::F32, &device);
    let y = gated_residual(y, shift, conv, None, out, Gate::First, Kept::Whole);
    let y = attention(y, 3, 8);
    let y = layer_norm_act(y, row(24, 11), row(24, 12), Pointwise::Gelu, 1e-5);
    let y = fft_conv(y, tensor([24, 102], 13, DType::F32, &device), 0);
    let affine = Affine { gain: row(24, 14), bias: row(24, 15) };
    let y = gelu(batch_norm_act(y, affine, None, Pointwise::Relu, 1e-5).0);
    let [batch, channels, length] = y.dims();
    let rows = y.reshape([batch, channels * length]);
    let y = linear(rows, tensor([7, channels * length], 16, DType::F32, &device) * 0.1, row(7, 17));
    let mut all = values(y.clone());
    let gradients = (y.clone() * y).sum().backward();
    all.extend(values(x.grad(&gradients).unwrap()));
    all.extend(values(weight.grad(&gradients).unwrap()));
    all
}

#[test]
fn kinds_of_vector_agree() {
    if let Some(path) = std::env::var_os(OUT) {
        let text: Vec<String> = chain().iter().map(f64::to_string).collect();
        std::fs::write(path, text.join("\n")).unwrap();
        return;
    }
    if std::env::var_os(KIND).is_some() {
        return;
    }
    let folder = TempFolder::new("vectors");
    let with = |kind: &str| -> Vec<f64> {
        let path = folder.path().join(kind);
        let mut program = Command::new(std::env::current_exe().unwrap());
        let out = program.args(["--exact", "kernel::vectors::kinds_of_vector_agree"]);
        let out = out.env(KIND, kind).env(OUT, &path).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && text.contains("running 1 test\n"), "{kind}: {text}");
        std::fs::read_to_string(path).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    };
    let [widest, avx2, portable] = ["avx512", "avx2", "portable"].map(with);
    assert!(widest.iter().all(|value| value.is_finite()) && widest.len() == 21 + 3 * 12 * 203 + 72 * 12 * 5);
    for (kind, found) in [("avx2", avx2), ("portable", portable)] {
        for (part, range) in [("output", 0..21), ("signal", 21..21 + 7308), ("weight", 21 + 7308..widest.len())] {
            assert_near(&format!("{kind} {part}"), &found[range.clone()], &widest[range], 1e-5);
        }
    }
}
