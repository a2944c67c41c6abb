//! SSSD as a graph: its state space layers are convolutions with kernels that are computed once, at export.

use burn::tensor::Device;

use super::super::sssd::{LAYERS, Sssd, SssdConfig, StateSpace, block_name};
use super::super::weights::Weights;
use super::layer::Reach;
use super::{DenoiserInputs, Graph, Value};
use crate::error::Result;

/// Added to the variance in layer normalization.
const EPSILON: f64 = 1e-5;

/// The prediction of `nn::sssd` with these weights for signals of a length.
///
/// # Errors
/// [`crate::Error::Shape`] for a length beyond that of frozen kernels.
pub fn graph(g: &mut Graph, network: &Sssd, weights: &Weights, length: usize) -> Result<()> {
    let c = network.config();
    let kernels = network.taps(&weights.on(&Device::flex()).root(), length)?;
    let inputs = DenoiserInputs::declare(g, c.channels, length, c.labels, &c.told);
    let x = g.conv_normed("init_conv.0.conv", &inputs.x, Reach::new(1, 0));
    let mut x = g.relu(&x);
    let features = g.sinusoidal(&inputs.time, c.step_width[0], 10_000.0);
    let hidden = g.linear("residual_layer.fc_t1", &features);
    let hidden = g.silu(&hidden);
    let told = g.linear("residual_layer.fc_t2", &hidden);
    let told = g.silu(&told);
    let labels = inputs.embed(g, &c.tables());

    let mut kernels = kernels.into_iter();
    let mut skips: Option<Value> = None;
    for block in 0..c.blocks {
        let name = block_name(block);
        let step = g.linear(&format!("{name}.fc_t"), &told);
        let step = g.unsqueeze(&step, 2);
        let shifted = g.add(&x, &step);
        let mut h = g.conv_normed(&format!("{name}.conv_layer.conv"), &shifted, Reach::new(1, 1));
        for ((at, layer), (taps, origin)) in LAYERS.iter().enumerate().zip(kernels.by_ref()) {
            h = state_space(g, c, &format!("{name}.{layer}"), h, taps, origin);
            if let Some(labels) = labels.as_ref().filter(|_| at == 0) {
                let told = g.linear(&format!("{name}.fc_label"), labels);
                let told = g.unsqueeze(&told, 2);
                h = g.add(&h, &told);
            }
        }
        let gated = g.gate(&h, c.width, false);
        let residual = g.conv_normed(&format!("{name}.res_conv"), &gated, Reach::new(1, 0));
        let sum = g.add(&x, &residual);
        x = g.times(&sum, 0.5f64.sqrt());
        let skip = g.conv_normed(&format!("{name}.skip_conv"), &gated, Reach::new(1, 0));
        skips = Some(match skips {
            Some(skips) => g.add(&skips, &skip),
            None => skip,
        });
    }
    // A network has at least one block.
    let skips = skips.unwrap_or(x);
    let skips = g.times(&skips, (1.0 / c.blocks as f64).sqrt());
    let x = g.conv_normed("final_conv.0.conv", &skips, Reach::new(1, 0));
    let x = g.relu(&x);
    let out = g.conv("final_conv.2.conv", &x, 1, 0);
    g.output("prediction", &out, &[c.out_channels, length]);
    Ok(())
}

/// A layer whose kernel `[feature, tap]` has lag 0 at tap `origin`.
fn state_space(g: &mut Graph, c: &SssdConfig, name: &str, x: Value, taps: Vec<f32>, origin: usize) -> Value {
    let features = 2 * c.width;
    let n_taps = taps.len() / features;
    // An ONNX convolution runs along the signal with its taps in the order of time.
    let turned = taps.chunks(n_taps).flat_map(|row| row.iter().rev().copied()).collect();
    let kernel = g.floats(&[features, 1, n_taps], turned);
    let reach = Reach { stride: 1, padding: [n_taps - 1 - origin, origin], dilation: 1, groups: features };
    let h = g.convolve(&x, &kernel, None, reach);
    let h = g.gelu(&h);
    let h = match c.state_space {
        StateSpace::Frozen => {
            let weight = g.weight(&format!("{name}.s4_layer.output_linear.weight"), Some(&[features, features, 1]));
            let bias = g.weight(&format!("{name}.s4_layer.output_linear.bias"), Some(&[features]));
            g.convolve(&h, &weight, Some(&bias), Reach::new(1, 0))
        }
        StateSpace::Diagonal => g.conv(&format!("{name}.s4d.mix"), &h, 1, 0),
    };
    let sum = g.add(&x, &h);
    if !c.has_norm {
        return sum;
    }
    let normed = g.layer_norm(&sum, EPSILON);
    g.affine(&format!("{name}.norm_layer"), &normed)
}
