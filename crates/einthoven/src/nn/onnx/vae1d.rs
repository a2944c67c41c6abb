//! The decoder of the autoencoder as a graph.

use super::super::vae1d::{BLOCKS, EPSILON, Vae1dConfig};
use super::{Graph, Value};

/// The signals of `nn::vae1d` for latents of spread 1 of a length; `sd` is the spread that they were divided by.
pub fn decoder_graph(g: &mut Graph, c: &Vae1dConfig, sd: &[f32], length: usize) {
    let z = g.input("latent", &[c.latent_channels, length]);
    let sd = g.floats(&[sd.len(), 1], sd.to_vec());
    let z = g.mul(&z, &sd);
    let x = g.conv("decoder.latent", &z, 1, 0);
    let mut x = g.conv("decoder.in", &x, 1, 1);

    x = block(g, c, "decoder.middle.0", x);
    let widths = c.widths();
    let width = widths[widths.len() - 1];
    let normed = g.group_norm("decoder.middle.attention.norm", &x, c.groups, EPSILON);
    let qkv = g.conv("decoder.middle.attention.qkv", &normed, 1, 0);
    let mixed = g.attention(&qkv, 1, width);
    let mixed = g.conv("decoder.middle.attention.out", &mixed, 1, 0);
    x = g.add(&x, &mixed);
    x = block(g, c, "decoder.middle.1", x);

    for (level, &width) in widths.iter().enumerate().rev() {
        for at in 0..BLOCKS {
            x = block(g, c, &format!("decoder.levels.{level}.{at}"), x);
        }
        if level > 0 {
            let wide = g.repeated(&x, width, 2);
            x = g.conv(&format!("decoder.levels.{level}.up"), &wide, 1, 1);
        }
    }
    let x = g.group_norm("decoder.norm", &x, c.groups, EPSILON);
    let x = g.silu(&x);
    let out = g.conv("decoder.out", &x, 1, 1);
    g.output("signal", &out, &[c.channels, length * c.factor()]);
}

fn block(g: &mut Graph, c: &Vae1dConfig, name: &str, x: Value) -> Value {
    let mut inner = x.clone();
    for at in ["1", "2"] {
        inner = g.group_norm(&format!("{name}.norm{at}"), &inner, c.groups, EPSILON);
        inner = g.silu(&inner);
        inner = g.conv(&format!("{name}.conv{at}"), &inner, 1, 1);
    }
    let direct = format!("{name}.direct");
    let direct = if g.has(&format!("{direct}.weight")) { g.conv(&direct, &x, 1, 0) } else { x };
    g.add(&inner, &direct)
}
