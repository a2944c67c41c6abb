//! The 1-D U-Net as a graph.

use super::super::shown_beats;
use super::super::unet1d::{Norm, RMS_EPSILON, TimeFeatures, Unet1dConfig};
use super::layer::Reach;
use super::{Attribute, DenoiserInputs, Graph, Value};

/// Added to the variance of a group and of a standardized weight.
const EPSILON: f64 = 1e-5;

/// The prediction of `nn::unet1d` for signals of a length; one that takes its own estimate is given zeros, and one that is
/// shown the beats takes their channels as `beats`.
pub fn graph(g: &mut Graph, c: &Unet1dConfig, length: usize) {
    let inputs = DenoiserInputs::declare(g, c.channels, length, c.classes, &c.told);
    let full = length.next_multiple_of(c.length_multiple());
    let mut x = inputs.x.clone();
    if c.beats {
        let beats = g.input("beats", &[shown_beats::n_channels(c.waves), length]);
        x = g.concat(&[&x, &beats], 1);
    }
    x = g.mirrored(&x, full - length);
    if c.self_condition {
        let previous = g.times(&x, 0.0);
        x = g.concat(&[&previous, &x], 1);
    }
    let stem = g.conv("init_conv", &x, c.stem_stride, 3);
    let told = embed(g, c, &inputs);
    let mut unet = Unet { g, c, told };
    let x = unet.levels(stem);
    let g = unet.g;
    let mut out = g.conv("final_conv", &x, 1, 0);
    if c.stem_stride > 1 {
        let (channels, factor) = (c.out_channels as i64, c.stem_stride as i64);
        out = g.reshape(&out, &[0, channels, factor, -1]);
        out = g.permute(&out, &[0, 1, 3, 2]);
        out = g.reshape(&out, &[0, channels, -1]);
    }
    let out = g.narrow(&out, 2, 0, length);
    g.output("prediction", &out, &[c.out_channels, length]);
}

/// One vector per item for the noise level, the class and the facts, after the last activation.
fn embed(g: &mut Graph, c: &Unet1dConfig, inputs: &DenoiserInputs) -> Value {
    let features = match c.time_features {
        TimeFeatures::Sinusoidal => g.sinusoidal(&inputs.time, c.time_width, c.time_theta),
        TimeFeatures::Fourier => {
            let (shape, rates) = g.array("time_mlp.0.weights");
            let rates: Vec<f32> = rates.iter().map(|rate| rate * std::f32::consts::TAU).collect();
            let rates = g.floats(&[1, shape[0]], rates);
            let time = g.unsqueeze(&inputs.time, 1);
            let angles = g.mul(&time, &rates);
            let (sines, cosines) = (g.op("Sin", &[&angles], &[]), g.op("Cos", &[&angles], &[]));
            g.concat(&[&time, &sines, &cosines], 1)
        }
    };
    let hidden = g.linear("time_mlp.1", &features);
    let hidden = g.gelu(&hidden);
    let mut told = g.linear("time_mlp.3", &hidden);
    let classes = inputs.labels.as_ref().map(|labels| {
        let sizes = g.op("Abs", &[labels], &[]);
        let attributes = [("axes", Attribute::Ints(vec![1])), ("keepdims", Attribute::Int(1))];
        let largest = g.op("ReduceMax", &[&sizes], &attributes);
        let zero = g.float(0.0);
        let is_absent = g.op("Equal", &[&largest, &zero], &[]);
        // 1 is the element type of numbers.
        let absent = g.op("Cast", &[&is_absent], &[("to", Attribute::Int(1))]);
        let rows = g.concat(&[labels, &absent], 1);
        g.embed("classes_emb.weight", &rows)
    });
    if let Some(classes) = inputs.add_facts(g, classes) {
        let hidden = g.linear("classes_mlp.0", &classes);
        let hidden = g.gelu(&hidden);
        let classes = g.linear("classes_mlp.2", &hidden);
        told = g.concat(&[&told, &classes], 1);
    }
    g.silu(&told)
}

/// The network between stem and head.
struct Unet<'g, 'w, 'c> {
    g: &'g mut Graph<'w>,
    c: &'c Unet1dConfig,
    told: Value,
}

impl Unet<'_, '_, '_> {
    fn levels(&mut self, stem: Value) -> Value {
        let c = self.c;
        let last = c.multipliers.len() - 1;
        let mut x = stem.clone();
        let mut skips = Vec::new();
        for i in 0..=last {
            for b in 0..c.blocks {
                x = self.block(&format!("downs.{i}.{b}"), x, None);
                if b + 1 < c.blocks {
                    skips.push(x.clone());
                }
            }
            x = self.level_attention(&format!("downs.{i}.{}", c.blocks), x);
            skips.push(x.clone());
            let stride = if i < last { 2 } else { 1 };
            x = self.g.conv(&format!("downs.{i}.{}", c.blocks + 1), &x, stride, 1);
        }
        x = self.block("mid_block1", x, None);
        let [heads, width] = c.middle_attention;
        let normed = self.g.rms_norm("mid_attn.fn.norm", &x, RMS_EPSILON);
        let qkv = self.g.conv("mid_attn.fn.fn.to_qkv", &normed, 1, 0);
        let mixed = self.g.attention(&qkv, heads, width);
        let mixed = self.g.conv("mid_attn.fn.fn.to_out", &mixed, 1, 0);
        x = self.g.add(&x, &mixed);
        x = self.block("mid_block2", x, None);
        for i in 0..=last {
            for b in 0..c.blocks {
                let skip = skips.pop();
                x = self.block(&format!("ups.{i}.{b}"), x, skip);
            }
            x = self.level_attention(&format!("ups.{i}.{}", c.blocks), x);
            let name = format!("ups.{i}.{}", c.blocks + 1);
            x = match i < last {
                true => {
                    let channels = c.width * c.multipliers[last - i];
                    let wide = self.g.repeated(&x, channels, 2);
                    self.g.conv(&format!("{name}.1"), &wide, 1, 1)
                }
                false => self.g.conv(&name, &x, 1, 1),
            };
        }
        self.block("final_res_block", x, Some(stem))
    }

    fn block(&mut self, name: &str, x: Value, skip: Option<Value>) -> Value {
        let joined = match &skip {
            Some(skip) => self.g.concat(&[&x, skip], 1),
            None => x,
        };
        let scale_shift = self.g.linear(&format!("{name}.mlp.1"), &self.told);
        let n_out = self.g.array(&format!("{name}.mlp.1.bias")).0[0] / 2;
        let scale_shift = self.g.unsqueeze(&scale_shift, 2);
        let scale = self.g.narrow(&scale_shift, 1, 0, n_out);
        let scale = self.g.plus(&scale, 1.0);
        let shift = self.g.narrow(&scale_shift, 1, n_out, n_out);
        let h = self.half(&format!("{name}.block1"), &joined);
        let h = self.g.mul(&h, &scale);
        let h = self.g.add(&h, &shift);
        let h = self.g.silu(&h);
        let direct = format!("{name}.res_conv");
        let direct = match self.g.has(&format!("{direct}.weight")) {
            true => self.g.conv(&direct, &joined, 1, 0),
            false => joined,
        };
        let h = self.half(&format!("{name}.block2"), &h);
        let h = self.g.silu(&h);
        self.g.add(&h, &direct)
    }

    /// Convolution and normalization of half a block.
    fn half(&mut self, name: &str, x: &Value) -> Value {
        let norm = format!("{name}.norm");
        match self.c.norm {
            Norm::Rms => {
                let h = self.g.conv(&format!("{name}.proj"), x, 1, 1);
                self.g.rms_norm(&norm, &h, RMS_EPSILON)
            }
            Norm::Group => {
                let weight = format!("{name}.proj.weight");
                let (shape, values) = self.g.array(&weight);
                let weight = self.g.named(&weight, shape.clone(), standardized(values, shape[0]));
                let bias = self.g.weight(&format!("{name}.proj.bias"), None);
                let h = self.g.convolve(x, &weight, Some(&bias), Reach::new(1, 1));
                self.g.group_norm(&norm, &h, self.c.groups, EPSILON)
            }
        }
    }

    fn level_attention(&mut self, name: &str, x: Value) -> Value {
        let [heads, width] = self.c.level_attention;
        let normed = self.g.rms_norm(&format!("{name}.fn.norm"), &x, RMS_EPSILON);
        let qkv = self.g.conv(&format!("{name}.fn.fn.to_qkv"), &normed, 1, 0);
        let mixed = self.g.linear_attention(&qkv, heads, width);
        let out = self.g.conv(&format!("{name}.fn.fn.to_out.0"), &mixed, 1, 0);
        let out = self.g.rms_norm(&format!("{name}.fn.fn.to_out.1"), &out, RMS_EPSILON);
        self.g.add(&out, &x)
    }
}

/// A weight of mean 0 and variance 1 for each output channel.
fn standardized(mut values: Vec<f32>, n_out: usize) -> Vec<f32> {
    let row = (values.len() / n_out.max(1)).max(1);
    for row in values.chunks_mut(row) {
        let n = row.len() as f64;
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        let sd = (variance + EPSILON).sqrt();
        row.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) / sd) as f32);
    }
    values
}
