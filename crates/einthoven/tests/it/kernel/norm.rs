//! Group and root-mean-square normalization, modulated and with a term to add.

use burn::tensor::{DType, Device, Tensor};
use einthoven::nn::kernel::{
    Activation, group_norm_act, group_norm_act_add, group_norm_act_reference, rms_norm, rms_norm_add,
    rms_norm_reference,
};

use super::{assert_all_near, assert_near, bits, pass, tensor, values, with_threads};

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
