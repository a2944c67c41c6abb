//! Published classifiers: their settings in our words, their state dicts under the original's keys.
//!
//! `arguments` has the constructors' arguments by name; here a state dict is sorted and checked.

mod arguments;
mod shapes;

use serde_json::Value;

use super::xresnet1d::depths;
use super::{BenchmarkNetwork, Layers};
use crate::error::{Error, Result};
use crate::nn::weights::{Weight, Weights};

pub use shapes::{arguments as arguments_of, landmark};

/// A network with what its state dict held.
pub struct Imported {
    /// Its shape.
    pub network: Box<dyn BenchmarkNetwork>,
    /// The trained parameters.
    pub params: Weights,
    /// The running statistics.
    pub buffers: Weights,
}

/// Names of the networks that [`benchmark`] knows.
pub fn names() -> Vec<&'static str> {
    ["fcn_wang", "inception1d", "resnet1d_wang"].into_iter().chain(depths()).collect()
}

/// The network that the original's function `name` builds with these arguments, and its checked state dict.
///
/// `fcn_wang` takes the arguments of the `basic_conv1d` that it calls, too. Numbers of seen batches may be missing.
///
/// # Errors
/// [`Error::Unknown`] for another name; [`Error::Config`] for an argument that we do not know or a value out of range;
/// [`Error::Data`] naming every array that is missing, extra or has another shape.
pub fn benchmark(name: &str, arguments: &Value, state: &Weights) -> Result<Imported> {
    let (head, rest) = arguments::split(name, arguments)?;
    let mut state = state.clone();
    let network: Box<dyn BenchmarkNetwork> = match name {
        "fcn_wang" => Box::new(arguments::fcn_wang(head, rest)?),
        "inception1d" => Box::new(arguments::inception1d(head, rest)?),
        "resnet1d_wang" => Box::new(arguments::resnet1d_wang(head, rest)?),
        _ if depths().any(|known| known == name) => {
            drop_aliases(&mut state)?;
            Box::new(arguments::xresnet1d(name, head, rest)?)
        }
        _ => {
            let known = names().into_iter().map(String::from).collect();
            return Err(Error::Unknown { kind: "benchmark network", name: name.into(), known });
        }
    };
    let (params, buffers) = sort(&network.layers(), state, &format!("{name} state dict"))?;
    Ok(Imported { network, params, buffers })
}

/// Parameters and running statistics of a state dict.
fn sort(layers: &Layers, mut state: Weights, what: &str) -> Result<(Weights, Weights)> {
    let mut buffers = Weights::default();
    for spec in &layers.buffers {
        let found = match state.entries.remove(&spec.name) {
            // PyTorch before version 0.4.1 did not count batches.
            None if spec.shape.is_empty() => Some(Weight { shape: Vec::new(), values: vec![0.0] }),
            found => found,
        };
        buffers.entries.extend(found.map(|weight| (spec.name.clone(), weight)));
    }
    state.check(&layers.params, what)?;
    buffers.check(&layers.buffers, what)?;
    Ok((state, buffers))
}

/// Takes out the second names of convolutions, `convpath.0` for `convs`, which must hold the same values.
fn drop_aliases(state: &mut Weights) -> Result<()> {
    let aliases: Vec<String> = state.entries.keys().filter(|name| name.contains(".convpath.0.")).cloned().collect();
    for alias in aliases {
        let original = alias.replace(".convpath.0.", ".convs.");
        let second = state.entries.remove(&alias);
        if second.as_ref() != state.entries.get(&original) {
            return Err(Error::data(alias, format!("differs from {original}, expected the same values")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use serde_json::json;

    /// Arguments of the smallest deep network, and a state dict for them.
    fn small() -> (Value, Weights) {
        let arguments = json!({"num_classes": 2, "input_channels": 1, "widen": 0.125, "lin_ftrs_head": [4]});
        let (head, rest) = arguments::split("xresnet1d18", &arguments).unwrap();
        let network = arguments::xresnet1d("xresnet1d18", head, rest).unwrap();
        let mut state = Weights::initialize(&network.params(), Seed::new(1));
        state.entries.extend(network.buffers().entries);
        (arguments, state)
    }

    #[test]
    fn second_names_must_agree_and_counts_may_be_missing() {
        let (arguments, mut state) = small();
        let name = "4.0.convs.0.0.weight";
        let alias = "4.0.convpath.0.0.0.weight".to_string();
        state.entries.insert(alias.clone(), state.entries[name].clone());
        state.entries.remove("0.1.num_batches_tracked");
        let imported = benchmark("xresnet1d18", &arguments, &state).unwrap();
        assert_eq!(imported.buffers, imported.network.buffers());
        assert_eq!(imported.params.entries.len(), imported.network.params().len());
        state.entries.get_mut(&alias).unwrap().values[0] += 1.0;
        let error = benchmark("xresnet1d18", &arguments, &state).err().unwrap().to_string();
        assert!(error.starts_with(&alias), "{error}");
    }

    /// Read off its arrays, a network has the same arrays again.
    #[test]
    fn arguments_are_read_off_the_arrays() {
        for (name, arguments) in [
            ("xresnet1d18", json!({"num_classes": 3, "input_channels": 2, "widen": 0.125, "lin_ftrs_head": [4]})),
            (
                "xresnet1d50_deep",
                json!({"num_classes": 3, "input_channels": 12, "widen": 0.0625, "kernel_size": 7, "kernel_size_stem": 3,
                       "stem_szs": [4, 6, 64]}),
            ),
            ("fcn_wang", json!({"filters": [3, 4], "kernel_size": [6, 3], "lin_ftrs_head": [5, 4]})),
            ("inception1d", json!({"kernel_size": 43, "depth": 3, "bottleneck_size": 3, "nb_filters": 2})),
            ("inception1d", json!({"input_channels": 1, "bottleneck_size": 3, "nb_filters": 2, "use_residual": false})),
            (
                "resnet1d_wang",
                json!({"inplanes": 4, "kernel_size": [7, 5], "kernel_size_stem": 9, "lin_ftrs_head": [6]}),
            ),
        ] {
            let (head, rest) = arguments::split(name, &arguments).unwrap();
            let network: Box<dyn BenchmarkNetwork> = match name {
                "fcn_wang" => Box::new(arguments::fcn_wang(head, rest).unwrap()),
                "inception1d" => Box::new(arguments::inception1d(head, rest).unwrap()),
                "resnet1d_wang" => Box::new(arguments::resnet1d_wang(head, rest).unwrap()),
                _ => Box::new(arguments::xresnet1d(name, head, rest).unwrap()),
            };
            let mut state = Weights::initialize(&network.params(), Seed::new(1));
            state.entries.extend(network.buffers().entries);
            let n_matches = state.entries.keys().filter(|key| key.ends_with(landmark(name))).count();
            assert_eq!(n_matches, 1, "{name}: {}", landmark(name));
            let read = arguments_of(name, &state).unwrap();
            let imported = benchmark(name, &read, &state).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(imported.network.layers(), network.layers(), "{name}");
        }
        let error = arguments_of("fcn_wang", &Weights::default()).unwrap_err().to_string();
        assert_eq!(error, "fcn_wang state dict: 0.0.0.weight is missing");
    }

    #[test]
    fn what_we_do_not_know_is_refused_by_name() {
        let (_, state) = small();
        for (arguments, expected) in [
            (json!({"groups": 2}), "groups"),
            (json!({"sa": true}), "sa: found true"),
            (json!({"stem_szs": [8, 8, 16]}), "stem_szs: found 16"),
            (json!({"act_head": "elu"}), "act_head: found \"elu\""),
            (json!({"ps_head": [0.1, 0.2]}), "head.dropout: found 2 shares"),
            (json!({"num_classes": 3, "widen": 0.125, "lin_ftrs_head": [4]}), "0.0.weight has shape"),
        ] {
            let error = benchmark("xresnet1d18", &arguments, &state).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = benchmark("xresnet1d", &json!({}), &state).err().unwrap().to_string();
        assert!(error.starts_with("unknown benchmark network \"xresnet1d\""), "{error}");
    }
}
