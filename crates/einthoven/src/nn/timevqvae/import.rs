//! Published checkpoints: the originals' arguments in our words, their state dicts under their own names.

use serde::Deserialize;
use serde_json::Value;

use super::arguments;
use super::config::{Band, Form, VqvaeConfig};
use super::decoding::Decoding;
use super::prior::{Prior, PriorConfig, TransformerConfig};
use super::vqvae::Vqvae;
use crate::config::from_json;
use crate::error::{Error, Result};
use crate::nn::weights::Weights;

/// A network and its state dict in two parts.
#[derive(Debug, Clone)]
pub struct Imported<N> {
    /// Shape.
    pub network: N,
    /// Arrays that gradients move.
    pub params: Weights,
    /// Running statistics, codebooks and sizes.
    pub buffers: Weights,
}

/// A whole generator of either form.
#[derive(Debug, Clone)]
pub struct ImportedMaskGit {
    /// Stage 1.
    pub vqvae: Imported<Vqvae>,
    /// Stage 2.
    pub prior: Imported<Prior>,
    /// How codes are decoded.
    pub decoding: Decoding,
}

/// Arguments of `VQVAE` of release 1.0.1, with its defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct VqvaeArguments {
    in_channels: usize,
    input_length: usize,
    n_fft: usize,
    init_dim: usize,
    hid_dim: usize,
    downsampled_width_l: usize,
    downsampled_width_h: usize,
    encoder_n_resnet_blocks: usize,
    decoder_n_resnet_blocks: usize,
    codebook_size_l: usize,
    codebook_size_h: usize,
    kmeans_init: bool,
    codebook_dim: usize,
}

impl Default for VqvaeArguments {
    fn default() -> VqvaeArguments {
        // The first two have no default there, and these do not pass the checks.
        let c = VqvaeConfig::release(0, 0);
        VqvaeArguments {
            in_channels: c.channels,
            input_length: c.length,
            n_fft: c.n_fft,
            init_dim: c.first_width,
            hid_dim: c.width,
            downsampled_width_l: c.target_widths[0],
            downsampled_width_h: c.target_widths[1],
            encoder_n_resnet_blocks: c.encoder_blocks,
            decoder_n_resnet_blocks: c.decoder_blocks,
            codebook_size_l: c.codes[0],
            codebook_size_h: c.codes[1],
            kmeans_init: c.starts_by_means,
            codebook_dim: c.code_width,
        }
    }
}

/// Values of the low and of the high band.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct Bands {
    lf: usize,
    hf: usize,
}

impl From<Bands> for [usize; 2] {
    fn from(bands: Bands) -> [usize; 2] {
        [bands.lf, bands.hf]
    }
}

/// Settings of stage 1 as of the paper, with the defaults of its configuration file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PaperArguments {
    in_channels: usize,
    input_length: usize,
    n_fft: usize,
    dim: usize,
    n_resnet_blocks: usize,
    downsampled_width: Bands,
    codebook_sizes: Bands,
    codebook_dim: usize,
}

impl Default for PaperArguments {
    fn default() -> PaperArguments {
        let c = VqvaeConfig::paper(0, 0);
        let bands = |[lf, hf]: [usize; 2]| Bands { lf, hf };
        PaperArguments {
            in_channels: c.channels,
            input_length: c.length,
            n_fft: c.n_fft,
            dim: c.width,
            n_resnet_blocks: c.encoder_blocks,
            downsampled_width: bands(c.target_widths),
            codebook_sizes: bands(c.codes),
            codebook_dim: c.code_width,
        }
    }
}

/// Arguments that shape one transformer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransformerArguments {
    hidden_dim: usize,
    n_layers: usize,
    heads: usize,
    ff_mult: usize,
    use_rmsnorm: bool,
    // These act in training alone and shape nothing.
    #[serde(rename = "p_unconditional")]
    _p_unconditional: f64,
    #[serde(rename = "model_dropout", default)]
    _model_dropout: Option<f64>,
    #[serde(rename = "emb_dropout", default)]
    _emb_dropout: Option<f64>,
}

impl From<&TransformerArguments> for TransformerConfig {
    fn from(a: &TransformerArguments) -> TransformerConfig {
        TransformerConfig {
            width: a.hidden_dim,
            layers: a.n_layers,
            heads: a.heads,
            ff_multiple: a.ff_mult,
            has_rms_norm: a.use_rmsnorm,
        }
    }
}

/// Arguments of `MaskGIT` of release 1.0.1 but for the stage-1 network.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaskGitArguments {
    lf_choice_temperature: f64,
    hf_choice_temperature: f64,
    lf_num_sampling_steps: usize,
    hf_num_sampling_steps: usize,
    // Those of stage 1 where they are not given.
    lf_codebook_size: Option<usize>,
    hf_codebook_size: Option<usize>,
    transformer_embedding_dim: usize,
    lf_prior_model_config: TransformerArguments,
    hf_prior_model_config: TransformerArguments,
    classifier_free_guidance_scale: f64,
    #[serde(default)]
    n_classes: usize,
}

/// Settings of stage 2 as of the paper; both transformers have the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperPriorArguments {
    prior_model: TransformerArguments,
    codebook_sizes: Bands,
    embed_dim: usize,
    n_classes: usize,
    num_tokens: [usize; 2],
}

/// Arguments of a whole generator.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BothArguments {
    stage1: Value,
    stage2: Value,
}

/// The network that `VQVAE(**arguments)` of release 1.0.1 builds, and its state dict.
///
/// # Errors
/// [`Error::Config`] for an argument that we do not know or a value out of range; [`Error::Data`] naming every
/// array that is missing, extra or has another shape.
pub fn vqvae(arguments: &Value, state: &Weights) -> Result<Imported<Vqvae>> {
    let a: VqvaeArguments = from_json("VQVAE", arguments)?;
    stage1(
        VqvaeConfig {
            form: Form::Release,
            channels: a.in_channels,
            length: a.input_length,
            n_fft: a.n_fft,
            first_width: a.init_dim,
            width: a.hid_dim,
            encoder_blocks: a.encoder_n_resnet_blocks,
            decoder_blocks: a.decoder_n_resnet_blocks,
            target_widths: [a.downsampled_width_l, a.downsampled_width_h],
            codes: [a.codebook_size_l, a.codebook_size_h],
            code_width: a.codebook_dim,
            starts_by_means: a.kmeans_init,
        },
        state,
    )
}

/// The network of stage 1 as of the paper. The original stores each part alone; here the parts of `state` are
/// called `encoder_l`, `vq_model_l`, `decoder_l` and likewise with `h`.
///
/// # Errors
/// As [`vqvae`].
pub fn paper_vqvae(arguments: &Value, state: &Weights) -> Result<Imported<Vqvae>> {
    let a: PaperArguments = from_json("stage 1", arguments)?;
    stage1(
        VqvaeConfig {
            form: Form::Paper,
            channels: a.in_channels,
            length: a.input_length,
            n_fft: a.n_fft,
            first_width: a.dim,
            width: a.dim,
            encoder_blocks: a.n_resnet_blocks,
            decoder_blocks: a.n_resnet_blocks,
            target_widths: a.downsampled_width.into(),
            codes: a.codebook_sizes.into(),
            code_width: a.codebook_dim,
            starts_by_means: false,
        },
        state,
    )
}

/// The generator that `MaskGIT(VQVAE(**stage1), **arguments)` of release 1.0.1 builds, and its state dict, which
/// holds stage 1 twice.
///
/// # Errors
/// As [`vqvae`]; [`Error::Data`] if the two copies of stage 1 differ.
pub fn maskgit(stage1: &Value, arguments: &Value, state: &Weights) -> Result<ImportedMaskGit> {
    let a: MaskGitArguments = from_json("MaskGIT", arguments)?;
    let [of_stage1, of_stage2] = stages(state)?;
    let vqvae = vqvae(stage1, &of_stage1)?;
    let codes = vqvae.network.config().codes;
    for (key, given, found) in
        [("lf_codebook_size", a.lf_codebook_size, codes[0]), ("hf_codebook_size", a.hf_codebook_size, codes[1])]
    {
        if given.is_some_and(|given| given != found) {
            return Err(Error::config(key, format!("found {given:?}, but stage 1 has {found}")));
        }
    }
    let network = Prior::new(PriorConfig {
        form: Form::Release,
        positions: Band::BOTH.map(|band| vqvae.network.latent_size(band).iter().product()),
        codes,
        embedding: a.transformer_embedding_dim,
        classes: a.n_classes,
        transformers: [(&a.lf_prior_model_config).into(), (&a.hf_prior_model_config).into()],
    })?;
    let prior = stage2(network, &of_stage2)?;
    let decoding = Decoding {
        steps: [a.lf_num_sampling_steps, a.hf_num_sampling_steps],
        temperatures: [a.lf_choice_temperature, a.hf_choice_temperature],
        guidance: a.classifier_free_guidance_scale,
    };
    decoding.validate()?;
    Ok(ImportedMaskGit { vqvae, prior, decoding })
}

/// The generator of a whole state dict of either form: that of the release as [`maskgit`] takes it, or that as of the
/// paper, where stage 1 lies beside the transformers.
///
/// `arguments` are those of both stages, `{"stage1": ..., "stage2": ...}`; without them the shapes follow from the
/// arrays, for signals of `length` points, and codes are decoded as published.
///
/// # Errors
/// As [`maskgit`]; [`Error::Config`] for a length that the latents cannot be of.
pub fn generator(arguments: Option<&Value>, state: &Weights, length: usize) -> Result<ImportedMaskGit> {
    let form = arguments::form(state)?;
    let Some(arguments) = arguments else {
        let [of_stage1, of_stage2] = stages(state)?;
        let vqvae = stage1(arguments::vqvae(form, &of_stage1, &of_stage2, length)?, &of_stage1)?;
        let network =
            Prior::new(arguments::prior(form, &of_stage2)?.sized(&vqvae.network, arguments::classes(&of_stage2)?))?;
        let prior = stage2(network, &of_stage2)?;
        return Ok(ImportedMaskGit { vqvae, prior, decoding: Decoding::published(form) });
    };
    let both: BothArguments = from_json("arguments", arguments)?;
    match form {
        Form::Release => maskgit(&both.stage1, &both.stage2, state),
        Form::Paper => {
            let [of_stage1, of_stage2] = stages(state)?;
            let vqvae = paper_vqvae(&both.stage1, &of_stage1)?;
            let prior = paper_prior(&both.stage2, &of_stage2)?;
            let sized = prior.network.config().sized(&vqvae.network, prior.network.config().classes);
            if sized != *prior.network.config() {
                let reason = format!(
                    "stage 2 has {:?} positions and {:?} codes, stage 1 {:?} and {:?}",
                    prior.network.config().positions,
                    prior.network.config().codes,
                    sized.positions,
                    sized.codes
                );
                return Err(Error::config("arguments", reason));
            }
            Ok(ImportedMaskGit { vqvae, prior, decoding: Decoding::published(form) })
        }
    }
}

/// The state dicts of both stages under the names of the stages alone. The release holds stage 1 twice.
fn stages(state: &Weights) -> Result<[Weights; 2]> {
    let (mut of_stage1, mut of_stage2, mut again) = (Weights::default(), Weights::default(), Weights::default());
    for (name, weight) in &state.entries {
        let (part, name) = match name.strip_prefix("vqvae.") {
            Some(name) => (&mut of_stage1, name),
            None if name.starts_with("transformer_") => (&mut of_stage2, name.as_str()),
            None => (&mut again, name.as_str()),
        };
        part.entries.insert(name.to_string(), weight.clone());
    }
    if of_stage1.entries.is_empty() {
        return Ok([again, of_stage2]);
    }
    if !again.entries.is_empty() && again != of_stage1 {
        return Err(Error::data("MaskGIT state dict", "the two copies of stage 1 differ"));
    }
    Ok([of_stage1, of_stage2])
}

/// The transformers of stage 2 as of the paper; the parts of `state` are called `transformer_l` and `transformer_h`.
///
/// # Errors
/// As [`vqvae`].
pub fn paper_prior(arguments: &Value, state: &Weights) -> Result<Imported<Prior>> {
    let a: PaperPriorArguments = from_json("stage 2", arguments)?;
    let network = Prior::new(PriorConfig {
        form: Form::Paper,
        positions: a.num_tokens,
        codes: a.codebook_sizes.into(),
        embedding: a.embed_dim,
        classes: a.n_classes,
        transformers: [(&a.prior_model).into(), (&a.prior_model).into()],
    })?;
    stage2(network, state)
}

fn stage1(config: VqvaeConfig, state: &Weights) -> Result<Imported<Vqvae>> {
    let network = Vqvae::new(config)?;
    let (params, buffers) = network.declared().split(state.clone(), "stage 1 state dict")?;
    Ok(Imported { network, params, buffers })
}

fn stage2(network: Prior, state: &Weights) -> Result<Imported<Prior>> {
    let (params, buffers) = network.declared().split(state.clone(), "stage 2 state dict")?;
    Ok(Imported { network, params, buffers })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_and_missing_arguments_are_refused() {
        let refused = |arguments: Value| vqvae(&arguments, &Weights::default()).unwrap_err().to_string();
        assert!(refused(json!({"in_channels": 1, "input_length": 64, "dim": 3})).contains("dim"));
        assert!(refused(json!({"input_length": 64})).starts_with("channels"));
        assert!(refused(json!({"in_channels": 1, "input_length": 64})).contains("is missing"));
    }
}
