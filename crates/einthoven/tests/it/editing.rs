//! A diffusion model at work on a signal that is there, by a network whose answers are known: it says that the velocity is
//! zero, so that what it expects behind a noisy signal is that signal, shrunk as for data without any structure.

use burn::tensor::Device;
use einthoven::diffusion::{Network, NetworkConfig};
use einthoven::generators::diffusion_model::{DiffusionModel, Guess, ModelCard};
use einthoven::generators::{Generator, Item, SampleRequest};
use einthoven::{Error, Seed};
use serde_json::json;

const SIG_LEN: usize = 32;
const SCALE_MV: [f32; 2] = [0.2, 0.5];

fn model() -> DiffusionModel {
    let config: NetworkConfig = serde_json::from_value(json!({
        "kind": "diffwave", "width": 6, "layers": 2, "dilation_cycle": 2, "steps": 20, "label_width": 4 }))
    .expect("a network");
    let network = config.sized(2, 3);
    let mut state = Network::new(&network, Seed::new(1)).expect("a network").start(Seed::new(1));
    state.entries.values_mut().for_each(|weight| weight.values.fill(0.0));
    let card = ModelCard {
        format: 1,
        generator: "diffwave".into(),
        role: "generator".into(),
        network,
        parameterization: "v".into(),
        schedule: "angle".into(),
        schedule_steps: 10,
        scale_mv: SCALE_MV.to_vec(),
        leads: vec!["I".into(), "V2".into()],
        sig_len: SIG_LEN,
        fs_hz: 100.0,
        label_names: ["NORM", "AFIB", "CRBBB"].map(String::from).to_vec(),
        sampler: "ddim".into(),
        steps: 4,
        guidance: 1.0,
        training_data: json!({}),
        latent: None,
        rhythm: None,
        waves: None,
        usual: None,
    };
    DiffusionModel::new(card, state, &Device::flex()).expect("a model")
}

/// Longer than the network, by no whole number of windows.
fn signal(n: usize) -> Vec<f32> {
    (0..2 * n).map(|t| 0.3 * (t as f32 * 0.37).sin()).collect()
}

fn request(model: &DiffusionModel) -> SampleRequest {
    model.request(vec![Item::default()])
}

#[test]
fn each_lead_is_shrunk_by_its_own_noise() {
    let (model, n) = (model(), 75);
    let ecg = signal(n);
    for noise_mv in [[0.1, 0.1], [0.05, 0.6], [0.0, 0.2], [0.0, 0.0]] {
        let clean = model.posterior_mean(&ecg, &noise_mv, &request(&model)).expect("a mean");
        for (lead, (&sd, &scale)) in noise_mv.iter().zip(&SCALE_MV).enumerate() {
            let noise = sd as f32 / scale;
            // The mean of a standard normal value seen through noise of this size.
            let factor = 1.0 / (1.0 + noise * noise);
            for t in lead * n..(lead + 1) * n {
                assert!((clean[t] - factor * ecg[t]).abs() < 1e-5, "{noise_mv:?}, {t}: {} of {}", clean[t], ecg[t]);
            }
        }
    }
    let refused = |noise_mv: &[f64], guidance: f64| {
        let call = SampleRequest { guidance, ..request(&model) };
        model.posterior_mean(&ecg, noise_mv, &call).expect_err("a refusal").to_string()
    };
    assert!(refused(&[0.1], 1.0).starts_with("noise") && refused(&[0.1, -0.1], 1.0).starts_with("noise"));
    assert!(refused(&[0.1, 0.1], 2.0).starts_with("guidance"));
}

#[test]
fn no_strength_changes_nothing_and_more_changes_more() {
    let (model, n) = (model(), 75);
    let ecg = signal(n);
    let edited = |strength: f64| model.renoised(&ecg, strength, &request(&model), Seed::new(2)).expect("an edit");
    let change = |strength: f64| edited(strength).iter().zip(&ecg).map(|(x, y)| (x - y).abs()).sum::<f32>();
    assert_eq!(edited(0.0), ecg);
    assert_eq!(edited(0.3), edited(0.3));
    assert!(change(0.05) > 0.0 && change(0.05) < change(0.2) && change(0.2) < change(0.6));
    assert_eq!(edited(1.0).len(), ecg.len());
    for wrong in [-0.1, 1.1, f64::NAN] {
        let error = model.renoised(&ecg, wrong, &request(&model), Seed::new(2)).expect_err("a refusal");
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
    let error = model.renoised(&ecg[..2 * 31], 0.5, &request(&model), Seed::new(2)).expect_err("too short");
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}

#[test]
fn what_is_known_stays_and_a_sure_guess_is_kept() {
    let (model, n) = (model(), 75);
    let whole = signal(n);
    let mut gap = whole.clone();
    gap[20..50].fill(f32::NAN);
    let fill = |guess: Option<Guess>| model.fill(&gap, guess, &request(&model), Seed::new(3)).expect("a filling");
    let far = |found: &[f32]| found[20..50].iter().zip(&whole[20..50]).map(|(x, y)| (x - y).abs()).sum::<f32>();
    let blind = fill(None);
    let of_confidence = |confidence: f64| fill(Some(Guess { ecg: &whole, confidence }));
    for found in [&blind, &of_confidence(0.9)] {
        let is_kept = |t: usize| (found[t] - whole[t]).abs() < 1e-5;
        assert!((0..2 * n).filter(|t| !(20..50).contains(t)).all(is_kept));
    }
    assert_eq!(of_confidence(0.0), blind);
    let sure = of_confidence(1.0);
    assert!(sure.iter().zip(&whole).all(|(x, y)| (x - y).abs() < 1e-6));
    assert!(far(&of_confidence(0.99)) < far(&of_confidence(0.5)));
    let error = model.fill(&gap, Some(Guess { ecg: &whole, confidence: 1.5 }), &request(&model), Seed::new(3));
    assert!(matches!(error, Err(Error::Config { .. })), "{error:?}");
}
