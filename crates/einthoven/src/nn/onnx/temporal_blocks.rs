//! The temporal blocks of `timediffusion` as a graph.

use super::super::temporal_blocks::{CONVOLUTIONS, TemporalBlocksConfig};
use super::layer::Reach;
use super::{DenoiserInputs, Graph};

/// The prediction of `nn::temporal_blocks` for signals of a length.
pub fn graph(g: &mut Graph, c: &TemporalBlocksConfig, length: usize) {
    let inputs = DenoiserInputs::declare(g, c.channels, length, c.labels, &c.told);
    let features = g.sinusoidal(&inputs.time, c.time_width, 10_000.0);
    let hidden = g.linear("level.0", &features);
    let hidden = g.silu(&hidden);
    let mut told = g.linear("level.2", &hidden);
    if let Some(labels) = inputs.embed(g, &c.tables()) {
        told = g.add(&told, &labels);
    }
    let told = g.silu(&told);
    let mut x = inputs.x;
    let mut skips = None;
    let mut n_in = c.channels;
    for (block, (taps, dilation)) in c.blocks().into_iter().enumerate() {
        let shift = g.linear(&format!("told.{block}"), &told);
        let shift = g.unsqueeze(&shift, 2);
        x = g.add(&x, &shift);
        // Zeros before the signal alone, which makes it see the past and not the future.
        let reach = Reach { padding: [(taps - 1) * dilation, 0], dilation, ..Reach::new(1, 0) };
        let mut inner = x.clone();
        for convolution in CONVOLUTIONS {
            inner = g.conv_normed(&format!("tcn.{block}.{convolution}"), &inner, reach);
            inner = g.relu(&inner);
        }
        let direct = if n_in == c.width { x } else { g.conv(&format!("tcn.{block}.downsample"), &x, 1, 0) };
        let sum = g.add(&inner, &direct);
        x = g.relu(&sum);
        skips = Some(match skips {
            Some(skips) => g.add(&skips, &inner),
            None => inner,
        });
        n_in = c.width;
    }
    if let Some(skips) = &skips {
        x = g.add(&x, skips);
    }
    let out = g.conv("last", &x, 1, 0);
    g.output("prediction", &out, &[c.channels, length]);
}
