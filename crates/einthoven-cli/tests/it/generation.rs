//! `train` of generators of whole records, `sample` from them, and `import` of published checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use einthoven::dataset::{Split, npz};
use einthoven::record::lead_law::TWELVE;
use einthoven::record::{self, ReadOptions};

use super::command::{Done, TempFolder, einthoven, text};
use super::simulate::simulated;

/// A prepared set of simulated records of eight leads, two rhythms, 4 s at 100 Hz.
pub fn prepared(folder: &TempFolder) -> PathBuf {
    let mut table = "record,patient,split,labels\n".to_string();
    for (k, rhythm) in ["sinus", "af", "sinus", "af", "sinus", "af"].into_iter().enumerate() {
        let place = format!("records/{k}");
        simulated(folder, &place, &["--rhythm", rhythm, "--seconds", "5", "--fs", "100", "--seed", &k.to_string()]);
        let part = if k < 4 { "train" } else { "test" };
        table += &format!("{k}/syn_000000,p{k},{part},{rhythm}\n");
    }
    std::fs::write(folder.path().join("records/labels.csv"), table).expect("a writable folder");
    let out = folder.at("prepared");
    let done = einthoven([
        "prepare",
        "folder",
        "--data",
        &folder.at("records"),
        "--leads",
        "I,II,V1,V2,V3,V4,V5,V6",
        "--seconds",
        "4",
        "--out",
        &out,
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    out.into()
}

/// Settings that shrink each recipe to a network of a few channels and three steps.
pub fn tiny(generator: &str) -> Vec<String> {
    let set = |key: &str, value: &str| ["--set".to_string(), format!("recipes.{generator}.{key}={value}")];
    if generator == "timevqvae" {
        let transformer = "{ width = 8, layers = 1, heads = 1, ff_multiple = 1, has_rms_norm = true }";
        let prior = format!("{{ embedding = 4, transformers = [{transformer}, {transformer}] }}");
        let vqvae = "{ n_fft = 8, first_width = 4, width = 8, encoder_blocks = 1, decoder_blocks = 1, \
                     target_widths = [16, 32], codes = [12, 12], code_width = 4, starts_by_means = true, form = \"release\" }";
        let settings = [("vqvae", vqvae), ("prior", &prior), ("decoding.steps", "[2, 1]")];
        let stages = ["stage1.steps", "stage2.steps", "stage1.batch", "stage2.batch"].map(|key| (key, "3"));
        return settings.into_iter().chain(stages).flat_map(|(key, value)| set(key, value)).collect();
    }
    let network = match generator {
        "time-diffusion" => {
            "{ kind = \"unet\", width = 8, stem_width = 8, multipliers = [1, 2], blocks = 1, norm = \"group\", groups = 4, \
             time_features = \"sinusoidal\", time_width = 8, time_theta = 10000.0, level_attention = [2, 4], \
             middle_attention = [2, 4], self_condition = false, stem_stride = 4 }"
        }
        "dit" | "latent-diffusion" => {
            "{ kind = \"dit\", patch = 4, width = 8, depth = 1, heads = 2, hidden_times = 2, time_width = 8 }"
        }
        "diffusion-ts" => {
            "{ kind = \"diffusion-ts\", length = 400, encoder_layers = 1, decoder_layers = 1, width = 8, heads = 2, \
             hidden_times = 2, season_kernel = 3, gelu = \"exact\", has_unit_seasons = true }"
        }
        "timediffusion" => {
            "{ kind = \"temporal-blocks\", width = 6, max_degree = 3, time_width = 8, embedding_width = 8 }"
        }
        "diffwave" => "{ kind = \"diffwave\", width = 6, layers = 3, dilation_cycle = 2, steps = 20, label_width = 4 }",
        _ => {
            "{ kind = \"sssd\", width = 4, skip_width = 4, blocks = 2, step_width = [8, 8, 8], length = 400, state = 4, \
             is_bidirectional = true, has_norm = true, label_width = 4, state_space = \"frozen\" }"
        }
    };
    let mut all = vec![("network", network), ("steps", "3"), ("batch", "2"), ("sampler_steps", "3")];
    if generator == "latent-diffusion" {
        let autoencoder = "{ width = 8, multipliers = [1, 1, 2], latent_channels = 2, groups = 4 }";
        all.extend([("latent.autoencoder", autoencoder), ("latent.steps", "3"), ("latent.batch", "2")]);
    }
    settings(generator, &all)
}

/// As [`tiny`] for a generator and its critic, for records of 400 points. The layer before the last has a fifth of the
/// width; a single channel could be zero everywhere.
fn tiny_gan(generator: &str) -> Vec<String> {
    let strides = if generator.starts_with("cond-") { "[2, 5, 2, 5, 2]" } else { "[2, 5, 2, 5, 2, 1]" };
    let latent = if generator.contains("wavegan-star") { ", latent = 8" } else { "" };
    let network = format!("{{ kind = \"{generator}\", width = 20{latent}, strides = {strides} }}");
    let critic = "{ width = 2, layers = 4, shift = 1, slope = 0.2 }";
    settings(
        generator,
        &[("network", &network), ("critic", critic), ("steps", "4"), ("critic_steps", "2"), ("batch", "2")],
    )
}

pub fn settings(generator: &str, values: &[(&str, &str)]) -> Vec<String> {
    let set = |key: &str, value: &str| ["--set".to_string(), format!("recipes.{generator}.{key}={value}")];
    values.iter().flat_map(|(key, value)| set(key, value)).collect()
}

const GANS: [&str; 4] = ["pulse2pulse", "cond-pulse2pulse", "wavegan-star", "cond-wavegan-star"];

pub fn train(data: &Path, generator: &str, run: &str) -> Done {
    let mut words = ["train", "ptbxl-small", "--generator", generator, "--data", text(data), "--out", run, "--json"]
        .map(String::from)
        .to_vec();
    words.extend(if GANS.contains(&generator) { tiny_gan(generator) } else { tiny(generator) });
    einthoven(words)
}

#[test]
fn every_generator_of_records_trains_and_gives_twelve_lawful_leads() {
    let folder = TempFolder::new("generation");
    let data = prepared(&folder);
    for generator in ["time-diffusion", "diffwave", "sssd-ecg", "timevqvae", "dit", "latent-diffusion", "timediffusion"]
    {
        let run = folder.at(generator);
        let first = train(&data, generator, &run).json();
        let model = first["models"][0].as_str().expect("a model file").to_string();
        let bytes = std::fs::read(&model).expect("a model file");
        // The same command again finds its work done.
        assert_eq!(train(&data, generator, &run).json(), first);
        assert_eq!(std::fs::read(&model).expect("a model file"), bytes, "{generator}");

        let out = folder.at(&format!("{generator}-set"));
        let drawn = einthoven(["sample", &run, "-n", "3", "--label", "af", "--out", &out, "--json"]).json();
        assert_eq!(drawn["counts"]["af"], 3, "{generator}: {drawn}");
        let set = npz::read(&Path::new(&out).join("records.npz")).expect("a data set");
        assert_eq!((set.leads.as_slice(), set.sig_len, set.fs_hz), (TWELVE.map(String::from).as_slice(), 400, 100.0));
        assert_eq!(set.provenance["generator"], generator);
        assert!(set.split.iter().all(|part| *part == Split::Train));
        for item in 0..3 {
            let lead = |lead: usize, t: usize| set.item(item)[lead * 400 + t];
            for t in 0..400 {
                assert!((lead(0, t) + lead(2, t) - lead(1, t)).abs() < 1e-5, "{generator}: Einthoven");
                assert!((lead(3, t) + lead(4, t) + lead(5, t)).abs() < 1e-5, "{generator}: Goldberger");
            }
        }
        let written = record::read(Path::new(&out).join("wfdb/syn_000000.hea"), &ReadOptions::default());
        let written = written.expect("a record");
        assert!(written.comments.iter().any(|line| line == "Synthetic: yes"), "{:?}", written.comments);
        let adu = |lead: usize, t: usize| i64::from(written.leads[lead].adu[t]);
        assert!((0..400).all(|t| adu(0, t) + adu(2, t) == adu(1, t) && adu(3, t) + adu(4, t) + adu(5, t) == 0));

        // Batches and threads change no byte of a draw.
        let one = folder.at("one.npz");
        let again = einthoven(["sample", &run, "-n", "3", "--label", "af", "--batch", "1", "--out", &one, "--force"]);
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert_eq!(npz::read(Path::new(&one)).expect("a data set").ecg, set.ecg, "{generator}: batch 1");

        lengths_and_rates(&folder, generator, &run);
        // It leaves as a graph, that of latents or codes with its decoder, and as a file of weights that can be drawn from.
        let (graph, weights) =
            (folder.at(&format!("{generator}.onnx")), folder.at(&format!("{generator}.safetensors")));
        let words = ["export", &run, "--onnx", &graph, "--safetensors", &weights, "--json"];
        let files = einthoven(words).json();
        let beside: &[&str] = match generator {
            "timevqvae" => &["high.onnx", "decoder.onnx"],
            "latent-diffusion" => &["decoder.onnx"],
            _ => &[],
        };
        assert_eq!(files["files"].as_array().map(Vec::len), Some(2 + beside.len()), "{generator}: {files}");
        for extension in ["onnx"].iter().chain(beside) {
            let file = Path::new(&graph).with_extension(extension);
            assert!(std::fs::metadata(&file).is_ok_and(|file| file.len() > 1000), "{}", file.display());
        }
        let words = ["sample", &weights, "-n", "3", "--label", "af", "--batch", "1", "--out", &one, "--force"];
        assert_eq!(einthoven(words).code, 0);
        assert_eq!(npz::read(Path::new(&one)).expect("a data set").ecg, set.ecg, "{generator}: exported weights");
    }
}

/// Records of 4 s at 100 Hz, at other rates and of other lengths: cut, a little longer at once, and window by window.
fn lengths_and_rates(folder: &TempFolder, generator: &str, run: &str) {
    let out = folder.at("lengths.npz");
    let draw = |seconds: &str, fs: &str, batch: &str| {
        let call =
            ["sample", run, "-n", "2", "--label", "af", "--out", &out, "--force", "--json", "--seconds", seconds];
        einthoven(call.iter().chain(&["--fs", fs, "--batch", batch]))
    };
    let is_of_signals = !["timevqvae", "latent-diffusion"].contains(&generator);
    // The kernels of this network have a length; others take any.
    let windows_of_a_little_more = (generator == "sssd-ecg").then_some(2);
    for (seconds, fs, n, windows) in
        [("2.5", "200", 500, None), ("4.3", "100", 430, windows_of_a_little_more), ("9", "250", 2250, Some(4))]
    {
        if !is_of_signals && seconds != "2.5" {
            let error = draw(seconds, fs, "2").error();
            assert_eq!(error["exit_code"], 2, "{generator}: {error}");
            assert!(error["error"].as_str().is_some_and(|text| text.contains("at most 4 s; longer")), "{error}");
            continue;
        }
        let drawn = draw(seconds, fs, "2").json();
        let (seconds_f64, fs_hz): (f64, f64) = (seconds.parse().expect("a number"), fs.parse().expect("a number"));
        assert_eq!((&drawn["fs_hz"], &drawn["seconds"]), (&fs_hz.into(), &seconds_f64.into()), "{generator}");
        let set = npz::read(Path::new(&out)).expect("a data set");
        assert_eq!((set.sig_len, set.fs_hz), (n, fs_hz), "{generator}");
        assert_eq!(set.provenance["windows"]["n"].as_u64(), windows, "{generator}, {seconds} s");
        // Networks of three training steps draw amplitudes that no heart has, and 32 bits are a share of them.
        let size = set.ecg.iter().fold(1.0f32, |most, v| most.max(v.abs()));
        for t in 0..n {
            let mv = |lead: usize| set.item(1)[lead * n + t];
            assert!((mv(0) + mv(2) - mv(1)).abs() < 1e-5 * size, "{generator}: Einthoven");
            assert!((mv(3) + mv(4) + mv(5)).abs() < 1e-5 * size, "{generator}: Goldberger");
        }
        assert_eq!(draw(seconds, fs, "1").code, 0);
        assert!(npz::read(Path::new(&out)).expect("a data set").ecg == set.ecg, "{generator}: batch 1");
    }
}

/// Three steps leave this network with values that the signal could have.
#[test]
fn diffusion_ts_trains_and_is_drawn_from() {
    let folder = TempFolder::new("diffusion-ts");
    let data = prepared(&folder);
    let run = folder.at("run");
    let first = train(&data, "diffusion-ts", &run).json();
    assert_eq!(train(&data, "diffusion-ts", &run).json(), first);
    let sets = ["1", "3"].map(|batch| {
        let out = folder.at(&format!("{batch}.npz"));
        let done = einthoven(["sample", &run, "-n", "3", "--label", "af", "--batch", batch, "--out", &out]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        npz::read(Path::new(&out)).expect("a data set")
    });
    assert!(sets[0].ecg == sets[1].ecg && sets[0].ecg.iter().all(|value| value.abs() < 20.0));
    assert_eq!((sets[0].leads.len(), sets[0].sig_len, sets[0].label_names.is_empty()), (12, 400, false));
}

#[test]
fn adversarial_generators_train_and_give_twelve_lawful_leads() {
    let folder = TempFolder::new("adversarial");
    let data = prepared(&folder);
    for generator in GANS {
        let run = folder.at(generator);
        let first = train(&data, generator, &run).json();
        let model = first["models"][0].as_str().expect("a model file").to_string();
        let bytes = std::fs::read(&model).expect("a model file");
        assert_eq!(train(&data, generator, &run).json(), first);
        assert_eq!(std::fs::read(&model).expect("a model file"), bytes, "{generator}");

        let labels: &[&str] = if generator.starts_with("cond-") { &["--label", "af"] } else { &[] };
        let out = folder.at(&format!("{generator}.npz"));
        let call = ["sample", &run, "-n", "3", "--out", &out, "--json"];
        let drawn = einthoven(call.iter().chain(labels)).json();
        assert_eq!((&drawn["n_items"], &drawn["provenance"]["generator"]), (&3.into(), &generator.into()));
        let set = npz::read(Path::new(&out)).expect("a data set");
        assert_eq!((set.leads.as_slice(), set.sig_len, set.fs_hz), (TWELVE.map(String::from).as_slice(), 400, 100.0));
        assert_eq!(set.n_labels(), if labels.is_empty() { 0 } else { 2 });
        let spread = |item: &[f32]| item.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        for item in 0..3 {
            let lead = |lead: usize, t: usize| set.item(item)[lead * 400 + t];
            assert!((0..400).all(|t| (lead(0, t) + lead(2, t) - lead(1, t)).abs() < 1e-5), "{generator}: Einthoven");
            assert!(spread(set.item(item)) > 0.0, "{generator}: a flat line");
        }
        assert!(set.item(0) != set.item(1), "{generator}: two items are alike");
        let one = folder.at("one.npz");
        let call = ["sample", &run, "-n", "3", "--batch", "1", "--out", &one, "--force"];
        let again = einthoven(call.iter().chain(labels));
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert_eq!(npz::read(Path::new(&one)).expect("a data set").ecg, set.ecg, "{generator}: batch 1");

        // It leaves as one graph, and as a file that can be drawn from.
        let (graph, weights) =
            (folder.at(&format!("{generator}.onnx")), folder.at(&format!("{generator}.safetensors")));
        let files = einthoven(["export", &run, "--onnx", &graph, "--safetensors", &weights, "--json"]).json();
        assert_eq!(files["files"].as_array().map(Vec::len), Some(2), "{generator}: {files}");
        let call = ["sample", &weights, "-n", "3", "--out", &one, "--force"];
        assert_eq!(einthoven(call.iter().chain(labels)).code, 0);
        assert_eq!(npz::read(Path::new(&one)).expect("a data set").ecg, set.ecg, "{generator}: exported weights");

        // What it has not is refused, not ignored.
        let none = folder.at("none.npz");
        let error = einthoven(["sample", &run, "-n", "1", "--steps", "8", "--out", &none, "--json"]).error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains("in one pass")), "{error}");
        if labels.is_empty() {
            let error = einthoven(["sample", &run, "-n", "1", "--label", "af", "--out", &none, "--json"]).error();
            assert_eq!(error["exit_code"], 2, "{error}");
            assert!(error["error"].as_str().is_some_and(|text| text.contains("knows no labels")), "{error}");
        }
        let error = einthoven(["sample", &run, "-n", "1", "--hr", "60", "--out", &none, "--json"]).error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains("does not know it")), "{error}");
    }
    let record = simulated(&folder, "whole", &["--seconds", "5", "--fs", "100"]);
    let (run, out) = (folder.at("wavegan-star"), folder.at("no.hea"));
    let error =
        einthoven(["impute", text(&record), "--model", &run, "--missing", "V3", "--out", &out, "--json"]).error();
    assert!(
        error["error"].as_str().is_some_and(|text| text.contains("expected one of a diffusion generator")),
        "{error}"
    );
}

#[test]
fn strides_that_do_not_make_the_records_are_refused_before_training() {
    let folder = TempFolder::new("strides");
    let data = prepared(&folder);
    let run = folder.at("run");
    let mut words =
        ["train", "ptbxl-small", "--generator", "pulse2pulse", "--data", text(&data), "--out", &run, "--json"]
            .map(String::from)
            .to_vec();
    // The preset's network is for 1000 points, the data have 400.
    let error = einthoven(words.clone()).error();
    let text = error["error"].as_str().expect("a message");
    assert!(text.contains("strides") && text.contains("400 points, which 500 has to divide"), "{error}");
    words.extend(settings("pulse2pulse", &[("network.kind", "wavegan-star"), ("network.latent", "3")]));
    let error = einthoven(words).error();
    let text = error["error"].as_str().expect("a message");
    assert!(text.contains("network.kind") && text.contains("expected pulse2pulse"), "{error}");
}

#[test]
fn a_generator_that_a_preset_does_not_know_is_refused() {
    let folder = TempFolder::new("unknown-generator");
    for words in [
        ["train", "ptbxl-small", "--generator", "dgn", "--json"],
        ["train", "quickstart", "--generator", "diffwave", "--json"],
    ] {
        let error = einthoven(words.into_iter().chain(["--out", &folder.at("run")])).error();
        assert_eq!((&error["exit_code"], &error["code"].is_null()), (&2.into(), &true), "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains("generator")), "{error}");
    }
    let error = einthoven(["train", "ptbxl-small", "--out", &folder.at("run"), "--json"]).error();
    assert!(error["error"].as_str().is_some_and(|text| text.contains("--data DIR")), "{error}");
    let error = einthoven(["run", "ptbxl-small", "--out", &folder.at("run"), "--json"]).error();
    assert!(error["error"].as_str().is_some_and(|text| text.contains("einthoven train")), "{error}");
}

/// Folder of a published model by its fixture; a missing folder skips the test.
pub fn fixture(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/parity");
    let folder = std::env::var_os("EINTHOVEN_PARITY").map_or(root, PathBuf::from).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert_ne!(std::env::var("EINTHOVEN_REQUIRE_DATA").as_deref(), Ok("1"), "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

#[test]
fn a_published_checkpoint_becomes_a_run_to_draw_from() {
    let Some(fixture) = fixture("sssd_ecg") else { return };
    let folder = TempFolder::new("import");
    let checkpoint = fixture.join("weights.safetensors");
    let (run, checkpoint) = (folder.at("run"), text(&checkpoint));
    let error = einthoven(["import", checkpoint, "--as", "sssd-ecg", "--out", &run, "--json"]).error();
    // A network with another number of labels than the publication: nobody can know what they mean.
    assert!(error["error"].as_str().is_some_and(|text| text.contains("--labels")), "{error}");
    let shapes: BTreeMap<String, Vec<usize>> = einthoven::run::safetensors::read(Path::new(checkpoint))
        .expect("a checkpoint")
        .tensors
        .into_iter()
        .map(|(name, (shape, _))| (name, shape))
        .collect();
    let names = |prefix: &str, n: usize| (0..n).map(|k| format!("{prefix}{k}")).collect::<Vec<_>>().join(",");
    let labels = names("L", shapes["embedding.weight"][0]);
    let n_channels = shapes["init_conv.0.conv.weight_v"][1];
    // Eight channels are the leads of the publication, from which the others follow.
    let leads = names("C", n_channels);
    let leads: &[&str] = if n_channels == 8 { &[] } else { &["--leads", &leads] };
    let call = ["import", checkpoint, "--as", "sssd-ecg", "--labels", &labels, "--out", &run, "--json"];
    let imported = einthoven(call.iter().chain(leads)).json();
    assert!(Path::new(imported["model"].as_str().expect("a path")).is_file());
    let out = folder.at("x.npz");
    let drawn = einthoven([
        "sample",
        &run,
        "-n",
        "2",
        "--label",
        "L1",
        "--sampler",
        "ddim",
        "--steps",
        "3",
        "--out",
        &out,
        "--json",
    ]);
    assert_eq!(drawn.json()["counts"]["L1"], 2);
    let set = npz::read(Path::new(&out)).expect("a data set");
    let expected = if n_channels == 8 { 12 } else { n_channels };
    assert_eq!((set.leads.len(), set.fs_hz, set.len()), (expected, 100.0, 2));
    for (words, reason) in [(["--as", "nothing"], "nothing"), (["--as", "diffwave"], "is missing")] {
        let done = einthoven(["import", checkpoint, "--out", &folder.at("other"), "--json"].into_iter().chain(words));
        assert!(done.error()["error"].as_str().is_some_and(|text| text.contains(reason)), "{}", done.stderr);
    }
}

#[test]
fn what_is_missing_is_derived_or_drawn_and_the_rest_stays() {
    let folder = TempFolder::new("impute");
    let data = prepared(&folder);
    let run = folder.at("run");
    assert_eq!(train(&data, "diffwave", &run).code, 0);
    let record = simulated(&folder, "whole", &["--seconds", "9", "--fs", "250"]);
    let out = folder.at("filled.hea");
    let call = ["impute", text(&record), "--model", &run, "--missing", "aVF,V3", "--gap", "5.5..7", "--out", &out];
    let found = einthoven(call.into_iter().chain(["--label", "sinus", "--json"])).json();
    let gap = (7.0f64 - 5.5) * 250.0;
    // aVF follows from I and II where they were recorded; in the gap every lead comes from those that were drawn.
    assert_eq!(found["derived"]["aVF"], 9 * 250 - gap as usize);
    assert_eq!((&found["drawn"]["V3"], &found["drawn"]["I"]), (&(9 * 250).into(), &(gap as usize).into()));
    assert!(found["derived"]["V3"].is_null());
    let read = |path: &str| record::read(path, &ReadOptions::default()).expect("a record");
    let (before, after) = (read(&format!("{}.hea", text(&record).trim_end_matches(".hea"))), read(&out));
    for (a, b) in before.leads.iter().zip(&after.leads) {
        let is_made = |t: usize| a.name == "V3" || (t as f64 / 250.0 >= 5.5 && (t as f64) < 7.0 * 250.0);
        for t in (0..a.adu.len()).filter(|&t| !is_made(t)) {
            let tolerance = if a.name == "aVF" { 2 } else { 0 };
            assert!((a.adu[t] - b.adu[t]).abs() <= tolerance, "{} at {t}: {} and {}", a.name, a.adu[t], b.adu[t]);
        }
        assert!(a.name != "V3" || a.adu != b.adu);
    }
    assert!(after.comments.iter().any(|line| line == "Synthetic: in part"), "{:?}", after.comments);
    let whole = einthoven(["impute", text(&record), "--model", &run, "--out", &folder.at("no.hea"), "--json"]).error();
    assert!(whole["error"].as_str().is_some_and(|text| text.contains("nothing missing")), "{whole}");
    let late = ["impute", text(&record), "--model", &run, "--gap", "8..10", "--out", &folder.at("no.hea"), "--json"];
    assert_eq!(einthoven(late).error()["exit_code"], 2);
}

#[test]
fn a_checkpoint_without_labels_is_drawn_from_without_one() {
    let Some(fixture) = fixture("diffwave_uncond") else { return };
    let folder = TempFolder::new("unlabeled");
    let checkpoint = fixture.join("weights.safetensors");
    let run = folder.at("run");
    let imported = einthoven(["import", text(&checkpoint), "--as", "diffwave", "--points", "128", "--out", &run]);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let out = folder.at("x.npz");
    let drawn = einthoven(["sample", &run, "-n", "2", "--sampler", "ddim", "--steps", "3", "--out", &out, "--json"]);
    assert_eq!(drawn.json()["n_items"], 2);
    let set = npz::read(Path::new(&out)).expect("a data set");
    assert_eq!((set.n_labels(), set.len(), set.sig_len), (0, 2, 128));
    let error =
        einthoven(["sample", &run, "-n", "1", "--label", "AFIB", "--out", &folder.at("y.npz"), "--json"]).error();
    assert_eq!(error["exit_code"], 2, "{error}");
}

#[test]
fn a_trained_generator_is_asked_for_what_it_was_told_and_nothing_else() {
    let folder = TempFolder::new("told");
    let data = prepared(&folder);
    let run = folder.at("run");
    let done = train(&data, "diffwave", &run);
    assert_eq!(done.code, 0, "{}", done.stderr);
    // The records have no age; rate, intervals and axis were measured on them.
    assert!(done.stderr.contains("age is known of no record"), "{}", done.stderr);
    let sample = |extra: &[&str], out: &str| {
        let call = ["sample", &run, "-n", "2", "--out", &folder.at(out), "--force", "--json"].map(String::from);
        einthoven(call.into_iter().chain(extra.iter().map(|word| (*word).to_string())))
    };
    let slow = sample(&["--label", "af", "--hr", "50"], "slow.npz").json();
    assert_eq!((&slow["counts"]["af"], &slow["provenance"]["request"]["numbers"]["hr"][1]), (&2.into(), &50.0.into()));
    assert_eq!((&slow["delivered"][0]["fact"], &slow["delivered"][0]["n_requested"]), (&"hr".into(), &2.into()));
    let read = |out: &str| npz::read(&folder.path().join(out)).expect("a data set");
    assert_eq!(sample(&["--label", "af", "--hr", "150"], "fast.npz").code, 0);
    assert_eq!(sample(&["--label", "af:0.4+sinus:0.6", "--hr", "50"], "between.npz").code, 0);
    let (slow, fast, between) = (read("slow.npz"), read("fast.npz"), read("between.npz"));
    assert!(slow.ecg != fast.ecg && slow.ecg != between.ecg);
    assert_eq!(between.labels, [1, 1, 1, 1]);
    assert_eq!(slow.conditions(1).facts.hr_bpm, Some(50.0));
    for (words, wanted) in [
        (["--age", "50"], "it knows label, hr"),
        (["--site", "x"], "site: diffwave does not know it"),
        (["--label", "NORMAL"], "af"),
        (["--hr", "fast"], "a number"),
    ] {
        let error = sample(&words, "no.npz").error();
        assert_eq!(error["exit_code"], 2, "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains(wanted)), "{error}");
    }
}

/// Arrays and configurations of fixtures of TimeVQVAE, in one checkpoint and one file of arguments.
fn timevqvae(folder: &TempFolder, fixtures: &[PathBuf], keys: [&str; 2]) -> (String, String) {
    let mut tensors = BTreeMap::new();
    for fixture in fixtures {
        let file = einthoven::run::safetensors::read(&fixture.join("weights.safetensors")).expect("a checkpoint");
        tensors.extend(file.tensors);
    }
    let bytes = einthoven::run::safetensors::to_bytes(&tensors, &BTreeMap::new(), Default::default());
    let checkpoint = folder.at("whole.safetensors");
    std::fs::write(&checkpoint, bytes.expect("finite weights")).expect("a writable folder");
    let config = |at: usize| -> serde_json::Value {
        let text = std::fs::read_to_string(fixtures[at].join("config.json")).expect("a configuration");
        serde_json::from_str(&text).expect("JSON")
    };
    let (first, last) = (config(0), config(fixtures.len() - 1));
    let both = serde_json::json!({ "stage1": first[keys[0]], "stage2": last[keys[1]] });
    let arguments = folder.at("arguments.json");
    std::fs::write(&arguments, both.to_string()).expect("a writable folder");
    (checkpoint, arguments)
}

#[test]
fn both_published_forms_of_timevqvae_become_runs_to_draw_from() {
    let release = ["timevqvae_stage2"].map(fixture);
    let paper = ["timevqvae_2023_stage1", "timevqvae_2023_stage2"].map(fixture);
    let forms = [
        (release.into_iter().collect::<Option<Vec<_>>>(), ["stage1_constructor", "constructor"]),
        (paper.into_iter().collect::<Option<Vec<_>>>(), ["constructor", "constructor"]),
    ];
    for (fixtures, keys) in forms {
        let Some(fixtures) = fixtures else { continue };
        let folder = TempFolder::new("timevqvae");
        let (checkpoint, arguments) = timevqvae(&folder, &fixtures, keys);
        let text = std::fs::read_to_string(&arguments).expect("arguments");
        let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let number = |stage: &str, key: &str| told[stage][key].as_u64().expect("a number") as usize;
        let (n_channels, length) = (number("stage1", "in_channels"), number("stage1", "input_length"));
        let names = |prefix: &str, n: usize| (0..n).map(|k| format!("{prefix}{k}")).collect::<Vec<_>>().join(",");
        let (leads, labels) = (names("C", n_channels), names("L", number("stage2", "n_classes")));
        let points = length.to_string();
        let import = |run: &str, words: &[&str]| {
            let call =
                ["import", &checkpoint, "--as", "timevqvae", "--leads", &leads, "--labels", &labels, "--out", run];
            einthoven(call.iter().chain(words))
        };
        // By the original's arguments, and by what the arrays say of themselves.
        for (run, words) in [("told", ["--arguments", &arguments]), ("read", ["--points", &points])] {
            let run = folder.at(run);
            let done = import(&run, &words);
            assert_eq!(done.code, 0, "{}", done.stderr);
            let draw = |out: &str, words: &[&str]| {
                let out = folder.at(out);
                let done = einthoven(["sample", &run, "--label", "L1", "--out", &out, "--force"].iter().chain(words));
                assert_eq!(done.code, 0, "{}", done.stderr);
                npz::read(Path::new(&out)).expect("a data set")
            };
            let all = draw("all.npz", &["-n", "3", "--guidance", "1.5"]);
            assert_eq!((all.leads.len(), all.len()), (n_channels, 3));
            // In the paper's form a whole number of segments.
            assert!(length - all.sig_len < 8, "{} of {length} points", all.sig_len);
            assert_eq!(all.provenance["generator"], "timevqvae");
            let last = draw("last.npz", &["-n", "1", "--first", "2", "--batch", "1", "--guidance", "1.5"]);
            assert_eq!(last.ecg, all.item(2));
        }
        let error = import(&folder.at("other"), &["--points", "7", "--json"]).error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains("7 points")), "{error}");
    }
}
