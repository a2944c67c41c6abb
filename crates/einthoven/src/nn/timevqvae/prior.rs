//! Stage 2: what codes go together, as two transformers that fill in masked codes.
//!
//! One knows the low band's codes, the other the high band's given those of the low. Both are told a class, or none:
//! the difference between the two answers is what guidance enlarges.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::config::{Band, Form};
use super::decoding::masked;
use super::pass::{Declared, Pass};
use super::quantizer::Tokens;
use super::stft::positions;
use super::vqvae::{Vqvae, check_tokens};
use super::{transformer, transformer_paper};
use crate::error::{Error, Result};
use crate::nn::kernel::{Conv1dOptions, conv1d, cross_entropy};
use crate::nn::layer::start_lengths;
use crate::nn::weights::{Init, View, Weights};
use crate::seed::Seed;

/// Width of an attention head.
pub(in crate::nn) const HEAD_WIDTH: usize = 64;

/// Size of one band's transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    /// Features of a position.
    pub width: usize,
    /// Layers of attention and feed-forward.
    pub layers: usize,
    /// Attention heads, each 64 wide.
    pub heads: usize,
    /// Features between the maps of a feed-forward layer, in widths; the release has two thirds of that.
    pub ff_multiple: usize,
    /// Whether layers of the paper's form start with a root-mean-square normalization instead of a layer
    /// normalization; the release always has the latter.
    pub has_rms_norm: bool,
}

/// Shape of a [`Prior`]; pairs are low band, high band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorConfig {
    /// Published form; this and the next two are those of stage 1, see [`PriorConfig::sized`].
    #[serde(default)]
    pub form: Form,
    /// Positions of a latent.
    #[serde(default)]
    pub positions: [usize; 2],
    /// Entries of the codebooks.
    #[serde(default)]
    pub codes: [usize; 2],
    /// Width of the codes' embedding.
    pub embedding: usize,
    /// Classes; those of the data where they are not given.
    #[serde(default)]
    pub classes: usize,
    /// The transformers.
    pub transformers: [TransformerConfig; 2],
}

impl PriorConfig {
    /// The same transformers for the codes of a stage-1 network and a number of classes.
    pub fn sized(&self, vqvae: &Vqvae, classes: usize) -> PriorConfig {
        PriorConfig {
            form: vqvae.config().form,
            positions: Band::BOTH.map(|band| vqvae.latent_size(band).iter().product()),
            codes: vqvae.config().codes,
            classes,
            ..self.clone()
        }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let mut positive = vec![
            ("positions", self.positions[0].min(self.positions[1])),
            ("codes", self.codes[0].min(self.codes[1])),
            ("embedding", self.embedding),
        ];
        for transformer in &self.transformers {
            positive.push(("width", transformer.width));
            positive.push(("heads", transformer.heads));
            positive.push(("ff_multiple", self.between(transformer)));
        }
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(Error::config(key, "found 0, expected at least 1")),
            None => Ok(()),
        }
    }

    /// Features between the maps of a feed-forward layer.
    pub(super) fn between(&self, transformer: &TransformerConfig) -> usize {
        let whole = transformer.width * transformer.ff_multiple;
        match self.form {
            Form::Paper => whole,
            Form::Release => whole * 2 / 3,
        }
    }

    /// Features that enter a band's transformer: the high band's also has those of the low.
    pub(in crate::nn) fn entering(&self, band: Band) -> usize {
        match band {
            Band::Low => self.embedding,
            Band::High => 2 * self.embedding,
        }
    }
}

/// Both transformers: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct Prior {
    config: PriorConfig,
}

/// What is asked of a transformer. A masked code is the number of codes.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Codes of the low band: what is to be filled in, or where the high band is asked for, what is known.
    pub low: &'a Tokens,
    /// Codes of the high band, if it is asked for.
    pub high: Option<&'a Tokens>,
    /// Class of each item, the number of classes standing for no class; none where no item has one.
    pub classes: Option<&'a [usize]>,
}

impl Query<'_> {
    fn band(&self) -> Band {
        if self.high.is_some() { Band::High } else { Band::Low }
    }
}

/// Codes of both bands with what is known of them in a training step.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// Codes, low band first.
    pub tokens: [&'a Tokens; 2],
    /// Whether each is shown; the others are to be filled in. Some of each band must be hidden.
    pub shown: [&'a [Vec<bool>]; 2],
    /// Class of each item, as in [`Query`].
    pub classes: Option<&'a [usize]>,
}

/// Receives named intermediates, `[batch, feature, position]`; the first position is the class's where it is there.
pub type PriorTrace<'a> = &'a mut dyn FnMut(&str, &Tensor<3>);

impl Prior {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`PriorConfig::validate`].
    pub fn new(config: PriorConfig) -> Result<Prior> {
        config.validate()?;
        Ok(Prior { config })
    }

    /// Its shape.
    pub fn config(&self) -> &PriorConfig {
        &self.config
    }

    /// Name, shape and start of every parameter and buffer.
    pub fn declared(&self) -> Declared {
        let c = &self.config;
        let mut out = Declared::default();
        for band in Band::BOTH {
            let (name, entering) = (prefix(band), c.entering(band));
            let embed = |out: &mut Declared, what: &str, shape: [usize; 2]| {
                out.param(format!("{name}.{what}.weight"), &shape, Init::Normal(1.0));
            };
            embed(&mut out, "tok_emb_l", [c.codes[0] + 1, c.embedding]);
            if band == Band::High {
                embed(&mut out, "tok_emb_h", [c.codes[1] + 1, c.embedding]);
            }
            embed(&mut out, "pos_emb", [c.positions[band as usize] + 1, entering]);
            embed(&mut out, "class_condition_emb", [c.classes + 1, entering]);
            match c.form {
                Form::Paper => transformer_paper::declare(c, band, &mut out, &name),
                Form::Release => transformer::declare(c, band, &mut out, &name),
            }
        }
        out
    }

    /// Start values of parameters and buffers.
    pub fn start(&self, seed: Seed) -> (Weights, Weights) {
        let declared = self.declared();
        let mut params = Weights::initialize(&declared.params, seed);
        start_lengths(&mut params);
        (params, Weights::initialize(&declared.buffers, seed))
    }

    /// Logits of each code at each position, `[batch, position, code]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong number of codes or classes; [`Error::Data`] for a code or class that there is not.
    pub fn logits(&self, p: &View, pass: &mut Pass, query: Query) -> Result<Tensor<3>> {
        self.logits_traced(p, pass, query, &mut |_, _| {})
    }

    /// As [`Prior::logits`], handing named intermediates to `trace`.
    ///
    /// # Errors
    /// As [`Prior::logits`].
    pub fn logits_traced(&self, p: &View, pass: &mut Pass, query: Query, trace: PriorTrace) -> Result<Tensor<3>> {
        Ok(self.scores(p, pass, query, trace)?.swap_dims(1, 2))
    }

    /// Logits as the transformers give them, `[batch, code, position]`.
    fn scores(&self, p: &View, pass: &mut Pass, query: Query, trace: PriorTrace) -> Result<Tensor<3>> {
        self.check(query)?;
        let band = query.band();
        Ok(match self.config.form {
            Form::Paper => transformer_paper::logits(self, p, pass, query, band, trace),
            Form::Release => transformer::logits(self, p, pass, query, band, trace),
        })
    }

    /// Logits with class guidance: those without class plus `guidance` times what the class changes. Without
    /// classes, or for 1, plain logits.
    ///
    /// # Errors
    /// As [`Prior::logits`].
    /// # Reference
    /// Ho and Salimans 2022, eq. 6, with `guidance` counted from the unconditional answer.
    pub fn guided_logits(&self, p: &View, pass: &mut Pass, query: Query, guidance: f64) -> Result<Tensor<3>> {
        Ok(self.guided_scores(p, pass, query, guidance)?.swap_dims(1, 2))
    }

    /// The same as `[batch, code, position]`.
    fn guided_scores(&self, p: &View, pass: &mut Pass, query: Query, guidance: f64) -> Result<Tensor<3>> {
        let mut scores = |query| self.scores(p, pass, query, &mut |_, _| {});
        if query.classes.is_none() || guidance == 1.0 {
            return scores(query);
        }
        let without = scores(Query { classes: None, ..query })?;
        let with = scores(query)?;
        Ok(without.clone() + (with - without) * guidance)
    }

    /// Cross entropy of the hidden codes of each band, low first; the sum is the original's loss. The high band is
    /// predicted from all codes of the low.
    ///
    /// # Errors
    /// As [`Prior::logits`]; [`Error::Data`] if nothing is hidden.
    pub fn losses(&self, p: &View, pass: &mut Pass, lesson: Lesson, guidance: f64) -> Result<[Tensor<1>; 2]> {
        let Lesson { tokens: [low, high], shown, classes } = lesson;
        let [low_masked, high_masked] =
            [(low, 0), (high, 1)].map(|(tokens, band)| masked(tokens, shown[band], self.config.codes[band]));
        let of_low = Query { low: &low_masked, high: None, classes };
        let of_low = of_hidden(self.guided_scores(p, pass, of_low, guidance)?, low, shown[0])?;
        let of_high = Query { low, high: Some(&high_masked), classes };
        let of_high = of_hidden(self.guided_scores(p, pass, of_high, guidance)?, high, shown[1])?;
        Ok([of_low, of_high])
    }

    fn check(&self, query: Query) -> Result<()> {
        let c = &self.config;
        check_tokens(query.low, c.positions[0], c.codes[0] + 1)?;
        if let Some(high) = query.high {
            check_tokens(high, c.positions[1], c.codes[1] + 1)?;
        }
        let n_items = query.low.len();
        let (n_high, n_classes) = (query.high.map_or(n_items, Vec::len), query.classes.map_or(n_items, <[usize]>::len));
        if n_high != n_items || n_classes != n_items {
            let (expected, actual) = (vec![n_items, n_items], vec![n_high, n_classes]);
            return Err(Error::Shape {
                what: "items with codes of the high band and classes".into(),
                expected,
                actual,
            });
        }
        match query.classes.into_iter().flatten().find(|class| **class > c.classes) {
            Some(class) => Err(Error::data("classes", format!("found {class}, expected at most {}", c.classes))),
            None => Ok(()),
        }
    }

    /// Embedded codes with the features of their positions, `[batch, feature, position]`; `project` brings the low
    /// band's to the positions of the high.
    pub(super) fn embedded(
        &self,
        p: &View,
        pass: &mut Pass,
        query: Query,
        project: impl FnOnce(&mut Pass, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let codes = self.config.codes;
        let low = self.hide(pass, embed(p.get("tok_emb_l.weight"), query.low), query.low, codes[0]);
        let features = match query.high {
            None => low,
            Some(high) => {
                let known = embed(p.get("tok_emb_h.weight"), high);
                let known = self.hide(pass, known, high, codes[1]);
                Tensor::cat(vec![project(pass, low), known], 1)
            }
        };
        let n_positions = features.dims()[2];
        let of_positions = p.get::<2>("pos_emb.weight").narrow(0, 0, n_positions);
        features + of_positions.swap_dims(0, 1).unsqueeze_dim::<3>(0)
    }

    /// The embedded class of each item, `[batch, feature, 1]`.
    pub(super) fn embedded_class(&self, p: &View, query: Query) -> Tensor<3> {
        let classes = match query.classes {
            Some(classes) => classes.to_vec(),
            None => vec![self.config.classes; query.low.len()],
        };
        let weight: Tensor<2> = p.get("class_condition_emb.weight");
        let device = weight.device();
        weight.select(0, positions(&classes, &device)).unsqueeze_dim(2)
    }

    /// Hides features in training; in the release none of a masked code, which says nothing anyway.
    fn hide(&self, pass: &mut Pass, x: Tensor<3>, tokens: &Tokens, mask: usize) -> Tensor<3> {
        if !pass.is_training() {
            return x;
        }
        let hidden = pass.hide(x.clone());
        match self.config.form {
            Form::Paper => hidden,
            Form::Release => {
                let [batch, _, n_positions] = x.dims();
                let spared = tokens.iter().flatten().map(|&code| if code == mask { 1f32 } else { 0.0 }).collect();
                let spared = TensorData::new::<f32, _>(spared, [batch, 1, n_positions]);
                let spared = Tensor::<3>::from_data(spared, &x.device());
                hidden.clone() + (x - hidden) * spared
            }
        }
    }
}

/// Name of a band's transformer in the state dict.
pub(in crate::nn) fn prefix(band: Band) -> String {
    format!("transformer_{}", band.letter())
}

/// Rows of `weight` `[code, feature]` as `[batch, feature, position]`.
fn embed(weight: Tensor<2>, tokens: &Tokens) -> Tensor<3> {
    let flat: Vec<usize> = tokens.iter().flatten().copied().collect();
    let (width, device) = (weight.dims()[1], weight.device());
    let rows = weight.select(0, positions(&flat, &device));
    rows.reshape([tokens.len(), flat.len() / tokens.len(), width]).swap_dims(1, 2)
}

/// A linear map of the features at each position, `weight` `[n_out, n_in]`.
pub(super) fn map(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    conv1d(x, weight.unsqueeze_dim(2), bias, Conv1dOptions::default())
}

/// Cross entropy of the codes that are not shown.
fn of_hidden(scores: Tensor<3>, tokens: &Tokens, shown: &[Vec<bool>]) -> Result<Tensor<1>> {
    let codes = tokens.iter().flatten().zip(shown.iter().flatten());
    let hidden: Vec<Option<usize>> = codes.map(|(code, is_shown)| (!is_shown).then_some(*code)).collect();
    match hidden.iter().any(Option::is_some) {
        true => Ok(cross_entropy(scores, &hidden)),
        false => Err(Error::data("codes", "none is hidden, so there is nothing to predict")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PriorConfig {
        let transformer =
            |width, layers, heads| TransformerConfig { width, layers, heads, ff_multiple: 1, has_rms_norm: true };
        PriorConfig {
            form: Form::Release,
            positions: [7, 62],
            codes: [1024, 1024],
            embedding: 128,
            classes: 5,
            transformers: [transformer(128, 4, 2), transformer(32, 1, 1)],
        }
    }

    /// `shapes.json` of the fixtures: 1,451,300 trained weights with the settings of release 1.0.1 for 12 leads,
    /// 1000 points and 5 classes.
    #[test]
    fn the_release_has_its_published_size() {
        let declared = Prior::new(config()).unwrap().declared();
        assert_eq!(declared.params.iter().map(|p| p.shape.iter().product::<usize>()).sum::<usize>(), 1_451_300);
    }

    #[test]
    fn empty_shapes_are_refused() {
        for (key, config) in [
            ("codes", PriorConfig { codes: [8, 0], ..config() }),
            ("embedding", PriorConfig { embedding: 0, ..config() }),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
