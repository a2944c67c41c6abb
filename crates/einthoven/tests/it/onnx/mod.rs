//! Exported graphs: sound as files, and in onnxruntime the same numbers as our own forward pass.
//!
//! The second needs a Python with `numpy`, `onnx` and `onnxruntime`: that of `EINTHOVEN_PYTHON`, or `python3`. Without one
//! it says so and is skipped.

mod timevqvae;
mod wire;

use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::classifiers::cnn1d::{Cnn1d, Cnn1dConfig};
use einthoven::classifiers::ptbxl::fcn_wang::{FcnWang, FcnWangConfig};
use einthoven::classifiers::ptbxl::head::HeadConfig;
use einthoven::classifiers::ptbxl::inception1d::{Inception1d, Inception1dConfig};
use einthoven::classifiers::ptbxl::resnet1d_wang::{Resnet1dWang, Resnet1dWangConfig};
use einthoven::classifiers::ptbxl::xresnet1d::{self, Xresnet1d};
use einthoven::classifiers::ptbxl::{BenchmarkNetwork, Imported, Pass, to_onnx};
use einthoven::dataset::Facts;
use einthoven::dataset::condition::{Fact, Sex, Told};
use einthoven::diffusion::latent::LatentSpace;
use einthoven::diffusion::{Backbone, Condition, Network, NetworkConfig, onnx};
use einthoven::generators::gan_model::{GanCard, GanModel};
use einthoven::nn::gan::network::{GanNetwork, GanNetworkConfig};
use einthoven::nn::onnx::Graph;
use einthoven::nn::shown_beats::{self, ShownBeat, ShownWaves};
use einthoven::nn::told;
use einthoven::nn::vae1d::{Vae1d, Vae1dConfig};
use einthoven::nn::weights::{Weight, Weights, host};
use einthoven::seed::Seed;
use serde_json::{Value, json};

use super::folder::TempFolder;

/// A graph, what goes into it by name, and what has to come out; arrays are a shape and values.
struct Case {
    name: String,
    graph: Vec<u8>,
    inputs: Value,
    output: Value,
}

/// Networks of every kind, some in both of their forms; two leads, three labels.
fn networks() -> Vec<(&'static str, Value, usize)> {
    let unet = |norm: &str, features: &str, stride: usize| {
        json!({ "kind": "unet", "width": 8, "stem_width": 8, "multipliers": [1, 2], "blocks": 2, "norm": norm,
                "groups": 4, "time_features": features, "time_width": 8, "time_theta": 10000.0,
                "level_attention": [2, 4], "middle_attention": [2, 4], "self_condition": norm == "rms",
                "stem_stride": stride, "beats": stride == 2, "waves": stride == 2 })
    };
    let sssd = |state_space: &str| {
        json!({ "kind": "sssd", "width": 4, "skip_width": 3, "blocks": 2, "step_width": [8, 8, 8], "length": 40,
                "state": 4, "is_bidirectional": state_space == "frozen", "has_norm": true, "label_width": 4,
                "state_space": state_space })
    };
    vec![
        ("unet-group", unet("group", "sinusoidal", 2), 37),
        ("unet-rms", unet("rms", "fourier", 1), 40),
        (
            "diffwave",
            json!({ "kind": "diffwave", "width": 6, "layers": 4, "dilation_cycle": 3, "steps": 20, "label_width": 4 }),
            40,
        ),
        (
            "diffwave-pairs",
            json!({ "kind": "diffwave", "width": 6, "layers": 2, "dilation_cycle": 3, "steps": 20, "label_width": 4,
                "is_paired": true }),
            40,
        ),
        ("sssd-frozen", sssd("frozen"), 40),
        ("sssd-diagonal", sssd("diagonal"), 33),
        (
            "dit",
            json!({ "kind": "dit", "patch": 4, "width": 8, "depth": 2, "heads": 2, "hidden_times": 2, "time_width": 8 }),
            38,
        ),
        (
            "temporal-blocks",
            json!({ "kind": "temporal-blocks", "width": 6, "max_degree": 3, "time_width": 8, "embedding_width": 4 }),
            40,
        ),
        (
            "diffusion-ts-unit",
            json!({ "kind": "diffusion-ts", "length": 40, "encoder_layers": 0, "decoder_layers": 1, "width": 8,
                "heads": 2, "hidden_times": 2, "season_kernel": 1, "gelu": "sigmoid", "has_unit_seasons": true }),
            40,
        ),
        (
            "diffusion-ts",
            json!({ "kind": "diffusion-ts", "length": 40, "encoder_layers": 1, "decoder_layers": 2, "width": 8,
                "heads": 2, "hidden_times": 2, "season_kernel": 3, "gelu": "exact" }),
            40,
        ),
    ]
}

/// Start weights in which nothing is 0, so that no part of a network is hidden behind another.
fn opened(mut weights: Weights) -> Weights {
    for (name, weight) in &mut weights.entries {
        if weight.values.iter().all(|value| *value == 0.0 || *value == 1.0) {
            let mut stream = Seed::new(9).purpose(name).stream();
            weight.values.iter_mut().for_each(|value| *value += (0.3 * stream.normal()) as f32);
        }
    }
    weights
}

fn normal(shape: [usize; 3], seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; shape.iter().product()];
    Seed::new(seed).stream().fill_normal(&mut values);
    values
}

fn denoisers() -> Vec<Case> {
    let device = Device::flex();
    let labels = vec![vec![1.0, 0.0, 1.0], vec![0.0; 3], vec![0.0, 0.5, 0.0]];
    let times = [3.0f32, 7.25, 12.5];
    let told = Told { facts: vec![Fact::Hr, Fact::Sex, Fact::Site], sites: vec!["here".into()] };
    let facts = vec![
        Facts { hr_bpm: Some(71.0), sex: Some(Sex::Male), ..Facts::default() },
        Facts::default(),
        Facts { site: Some("here".into()), ..Facts::default() },
    ];
    let waves = Some(ShownWaves { p_onset: Some(-9.0), qrs: [-2.0, 2.5], t_offset: None });
    let beats = [vec![3.0, 14.5, 30.0], vec![], vec![-4.0, 40.0]];
    let beats = beats.map(|beats| beats.into_iter().map(|at| ShownBeat { at, waves }).collect::<Vec<_>>());
    let plain = networks().into_iter().map(|network| (network, Told::default()));
    let all = plain.chain(networks().into_iter().map(|network| (network, told.clone())));
    all.map(|((name, config, length), told)| {
        let config: NetworkConfig = serde_json::from_value(config).expect("a network's configuration");
        let network = Network::new(&config.sized(2, 3).with_told(told.clone()), Seed::new(1)).unwrap();
        let weights = opened(network.start(Seed::new(2)));
        let x = normal([3, 2, length], 3);
        let tensor = Tensor::<3>::from_data(TensorData::new(x.clone(), [3, 2, length]), &device);
        let backbone = network.with(weights.on(&device));
        let time = Tensor::<1>::from_floats(times, &device);
        let mut condition = Condition::of_labels(labels.clone());
        condition.facts = Some(facts.clone());
        condition.beats = Some(beats.to_vec());
        let expected = backbone.predict(tensor, time, &condition).unwrap();
        let mut inputs = json!({ "x": [[3, 2, length], x], "time": [[3], times], "labels": [[3, 3], labels.concat()] });
        if config.sees_beats() {
            let rows: Vec<f32> =
                beats.iter().flat_map(|beats| shown_beats::channels(beats, length, config.sees_waves())).collect();
            inputs["beats"] = json!([[3, shown_beats::n_channels(config.sees_waves()), length], rows]);
        }
        if !told.is_empty() {
            let rows: Vec<f32> = facts.iter().flat_map(|facts| told::rows(&told, facts)).collect();
            inputs["facts"] = json!([[3, told::n_rows(&told)], rows]);
        }
        Case {
            name: if told.is_empty() { name.into() } else { format!("{name}-told") },
            graph: onnx::denoiser(&network, &weights, length, &[("kind", name.into())]).unwrap(),
            inputs,
            output: json!([[3, 2, length], host(expected)]),
        }
    })
    .collect()
}

fn decoder() -> Case {
    let device = Device::flex();
    let autoencoder = Vae1dConfig { channels: 2, width: 4, multipliers: vec![1, 2, 2], latent_channels: 3, groups: 2 };
    let network = Vae1d::new(autoencoder.clone()).unwrap();
    let weights = opened(Weights::initialize(&network.params(), Seed::new(4)));
    let space = LatentSpace { autoencoder, sd: vec![0.5, 1.0, 2.0] };
    let z = normal([2, 3, 6], 5);
    let scaled: Vec<f32> =
        z.chunks(6).zip([0.5, 1.0, 2.0].iter().cycle()).flat_map(|(row, sd)| row.iter().map(move |v| v * sd)).collect();
    let tensor = Tensor::<3>::from_data(TensorData::new(scaled, [2, 3, 6]), &device);
    let expected = host(network.decode(&weights.on(&device).root(), tensor).unwrap());
    Case {
        name: "decoder".into(),
        graph: onnx::decoder(&space, &weights, 24, &[]).unwrap(),
        inputs: json!({ "latent": [[2, 3, 6], z] }),
        output: json!([[2, 2, 24], expected]),
    }
}

fn classifier() -> Case {
    let device = Device::flex();
    let config = Cnn1dConfig { channels: vec![4, 6], kernels: vec![5, 3], dropout: 0.5, rr_features: true };
    let network = Cnn1d::new(config, 2, 21, 3).unwrap();
    let mut weights = opened(Weights::initialize(&network.params(), Seed::new(6)));
    let mut buffers = network.buffers();
    for weight in buffers.entries.values_mut() {
        weight.values.iter_mut().enumerate().for_each(|(i, value)| *value += 0.1 * i as f32);
    }
    let (x, rr) = (normal([3, 2, 21], 7), normal([3, 3, 1], 8));
    let tensor = Tensor::<3>::from_data(TensorData::new(x.clone(), [3, 2, 21]), &device);
    let told = Tensor::<2>::from_data(TensorData::new(rr.clone(), [3, 3]), &device);
    let logits = network.logits(&weights.on(&device), &buffers.on(&device), tensor, Some(told));
    let expected = host(burn::tensor::activation::softmax(logits, 1));
    weights.entries.extend(buffers.entries);
    let mut graph = Graph::new(&weights);
    network.graph(&mut graph, 21);
    Case {
        name: "classifier".into(),
        graph: graph.to_bytes("classifier", &[]).unwrap(),
        inputs: json!({ "x": [[3, 2, 21], x], "rr": [[3, 3], rr] }),
        output: json!([[3, 3], expected]),
    }
}

/// Every generator from noise, with normalizations that have seen something.
fn gans() -> Vec<Case> {
    let networks = [
        (json!({ "kind": "pulse2pulse", "width": 6, "strides": [2, 2, 1, 3, 5, 1] }), 0),
        (json!({ "kind": "cond-pulse2pulse", "width": 6, "strides": [2, 2, 1, 3, 5] }), 3),
        (json!({ "kind": "wavegan-star", "width": 6, "latent": 7, "strides": [2, 2, 1, 3, 5, 1] }), 0),
        (json!({ "kind": "cond-wavegan-star", "width": 5, "latent": 7, "strides": [2, 2, 1, 3, 5] }), 3),
    ];
    let case = |(config, labels): (Value, usize)| {
        let kind = config["kind"].as_str().unwrap().to_string();
        let config: GanNetworkConfig = serde_json::from_value(config).unwrap();
        let config = config.sized(2, labels, 120);
        let network = GanNetwork::new(&config, 120).unwrap();
        let mut state = opened(network.start(Seed::new(1)));
        for (name, weight) in Weights::initialize(&network.running(), Seed::new(1)).entries {
            let values = weight.values.iter().enumerate().map(|(i, value)| value + 0.1 * i as f32).collect();
            state.entries.insert(name, Weight { values, ..weight });
        }
        let card = GanCard {
            format: 1,
            generator: kind.clone(),
            role: "generator".into(),
            network: config,
            scale_mv: vec![3.0, 0.5],
            leads: vec!["I".into(), "II".into()],
            sig_len: 120,
            fs_hz: 100.0,
            label_names: (0..labels).map(|label| label.to_string()).collect(),
            training_data: Value::Null,
        };
        let model = GanModel::new(card, state, &Device::flex()).unwrap();
        let mut streams: Vec<_> = (0..3).map(|item| Seed::new(2).index(item).stream()).collect();
        let noise = network.draw_noise(&mut streams);
        let told = if labels > 0 { [1.0f32, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.5, 0.0].to_vec() } else { Vec::new() };
        let expected = model.signals(&noise, &told).unwrap();
        let shape = match kind.as_str() {
            "wavegan-star" => vec![3, 7],
            "cond-wavegan-star" => vec![3, 2, 7],
            _ => vec![3, 2, 120],
        };
        let mut inputs = json!({ "noise": [shape, noise] });
        if labels > 0 {
            inputs["labels"] = json!([[3, labels], told]);
        }
        Case { name: kind, graph: model.to_onnx().unwrap(), inputs, output: json!([[3, 2, 120], expected]) }
    };
    networks.into_iter().map(case).collect()
}

/// The networks of the PTB-XL benchmark, narrow, on a length that no stride divides.
fn benchmarks() -> Vec<Case> {
    let device = Device::flex();
    let head = HeadConfig { hidden: vec![5], has_final_norm: true, ..HeadConfig::published() };
    let resnet = xresnet1d::Xresnet1dConfig {
        stem: [4, 4, 6],
        widths: vec![4, 6],
        blocks: vec![2, 1],
        head: head.clone(),
        ..xresnet1d::Xresnet1dConfig::published("xresnet1d50", 2, 3).unwrap()
    };
    let plain = xresnet1d::Xresnet1dConfig { expansion: 1, ..resnet.clone() };
    let fcn = FcnWangConfig { filters: vec![4, 6, 5], pool: 3, head: head.clone(), ..FcnWangConfig::published(2, 3) };
    let wang = Resnet1dWangConfig { width: 6, head: head.clone(), ..Resnet1dWangConfig::published(2, 3) };
    let inception = Inception1dConfig { bottleneck: 4, filters: 3, head, ..Inception1dConfig::published(2, 3) };
    let networks: [(&str, Box<dyn BenchmarkNetwork>); 5] = [
        ("xresnet1d50", Box::new(Xresnet1d::new(resnet).unwrap())),
        ("xresnet1d18", Box::new(Xresnet1d::new(plain).unwrap())),
        ("fcn_wang", Box::new(FcnWang::new(fcn).unwrap())),
        ("resnet1d_wang", Box::new(Resnet1dWang::new(wang).unwrap())),
        ("inception1d", Box::new(Inception1d::new(inception).unwrap())),
    ];
    let case = |(name, network): (&str, Box<dyn BenchmarkNetwork>)| {
        let params = opened(Weights::initialize(&network.params(), Seed::new(1)));
        let mut buffers = network.buffers();
        for weight in buffers.entries.values_mut() {
            weight.values.iter_mut().enumerate().for_each(|(i, value)| *value += 0.1 * i as f32);
        }
        let x = normal([3, 2, 53], 7);
        let tensor = Tensor::<3>::from_data(TensorData::new(x.clone(), [3, 2, 53]), &device);
        let logits = network.forward(&params.on(&device).root(), &mut Pass::Evaluation(&buffers), tensor).unwrap();
        let expected = host(burn::tensor::activation::sigmoid(logits));
        let graph = to_onnx(&Imported { network, params, buffers }, 53, &[]).unwrap();
        Case { name: name.into(), graph, inputs: json!({ "x": [[3, 2, 53], x] }), output: json!([[3, 3], expected]) }
    };
    networks.into_iter().map(case).collect()
}

fn cases() -> Vec<Case> {
    let plain = denoisers().into_iter().chain([decoder(), classifier()]);
    plain.chain(gans()).chain(benchmarks()).chain(timevqvae::cases()).collect()
}

/// Every value is made before it is used and once, every stored array is as long as its shape says and is used.
#[test]
fn exported_files_are_sound_graphs() {
    for case in cases() {
        let model = wire::model(&case.graph);
        assert_eq!((model.ir_version, model.opset), (8, 17), "{}", case.name);
        let mut inputs: Vec<&str> = case.inputs.as_object().unwrap().keys().map(String::as_str).collect();
        let mut declared: Vec<&str> = model.inputs.iter().map(String::as_str).collect();
        inputs.sort();
        declared.sort();
        assert_eq!(declared, inputs, "{}", case.name);
        model.check().unwrap_or_else(|problem| panic!("{}: {problem}", case.name));
    }
}

#[test]
fn onnxruntime_gives_the_numbers_of_our_forward_pass() {
    let python = std::env::var("EINTHOVEN_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import numpy, onnx, onnxruntime"]).output();
    if !probe.is_ok_and(|done| done.status.success()) {
        println!("skipped: {python} has no numpy, onnx and onnxruntime; name one that has with EINTHOVEN_PYTHON");
        return;
    }
    let folder = TempFolder::new("onnx");
    for case in cases() {
        let file = |extension: &str| folder.path().join(format!("{}.{extension}", case.name));
        std::fs::write(file("onnx"), &case.graph).unwrap();
        std::fs::write(file("json"), json!({ "inputs": case.inputs, "output": case.output }).to_string()).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/onnx/check.py");
    let done = Command::new(&python).arg(script).arg(folder.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&done.stdout));
    assert!(done.status.success(), "{}\n{}", text(&done.stdout), text(&done.stderr));
}

#[test]
fn what_cannot_be_exported_is_named() {
    let config = json!({ "kind": "diffwave", "channels": 1, "width": 4, "layers": 1, "dilation_cycle": 1, "steps": 5,
                         "mel_bands": 4, "label_width": 0 });
    let network = Network::new(&serde_json::from_value(config).unwrap(), Seed::new(1)).unwrap();
    let weights = network.start(Seed::new(1));
    let error = onnx::denoiser(&network, &weights, 256, &[]).unwrap_err().to_string();
    assert!(error.contains("DiffWave that is told a spectrogram"), "{error}");
    let (name, config, _) = networks().pop().unwrap();
    let config: NetworkConfig = serde_json::from_value(config).unwrap();
    let network = Network::new(&config.sized(2, 3), Seed::new(1)).unwrap();
    let error = onnx::denoiser(&network, &network.start(Seed::new(1)), 39, &[]).unwrap_err();
    assert!(matches!(error, einthoven::Error::Shape { .. }), "{name}: {error}");
}
