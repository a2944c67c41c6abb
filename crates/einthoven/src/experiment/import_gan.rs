//! Published adversarial generators as runs that can be drawn from; critics are not read.

use std::path::PathBuf;

use burn::tensor::Device;

use super::generation::ROLE;
use super::import::{ImportRequest, labels, leads, leave_run, published_labels, read_json, unknown_data};
use crate::error::Result;
use crate::generators::gan_model::{GanCard, GanModel};
use crate::nn::gan::import::{
    cond_pulse2pulse_generator, cond_wavegan_star_generator, deepfake_ecg_generator, generator_arguments,
    pulse2pulse_generator, wavegan_star_generator,
};
use crate::nn::gan::network::GanNetworkConfig;
use crate::nn::weights::Weights;

/// What a publication says beside the arrays.
struct Facts {
    leads: [&'static str; 8],
    fs_hz: f64,
    /// Points in time, unless the network fixes them.
    sig_len: usize,
    /// Amplitude of one in the network's output, mV.
    scale_mv: f32,
}

/// Pulse2Pulse and WaveGAN*: 10 s at 500 Hz, divided by 6,000 uV (`pulse2pulse_train.py`).
const DEEPFAKE: Facts =
    Facts { leads: ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"], fs_hz: 500.0, sig_len: 5000, scale_mv: 6.0 };
/// The baselines of SSSD-ECG: 10 s at 100 Hz in mV as they are (`train_pulse2pulse.py`).
const BASELINE: Facts =
    Facts { leads: ["I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF"], fs_hz: 100.0, sig_len: 1000, scale_mv: 1.0 };

/// Reads the state dict of a generator and leaves a run with one model.
pub(super) fn import(request: &ImportRequest, state: &Weights) -> Result<PathBuf> {
    let arguments = match request.arguments {
        Some(path) => read_json(path)?,
        None => generator_arguments(state)?,
    };
    let (network, state, facts) = match request.generator {
        "cond-pulse2pulse" => {
            let (network, mut weights, running) = cond_pulse2pulse_generator(&arguments, state)?;
            weights.entries.extend(running.entries);
            (GanNetworkConfig::CondPulse2Pulse(*network.config()), weights, BASELINE)
        }
        "cond-wavegan-star" => {
            let (network, mut weights, running) = cond_wavegan_star_generator(&arguments, state)?;
            weights.entries.extend(running.entries);
            let (config, sig_len) = (network.config(), request.sig_len.unwrap_or(BASELINE.sig_len));
            let sized = GanNetworkConfig::CondWaveganStar(*config).sized(config.channels, config.labels, sig_len);
            (sized, weights, BASELINE)
        }
        "wavegan-star" => {
            let (network, weights) = wavegan_star_generator(&arguments, state)?;
            (GanNetworkConfig::WaveganStar(*network.config()), weights, DEEPFAKE)
        }
        // The inference package stores one more layer that it never runs.
        _ => {
            let read =
                if state.entries.contains_key("fc1.weight") { deepfake_ecg_generator } else { pulse2pulse_generator };
            let (network, weights) = read(&arguments, state)?;
            (GanNetworkConfig::Pulse2Pulse(*network.config()), weights, DEEPFAKE)
        }
    };
    let n_channels = match &network {
        GanNetworkConfig::Pulse2Pulse(c) => c.channels,
        GanNetworkConfig::CondPulse2Pulse(c) => c.channels,
        GanNetworkConfig::WaveganStar(c) => c.channels,
        GanNetworkConfig::CondWaveganStar(c) => c.channels,
    };
    let leads = leads(request, &facts.leads.map(String::from), n_channels)?;
    let n_labels = network.n_labels();
    let published = if n_labels > 0 { published_labels(n_labels)? } else { Vec::new() };
    let card = GanCard {
        format: 1,
        generator: request.generator.into(),
        role: ROLE.into(),
        label_names: labels(request, published, n_labels)?,
        network,
        scale_mv: vec![facts.scale_mv; leads.len()],
        leads,
        sig_len: request.sig_len.unwrap_or(facts.sig_len),
        fs_hz: request.fs_hz.unwrap_or(facts.fs_hz),
        training_data: unknown_data(request),
    };
    let model = GanModel::new(card, state, &Device::flex())?;
    leave_run(request, ROLE, model.hash(), |path| model.save(path))
}
