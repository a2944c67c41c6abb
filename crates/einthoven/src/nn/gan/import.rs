//! Published generators and critics: their arguments and state dicts in our words.
//!
//! Settings are read by the original's argument names and defaults, weights by the original's keys.
//! Arrays that the originals store and never read (a transposed convolution in every layer up, a
//! filter after the last, a linear layer in one package) must be there and fit, and are left out.
//!
//! Facts, not code, of vlbthambawita/Pulse2Pulse and AI4HealthUOL/SSSD-ECG (MIT licence).

use serde::Deserialize;
use serde_json::{Value, json};

use super::cond_batch_norm;
use super::cond_pulse2pulse::{CondPulse2Pulse, CondPulse2PulseConfig};
use super::cond_wavegan_star::{CondWaveganStar, CondWaveganStarConfig};
use super::critic::{Critic, CriticConfig};
use super::layer::{KERNEL, STRIDES, Up, decoder};
use super::pulse2pulse::{Pulse2Pulse, Pulse2PulseConfig};
use super::wavegan_star::{WaveganStar, WaveganStarConfig};
use crate::config::from_json;
use crate::error::{Error, Result};
use crate::nn::layer::{declare_constant, declare_linear};
use crate::nn::running;
use crate::nn::weights::{Init, ParamSpec, Weights};

/// Labels of the conditional generators: a number in the original's source, not an argument.
const LABELS: usize = 71;

/// Arguments of the original generators, with their defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GeneratorArguments {
    model_size: usize,
    // Shapes nothing.
    #[serde(rename = "ngpus")]
    _ngpus: usize,
    num_channels: usize,
    post_proc_filt_len: usize,
    #[serde(rename = "verbose")]
    _verbose: bool,
    upsample: bool,
}

impl Default for GeneratorArguments {
    fn default() -> GeneratorArguments {
        GeneratorArguments {
            model_size: 50,
            _ngpus: 1,
            num_channels: 8,
            post_proc_filt_len: 512,
            _verbose: false,
            upsample: true,
        }
    }
}

/// Arguments of the original generators that have a random vector, used or not, with their defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LatentArguments {
    model_size: usize,
    // Shapes nothing.
    #[serde(rename = "ngpus")]
    _ngpus: usize,
    num_channels: usize,
    latent_dim: usize,
    post_proc_filt_len: usize,
    #[serde(rename = "verbose")]
    _verbose: bool,
    upsample: bool,
}

impl Default for LatentArguments {
    fn default() -> LatentArguments {
        LatentArguments {
            model_size: 50,
            _ngpus: 1,
            num_channels: 8,
            latent_dim: 100,
            post_proc_filt_len: 512,
            _verbose: false,
            upsample: true,
        }
    }
}

/// Arguments of the original critics, with their defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CriticArguments {
    model_size: usize,
    // Shapes nothing.
    #[serde(rename = "ngpus")]
    _ngpus: usize,
    num_channels: usize,
    shift_factor: usize,
    alpha: f64,
    #[serde(rename = "verbose")]
    _verbose: bool,
}

impl Default for CriticArguments {
    fn default() -> CriticArguments {
        CriticArguments { model_size: 64, _ngpus: 1, num_channels: 8, shift_factor: 2, alpha: 0.2, _verbose: false }
    }
}

/// The generator that `WaveGANGenerator(**arguments)` of `models/pulse2pulse.py` builds, and its
/// weights; in a training checkpoint they are `netG_state_dict`.
///
/// # Errors
/// [`Error::Config`] for an argument that we do not know or a value out of range; [`Error::Data`]
/// naming the arrays that are missing, extra or have another shape.
pub fn pulse2pulse_generator(arguments: &Value, state: &Weights) -> Result<(Pulse2Pulse, Weights)> {
    let a: GeneratorArguments = from_json("Pulse2Pulse generator", arguments)?;
    check_upsampling(a.upsample)?;
    let network = Pulse2Pulse::new(pulse2pulse_config(a.num_channels, a.model_size))?;
    let idle = idle(&decoder(a.model_size, a.num_channels, STRIDES, true), a.num_channels, a.post_proc_filt_len);
    let weights = take(state, network.params(), idle, "Pulse2Pulse generator state dict")?;
    Ok((network, weights))
}

/// As [`pulse2pulse_generator`] for `Pulse2pulseGenerator(**arguments)` of the inference package
/// deepfake-ecg, whose checkpoint holds the state dict as `stat_dict`.
///
/// # Errors
/// As [`pulse2pulse_generator`].
pub fn deepfake_ecg_generator(arguments: &Value, state: &Weights) -> Result<(Pulse2Pulse, Weights)> {
    let a: LatentArguments = from_json("deepfake-ecg generator", arguments)?;
    check_upsampling(a.upsample)?;
    let network = Pulse2Pulse::new(pulse2pulse_config(a.num_channels, a.model_size))?;
    let mut idle = idle(&decoder(a.model_size, a.num_channels, STRIDES, true), a.num_channels, a.post_proc_filt_len);
    declare_linear(&mut idle, "fc1", a.latent_dim, 10 * a.model_size);
    let weights = take(state, network.params(), idle, "deepfake-ecg generator state dict")?;
    Ok((network, weights))
}

/// The generator that `WaveGANGenerator(**arguments)` of `models/wavegan_star.py` builds, and its weights.
///
/// # Errors
/// As [`pulse2pulse_generator`].
pub fn wavegan_star_generator(arguments: &Value, state: &Weights) -> Result<(WaveganStar, Weights)> {
    let a: LatentArguments = from_json("WaveGAN* generator", arguments)?;
    check_upsampling(a.upsample)?;
    let (channels, width) = (a.num_channels, a.model_size);
    let published = WaveganStarConfig::published();
    let network = WaveganStar::new(WaveganStarConfig { channels, width, latent: a.latent_dim, ..published })?;
    let idle = idle(&decoder(width, channels, STRIDES, false), channels, a.post_proc_filt_len);
    let weights = take(state, network.params(), idle, "WaveGAN* generator state dict")?;
    Ok((network, weights))
}

/// The generator that `CondP2PGenerator(**arguments)` builds, its weights and its running statistics.
///
/// # Errors
/// As [`pulse2pulse_generator`].
pub fn cond_pulse2pulse_generator(arguments: &Value, state: &Weights) -> Result<(CondPulse2Pulse, Weights, Weights)> {
    let a: GeneratorArguments = from_json("CondP2PGenerator", arguments)?;
    check_upsampling(a.upsample)?;
    let (channels, width) = (a.num_channels, a.model_size);
    let published = CondPulse2PulseConfig::published();
    let table = state.entries.get("bn_conv1.embed.weight");
    let labels = table.and_then(|table| table.shape.first().copied()).unwrap_or(LABELS);
    let network = CondPulse2Pulse::new(CondPulse2PulseConfig { channels, width, labels, ..published })?;
    let mut idle = idle(&network.layers().1, channels, a.post_proc_filt_len);
    let running = network.running();
    idle.extend(running.clone());
    let weights = take(state, network.params(), idle, "CondP2PGenerator state dict")?;
    Ok((network, weights, only(state, &running)))
}

/// The generator that `CondWaveGANGenerator(**arguments)` builds, its weights and its running statistics.
///
/// The original stores one more normalization, of the layer that it leaves out, and never runs it.
///
/// # Errors
/// As [`pulse2pulse_generator`].
pub fn cond_wavegan_star_generator(arguments: &Value, state: &Weights) -> Result<(CondWaveganStar, Weights, Weights)> {
    let arguments = &with_default(arguments, "latent_dim", CondWaveganStarConfig::published().latent);
    let a: LatentArguments = from_json("CondWaveGANGenerator", arguments)?;
    check_upsampling(a.upsample)?;
    let (channels, width) = (a.num_channels, a.model_size);
    let published = CondWaveganStarConfig::published();
    let config = CondWaveganStarConfig { channels, width, latent: a.latent_dim, labels: LABELS, ..published };
    let network = CondWaveganStar::new(config)?;
    let mut idle = idle(&network.layers(), channels, a.post_proc_filt_len);
    cond_batch_norm::declare(&mut idle, "bn_deconv1", LABELS, 5 * width);
    running::declare(&mut idle, &cond_batch_norm::running_name("bn_deconv1"), 5 * width);
    let running = network.running();
    idle.extend(running.clone());
    let weights = take(state, network.params(), idle, "CondWaveGANGenerator state dict")?;
    Ok((network, weights, only(state, &running)))
}

/// Arguments with a value for one that is not given: another default than that of [`LatentArguments`].
fn with_default(arguments: &Value, key: &str, value: usize) -> Value {
    let mut arguments = arguments.clone();
    if let Some(given) = arguments.as_object_mut() {
        given.entry(key).or_insert(json!(value));
    }
    arguments
}

/// The critic that `WaveGANDiscriminator(**arguments)` of Pulse2Pulse and WaveGAN* builds for signals of
/// `length` points, and its weights; in a training checkpoint they are `netD_state_dict`.
///
/// The original's last layer takes 25,000 numbers, which fits 5,000 points and a model size of 50 only.
///
/// # Errors
/// As [`pulse2pulse_generator`].
pub fn pulse2pulse_critic(arguments: &Value, length: usize, state: &Weights) -> Result<(Critic, Weights)> {
    critic("WaveGANDiscriminator", 7, arguments, length, state)
}

/// The critic that `CondP2PDiscriminator(**arguments)` builds for signals of `length` points, and its weights.
///
/// # Errors
/// As [`pulse2pulse_generator`].
pub fn cond_pulse2pulse_critic(arguments: &Value, length: usize, state: &Weights) -> Result<(Critic, Weights)> {
    critic("CondP2PDiscriminator", 6, arguments, length, state)
}

/// Arguments of an original generator as far as its arrays tell them, for whoever has the arrays alone.
///
/// # Errors
/// [`Error::Data`] naming an array that every generator has and that is missing or of another rank.
pub fn generator_arguments(state: &Weights) -> Result<Value> {
    let extent = |name: &str, rank: usize, axis: usize| match state.entries.get(name) {
        None => Err(Error::data("generator state dict", format!("{name} is missing"))),
        Some(found) if found.shape.len() != rank => {
            let reason = format!("{name} has shape {:?}, expected {rank} axes", found.shape);
            Err(Error::data("generator state dict", reason))
        }
        Some(found) => Ok(found.shape[axis]),
    };
    let mut arguments = json!({
        "model_size": extent("deconv_3.conv1d.weight", 3, 0)?,
        "num_channels": extent("deconv_7.conv1d.weight", 3, 0)?,
        "post_proc_filt_len": 0,
    });
    if state.entries.contains_key("ppfilter1.weight") {
        arguments["post_proc_filt_len"] = json!(extent("ppfilter1.weight", 3, 2)?);
    }
    if state.entries.contains_key("fc1.weight") {
        arguments["latent_dim"] = json!(extent("fc1.weight", 2, 1)?);
    }
    Ok(arguments)
}

fn pulse2pulse_config(channels: usize, width: usize) -> Pulse2PulseConfig {
    Pulse2PulseConfig { channels, width, strides: STRIDES }
}

fn critic(what: &str, layers: usize, arguments: &Value, length: usize, state: &Weights) -> Result<(Critic, Weights)> {
    let a: CriticArguments = from_json(what, arguments)?;
    let network = Critic::new(CriticConfig {
        channels: a.num_channels,
        width: a.model_size,
        layers,
        length,
        shift: a.shift_factor,
        slope: a.alpha,
    })?;
    let weights = take(state, network.params(), Vec::new(), &format!("{what} state dict"))?;
    Ok((network, weights))
}

/// Without upsampling the originals run their idle layers instead, and the U-nets do not run at all.
fn check_upsampling(upsample: bool) -> Result<()> {
    if upsample { Ok(()) } else { Err(Error::config("upsample", "found false, expected true")) }
}

/// Arrays that a generator of these layers stores beside those it reads.
fn idle(layers: &[Up], channels: usize, filter: usize) -> Vec<ParamSpec> {
    let mut out = Vec::new();
    for Up { name, n_in, n_out, .. } in layers {
        // A transposed convolution has its inputs first.
        declare_constant(&mut out, &format!("{name}.Conv1dTrans.weight"), &[*n_in, *n_out, KERNEL], Init::Zeros);
        declare_constant(&mut out, &format!("{name}.Conv1dTrans.bias"), &[*n_out], Init::Zeros);
    }
    if filter > 0 {
        declare_constant(&mut out, "ppfilter1.weight", &[channels, channels, filter], Init::Zeros);
        declare_constant(&mut out, "ppfilter1.bias", &[channels], Init::Zeros);
    }
    out
}

/// Checks that a state dict holds just `params` and `others`, and returns the former.
fn take(state: &Weights, params: Vec<ParamSpec>, others: Vec<ParamSpec>, what: &str) -> Result<Weights> {
    let weights = only(state, &params);
    state.check(&[params, others].concat(), what)?;
    Ok(weights)
}

fn only(state: &Weights, specs: &[ParamSpec]) -> Weights {
    let entries = specs.iter().filter_map(|spec| Some((spec.name.clone(), state.entries.get(&spec.name)?.clone())));
    Weights { entries: entries.collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::seed::Seed;

    fn count(specs: &[ParamSpec]) -> usize {
        specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum()
    }

    /// `shapes.json` of the originals, idle arrays included.
    #[test]
    fn published_sizes_are_those_of_the_originals() {
        let unet = Pulse2Pulse::new(Pulse2PulseConfig::published()).unwrap();
        assert_eq!(count(&unet.params()) + count(&idle(&decoder(50, 8, STRIDES, true), 8, 512)), 10_540_497);
        let star = WaveganStar::new(WaveganStarConfig::published()).unwrap();
        assert_eq!(count(&star.params()) + count(&idle(&decoder(50, 8, STRIDES, false), 8, 512)), 5_538_262);
        let told = CondPulse2Pulse::new(CondPulse2PulseConfig::published()).unwrap();
        assert_eq!(count(&told.params()) + count(&idle(&told.layers().1, 8, 512)), 5_955_623);
        assert_eq!(count(&told.running()), 1466);
        // No fixture has this one; by its source: the linear map, convolutions and their idle twins, embeddings, the filter.
        let unfolded = CondWaveganStar::new(CondWaveganStarConfig::published()).unwrap();
        let convolutions = 2 * 25 * (250 * 150 + 150 * 50 + 50 * 25 + 25 * 10 + 10 * 8) + 2 * 243;
        let expected = 250 * 1001 + convolutions + 71 * 2 * 243 + 8 * 8 * 512 + 8;
        assert_eq!(count(&unfolded.params()) + count(&idle(&unfolded.layers(), 8, 512)), expected);
        assert_eq!(count(&unfolded.running()), 2 * 243 + 5);
    }

    #[test]
    fn idle_arrays_are_asked_for_and_left_out() {
        let arguments = json!({ "model_size": 5, "num_channels": 2, "post_proc_filt_len": 0 });
        let network = Pulse2Pulse::new(pulse2pulse_config(2, 5)).unwrap();
        let mut specs = network.params();
        specs.extend(idle(&decoder(5, 2, STRIDES, true), 2, 0));
        let mut state = Weights::initialize(&specs, Seed::new(1));
        let (_, weights) = pulse2pulse_generator(&arguments, &state).unwrap();
        assert_eq!(generator_arguments(&state).unwrap(), arguments);
        assert_eq!(weights.entries.len(), network.params().len());
        state.entries.remove("deconv_5.Conv1dTrans.bias");
        let error = pulse2pulse_generator(&arguments, &state).unwrap_err().to_string();
        assert!(error.contains("deconv_5.Conv1dTrans.bias is missing"), "{error}");
        for (key, value) in [("upsample", json!(false)), ("latent_dim", json!(100))] {
            let mut arguments = arguments.clone();
            arguments[key] = value;
            let error = pulse2pulse_generator(&arguments, &state).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
    #[test]
    fn a_conditional_wavegan_star_is_read_by_the_keys_of_its_source() {
        let published = CondWaveganStarConfig::published();
        let config = CondWaveganStarConfig { channels: 2, width: 5, latent: 3, ..published };
        let network = CondWaveganStar::new(config).unwrap();
        let mut specs = [network.params(), network.running(), idle(&network.layers(), 2, 16)].concat();
        cond_batch_norm::declare(&mut specs, "bn_deconv1", LABELS, 25);
        running::declare(&mut specs, "bn_deconv1.bn", 25);
        let mut state = Weights::initialize(&specs, Seed::new(1));
        for key in ["fc1.weight", "deconv_2.conv1d.weight", "bn_deconv7.embed.weight", "bn_deconv3.bn.running_mean"] {
            assert!(state.entries.contains_key(key), "{key}");
        }
        let arguments = generator_arguments(&state).unwrap();
        let (read, weights, statistics) = cond_wavegan_star_generator(&arguments, &state).unwrap();
        assert_eq!(
            (read.config(), weights.entries.len(), statistics.entries.len()),
            (&config, network.params().len(), 15)
        );
        state.entries.remove("bn_deconv1.embed.weight");
        let error = cond_wavegan_star_generator(&arguments, &state).unwrap_err().to_string();
        assert!(error.contains("bn_deconv1.embed.weight is missing"), "{error}");
    }
}
