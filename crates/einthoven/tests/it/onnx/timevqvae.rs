//! TimeVQVAE in both forms: the priors of both bands for masked codes, and the decoder.

use burn::tensor::Device;
use einthoven::generators::timevqvae::{NAME, TimeVqvaeCard, TimeVqvaeModel, joined};
use einthoven::nn::timevqvae::{
    Band, Decoding, Form, Pass, Prior, PriorConfig, Query, Tokens, TransformerConfig, Vqvae, VqvaeConfig,
};
use einthoven::nn::weights::{Weights, host};
use einthoven::seed::Seed;
use serde_json::{Value, json};

use super::{Case, opened};

const ITEMS: usize = 3;

/// Shapes with and without classes, with and without maps to the codebook, with either normalization of the paper's form.
pub fn cases() -> Vec<Case> {
    let paper = VqvaeConfig { width: 12, ..VqvaeConfig::paper(2, 66) };
    let release = VqvaeConfig { width: 12, ..VqvaeConfig::release(2, 66) };
    let shapes = [
        ("paper", VqvaeConfig { code_width: 12, ..paper.clone() }, 3, true),
        ("paper-plain", VqvaeConfig { code_width: 5, length: 75, ..paper }, 0, false),
        ("release", VqvaeConfig { code_width: 4, ..release.clone() }, 3, true),
        ("release-plain", VqvaeConfig { code_width: 12, n_fft: 8, length: 101, ..release }, 0, true),
    ];
    shapes.into_iter().flat_map(|(name, config, classes, has_rms)| of_model(name, config, classes, has_rms)).collect()
}

fn of_model(name: &str, config: VqvaeConfig, classes: usize, has_rms_norm: bool) -> Vec<Case> {
    let device = Device::flex();
    let config = VqvaeConfig { target_widths: [8, 16], codes: [9, 7], encoder_blocks: 1, ..config };
    let vqvae = Vqvae::new(config.clone()).unwrap();
    let transformer = |layers| TransformerConfig { width: 16, layers, heads: 2, ff_multiple: 2, has_rms_norm };
    let prior = PriorConfig {
        form: Form::Paper,
        positions: [0; 2],
        codes: [0; 2],
        embedding: 8,
        classes: 0,
        transformers: [transformer(2), transformer(1)],
    };
    let prior = Prior::new(prior.sized(&vqvae, classes)).unwrap();
    let [(params1, buffers1), (params2, buffers2)] = [vqvae.start(Seed::new(1)), prior.start(Seed::new(2))]
        .map(|(params, buffers)| (opened(params), moved(buffers)));

    let scale_mv = vec![0.3, 2.0];
    let card = TimeVqvaeCard {
        format: 1,
        generator: NAME.into(),
        role: "generator".into(),
        vqvae: config.clone(),
        prior: prior.config().clone(),
        decoding: Decoding::published(config.form),
        scale_mv: scale_mv.clone(),
        leads: vec!["I".into(), "II".into()],
        fs_hz: 100.0,
        label_names: (0..classes).map(|class| class.to_string()).collect(),
        training_data: Value::Null,
    };
    let state = joined([params1.clone(), buffers1.clone()], [params2.clone(), buffers2.clone()]);
    let graphs = TimeVqvaeModel::new(card, state, &device).unwrap().to_onnx().unwrap();

    let [n_low, n_high] = prior.config().positions;
    let told: Option<&[usize]> = (classes > 0).then_some(&[0, 3, 2]);
    let class = |inputs: &mut Value| {
        if let Some(told) = told {
            inputs["class"] = json!([[ITEMS], told]);
        }
    };
    let stage2 = params2.on(&device);
    let logits = |query: Query| host(prior.logits(&stage2.root(), &mut Pass::evaluation(&buffers2), query).unwrap());
    // Of nine and seven codes, whose numbers are those of the masks.
    let (masked_low, masked_high, low, high) = (codes(n_low, 10), codes(n_high, 8), codes(n_low, 9), codes(n_high, 7));
    let mut of_low = json!({ "low": array(&masked_low) });
    let mut of_high = json!({ "low": array(&low), "high": array(&masked_high) });
    class(&mut of_low);
    class(&mut of_high);
    let low_logits = logits(Query { low: &masked_low, high: None, classes: told });
    let high_logits = logits(Query { low: &low, high: Some(&masked_high), classes: told });

    let stage1 = params1.on(&device);
    let part = |tokens, band| vqvae.decode_tokens(&stage1.root(), &buffers1, tokens, band, &device).unwrap();
    let mut ecg = host(part(&low, Band::Low) + part(&high, Band::High));
    let length = vqvae.output_length();
    for (lead, scale) in ecg.chunks_mut(length).zip(scale_mv.iter().cycle()) {
        lead.iter_mut().for_each(|value| *value *= scale);
    }
    let decoded = json!({ "low": array(&low), "high": array(&high) });
    let parts = [
        ("low", of_low, json!([[ITEMS, n_low, 9], low_logits])),
        ("high", of_high, json!([[ITEMS, n_high, 7], high_logits])),
        ("decoder", decoded, json!([[ITEMS, 2, length], ecg])),
    ];
    let case =
        |((part, inputs, output), graph)| Case { name: format!("timevqvae-{name}-{part}"), graph, inputs, output };
    parts.into_iter().zip(graphs).map(case).collect()
}

/// Statistics that have seen something, and codebooks with entries.
fn moved(mut buffers: Weights) -> Weights {
    for (name, buffer) in &mut buffers.entries {
        if name.contains("running_") {
            buffer.values.iter_mut().enumerate().for_each(|(i, value)| *value += 0.1 * i as f32);
        } else if name.ends_with("embed") {
            Seed::new(8).purpose(name).stream().fill_normal(&mut buffer.values);
        }
    }
    buffers
}

/// Codes below a number for each position of each item.
fn codes(n_positions: usize, below: usize) -> Tokens {
    let mut stream = Seed::new(3).index(n_positions as u64).index(below as u64).stream();
    (0..ITEMS).map(|_| (0..n_positions).map(|_| stream.below(below)).collect()).collect()
}

fn array(tokens: &Tokens) -> Value {
    json!([[ITEMS, tokens[0].len()], tokens.concat()])
}
