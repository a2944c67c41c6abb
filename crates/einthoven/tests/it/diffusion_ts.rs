//! Diffusion-TS from its start: values as large as the signal at every length, and a loss that falls at once.

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::Seed;
use einthoven::diffusion::{
    Backbone, Condition, Network, NetworkConfig, Objective, Parameterization, TimeView, Weighting,
};
use einthoven::nn::adamw::{AdamW, AdamWConfig, gradient_norm};
use einthoven::nn::weights::host;
use einthoven::simulate::ecgsyn::Ecgsyn;
use serde_json::json;

const CHANNELS: usize = 2;

/// The network for signals of a length, with seasons of the signal's size or as in the original.
fn network(length: usize, width: usize, has_unit_seasons: bool) -> Network {
    let config = json!({ "kind": "diffusion-ts", "length": length, "encoder_layers": 1, "decoder_layers": 2, "width": width,
                         "heads": 2, "hidden_times": 2, "season_kernel": 5, "gelu": "exact",
                         "has_unit_seasons": has_unit_seasons });
    let config: NetworkConfig = serde_json::from_value(config).unwrap();
    Network::new(&config.sized(CHANNELS, 0), Seed::new(1)).unwrap()
}

fn normal(shape: [usize; 3], seed: Seed, device: &Device) -> Tensor<3> {
    let mut values = vec![0.0; shape.iter().product()];
    seed.stream().fill_normal(&mut values);
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[test]
fn a_fresh_network_puts_out_values_of_order_one() {
    let device = Device::flex();
    for (length, is_unit) in [(64, true), (1000, true), (1000, false)] {
        let network = network(length, 16, is_unit);
        let backbone = network.with(network.start(Seed::new(2)).on(&device));
        let x = normal([2, CHANNELS, length], Seed::new(3), &device);
        let time = Tensor::<1>::from_floats([10.0, 900.0], &device);
        let output = host(backbone.predict(x, time, &Condition::none()).unwrap());
        let rms = (output.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / output.len() as f64).sqrt();
        println!("{length} points, unit seasons {is_unit}: {rms:.2}");
        // The original's sum of waves is larger by the root of the length.
        assert!(if is_unit { (0.02..2.0).contains(&rms) } else { rms > 10.0 }, "{length}: {rms}");
    }
}

#[test]
fn fifty_steps_bring_the_loss_down() {
    const LENGTH: usize = 160;
    const BATCH: usize = 4;
    const STEPS: u64 = 50;
    // Two leads of one heart, in units of their spread.
    let signal = |item: u64| -> Vec<f32> {
        let ecgsyn = Ecgsyn { n_beats: 4, fs_hz: 100.0, internal_fs_hz: 500.0, hr_bpm: 70.0, ..Ecgsyn::default() };
        let ecg = ecgsyn.simulate(Seed::new(item)).unwrap().ecg_mv;
        let part = &ecg[20..20 + LENGTH];
        let mean = part.iter().sum::<f64>() / LENGTH as f64;
        let sd = (part.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / LENGTH as f64).sqrt();
        [1.0, -0.7].iter().flat_map(|gain| part.iter().map(move |v| (gain * (v - mean) / sd) as f32)).collect()
    };
    let signals: Vec<Vec<f32>> = (0..8).map(signal).collect();
    let network = network(LENGTH, 16, true);
    let time = TimeView::of_schedule("angle", 1000).unwrap();
    let objective =
        Objective { parameterization: Parameterization::X0, weighting: Weighting::Signal, time: time.clone() };
    let config = AdamWConfig { warmup_steps: 10, ..AdamWConfig::default() };
    let device = Device::flex().autodiff();
    let mut weights = network.start(Seed::new(2));
    let mut optimizer = AdamW::new(config, &weights);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let seed = Seed::new(4).index(step);
        let items: Vec<f32> = (0..BATCH).flat_map(|k| signals[(step as usize * BATCH + k) % 8].clone()).collect();
        let x0 = Tensor::from_data(TensorData::new(items, [BATCH, CHANNELS, LENGTH]), &device);
        let noise = normal([BATCH, CHANNELS, LENGTH], seed, &device);
        // All levels in every batch, so that one loss can be compared with another.
        let levels: Vec<_> = (0..BATCH).map(|k| time.level((k as f64 + 0.5) / BATCH as f64).unwrap()).collect();
        let params = weights.tracked(&device);
        let backbone = network.with(params.clone());
        let loss = objective.loss(&backbone, x0, noise, &levels, &Condition::none()).unwrap().mean();
        losses.push(f64::from(host(loss.clone())[0]));
        let gradients = loss.backward();
        let gradients = params.gradients(gradients);
        optimizer.update(&mut weights, &gradients, gradient_norm(&gradients), STEPS);
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[losses.len() - 5..]));
    println!("loss {first:.3} at first, {last:.3} at last");
    // Zeros have a loss of 1.
    assert!(first < 2.0 && last < 0.8 * first && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
}
