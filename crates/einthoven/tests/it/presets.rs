//! Every preset: its header says what it costs and shows, its command names it, and it resolves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use einthoven::Seed;
use einthoven::diffusion::Network;
use einthoven::experiment::generation::Recipe;
use einthoven::experiment::{GENERATION_PRESETS, PRESETS, Preset, config::ROWS, generation, resolve};
use einthoven::nn::gan::critic::Critic;
use einthoven::nn::gan::network::GanNetwork;
use einthoven::nn::timevqvae::{Prior, Vqvae, VqvaeConfig};
use einthoven::report::Report;

/// The value of `# Key: value` in the comment at the top of a preset.
fn header<'a>(preset: &Preset, key: &str) -> &'a str
where
    'static: 'a,
{
    let lines = preset.text.lines().take_while(|line| line.starts_with('#'));
    let found = lines.filter_map(|line| line.trim_start_matches(['#', ' ']).strip_prefix(key)).next();
    found.unwrap_or_else(|| panic!("{}: no \"# {key}\" at the top", preset.name)).trim()
}

#[test]
fn files_and_list_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let listed: BTreeSet<String> = PRESETS.iter().map(|preset| preset.name.to_string()).collect();
    assert_eq!(files, listed);
    assert_eq!(listed.len(), PRESETS.len(), "a name occurs twice");
}

#[test]
fn every_preset_resolves_and_refuses_an_unknown_key() {
    for preset in PRESETS {
        let experiment = resolve(preset.name, &[]).unwrap_or_else(|error| panic!("{}: {error}", preset.name));
        assert!(!experiment.title.is_empty() && !preset.summary.is_empty());
        assert!(experiment.cost.cpu_minutes > 0.0 && experiment.cost.memory_mib > 0 && experiment.cost.disk_mib > 0);
        let error = resolve(preset.name, &["teacher.stepz=3".to_string()]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains("stepz"), "{error}");
    }
}

#[test]
fn settings_change_what_they_name_and_nothing_else() {
    for preset in PRESETS {
        let plain = resolve(preset.name, &[]).unwrap();
        let mut changed = resolve(preset.name, &["teacher.steps=17".to_string()]).unwrap();
        assert_eq!(changed.teacher.steps, 17);
        changed.teacher.steps = plain.teacher.steps;
        assert_eq!(changed, plain);
    }
}

#[test]
fn headers_name_command_cost_and_result() {
    for preset in PRESETS {
        let experiment = resolve(preset.name, &[]).unwrap();
        let command: Vec<&str> = header(preset, "Command:").split_whitespace().collect();
        assert_eq!(&command[..3], &["einthoven", "run", preset.name]);
        let needs_data = experiment.data.source != "simulated";
        assert_eq!(command.contains(&"--data"), needs_data, "{}: --data in the command", preset.name);
        // The command asks for --yes above three hours; the header must not hide that.
        assert_eq!(command.contains(&"--yes"), experiment.cost.cpu_minutes > 180.0, "{}: --yes", preset.name);
        assert!(header(preset, "Cost:").len() > 10 && header(preset, "Result:").len() > 10, "{}", preset.name);
    }
}

#[test]
fn presets_compare_with_controls() {
    for preset in PRESETS {
        let rows = resolve(preset.name, &[]).unwrap().classifier.rows;
        let is_control = |row: &String| ROWS.iter().any(|(name, _, is_control)| name == row && *is_control);
        assert!(rows.iter().any(is_control), "{}: rows {rows:?} hold no control", preset.name);
    }
}

#[test]
fn stored_results_are_those_of_their_preset() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results");
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path().join("report.json");
        if !path.is_file() {
            continue;
        }
        let report = Report::read(&path).unwrap();
        assert!(PRESETS.iter().any(|preset| preset.name == report.preset), "{}: {}", path.display(), report.preset);
        let command = format!("einthoven run {}", report.preset);
        assert!(report.command.starts_with(&command), "{}: command {:?}", path.display(), report.command);
        assert!(!report.headline.is_empty(), "{}: no headline", path.display());
    }
}

#[test]
fn presets_of_records_resolve_for_each_generator_and_choose_one() {
    for preset in GENERATION_PRESETS {
        let plain = generation::resolve(preset.name, None, &[]).unwrap();
        assert!(plain.recipes.contains_key(&plain.generator), "{}", preset.name);
        for name in plain.recipes.keys() {
            let chosen = generation::resolve(preset.name, Some(name), &[]).unwrap();
            assert_eq!(&chosen.generator, name);
            match &plain.recipes[name] {
                Recipe::Diffusion(recipe) => {
                    let config = recipe.network.sized(8, 5);
                    assert_eq!(config.n_labels(), 5);
                    Network::new(&config, Seed::new(1)).unwrap();
                }
                Recipe::Timevqvae(recipe) => {
                    let config = VqvaeConfig { channels: 8, length: 1000, ..recipe.vqvae.clone() };
                    let config = recipe.prior.sized(&Vqvae::new(config).unwrap(), 5);
                    assert_eq!((config.positions, config.classes), ([62, 500], 5));
                    Prior::new(config).unwrap();
                }
                Recipe::Gan(recipe) => {
                    GanNetwork::new(&recipe.network.sized(8, 5, 1000), 1000).unwrap();
                    Critic::new(recipe.critic.sized(8, 1000)).unwrap();
                }
            }
        }
        let error = generation::resolve(preset.name, Some("nothing"), &[]).unwrap_err().to_string();
        assert!(error.starts_with("generator") && error.contains(&plain.generator), "{error}");
    }
}
