//! TimeVQVAE as graphs: what is called at each step of the decoding, and what makes signals of codes.
//!
//! The loop between them is no graph: each step draws codes and keeps those that the prior is surest of, by numbers that
//! belong to whoever draws. Codes are whole numbers, position after position as in the latent, row after row.

mod decoder;
mod paper;
mod release;

pub use decoder::decoder_graph;

use super::super::timevqvae::prior::prefix;
use super::super::timevqvae::{Band, Form, Prior, PriorConfig};
use super::{Graph, Value};

/// The logits of a band's codes `[batch, position, code]`, for codes some of which are masked.
///
/// Inputs are `low` `[batch, position]`, for the high band `high` likewise, and where there are classes `class`
/// `[batch]`. A masked code is the number of codes, no class the number of classes. Guidance is between two answers of
/// the graph, see [`Prior::guided_logits`].
pub fn prior_graph(g: &mut Graph, prior: &Prior, band: Band) {
    let c = prior.config();
    let logits = match c.form {
        Form::Paper => paper::logits(g, c, band),
        Form::Release => release::logits(g, c, band),
    };
    g.output("logits", &logits, &[c.positions[band as usize], c.codes[band as usize]]);
}

/// As `Prior::embedded` outside training.
fn embedded(g: &mut Graph, c: &PriorConfig, band: Band, project: impl FnOnce(&mut Graph, &Value) -> Value) -> Value {
    let name = prefix(band);
    let low = embed(g, c, &name, Band::Low);
    let features = match band {
        Band::Low => low,
        Band::High => {
            let known = embed(g, c, &name, Band::High);
            let low = project(g, &low);
            g.concat(&[&low, &known], 1)
        }
    };
    let of_positions = g.weight(&format!("{name}.pos_emb.weight"), None);
    let of_positions = g.narrow(&of_positions, 0, 0, c.positions[band as usize]);
    let of_positions = g.permute(&of_positions, &[1, 0]);
    g.add(&features, &of_positions)
}

/// The features of a band's codes, `[batch, feature, position]`.
fn embed(g: &mut Graph, c: &PriorConfig, name: &str, band: Band) -> Value {
    let input = match band {
        Band::Low => "low",
        Band::High => "high",
    };
    let codes = g.input_ints(input, &[c.positions[band as usize]]);
    let table = g.weight(&format!("{name}.tok_emb_{}.weight", band.letter()), None);
    let rows = g.rows(&table, &codes);
    g.permute(&rows, &[0, 2, 1])
}

/// Embedded codes `[batch, feature, position]` with the embedded class before them.
fn with_class(g: &mut Graph, c: &PriorConfig, band: Band, embedded: &Value) -> Value {
    let table = format!("{}.class_condition_emb.weight", prefix(band));
    let class = match c.classes {
        0 => {
            let only = g.weight(&table, Some(&[1, c.entering(band), 1]));
            g.for_each_item(&only, 3, embedded)
        }
        _ => {
            let class = g.input_ints("class", &[]);
            let table = g.weight(&table, None);
            let rows = g.rows(&table, &class);
            g.unsqueeze(&rows, 2)
        }
    };
    g.concat(&[&class, embedded], 2)
}

/// Layer normalization over the features with gain and bias.
fn norm(g: &mut Graph, name: &str, x: &Value, eps: f64) -> Value {
    let normed = g.layer_norm(x, eps);
    g.affine(name, &normed)
}
