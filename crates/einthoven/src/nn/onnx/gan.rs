//! The generators from noise as graphs: the counterpart of `nn::gan`.

use super::super::gan::cond_batch_norm::{norm_name, running_name};
use super::super::gan::cond_pulse2pulse::CondPulse2Pulse;
use super::super::gan::cond_wavegan_star::CondWaveganStar;
use super::super::gan::layer::{Down, PADDING, Up, decoder, encoder};
use super::super::gan::network::{GanNetwork, Kind};
use super::super::gan::pulse2pulse::{Pulse2Pulse, SLOPE};
use super::super::gan::wavegan_star::WaveganStar;
use super::super::running::EPS;
use super::{Attribute, Graph, Value};

/// Signals in mV for noise that is uniform within -1 to 1.
///
/// Inputs are `noise` `[batch, lead, time]`, of WaveGAN* `[batch, latent]`, of its conditional form `[batch, start, latent]`, and `labels` `[batch, label]` where there are
/// labels; the output is `ecg_mv` `[batch, lead, time]`, by the amplitude `scale_mv` of each lead.
pub fn graph(g: &mut Graph, network: &GanNetwork, scale_mv: &[f32]) {
    let length = network.sig_len();
    let (out, channels) = match network.kind() {
        Kind::Pulse2Pulse(network) => (pulse2pulse(g, network, length), network.config().channels),
        Kind::CondPulse2Pulse(network) => (cond_pulse2pulse(g, network, length), network.config().channels),
        Kind::WaveganStar(network) => (wavegan_star(g, network), network.config().channels),
        Kind::CondWaveganStar(network) => (cond_wavegan_star(g, network), network.config().channels),
    };
    let signal = g.op("Tanh", &[&out], &[]);
    let scale = g.floats(&[scale_mv.len(), 1], scale_mv.to_vec());
    let signal = g.mul(&signal, &scale);
    g.output("ecg_mv", &signal, &[channels, length]);
}

fn pulse2pulse(g: &mut Graph, network: &Pulse2Pulse, length: usize) -> Value {
    let c = network.config();
    let mut x = g.input("noise", &[c.channels, length]);
    let mut skips = Vec::new();
    for layer in encoder(c.width, c.channels, c.strides) {
        skips.push(x.clone());
        let values = down(g, &layer, &x);
        x = leaky(g, &values);
    }
    let [layers @ .., last] = decoder(c.width, c.channels, c.strides, true);
    for layer in layers {
        let skip = if layer.has_skip { skips.pop() } else { None };
        let values = up(g, &layer, &x, skip.as_ref());
        x = g.relu(&values);
    }
    up(g, &last, &x, None)
}

fn cond_pulse2pulse(g: &mut Graph, network: &CondPulse2Pulse, length: usize) -> Value {
    let c = network.config();
    let mut x = g.input("noise", &[c.channels, length]);
    let labels = g.input("labels", &[c.labels]);
    let (downs, [layers @ .., last]) = network.layers();
    let mut skips = Vec::new();
    for layer in downs {
        let values = down(g, &layer, &x);
        let values = steered(g, layer.name, &values, &labels);
        x = leaky(g, &values);
        skips.push(x.clone());
    }
    for layer in layers {
        let values = up(g, &layer, &x, skips.pop().as_ref());
        let values = steered(g, layer.name, &values, &labels);
        x = g.relu(&values);
    }
    let values = up(g, &last, &x, None);
    steered(g, last.name, &values, &labels)
}

fn wavegan_star(g: &mut Graph, network: &WaveganStar) -> Value {
    let c = network.config();
    let noise = g.input("noise", &[c.latent]);
    let values = g.linear("fc1", &noise);
    let values = g.reshape(&values, &[0, 5 * c.width as i64, c.start as i64]);
    let mut x = g.relu(&values);
    let [layers @ .., last] = decoder(c.width, c.channels, c.strides, false);
    for layer in layers {
        let values = up(g, &layer, &x, None);
        x = g.relu(&values);
    }
    up(g, &last, &x, None)
}

fn cond_wavegan_star(g: &mut Graph, network: &CondWaveganStar) -> Value {
    let c = network.config();
    let noise = g.input("noise", &[c.start, c.latent]);
    let labels = g.input("labels", &[c.labels]);
    let rows = g.reshape(&noise, &[-1, c.latent as i64]);
    let values = g.linear("fc1", &rows);
    let values = g.reshape(&values, &[-1, 5 * c.width as i64, c.start as i64]);
    let mut x = g.relu(&values);
    let [layers @ .., last] = network.layers();
    for layer in layers {
        let values = up(g, &layer, &x, None);
        let values = steered(g, layer.name, &values, &labels);
        x = g.relu(&values);
    }
    let values = up(g, &last, &x, None);
    steered(g, last.name, &values, &labels)
}

fn down(g: &mut Graph, layer: &Down, x: &Value) -> Value {
    g.conv(layer.name, x, layer.stride, PADDING)
}

/// The channels of `x` come before those of `skip`.
fn up(g: &mut Graph, layer: &Up, x: &Value, skip: Option<&Value>) -> Value {
    let joined = match skip {
        Some(skip) => g.concat(&[x, skip], 1),
        None => x.clone(),
    };
    let repeated = g.repeated(&joined, layer.n_in, layer.factor);
    g.conv(&format!("{}.conv1d", layer.name), &repeated, 1, PADDING)
}

fn leaky(g: &mut Graph, x: &Value) -> Value {
    g.op("LeakyRelu", &[x], &[("alpha", Attribute::Float(SLOPE as f32))])
}

/// The normalization after a layer by its running statistics, with gain and bias of the labels.
fn steered(g: &mut Graph, layer: &str, x: &Value, labels: &Value) -> Value {
    let name = norm_name(layer);
    let [mean, variance] =
        ["running_mean", "running_var"].map(|what| g.weight(&format!("{}.{what}", running_name(&name)), None));
    let embedding = format!("{name}.embed.weight");
    let channels = g.array(&embedding).0.last().map_or(0, |both| both / 2);
    let (ones, zeros) = (g.floats(&[channels], vec![1.0; channels]), g.floats(&[channels], vec![0.0; channels]));
    let inputs = [x, &ones, &zeros, &mean, &variance];
    let normed = g.op("BatchNormalization", &inputs, &[("epsilon", Attribute::Float(EPS as f32))]);
    let both = g.embed(&embedding, labels);
    let both = g.unsqueeze(&both, 2);
    let (gain, bias) = (g.narrow(&both, 1, 0, channels), g.narrow(&both, 1, channels, channels));
    let scaled = g.mul(&normed, &gain);
    g.add(&scaled, &bias)
}
