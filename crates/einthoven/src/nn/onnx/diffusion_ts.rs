//! Diffusion-TS as a graph. Which frequencies are the strongest is found by the k-th largest power, so that of equal ones
//! all are kept.

use super::super::diffusion_ts::{DiffusionTs, DiffusionTsConfig, EPSILON, Gelu};
use super::{Attribute, DenoiserInputs, Graph, Value};
use crate::error::{Error, Result};

/// What all blocks share.
struct Shared<'a> {
    c: &'a DiffusionTsConfig,
    told: Value,
    /// Powers of time, `[time, power]`.
    powers: Value,
    /// `[2 * bin, time]` and its transpose.
    waves: [Value; 2],
    bins: usize,
    kept: usize,
    factor: f64,
}

/// The sum of the parts of `nn::diffusion_ts`.
///
/// # Errors
/// [`Error::Shape`] for another length than the network's.
pub fn graph(g: &mut Graph, network: &DiffusionTs, length: usize) -> Result<()> {
    let c = network.config();
    if length != c.length {
        return Err(Error::Shape { what: "signal".into(), expected: vec![c.length], actual: vec![length] });
    }
    let inputs = DenoiserInputs::declare(g, c.channels, c.length, c.labels, &c.told);
    let mut told = g.sinusoidal(&inputs.time, c.width, 10_000.0);
    if let Some(labels) = inputs.embed(g, &c.tables()) {
        told = g.add(&told, &labels);
    }
    let told = g.silu(&told);
    let (waves, bins, kept) = network.season_waves();
    let powers = network.trend_powers();
    let powers = g.floats(&[c.length, powers.len() / c.length], powers);
    let waves = g.floats(&[2 * bins, c.length], waves.to_vec());
    let turned = g.permute(&waves, &[1, 0]);
    let shared = Shared { c, told, powers, waves: [waves, turned], bins, kept, factor: network.season_factor() };

    let embedded = g.conv("model.emb.sequential.1", &inputs.x, 1, 1);
    let mut memory = positioned(g, &embedded, "model.pos_enc.pe");
    for layer in 0..c.encoder_layers {
        let name = format!("model.encoder.blocks.{layer}");
        let normed = shared.step_norm(g, &format!("{name}.ln1"), &memory);
        let mixed = shared.attend(g, &format!("{name}.attn"), &normed, &normed);
        let x = g.add(&memory, &mixed);
        let out = shared.mlp(g, &name, &x);
        memory = g.add(&x, &out);
    }
    let mut x = positioned(g, &embedded, "model.pos_dec.pe");
    let mut parts: [Option<Value>; 2] = [None, None];
    let mut means = Vec::new();
    for layer in 0..c.decoder_layers {
        let decoded = shared.decode(g, &format!("model.decoder.blocks.{layer}"), &x, &memory);
        for (sum, part) in parts.iter_mut().zip([decoded.trend, decoded.season]) {
            *sum = Some(match sum.take() {
                Some(sum) => g.add(&sum, &part),
                None => part,
            });
        }
        x = decoded.x;
        means.push(decoded.mean);
    }
    let residual = g.conv("model.inverse.sequential.1", &x, 1, 1);
    let means = g.concat(&means.iter().collect::<Vec<_>>(), 2);
    let means = g.permute(&means, &[0, 2, 1]);
    let level = g.conv("model.combine_m", &means, 1, 0);
    let level = g.permute(&level, &[0, 2, 1]);
    // The mean of what is left goes from the residual to the trend: the sum of the parts does not see it.
    let mut sum = g.add(&level, &residual);
    let [trend, season] = parts;
    if let Some(trend) = trend {
        sum = g.add(&sum, &trend);
    }
    if let Some(season) = season {
        let around = circular(g, &season, c.length, c.season_kernel / 2);
        let season = g.conv("model.combine_s", &around, 1, 0);
        sum = g.add(&sum, &season);
    }
    g.output("prediction", &sum, &[c.channels, c.length]);
    Ok(())
}

/// What a decoder block gives, as in `nn::diffusion_ts`.
struct Decoded {
    x: Value,
    mean: Value,
    trend: Value,
    season: Value,
}

impl Shared<'_> {
    fn decode(&self, g: &mut Graph, name: &str, x: &Value, memory: &Value) -> Decoded {
        let length = self.c.length;
        let normed = self.step_norm(g, &format!("{name}.ln1"), x);
        let mixed = self.attend(g, &format!("{name}.attn1"), &normed, &normed);
        let x = g.add(x, &mixed);
        let normed = self.step_norm(g, &format!("{name}.ln1_1"), &x);
        let mixed = self.attend(g, &format!("{name}.attn2"), &normed, memory);
        let x = g.add(&x, &mixed);
        let turned = g.permute(&x, &[0, 2, 1]);
        let mixed = g.conv(&format!("{name}.proj"), &turned, 1, 0);
        let for_trend = g.narrow(&mixed, 1, 0, length);
        let trend = self.trend(g, &format!("{name}.trend"), &for_trend);
        let for_season = g.narrow(&mixed, 1, length, length);
        let season = self.season(g, &for_season);
        let out = self.mlp(g, name, &x);
        let x = g.add(&x, &out);
        let mean = g.mean(&x, 2);
        let left = g.op("Sub", &[&x, &mean], &[]);
        Decoded { x: left, mean: g.dense(&format!("{name}.linear"), &mean), trend, season }
    }

    fn step_norm(&self, g: &mut Graph, name: &str, x: &Value) -> Value {
        let width = self.c.width;
        let told = g.linear(&format!("{name}.linear"), &self.told);
        let told = g.unsqueeze(&told, 2);
        let scale = g.narrow(&told, 1, 0, width);
        let scale = g.plus(&scale, 1.0);
        let shift = g.narrow(&told, 1, width, width);
        let normed = g.layer_norm(x, EPSILON);
        let scaled = g.mul(&normed, &scale);
        g.add(&scaled, &shift)
    }

    fn attend(&self, g: &mut Graph, name: &str, x: &Value, memory: &Value) -> Value {
        let query = g.dense(&format!("{name}.query"), x);
        let key = g.dense(&format!("{name}.key"), memory);
        let value = g.dense(&format!("{name}.value"), memory);
        let qkv = g.concat(&[&query, &key, &value], 1);
        let mixed = g.attention(&qkv, self.c.heads, self.c.width / self.c.heads);
        g.dense(&format!("{name}.proj"), &mixed)
    }

    fn mlp(&self, g: &mut Graph, name: &str, x: &Value) -> Value {
        let normed = g.layer_norm(x, EPSILON);
        let normed = g.affine(&format!("{name}.ln2"), &normed);
        let hidden = g.dense(&format!("{name}.mlp.0"), &normed);
        let hidden = self.gelu(g, &hidden);
        g.dense(&format!("{name}.mlp.2"), &hidden)
    }

    fn gelu(&self, g: &mut Graph, x: &Value) -> Value {
        match self.c.gelu {
            Gelu::Exact => g.gelu(x),
            Gelu::Sigmoid => {
                let scaled = g.times(x, 1.702);
                let open = g.op("Sigmoid", &[&scaled], &[]);
                g.mul(x, &open)
            }
        }
    }

    /// From `[batch, time, width]` to `[batch, lead, time]`.
    fn trend(&self, g: &mut Graph, name: &str, x: &Value) -> Value {
        let x = g.conv(&format!("{name}.trend.0"), x, 1, 1);
        let x = self.gelu(g, &x);
        let x = g.permute(&x, &[0, 2, 1]);
        let coefficients = g.conv(&format!("{name}.trend.3"), &x, 1, 1);
        let coefficients = g.permute(&coefficients, &[0, 2, 1]);
        let trend = g.matmul(&self.powers, &coefficients);
        g.permute(&trend, &[0, 2, 1])
    }

    /// From `[batch, time, width]` to `[batch, width, time]`.
    fn season(&self, g: &mut Graph, x: &Value) -> Value {
        if self.kept == 0 {
            let nothing = g.times(x, 0.0);
            return g.permute(&nothing, &[0, 2, 1]);
        }
        let spectrum = g.matmul(&self.waves[0], x);
        let squares = g.mul(&spectrum, &spectrum);
        let (real, imaginary) = (g.narrow(&squares, 1, 0, self.bins), g.narrow(&squares, 1, self.bins, self.bins));
        let power = g.add(&real, &imaginary);
        let largest = g.largest(&power, self.kept, 1);
        let least = g.narrow(&largest, 1, self.kept - 1, 1);
        let mask = g.op("GreaterOrEqual", &[&power, &least], &[]);
        // 1 is the element type of numbers.
        let mask = g.op("Cast", &[&mask], &[("to", Attribute::Int(1))]);
        let mask = g.concat(&[&mask, &mask], 1);
        let strongest = g.mul(&spectrum, &mask);
        let season = g.matmul(&self.waves[1], &strongest);
        let season = g.times(&season, self.factor);
        g.permute(&season, &[0, 2, 1])
    }
}

fn positioned(g: &mut Graph, x: &Value, name: &str) -> Value {
    let positions = g.weight(name, None);
    let positions = g.permute(&positions, &[0, 2, 1]);
    g.add(x, &positions)
}

fn circular(g: &mut Graph, x: &Value, length: usize, padding: usize) -> Value {
    if padding == 0 {
        return x.clone();
    }
    let (end, start) = (g.narrow(x, 2, length - padding, padding), g.narrow(x, 2, 0, padding));
    g.concat(&[&end, x, &start], 2)
}
