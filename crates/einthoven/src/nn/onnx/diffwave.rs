//! DiffWave as a graph.

use super::super::diffwave::{DiffwaveConfig, FEATURES, step_table};
use super::layer::Reach;
use super::{Attribute, DenoiserInputs, Graph, Value};
use crate::error::{Error, Result};

/// The prediction of `nn::diffwave` for signals of a length.
///
/// # Errors
/// [`Error::Unsupported`] for a network that is told a spectrogram.
pub fn graph(g: &mut Graph, c: &DiffwaveConfig, length: usize) -> Result<()> {
    if c.mel_bands > 0 {
        return Err(Error::Unsupported { what: "the ONNX export of a DiffWave that is told a spectrogram".into() });
    }
    let inputs = DenoiserInputs::declare(g, c.channels, length, c.labels, &c.told);
    let labels = inputs.embed(g, &c.tables());
    let x = g.conv("input_projection", &inputs.x, 1, 0);
    let mut x = g.relu(&x);
    let step = embed_step(g, c, &inputs.time);
    let mut skips = None;
    for layer in 0..c.layers {
        let name = format!("residual_layers.{layer}");
        let dilation = 1 << (layer % c.dilation_cycle);
        let shift = g.linear(&format!("{name}.diffusion_projection"), &step);
        let shift = g.unsqueeze(&shift, 2);
        let shifted = g.add(&x, &shift);
        let weight = g.weight(&format!("{name}.dilated_conv.weight"), None);
        let bias = g.weight(&format!("{name}.dilated_conv.bias"), None);
        let reach = Reach { padding: [dilation; 2], dilation, ..Reach::new(1, 0) };
        let mut gated = g.convolve(&shifted, &weight, Some(&bias), reach);
        if let Some(labels) = &labels {
            let told = g.linear(&format!("{name}.label_projection"), labels);
            let told = g.unsqueeze(&told, 2);
            gated = g.add(&gated, &told);
        }
        let gated = g.gate(&gated, c.width, true);
        let out = g.conv(&format!("{name}.output_projection"), &gated, 1, 0);
        let residual = g.narrow(&out, 1, 0, c.width);
        let sum = g.add(&x, &residual);
        x = g.times(&sum, 0.5f64.sqrt());
        let skip = g.narrow(&out, 1, c.width, c.width);
        skips = Some(match skips {
            Some(skips) => g.add(&skips, &skip),
            None => skip,
        });
    }
    // A network has at least one layer.
    let skips = skips.unwrap_or(x);
    let skips = g.times(&skips, (1.0 / c.layers as f64).sqrt());
    let x = g.conv("skip_projection", &skips, 1, 0);
    let x = g.relu(&x);
    let out = g.conv("output_projection", &x, 1, 0);
    g.output("prediction", &out, &[c.channels, length]);
    Ok(())
}

/// Rows of the step table, interpolated, through two maps.
fn embed_step(g: &mut Graph, c: &DiffwaveConfig, time: &Value) -> Value {
    let table = g.floats(&[c.steps, FEATURES], step_table(c.steps));
    let (least, most) = (g.float(0.0), g.float((c.steps - 1) as f32));
    let time = g.op("Clip", &[time, &least, &most], &[]);
    let mut row = |rounding| {
        let step = g.op(rounding, &[&time], &[]);
        // 7 is the element type of whole numbers.
        let index = g.op("Cast", &[&step], &[("to", Attribute::Int(7))]);
        (g.op("Gather", &[&table, &index], &[("axis", Attribute::Int(0))]), step)
    };
    let ((low, floor), (high, _)) = (row("Floor"), row("Ceil"));
    let share = g.op("Sub", &[&time, &floor], &[]);
    let share = g.unsqueeze(&share, 1);
    let rise = g.op("Sub", &[&high, &low], &[]);
    let rise = g.mul(&rise, &share);
    let features = g.add(&low, &rise);
    let hidden = g.linear("diffusion_embedding.projection1", &features);
    let hidden = g.silu(&hidden);
    let hidden = g.linear("diffusion_embedding.projection2", &hidden);
    g.silu(&hidden)
}
