//! Conditions on their way: from a data set through batches into networks, and from a request into items.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::dataset::condition::{FACTS, Fact, Sex, Told};
use einthoven::dataset::{Conditions, Dataset, Facts, Split, npz};
use einthoven::diffusion::batches::{BatchQueue, Batches};
use einthoven::diffusion::{Backbone, Condition, Network, NetworkBackbone, NetworkConfig};
use einthoven::generators::diffusion_model::{DiffusionModel, ModelCard};
use einthoven::generators::rhythm::RhythmModel;
use einthoven::generators::waves::WaveModel;
use einthoven::generators::{self, Generator, Item, SampleRequest};
use einthoven::nn::shown_beats::{ShownBeat, ShownWaves};
use einthoven::nn::weights::{Weights, host};
use einthoven::{Error, Seed};
use serde_json::json;

/// A small network of each kind for two leads and three labels, told these facts.
fn networks(told: &Told) -> Vec<NetworkConfig> {
    let configs = [
        json!({ "kind": "unet", "width": 8, "stem_width": 8, "multipliers": [1, 2], "blocks": 1, "norm": "group", "groups": 4,
            "time_features": "sinusoidal", "time_width": 8, "time_theta": 10000.0, "level_attention": [2, 4],
            "middle_attention": [2, 4], "self_condition": false, "stem_stride": 1 }),
        json!({ "kind": "diffwave", "width": 6, "layers": 3, "dilation_cycle": 2, "steps": 20, "label_width": 4 }),
        json!({ "kind": "diffwave", "width": 6, "layers": 3, "dilation_cycle": 2, "steps": 20, "label_width": 4,
            "is_paired": true }),
        json!({ "kind": "sssd", "width": 4, "skip_width": 4, "blocks": 2, "step_width": [8, 8, 8], "length": 32, "state": 4,
            "is_bidirectional": true, "has_norm": true, "label_width": 4, "state_space": "diagonal" }),
        json!({ "kind": "sssd", "width": 4, "skip_width": 4, "blocks": 1, "step_width": [8, 8, 8], "length": 32, "state": 4,
            "is_bidirectional": true, "has_norm": true, "label_width": 4, "state_space": "frozen" }),
        json!({ "kind": "dit", "patch": 4, "width": 8, "depth": 1, "heads": 2, "hidden_times": 2, "time_width": 8 }),
        json!({ "kind": "temporal-blocks", "width": 6, "max_degree": 3, "time_width": 8, "embedding_width": 4 }),
        json!({ "kind": "diffusion-ts", "length": 32, "encoder_layers": 1, "decoder_layers": 1, "width": 8, "heads": 2,
            "hidden_times": 2, "season_kernel": 3, "gelu": "exact" }),
    ];
    let config = |value| serde_json::from_value::<NetworkConfig>(value).expect("a network");
    configs.into_iter().map(|value| config(value).sized(2, 3).with_told(told.clone())).collect()
}

fn told() -> Told {
    Told { facts: FACTS.to_vec(), sites: vec!["north".into(), "south".into()] }
}

/// Weights without zeros, so that whatever is told reaches the output.
fn weights(network: &Network) -> Weights {
    let mut weights = network.start(Seed::new(1));
    for (name, weight) in &mut weights.entries {
        if weight.values.iter().all(|v| *v == 0.0) {
            Seed::new(2).purpose(name).stream().fill_normal(&mut weight.values);
        }
    }
    weights
}

fn card(network: NetworkConfig) -> ModelCard {
    ModelCard {
        format: 1,
        generator: "time-diffusion".into(),
        role: "generator".into(),
        network,
        parameterization: "v".into(),
        schedule: "angle".into(),
        schedule_steps: 10,
        scale_mv: vec![0.2, 0.3],
        leads: vec!["I".into(), "V2".into()],
        sig_len: 32,
        fs_hz: 100.0,
        label_names: ["NORM", "AFIB", "CRBBB"].map(String::from).to_vec(),
        sampler: "ddim".into(),
        steps: 3,
        guidance: 1.0,
        training_data: json!({}),
        latent: None,
        rhythm: None,
        waves: None,
        usual: None,
    }
}

fn of_facts(facts: Facts) -> Conditions {
    Conditions { labels: vec![(1, 1.0)], facts }
}

#[test]
fn every_network_hears_every_fact_and_not_knowing_it_is_one_more_thing_to_hear() {
    let device = Device::flex();
    for config in networks(&told()) {
        let network = Network::new(&config, Seed::new(3)).expect("a network");
        let backbone = network.with(weights(&network).on(&device));
        let mut noise = vec![0.0f32; 2 * 32];
        Seed::new(4).stream().fill_normal(&mut noise);
        let predict = |conditions: &Conditions| {
            let condition = Condition::of_items([conditions].into_iter(), 3).expect("labels");
            let x = Tensor::<3>::from_data(TensorData::new(noise.clone(), [1, 2, 32]), &device);
            let time = Tensor::<1>::from_floats([7.0f32], &device);
            host(backbone.predict(x, time, &condition).expect("a prediction"))
        };
        let nothing = predict(&of_facts(Facts::default()));
        let mut seen = vec![nothing.clone(), predict(&Conditions::default())];
        for fact in FACTS {
            for (sex, site, share) in [(Sex::Female, "north", 0.3), (Sex::Male, "south", 0.6)] {
                let mut facts = Facts::default();
                match (fact, fact.number()) {
                    (_, Some(number)) => {
                        let [low, high] = number.usual;
                        facts.set_number(fact, Some(low + share * (high - low)));
                    }
                    (Fact::Sex, None) => facts.sex = Some(sex),
                    _ => facts.site = Some(site.into()),
                }
                let found = predict(&of_facts(facts));
                assert!(!seen.contains(&found), "{config:?} does not hear {} at {share}", fact.name());
                seen.push(found);
            }
        }
        let mixed = Conditions { labels: vec![(0, 0.3), (1, 0.7)], facts: Facts::default() };
        assert!(!seen.contains(&predict(&mixed)), "a point between two labels");
    }
}

#[test]
fn a_network_that_is_told_nothing_is_stored_as_before() {
    for config in networks(&Told::default()) {
        let text = serde_json::to_string(&config).expect("text");
        assert!(!text.contains("told"), "{text}");
        let names: Vec<String> =
            Network::new(&config, Seed::new(1)).expect("a network").params().into_iter().map(|p| p.name).collect();
        assert!(!names.iter().any(|name| name.starts_with("facts_")), "{names:?}");
    }
}

#[test]
fn batches_hide_labels_and_facts_one_by_one_and_nothing_else_changes() {
    let facts = Facts { hr_bpm: Some(70.0), sex: Some(Sex::Male), ..Facts::default() };
    let waves = Some(ShownWaves { p_onset: None, qrs: [-5.0, 5.0], t_offset: None });
    let beats = vec![vec![ShownBeat { at: 3.0, waves }, ShownBeat { at: 7.0, waves }]; 4];
    let batches = |facts: Option<Vec<Facts>>| Batches {
        signals: (0..4 * 8).map(|v| v as f32).collect::<Vec<_>>().into(),
        n_leads: 1,
        sig_len: 8,
        classes: vec![0; 4],
        labels: Some([[1.0f32, 0.0]; 4].concat()),
        facts: facts.map(Arc::from),
        batch: 8,
        class_exponent: 1.0,
        label_dropout: 0.1,
        beats: Some(beats.clone().into()),
        fact_dropout: 0.25,
        seed: Seed::new(9),
        device: Device::flex(),
    };
    let mut plain = BatchQueue::from(batches(None));
    let mut told = BatchQueue::from(batches(Some(vec![facts.clone(); 4])));
    let (mut n, mut labels, mut hr, mut all_hidden, mut has_waves) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for step in 0..500 {
        let (a, b) = (plain.take(step), told.take(step));
        assert_eq!((&a.items, host(a.noise), host(a.x0)), (&b.items, host(b.noise), host(b.x0)));
        assert!(a.condition.facts.is_none());
        let rows = b.condition.labels.expect("labels");
        for (row, facts) in rows.iter().zip(b.condition.facts.expect("facts")) {
            n += 1.0;
            labels += row[0];
            hr += f32::from(u8::from(facts.hr_bpm == Some(70.0)));
            all_hidden += f32::from(u8::from(row[0] == 0.0 && facts.is_empty()));
            assert!(facts.pr_ms.is_none());
        }
        for beats in b.condition.beats.expect("beats") {
            assert!(beats[0].at == 3.0 && beats[1].at == 7.0 && beats[0].waves == beats[1].waves);
            has_waves += f32::from(u8::from(beats[0].waves == waves));
        }
    }
    // 0.9 x 0.75 of 4000 has a standard error of 0.0074; hidden: 0.1 + 0.9 / 64.
    for (share, expected) in [(labels / n, 0.675f32), (hr / n, 0.675), (all_hidden / n, 0.114), (has_waves / n, 0.75)] {
        assert!((share - expected).abs() < 0.03, "{share}, expected {expected}");
    }
}

#[test]
fn a_model_draws_by_what_it_knows_and_refuses_the_rest_by_name() {
    let told = Told { facts: vec![Fact::Hr, Fact::Sex], sites: Vec::new() };
    let config = networks(&told).remove(0);
    let state = weights(&Network::new(&config, Seed::new(3)).expect("a network"));
    let model = DiffusionModel::new(card(config), state, &Device::flex()).expect("a model");
    let item = |index, hr| Item { index, conditions: of_facts(Facts { hr_bpm: Some(hr), ..Facts::default() }) };
    let draw = |items: Vec<Item>, batch| {
        model.sample(&SampleRequest { batch, ..model.request(items) }, Seed::new(5)).expect("a set")
    };
    let together = draw(vec![item(0, 60.0), item(1, 60.0), item(0, 120.0)], 3);
    assert_ne!(together.item(0), together.item(2), "the rate changes the item");
    // Items in another order and other batches are the same items.
    let apart = draw(vec![item(1, 60.0), item(0, 120.0), item(0, 60.0)], 1);
    assert_eq!((apart.item(0), apart.item(1), apart.item(2)), (together.item(1), together.item(2), together.item(0)));
    assert_eq!(together.conditions(2), of_facts(Facts { hr_bpm: Some(120.0), ..Facts::default() }));
    let facts = Facts { age_years: Some(50.0), ..Facts::default() };
    let request = model.request(vec![Item { index: 0, conditions: of_facts(facts) }]);
    let error = model.sample(&request, Seed::new(5)).expect_err("it does not know ages").to_string();
    assert_eq!(error, "age: time-diffusion does not know it; it knows label, hr, sex");
    let request = model.request(vec![Item { index: 0, conditions: Conditions::of_class(3) }]);
    assert!(matches!(model.sample(&request, Seed::new(5)), Err(Error::Config { .. })));
}

/// Seventeen items that are told different things, several each.
fn told_items() -> Vec<Item> {
    let item = |index: u64| {
        let mut stream = Seed::new(8).index(index).stream();
        let mut facts = Facts::default();
        for fact in FACTS {
            match fact.number() {
                _ if stream.uniform() < 0.3 => {}
                Some(number) => {
                    let [low, high] = number.usual;
                    facts.set_number(fact, Some(stream.uniform_in(low, high)));
                }
                None if fact == Fact::Sex => facts.sex = Some(Sex::Male),
                None => facts.site = Some("south".into()),
            }
        }
        let share = stream.uniform() as f32;
        Item { index, conditions: Conditions { labels: vec![(0, share), (2, 1.0 - share)], facts } }
    };
    (0..17).map(item).collect()
}

/// Products of matrices take other paths for one row and for rows beyond a tile.
#[test]
fn an_item_of_every_network_is_the_same_in_any_batch() {
    let items = told_items();
    for config in networks(&told()) {
        let network = Network::new(&config, Seed::new(3)).expect("a network");
        let mut state = weights(&network);
        state.entries.extend(network.buffers().entries.clone());
        let model = DiffusionModel::new(card(config.clone()), state, &Device::flex()).expect("a model");
        let draw = |items: &[Item], batch| {
            let request = SampleRequest { batch, ..model.request(items.to_vec()) };
            model.sample(&request, Seed::new(5)).expect("a set").ecg
        };
        let together = draw(&items, 17);
        assert!(together.iter().all(|v| v.is_finite()), "{config:?}");
        for batch in [1, 2, 3, 8] {
            assert!(draw(&items, batch) == together, "{config:?} in batches of {batch}");
        }
    }
}

/// What a sampler computes once is what a network computes at every step.
#[test]
fn a_prepared_network_gives_the_same_bits() {
    let (device, items) = (Device::flex(), told_items());
    for config in networks(&told()) {
        let network = Network::new(&config, Seed::new(3)).expect("a network");
        let params = weights(&network).on(&device);
        let mut noise = vec![0.0f32; items.len() * 2 * 32];
        Seed::new(4).stream().fill_normal(&mut noise);
        let condition = Condition::of_items(items.iter().map(|item| &item.conditions), 3).expect("labels");
        let predict = |backbone: NetworkBackbone| {
            let x = Tensor::<3>::from_data(TensorData::new(noise.clone(), [items.len(), 2, 32]), &device);
            let time = Tensor::<1>::from_floats([7.0f32; 17], &device);
            host(backbone.predict(x, time, &condition).expect("a prediction"))
        };
        let plain = predict(network.with(params.clone()));
        assert!(predict(network.prepared(params, 32)) == plain, "{config:?}");
    }
}

/// Two rhythms: steady at 75 bpm for the first label, irregular for the second.
fn rhythm() -> RhythmModel {
    let record = |item: u64| {
        let mut stream = Seed::new(6).index(item).stream();
        let spread = if item.is_multiple_of(2) { 0.01 } else { 0.2 };
        let mut beat = |at: &mut f64| {
            *at += 0.8 * libm::exp(spread * stream.normal());
            Some(*at)
        };
        std::iter::repeat_n((), 12).scan(0.0, |at, ()| beat(at)).collect()
    };
    let beats: Vec<Vec<f64>> = (0..60).map(record).collect();
    RhythmModel::fit(&beats, &labels(), 3).expect("a rhythm")
}

fn labels() -> Vec<u8> {
    (0..60).flat_map(|item| [u8::from(item % 2 == 0), u8::from(item % 2 == 1), 0]).collect()
}

/// Beats whose QRS lies evenly about the peak.
fn waves() -> WaveModel {
    let waves = ShownWaves { p_onset: Some(-20.0), qrs: [-5.0, 5.0], t_offset: Some(35.0) };
    let record = vec![ShownBeat { at: 40.0, waves: Some(waves) }; 3];
    WaveModel::fit(&vec![record; 60], &labels(), &["NORM", "AFIB", "CRBBB"].map(String::from)).expect("waves")
}

/// A network that is shown the beats, and their waves if asked for, and hears nothing of what it is told, for records of 4 s.
fn model_of_beats(with_waves: bool) -> DiffusionModel {
    let told = Told { facts: vec![Fact::Hr, Fact::Pr, Fact::Qrs], sites: Vec::new() };
    let NetworkConfig::Unet(mut unet) = networks(&told).remove(0) else { panic!("the first network is a U-Net") };
    (unet.beats, unet.waves) = (true, with_waves);
    let config = NetworkConfig::Unet(unet);
    let mut state = weights(&Network::new(&config, Seed::new(3)).expect("a network"));
    let heard = state.entries.iter_mut().filter(|(name, _)| name.contains("classes_emb") || name.contains("fact"));
    heard.for_each(|(_, weight)| weight.values.fill(0.0));
    let waves = with_waves.then(waves);
    let card = ModelCard { sig_len: 400, rhythm: Some(rhythm()), waves, ..card(config) };
    DiffusionModel::new(card, state, &Device::flex()).expect("a model")
}

#[test]
fn a_network_that_is_shown_the_beats_draws_by_them() {
    let model = model_of_beats(false);
    let item = |index, label, hr_bpm| Item {
        index,
        conditions: Conditions { labels: vec![(label, 1.0)], facts: Facts { hr_bpm, ..Facts::default() } },
    };
    let draw = |items: Vec<Item>, batch| {
        model.sample(&SampleRequest { batch, ..model.request(items) }, Seed::new(5)).expect("a set")
    };
    let together = draw(vec![item(0, 0, Some(60.0)), item(1, 1, None), item(0, 0, Some(120.0))], 3);
    assert_ne!(together.item(0), together.item(2), "the rate changes the item");
    let apart = draw(vec![item(1, 1, None), item(0, 0, Some(120.0))], 1);
    assert_eq!((apart.item(0), apart.item(1)), (together.item(1), together.item(2)));
    // The set says what was asked for; what is delivered is measured.
    assert_eq!(together.conditions(1).facts, Facts::default());
    let error =
        DiffusionModel::new(ModelCard { rhythm: None, ..model.card().clone() }, model.state().clone(), &Device::flex());
    assert!(error.err().expect("a refusal").to_string().starts_with("rhythm: "));
}

#[test]
fn a_network_that_is_shown_the_waves_draws_by_them_and_edits_without() {
    let model = model_of_beats(true);
    let item = |pr_ms, qrs_ms| Item {
        index: 0,
        conditions: Conditions { labels: vec![(0, 1.0)], facts: Facts { pr_ms, qrs_ms, ..Facts::default() } },
    };
    let draw = |item: Item| model.sample(&model.request(vec![item]), Seed::new(5)).expect("a set").ecg;
    assert_ne!(draw(item(Some(160.0), Some(90.0))), draw(item(Some(200.0), Some(90.0))));
    assert_eq!(draw(item(Some(160.0), None)), draw(item(Some(200.0), None)), "without a QRS the waves are hidden");
    let pulse = |at: usize| libm::expf(-0.5 * ((at % 80) as f32 - 40.0).powi(2) / 4.0);
    let beating: Vec<f32> = (0..800).map(|at| pulse(at % 400)).collect();
    let edit = |item: Item| model.renoised(&beating, 0.5, &model.request(vec![item]), Seed::new(2)).expect("an edit");
    assert_eq!(edit(item(Some(160.0), Some(90.0))), edit(item(Some(200.0), Some(90.0))), "edits are shown no waves");
    // A length that the network would fill up with a mirror image is drawn longer and cut.
    let of_length = |sig_len: usize| {
        let model = Box::new(model_of_beats(true)).lengthened(sig_len).expect("a little longer");
        let drawn = model.sample(&model.request(vec![item(None, None)]), Seed::new(5)).expect("a set");
        drawn.ecg.chunks(sig_len).map(|lead| lead[..401].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(of_length(401), of_length(402));
    let long = || Box::new(model_of_beats(true)).lengthened(1200).expect("12 s");
    let drawn = |pr| long().sample(&long().request(vec![item(Some(pr), Some(90.0))]), Seed::new(5)).expect("a record");
    assert_ne!(drawn(160.0).item(0)[1000..1200], drawn(200.0).item(0)[1000..1200]);
    let card = ModelCard { waves: None, ..model.card().clone() };
    let error = DiffusionModel::new(card, model.state().clone(), &Device::flex()).err().expect("a refusal");
    assert!(error.to_string().starts_with("waves: "), "{error}");
}

#[test]
fn long_records_and_edits_are_shown_the_beats_of_the_whole_signal() {
    let model = model_of_beats(false);
    let long = || Box::new(model_of_beats(false)).lengthened(2000).expect("20 s");
    let request = |hr| {
        let facts = Facts { hr_bpm: Some(hr), ..Facts::default() };
        vec![Item { index: 2, conditions: Conditions { labels: vec![(0, 1.0)], facts } }]
    };
    let drawn = |hr| long().sample(&long().request(request(hr)), Seed::new(5)).expect("a record");
    assert_eq!(drawn(60.0).item(0), drawn(60.0).item(0));
    assert_ne!(drawn(60.0).item(0)[1500..2000], drawn(90.0).item(0)[1500..2000]);
    // Two signals that differ in their beats alone are denoised differently where they are the same.
    let pulse = |t: usize, rr: usize| libm::expf(-0.5 * ((t % rr) as f32 - 30.0).powi(2) / 4.0);
    let beating = |rr: usize| {
        let ripple = |t: usize| 0.02 * libm::sinf(t as f32);
        (0..800).map(|at| ripple(at) + if at % 400 < 300 { pulse(at % 400, rr) } else { 0.0 }).collect::<Vec<f32>>()
    };
    let edited =
        |rr| model.renoised(&beating(rr), 0.3, &model.request(vec![Item::default()]), Seed::new(2)).expect("an edit");
    assert_ne!(edited(75)[390..400], edited(100)[390..400]);
}

fn dipole() -> Box<dyn Generator> {
    let spec = generators::find("dipole").expect("an entry");
    let mut config = spec.default_config();
    (config["seconds"], config["snr_db"]) = (json!(8.0), json!([25.0, 30.0]));
    spec.build(&config, None, &Device::flex()).expect("a generator")
}

#[test]
fn the_simulator_delivers_what_is_asked_for_and_says_what_else_is_true() {
    let dipole = dipole();
    let names = dipole.axes().label_names;
    let label = |name: &str| names.iter().position(|other| other == name).expect("a condition");
    let asked = Facts {
        hr_bpm: Some(92.0),
        pr_ms: Some(180.0),
        qrs_ms: Some(104.0),
        qtc_ms: Some(430.0),
        axis_deg: Some(-15.0),
        age_years: Some(61.0),
        sex: Some(Sex::Female),
        site: None,
    };
    let items = vec![
        Item { index: 4, conditions: Conditions { labels: vec![(label("sinus"), 1.0)], facts: asked.clone() } },
        Item {
            index: 5,
            conditions: Conditions { labels: vec![(label("af"), 1.0), (label("rbbb"), 1.0)], ..Conditions::default() },
        },
        Item { index: 6, conditions: Conditions { facts: asked.clone(), ..Conditions::default() } },
    ];
    let set = dipole.sample(&dipole.request(items.clone()), Seed::new(3)).expect("a set");
    assert_eq!(set.conditions(0), items[0].conditions);
    assert_eq!(set.labels_of(1).collect::<Vec<_>>().len(), 2);
    let truth = set.conditions(1).facts;
    assert!(truth.hr_bpm.is_some() && truth.pr_ms.is_none() && truth.qrs_ms.is_some_and(|ms| ms >= 110.0), "{truth:?}");
    let chosen = set.conditions(2);
    assert_eq!((chosen.labels.len(), chosen.facts.clone()), (1, asked));
    // An item by itself is the same item.
    let alone = dipole.sample(&dipole.request(items[2..].to_vec()), Seed::new(3)).expect("a set");
    assert_eq!((alone.item(0), alone.conditions(0)), (set.item(2), chosen));

    let refused = |conditions: Conditions| {
        let request = dipole.request(vec![Item { index: 0, conditions }]);
        dipole.sample(&request, Seed::new(1)).expect_err("it cannot").to_string()
    };
    let site = Facts { site: Some("north".into()), ..Facts::default() };
    assert!(refused(of_facts(site)).contains("it knows label, hr, pr, qrs, qtc, axis, age, sex"));
    let share = Conditions { labels: vec![(label("af"), 0.5), (label("sinus"), 0.5)], ..Conditions::default() };
    assert!(refused(share).contains("whole labels"));
    let pr = Facts { pr_ms: Some(160.0), ..Facts::default() };
    let error = refused(Conditions { labels: vec![(label("af"), 1.0)], facts: pr });
    assert!(error.starts_with("pr: ") && !error.contains('\n'), "{error}");
    let both = Conditions { labels: vec![(label("af"), 1.0), (label("vt"), 1.0)], ..Conditions::default() };
    assert!(refused(both).contains("second of its kind"));
}

#[test]
fn facts_are_stored_selected_and_joined() {
    let mut set = Dataset::new(vec!["I".into()], 2, 100.0, vec!["A".into()]);
    for k in 0..3 {
        set.ecg.extend([k as f32, 1.0]);
        set.labels.push(1);
        set.record.push(format!("r{k}"));
        set.patient.push(format!("p{k}"));
        set.split.push(Split::Train);
        set.index.push(0);
    }
    let plain = set.clone();
    let of = |hr: f64| Facts { hr_bpm: Some(hr), ..Facts::default() };
    let facts =
        vec![of(61.25), Facts::default(), Facts { sex: Some(Sex::Female), site: Some("n\u{e9}".into()), ..of(90.0) }];
    set.facts = Some(facts.clone());
    assert_ne!(set.fingerprint(), plain.fingerprint());
    assert_eq!(set.known_facts(), [Fact::Hr, Fact::Sex, Fact::Site]);
    let path = std::env::temp_dir().join(format!("einthoven-facts-{}.npz", std::process::id()));
    for data in [&set, &plain] {
        npz::write(&path, data).expect("writable");
        let back = npz::read(&path).expect("a data set");
        assert_eq!((&back.facts, back.fingerprint()), (&data.facts, data.fingerprint()));
    }
    std::fs::remove_file(&path).expect("a file");
    assert_eq!(set.select(&[2, 0]).facts, Some(vec![facts[2].clone(), facts[0].clone()]));
    let mut joined = plain.clone();
    joined.append(&set).expect("same axes");
    joined.append(&plain).expect("same axes");
    joined.validate().expect("lengths agree");
    assert_eq!((&joined.conditions(3).facts, joined.conditions(0)), (&facts[0], Conditions::of_class(0)));
    set.facts = Some(Vec::new());
    assert!(set.validate().is_err());
}
