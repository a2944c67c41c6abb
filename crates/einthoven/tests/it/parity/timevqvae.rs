//! Both published forms of TimeVQVAE: bands, codes, reconstructions, a training step; logits, the masked loss and
//! whole decoding runs with given draws.

use burn::tensor::{Device, Tensor};
use einthoven::nn::timevqvae::import::{Imported, ImportedMaskGit, maskgit, paper_prior, paper_vqvae, vqvae};
use einthoven::nn::timevqvae::stft::Stft;
use einthoven::nn::timevqvae::{Band, Branch, CodeLogs, Draws, Form, Lesson, Pass, Prior, Query, Tokens, Vqvae, shown};
use einthoven::nn::weights::{Params, Weights};

use super::{Array, Fixture, host};

/// The bands and their names in the fixtures.
const BANDS: [(Band, &str); 2] = [(Band::Low, "lf"), (Band::High, "hf")];

/// The tolerance group of this name, or the one of outputs where the folder has no such group.
fn group(f: &Fixture, name: &'static str) -> &'static str {
    if f.config["tolerance"][name].is_object() { name } else { "output" }
}

fn is_paper(f: &Fixture) -> bool {
    f.config["model"].as_str().is_some_and(|model| model.ends_with("version of the paper"))
}

/// Compares codes, which must agree exactly.
fn compare_tokens(f: &Fixture, key: &str, found: &Tokens) {
    let expected = tokens(f.get(key));
    f.compared.borrow_mut().insert(key.to_string());
    if *found != expected {
        let pairs = found.iter().flatten().zip(expected.iter().flatten());
        let differing = pairs.filter(|(a, b)| a != b).count();
        f.failures.borrow_mut().push(format!("{key}: {differing} codes differ"));
    }
}

/// Codes of each item, `[item, position]`.
fn tokens(array: &Array) -> Tokens {
    (0..array.shape[0]).map(|item| array.at(item).values.iter().map(|&code| code as usize).collect()).collect()
}

/// Classes of each item, `[item, 1]`.
fn classes(array: &Array) -> Vec<usize> {
    array.values.iter().map(|&class| class as usize).collect()
}

/// Inputs that are neither named `input.` nor compared.
fn given(f: &Fixture, keys: &[String]) {
    f.compared.borrow_mut().extend(keys.iter().cloned());
}

/// Stage 1 of either form.
pub fn check_stage1(f: &Fixture, state: Weights) {
    let device = Device::flex();
    let constructor = &f.config["constructor"];
    let read = if is_paper(f) { paper_vqvae } else { vqvae };
    let imported = read(constructor, &state).unwrap_or_else(|error| panic!("{}: {error}", f.name));
    check_transform(f, &imported.network, &device);
    let params = imported.params.on(&device);
    let x = f.get("input.x").tensor(&device);
    let branches = imported
        .network
        .forward_traced(&params.root(), &mut Pass::evaluation(&imported.buffers), x, &mut |name, value| {
            compare_stage1_mid(f, name, value);
        })
        .unwrap_or_else(|error| panic!("{}: {error}", f.name));
    for ((band, name), branch) in BANDS.into_iter().zip(&branches) {
        compare_branch(f, &imported.network, band, name, branch);
    }
    f.compare("output", "output.x_recon", &sum(&branches));
    if f.io.contains_key("train.loss.total") {
        check_step(f, imported, &device);
    }
}

/// The reconstruction: both bands together.
fn sum([low, high]: &[Branch; 2]) -> Vec<f64> {
    host(low.signal.clone() + high.signal.clone())
}

fn check_transform(f: &Fixture, network: &Vqvae, device: &Device) {
    let stft = match network.config().form {
        Form::Paper => Stft::rectangular(network.config().n_fft),
        Form::Release => Stft::hann(network.config().n_fft),
    };
    let x: Tensor<3> = f.get("input.x").tensor(device);
    let spectrogram = network.spectrogram(x).unwrap_or_else(|error| panic!("{}: {error}", f.name));
    f.compare("stft", "stft", &host(spectrogram.clone()));
    for (band, name) in BANDS {
        let of_band = network.band(spectrogram.clone(), band);
        for key in [format!("stft.{name}"), format!("{name}.u")] {
            if f.io.contains_key(&key) {
                f.compare("stft", &key, &host(of_band.clone()));
            }
        }
        let key = format!("istft.{name}");
        if f.io.contains_key(&key) {
            f.compare("stft", &key, &host(stft.inverse(of_band)));
        }
    }
    if f.io.contains_key("istft.full") {
        f.compare("stft", "istft.full", &host(stft.inverse(spectrogram)));
    }
}

/// Compares an intermediate value of stage 1 if the fixture has it.
fn compare_stage1_mid(f: &Fixture, name: &str, value: &Tensor<4>) {
    let (coder, what) = name.split_once('.').expect("a coder and a part of it");
    let (kind, band) = coder.split_once('_').expect("a coder and its band");
    let key = match (is_paper(f), kind, what) {
        (false, "encoder", "out") => format!("mid.enc_{band}.before_normalize"),
        (false, "encoder", at) => format!("mid.enc_{band}.block{at}"),
        (false, _, "out") => format!("mid.dec_{band}.timefreq"),
        (false, _, at) => format!("mid.dec_{band}.block{at}"),
        (true, "encoder", at) => format!("{band}f.mid.enc_block{at}"),
        (true, _, "out") => format!("{band}f.mid.decoder_before_resize"),
        (true, _, "stretched") => format!("{band}f.decoder_out"),
        (true, _, at) => format!("{band}f.mid.dec_block{at}"),
    };
    if f.io.contains_key(&key) {
        f.compare(group(f, "mid"), &key, &host(value.clone()));
    }
}

fn compare_branch(f: &Fixture, network: &Vqvae, band: Band, name: &str, branch: &Branch) {
    let key = |what: &str| format!("{name}.{what}");
    let target = if is_paper(f) { key("target") } else { format!("target.{name}") };
    f.compare(group(f, "stft"), &target, &host(branch.target.clone()));
    f.compare("output", &key("z"), &host(branch.latent.clone()));
    if f.io.contains_key(&key("z_projected")) {
        f.compare("output", &key("z_projected"), &host(branch.quantized.projected.clone()));
    }
    compare_tokens(f, &key("indices"), &branch.quantized.tokens);
    f.compare("output", &key("z_q"), &host(branch.quantized_latent.clone()));
    f.compare("output", &key("perplexity"), &[branch.quantized.perplexity]);
    f.compare("output", &key("xhat"), &host(branch.signal.clone()));
    let losses = network.losses(branch, band);
    let time = match (is_paper(f), band) {
        (true, _) => key("loss.time"),
        (false, Band::Low) => "output.loss.lf_mse".into(),
        (false, Band::High) => "output.loss.hf_l1".into(),
    };
    f.compare("output", &time, &host(losses.time));
    if let Some(spectrogram) = losses.spectrogram {
        f.compare("output", &key("loss.timefreq"), &host(spectrogram));
    }
}

/// A training step without dropout: losses, gradients, and the codebooks after it.
fn check_step(f: &Fixture, imported: Imported<Vqvae>, device: &Device) {
    let device = device.clone().autodiff();
    let Imported { network, params, mut buffers } = imported;
    let params = params.tracked(&device);
    let mut pass = Pass::training(&buffers, None);
    let x = f.get("input.x").tensor(&device);
    let branches = network.forward(&params.root(), &mut pass, x).unwrap();
    let statistics = pass.into_statistics();
    f.compare("train", "train.x_recon", &sum(&branches));
    let [low, high] = [0, 1].map(|at| network.losses(&branches[at], BANDS[at].0));
    for (what, loss) in
        [("lf_mse", &low.time), ("hf_l1", &high.time), ("lf_commit", &low.commitment), ("hf_commit", &high.commitment)]
    {
        f.compare("train", &format!("train.loss.{what}"), &host(loss.clone()));
    }
    let total = low.total() + high.total();
    f.compare("train", "train.loss.total", &host(total.clone()));
    f.compare_gradients("train.grad.", &params.gradients(total.backward()));
    network.follow(&mut buffers, &branches, &statistics);
    for (_, name) in BANDS {
        for what in ["embed", "embed_avg", "cluster_size"] {
            let found = &buffers.entries[&format!("vq_model_{}._codebook.{what}", &name[..1])].values;
            let found: Vec<f64> = found.iter().map(|&value| f64::from(value)).collect();
            f.compare("train", &format!("train.after.{name}.{what}"), &found);
        }
    }
}

/// Stage 2 of either form.
pub fn check_stage2(f: &Fixture, state: Weights) {
    let device = Device::flex();
    let constructor = &f.config["constructor"];
    if is_paper(f) {
        let imported = paper_prior(constructor, &state).unwrap_or_else(|error| panic!("{}: {error}", f.name));
        check_logits(f, &imported, &device);
        return;
    }
    let generator = maskgit(&f.config["stage1_constructor"], constructor, &state)
        .unwrap_or_else(|error| panic!("{}: {error}", f.name));
    check_logits(f, &generator.prior, &device);
    if f.io.contains_key("output.logits_l.guided") {
        let (low, classes) = (tokens(f.get("input.tokens_l_masked")), classes(f.get("input.class")));
        let Imported { network, params, buffers } = &generator.prior;
        let query = Query { low: &low, high: None, classes: Some(&classes) };
        let guidance = generator.decoding.guidance;
        let (params, mut pass) = (params.on(&device), Pass::evaluation(buffers));
        let logits = network.guided_logits(&params.root(), &mut pass, query, guidance).unwrap();
        f.compare("output", "output.logits_l.guided", &host(logits));
    }
    check_decoder(f, &generator, &device);
    check_masked_loss(f, &generator, &device);
    for run in ["uncond", "cond"] {
        check_decoding(f, &generator, run, &device);
    }
}

fn check_logits(f: &Fixture, imported: &Imported<Prior>, device: &Device) {
    let Imported { network, params, buffers } = imported;
    let params = params.on(device);
    let (known, low) = (tokens(f.get("input.tokens_l")), tokens(f.get("input.tokens_l_masked")));
    let (high, classes) = (tokens(f.get("input.tokens_h_masked")), classes(f.get("input.class")));
    let logits = |query: Query, letter: Option<&str>| {
        let trace = &mut |name: &str, value: &Tensor<3>| {
            let Some(letter) = letter else { return };
            let key = format!("mid.{letter}.{name}");
            if f.io.contains_key(&key) {
                // The original has features last.
                f.compare(group(f, "mid"), &key, &host(value.clone().swap_dims(1, 2)));
            }
        };
        let logits = network.logits_traced(&params.root(), &mut Pass::evaluation(buffers), query, trace);
        host(logits.unwrap_or_else(|error| panic!("{}: {error}", f.name)))
    };
    let of_low = Query { low: &low, high: None, classes: Some(&classes) };
    let of_high = Query { low: &known, high: Some(&high), classes: Some(&classes) };
    for (query, letter) in [(of_low, "l"), (of_high, "h")] {
        f.compare("output", &format!("output.logits_{letter}"), &logits(query, Some(letter)));
        let without = logits(Query { classes: None, ..query }, None);
        f.compare("output", &format!("output.logits_{letter}.uncond"), &without);
    }
}

/// The part of the signals that codes of a band stand for.
fn decoded(vqvae: &Imported<Vqvae>, params: &Params, tokens: &Tokens, band: Band, device: &Device) -> Tensor<3> {
    vqvae.network.decode_tokens(&params.root(), &vqvae.buffers, tokens, band, device).unwrap()
}

fn check_decoder(f: &Fixture, generator: &ImportedMaskGit, device: &Device) {
    let params = generator.vqvae.params.on(device);
    for ((band, name), codes) in BANDS.into_iter().zip(["input.tokens_l", "decode.tokens_h"]) {
        let signal = decoded(&generator.vqvae, &params, &tokens(f.get(codes)), band, device);
        f.compare("output", &format!("decode.{name}"), &host(signal));
    }
    given(f, &["decode.tokens_h".into()]);
}

fn check_masked_loss(f: &Fixture, generator: &ImportedMaskGit, device: &Device) {
    let (vqvae, prior) = (&generator.vqvae, &generator.prior);
    let x = f.get("loss.x").tensor(device);
    let stage1 = vqvae.params.on(device);
    let [low, high] = vqvae.network.tokens(&stage1.root(), &vqvae.buffers, x).unwrap();
    let [shown_low, shown_high] = ["l", "h"].map(|band| {
        let (ratio, scores) = (f.get(&format!("loss.ratio_{band}")), f.get(&format!("loss.scores_{band}")));
        let item = |item: usize| shown(ratio.values[item], &scores.at(item).f32s());
        (0..ratio.values.len()).map(item).collect::<Vec<_>>()
    });
    let classes = classes(f.get("input.class"));
    let lesson = Lesson { tokens: [&low, &high], shown: [&shown_low, &shown_high], classes: Some(&classes) };
    let params = prior.params.tracked(&device.clone().autodiff());
    let mut pass = Pass::evaluation(&prior.buffers);
    let guidance = generator.decoding.guidance;
    let [of_low, of_high] = prior.network.losses(&params.root(), &mut pass, lesson, guidance).unwrap();
    f.compare("loss", "loss.l", &host(of_low.clone()));
    f.compare("loss", "loss.h", &host(of_high.clone()));
    let total = of_low + of_high;
    f.compare("loss", "loss.total", &host(total.clone()));
    f.compare_gradients("loss.grad.", &params.gradients(total.backward()));
    given(f, &["x", "ratio_l", "ratio_h", "scores_l", "scores_h"].map(|name| format!("loss.{name}")));
}

/// The stored draws of a run; keeps what was drawn from.
struct Stored<'a> {
    f: &'a Fixture,
    prefix: String,
    logs_of_low: Vec<f64>,
}

impl Stored<'_> {
    fn array(&self, band: Band, step: usize, what: &str) -> Array {
        let band = if band == Band::Low { "l" } else { "h" };
        self.f.get(&format!("{}.{band}.{what}", self.prefix)).at(step)
    }
}

impl Draws for Stored<'_> {
    fn codes(&mut self, band: Band, step: usize, logs: &CodeLogs) -> Tokens {
        if band == Band::Low {
            self.logs_of_low.extend(logs.values.iter().map(|&log| f64::from(log)));
        }
        tokens(&self.array(band, step, "drawn_ids"))
    }

    fn uniforms(&mut self, band: Band, step: usize, shape: [usize; 2]) -> Vec<Vec<f32>> {
        let stored = self.array(band, step, "uniform");
        assert_eq!(stored.shape, shape, "{}: uniform draws", self.f.name);
        (0..shape[0]).map(|item| stored.at(item).f32s()).collect()
    }
}

fn check_decoding(f: &Fixture, generator: &ImportedMaskGit, run: &str, device: &Device) {
    let prefix = format!("sampling.{run}");
    let key = |name: &str| format!("{prefix}.{name}");
    let of_run = (run == "cond").then(|| classes(f.get("sampling.class")));
    let n_items = f.get(&key("tokens_l")).shape[0];
    let mut draws = Stored { f, prefix: prefix.clone(), logs_of_low: Vec::new() };
    let Imported { network, params, buffers } = &generator.prior;
    let params = params.on(device);
    let [low, high] = generator
        .decoding
        .run(network, &params.root(), buffers, n_items, of_run.as_deref(), &mut draws)
        .unwrap_or_else(|error| panic!("{}: {run}: {error}", f.name));
    f.compare("output", &key("l.log_probs"), &draws.logs_of_low);
    compare_tokens(f, &key("tokens_l"), &low);
    compare_tokens(f, &key("tokens_h"), &high);
    let stage1 = generator.vqvae.params.on(device);
    let [low, high] = [(low, Band::Low), (high, Band::High)]
        .map(|(tokens, band)| decoded(&generator.vqvae, &stage1, &tokens, band, device));
    f.compare("output", &key("x"), &host(low + high));
    given(f, &["l.drawn_ids", "h.drawn_ids", "l.uniform", "h.uniform"].map(key));
    given(f, &["sampling.class".into()]);
}
