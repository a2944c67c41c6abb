//! Parts of a network whose intermediate values are not kept for the backward pass but computed again in it: less
//! memory for up to a third more time, and the same gradients bit by bit.
//!
//! Offered by networks that are a chain, where a part's only input that others read too is a row per record.
//! The order in which gradients of such rows are added up is that of the parts, with and without.
//!
//! # Reference
//! Chen et al. 2016, "Training deep nets with sublinear memory cost", section 4.

use burn::tensor::Tensor;

use super::kernel::recompute;
use super::weights::{Params, View};

/// `part` of `p`, `x` and `rows`; recomputed in the backward pass where [`View::recomputes`].
///
/// `part` reads the parameters of `p` that lie below one of `names` and no others.
///
/// # Shape
/// `x` and the result `[batch, channel, time]`, the same; each of `rows` `[batch, width]`.
///
/// # Panics
/// If it is recomputed and reads more than 64 tensors, or leaves the shape of `x`.
pub fn recomputed(
    p: &View,
    names: &[String],
    x: Tensor<3>,
    rows: Vec<Tensor<2>>,
    part: impl Fn(&View, Tensor<3>, Vec<Tensor<2>>) -> Tensor<3> + Send + Sync + 'static,
) -> Tensor<3> {
    if !p.recomputes() {
        return part(p, x, rows);
    }
    let shape = x.dims();
    let row_shapes: Vec<[usize; 2]> = rows.iter().map(Tensor::dims).collect();
    let parameters = p.below(names);
    let (prefix, shapes): (String, Vec<(String, Vec<usize>)>) =
        (p.name().into(), parameters.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect());
    let mut inputs = vec![flat(x)];
    inputs.extend(rows.into_iter().map(flat));
    inputs.extend(parameters.into_values().map(|(_, values)| values));
    let out = recompute(inputs, move |inputs| {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("as many inputs as were given");
        let x = next().reshape(shape);
        let rows = row_shapes.iter().map(|shape| next().reshape(*shape)).collect();
        let values = shapes.iter().map(|(name, shape)| (name.clone(), (shape.clone(), next()))).collect();
        let params = Params::from_parts(values);
        flat(part(&params.root().at(&prefix), x, rows))
    });
    out.reshape(shape)
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.dims().iter().product::<usize>();
    tensor.reshape([count])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::dataset::condition::Told;
    use crate::nn::activations::Activations;
    use crate::nn::diffwave::{Diffwave, DiffwaveConfig};
    use crate::nn::dit::{Dit, DitConfig};
    use crate::nn::sssd::{Sssd, SssdConfig, StateSpace};
    use crate::nn::weights::{Init, ParamSpec, Weights, host};
    use crate::seed::Seed;

    /// Loss and gradients of a network on three items of two leads, with two labels each, as bits.
    fn bits(
        params: &Params,
        network: impl Fn(&View, Tensor<3>, Tensor<1>, Tensor<2>) -> Tensor<3>,
    ) -> (u32, BTreeMap<String, Vec<u32>>) {
        let device = Device::flex().autodiff();
        let mut values = vec![0.0f32; 2 * 3 * 2 * 20];
        Seed::new(3).stream().fill_normal(&mut values);
        let (x, target) = values.split_at(3 * 2 * 20);
        let signal = |values: &[f32]| Tensor::<3>::from_data(TensorData::new(values.to_vec(), [3, 2, 20]), &device);
        let time = Tensor::from_floats([1.0, 7.0, 4.5], &device);
        let labels = Tensor::from_floats([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], &device);
        let out = network(&params.root(), signal(x), time, labels);
        let loss = (out - signal(target)).square().mean();
        let gradients = params.gradients(loss.backward());
        let to_bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
        (host(loss)[0].to_bits(), gradients.into_iter().map(|(name, values)| (name, to_bits(values))).collect())
    }

    /// Each with and without; weights of zero would hide what stands before them. By what share of their norm the
    /// gradients change where activations are held as bf16 instead, which changes no loss.
    fn assert_same(
        specs: Vec<ParamSpec>,
        start: impl Fn(&[ParamSpec]) -> Weights,
        network: impl Fn(&View, Tensor<3>, Tensor<1>, Tensor<2>) -> Tensor<3>,
    ) -> f64 {
        let specs: Vec<ParamSpec> = specs
            .into_iter()
            .map(|spec| if spec.init == Init::Zeros { ParamSpec { init: Init::Normal(0.2), ..spec } } else { spec })
            .collect();
        let mut weights = start(&specs);
        for (name, weight) in Weights::initialize(&specs, Seed::new(2)).entries {
            if weights.entries[&name].values.iter().all(|value| *value == 0.0) {
                weights.entries.insert(name, weight);
            }
        }
        let params = weights.tracked(&Device::flex());
        let kept = bits(&params, &network);
        let recomputed = bits(&weights.tracked(&Device::flex()).holding(Activations::Recomputed), &network);
        assert!(kept.1.values().flatten().any(|bits| *bits != 0));
        for (name, values) in &kept.1 {
            assert!(values == &recomputed.1[name], "{name} has another gradient");
        }
        let rounded = bits(&weights.tracked(&Device::flex()).holding(Activations::Bf16), &network);
        assert_eq!((kept.0, kept.0), (recomputed.0, rounded.0));
        let value = |bits: &u32| f64::from(f32::from_bits(*bits));
        let pairs = kept.1.values().flatten().zip(rounded.1.values().flatten());
        let [error, norm] = pairs
            .fold([0.0, 0.0], |[error, norm], (a, b)| [error + (value(a) - value(b)).powi(2), norm + value(a).powi(2)]);
        (error / norm).sqrt()
    }

    /// More layers than are recomputed together, and not a multiple of them.
    #[test]
    fn diffwave_learns_the_same_bits() {
        let network = Diffwave::new(DiffwaveConfig {
            channels: 2,
            width: 6,
            layers: 10,
            dilation_cycle: 3,
            steps: 10,
            mel_bands: 0,
            labels: 2,
            label_width: 5,
            is_paired: false,
            told: Told::default(),
        })
        .unwrap();
        let start = |specs: &[ParamSpec]| Weights::initialize(specs, Seed::new(1));
        let of_bf16 = assert_same(network.params(), start, |p, x, time, labels| {
            network.forward(p, x, time, Some(labels), None).unwrap()
        });
        assert!(of_bf16 > 0.0 && of_bf16 < 1e-2, "{of_bf16}");
    }

    #[test]
    fn sssd_learns_the_same_bits() {
        for state_space in [StateSpace::Frozen, StateSpace::Diagonal] {
            let config = SssdConfig {
                channels: 2,
                out_channels: 2,
                width: 4,
                skip_width: 6,
                blocks: 3,
                step_width: [8, 8, 8],
                length: 20,
                state: 8,
                label_width: 5,
                state_space,
                ..SssdConfig::published(2)
            };
            let network = Sssd::new(config, Seed::new(4)).unwrap();
            let of_bf16 = assert_same(
                network.params(),
                |_| network.start(Seed::new(1)),
                |p, x, time, labels| network.forward(p, x, time, Some(labels), None).unwrap(),
            );
            assert!(of_bf16 > 0.0 && of_bf16 < 1e-2, "{of_bf16}");
        }
    }

    #[test]
    fn a_diffusion_transformer_learns_the_same_bits() {
        let network = Dit::new(DitConfig {
            channels: 2,
            patch: 4,
            width: 8,
            depth: 3,
            heads: 2,
            hidden_times: 2,
            time_width: 6,
            labels: 2,
            told: Told::default(),
        })
        .unwrap();
        let start = |specs: &[ParamSpec]| Weights::initialize(specs, Seed::new(1));
        let forward = |p: &View, x, time, labels| network.forward(p, x, time, Some(labels)).unwrap();
        // It has no gated layer.
        assert_eq!(assert_same(network.params(), start, forward), 0.0);
    }

    /// The part runs once more in the backward pass, and gives no gradient to what needs none.
    #[test]
    fn a_part_is_computed_again_only_where_it_is_asked_for() {
        let specs = ["inside.weight", "beside.weight"].map(|name| ParamSpec {
            name: name.into(),
            shape: vec![1, 2, 1],
            init: Init::Normal(1.0),
        });
        let params = Weights::initialize(&specs, Seed::new(1)).tracked(&Device::flex());
        for (params, expected) in [(params.clone(), 1), (params.holding(Activations::Recomputed), 2)] {
            let runs = Arc::new(AtomicUsize::new(0));
            let counted = runs.clone();
            let x = Tensor::<3>::ones([2, 2, 5], &Device::flex().autodiff());
            let out = recomputed(&params.root(), &["inside".into()], x, Vec::new(), move |p, x, _| {
                counted.fetch_add(1, Ordering::Relaxed);
                x * p.at("inside").get::<3>("weight")
            });
            let gradients = params.gradients(out.sum().backward());
            assert_eq!(runs.load(Ordering::Relaxed), expected);
            assert_eq!((&gradients["inside.weight"], &gradients["beside.weight"]), (&vec![10.0; 2], &vec![0.0; 2]));
        }
    }
}
