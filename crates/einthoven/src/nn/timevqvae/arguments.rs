//! The shape of a published generator, read off its arrays.
//!
//! Arrays tell everything but how long a signal is and how codes are decoded. The length is told by the caller; what is
//! read is checked against it here, and array by array when the network is built.

use super::config::{Band, Form, VqvaeConfig};
use super::prior::{HEAD_WIDTH, PriorConfig, TransformerConfig, prefix};
use super::vqvae::Vqvae;
use crate::error::{Error, Result};
use crate::nn::weights::Weights;

/// Which form a state dict is of, by how its transformers answer.
pub(super) fn form(state: &Weights) -> Result<Form> {
    let has = |part: &str| state.entries.contains_key(&format!("{}.{part}.weight", prefix(Band::Low)));
    match (has("Token_Prediction.0"), has("proj_in")) {
        (true, _) => Ok(Form::Paper),
        (_, true) => Ok(Form::Release),
        _ => {
            let reason = "transformer_l.proj_in.weight (release 1.0.1) or transformer_l.Token_Prediction.0.weight (the \
                          paper's form) is missing: not a whole TimeVQVAE";
            Err(Error::data("state dict", reason))
        }
    }
}

/// Classes that a prior knows.
pub(super) fn classes(stage2: &Weights) -> Result<usize> {
    less(stage2, &format!("{}.class_condition_emb.weight", prefix(Band::Low)))
}

/// Shape of stage 1 for signals of `length` points.
pub(super) fn vqvae(form: Form, stage1: &Weights, stage2: &Weights, length: usize) -> Result<VqvaeConfig> {
    let published = match form {
        Form::Paper => VqvaeConfig::paper(0, length),
        Form::Release => VqvaeConfig::release(0, length),
    };
    let (encoder, decoder) = ("encoder_l.encoder", "decoder_l.decoder");
    let halvings = Band::BOTH.map(|band| {
        let encoder = format!("encoder_{}.encoder", band.letter());
        (0..blocks(stage1, &encoder)).filter(|at| has_below(stage1, &format!("{encoder}.{at}.block"))).count()
    });
    let book = |band: &str, axis| extent(stage1, &format!("vq_model_{band}._codebook.embed"), axis);
    let (channels, first_width, width, residuals) = match form {
        Form::Paper => {
            let first = format!("{encoder}.0.block.0.weight");
            let width = extent(stage1, &first, 0)?;
            let residuals =
                [blocks(stage1, encoder) - halvings[0], blocks(stage1, decoder).saturating_sub(halvings[0] + 1)];
            (extent(stage1, &first, 1)? / 2, width, width, residuals)
        }
        Form::Release => {
            // Residual blocks follow each halving but the first, and one stands alone at the narrow end.
            let between = halvings[0].saturating_sub(1);
            let each = |n: usize| n.checked_div(between).unwrap_or(published.encoder_blocks);
            let residuals = [
                each(blocks(stage1, encoder).saturating_sub(halvings[0] + 1)),
                each(blocks(stage1, decoder).saturating_sub(halvings[0] + 2)),
            ];
            let narrow = format!("{decoder}.0.convs.1.weight_v");
            let first = extent(stage1, &format!("{encoder}.0.block.1.weight_v"), 0)?;
            (
                extent(stage1, &format!("{encoder}.0.block.0.weight_v"), 0)? / 2,
                first,
                extent(stage1, &narrow, 0)?,
                residuals,
            )
        }
    };
    let positions = positions(stage2)?;
    // The original writes it down at its first pass; before that it is 0.
    let rows = stage1.entries.get("encoder_h.H_prime").map(|rows| rows.values[0] as usize).filter(|&rows| rows > 0);
    let shape = |n_fft: usize| {
        let mut config = VqvaeConfig {
            channels,
            n_fft,
            first_width,
            width,
            encoder_blocks: residuals[0],
            decoder_blocks: residuals[1],
            ..published.clone()
        };
        for band in Band::BOTH {
            config.target_widths[band as usize] = target_width(&config, band, halvings[band as usize])?;
        }
        config.validate().ok()?;
        let network = Vqvae::new(config.clone()).ok()?;
        let sizes = Band::BOTH.map(|band| network.latent_size(band));
        let is_it =
            sizes.map(|[rows, columns]| rows * columns) == positions && rows.is_none_or(|rows| rows == sizes[1][0]);
        is_it.then_some(config)
    };
    // Published segments have four and eight points.
    let found = (1..=16).map(|quarter| 4 * quarter).find_map(shape).ok_or_else(|| {
        let reason = format!(
            "latents of {} and {} positions after {} and {} halvings are not those of {length} points in time; name the \
             number of points with which the network was trained",
            positions[0], positions[1], halvings[0], halvings[1]
        );
        Error::config("points", reason)
    })?;
    Ok(VqvaeConfig { codes: [book("l", 0)?, book("h", 0)?], code_width: book("l", 1)?, ..found })
}

/// A width that leads to so many halvings: the published one if it does.
fn target_width(config: &VqvaeConfig, band: Band, halvings: usize) -> Option<usize> {
    let leads_there = |width: &usize| {
        let mut config = config.clone();
        config.target_widths[band as usize] = *width;
        config.halvings(band) == halvings
    };
    std::iter::once(config.target_widths[band as usize]).chain(1..=config.length).find(leads_there)
}

/// Shape of the transformers; positions, codes and classes are left to the caller.
pub(super) fn prior(form: Form, stage2: &Weights) -> Result<PriorConfig> {
    let transformer = |band: Band| -> Result<TransformerConfig> {
        let name = prefix(band);
        let (layers, each) = match form {
            Form::Paper => (format!("{name}.blocks.attn_layers.layers"), 2),
            Form::Release => (format!("{name}.blocks.layers"), 1),
        };
        let (first, between, has_rms_norm) = match form {
            Form::Paper => {
                ("0.1.to_q.weight", "1.1.ff.0.0.weight", stage2.entries.contains_key(&format!("{layers}.0.0.0.g")))
            }
            Form::Release => ("0.0.to_q.weight_v", "0.1.1.weight_v", true),
        };
        let width = match form {
            Form::Paper => extent(stage2, &format!("{name}.blocks.project_in.weight"), 0)?,
            Form::Release => extent(stage2, &format!("{name}.proj_in.weight"), 0)?,
        };
        let between = extent(stage2, &format!("{layers}.{between}"), 0)?;
        // The release keeps two thirds of a multiple of the width, rounded down.
        let ff_multiple = match form {
            Form::Paper => between / width,
            Form::Release => (between * 3).div_ceil(2 * width).max(1),
        };
        let heads = extent(stage2, &format!("{layers}.{first}"), 0)? / HEAD_WIDTH;
        Ok(TransformerConfig { width, layers: blocks(stage2, &layers) / each, heads, ff_multiple, has_rms_norm })
    };
    Ok(PriorConfig {
        form,
        positions: [0; 2],
        codes: [0; 2],
        embedding: extent(stage2, &format!("{}.tok_emb_l.weight", prefix(Band::Low)), 1)?,
        classes: 0,
        transformers: [transformer(Band::Low)?, transformer(Band::High)?],
    })
}

fn positions(stage2: &Weights) -> Result<[usize; 2]> {
    let of_band = |band| less(stage2, &format!("{}.pos_emb.weight", prefix(band)));
    Ok([of_band(Band::Low)?, of_band(Band::High)?])
}

/// Extent of an axis of an array.
fn extent(state: &Weights, name: &str, axis: usize) -> Result<usize> {
    let found = state.entries.get(name).and_then(|array| array.shape.get(axis)).copied();
    found.filter(|&extent| extent > 0).ok_or_else(|| Error::data("state dict", format!("{name} is missing")))
}

/// Rows of a table whose last row stands for nothing.
fn less(state: &Weights, name: &str) -> Result<usize> {
    Ok(extent(state, name, 0)? - 1)
}

/// Blocks `prefix.0`, `prefix.1`, ... that have arrays.
fn blocks(state: &Weights, prefix: &str) -> usize {
    (0..).take_while(|at| has_below(state, &format!("{prefix}.{at}"))).count()
}

fn has_below(state: &Weights, name: &str) -> bool {
    let below = format!("{name}.");
    state.entries.range(below.clone()..).next().is_some_and(|(found, _)| found.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::timevqvae::import::generator;
    use crate::nn::timevqvae::{Decoding, Prior};
    use crate::seed::Seed;

    fn transformers(paper: bool) -> [TransformerConfig; 2] {
        let transformer = |width, layers, heads, ff_multiple| TransformerConfig {
            width,
            layers,
            heads,
            ff_multiple,
            has_rms_norm: true,
        };
        if paper {
            [transformer(24, 2, 2, 1), transformer(24, 2, 2, 1)]
        } else {
            [transformer(24, 2, 2, 1), transformer(10, 1, 1, 3)]
        }
    }

    /// A whole state dict of drawn weights.
    fn state(config: &VqvaeConfig) -> (PriorConfig, Weights) {
        let vqvae = Vqvae::new(config.clone()).unwrap();
        let prior = PriorConfig {
            form: config.form,
            positions: [0; 2],
            codes: [0; 2],
            embedding: 6,
            classes: 0,
            transformers: transformers(config.form == Form::Paper),
        };
        let prior = prior.sized(&vqvae, 5);
        let (params, buffers) = vqvae.start(Seed::new(1));
        let (stage2, stage2_buffers) = Prior::new(prior.clone()).unwrap().start(Seed::new(2));
        let all = [params, buffers, stage2, stage2_buffers].into_iter().flat_map(|part| part.entries).collect();
        (prior, Weights { entries: all })
    }

    #[test]
    fn shapes_of_both_forms_follow_from_their_arrays() {
        for config in [
            VqvaeConfig::release(12, 1000),
            VqvaeConfig { encoder_blocks: 1, decoder_blocks: 3, code_width: 128, ..VqvaeConfig::ecg(8, 1000) },
            VqvaeConfig::paper(12, 1000),
            VqvaeConfig { n_fft: 4, codes: [7, 9], encoder_blocks: 1, ..VqvaeConfig::paper(2, 250) },
        ] {
            let (prior, state) = state(&config);
            let found = generator(None, &state, config.length).unwrap();
            let read = found.vqvae.network.config();
            let known = VqvaeConfig {
                target_widths: read.target_widths,
                starts_by_means: read.starts_by_means,
                ..config.clone()
            };
            assert_eq!(*read, known);
            assert_eq!(*found.prior.network.config(), prior);
            assert_eq!(found.decoding, Decoding::published(config.form));
            let error = generator(None, &state, 3 * config.length).unwrap_err().to_string();
            assert!(error.contains("points"), "{error}");
        }
    }

    #[test]
    fn half_a_generator_is_refused() {
        let (_, mut state) = state(&VqvaeConfig::release(2, 64));
        state.entries.remove("vq_model_h._codebook.embed");
        let error = generator(None, &state, 64).unwrap_err().to_string();
        assert!(error.contains("vq_model_h._codebook.embed is missing"), "{error}");
        state.entries.retain(|name, _| !name.starts_with("transformer_l"));
        let error = generator(None, &state, 64).unwrap_err().to_string();
        assert!(error.contains("not a whole TimeVQVAE"), "{error}");
    }
}
