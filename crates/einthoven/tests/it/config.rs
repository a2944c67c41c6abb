//! Configurations: rows M04 and the rules of presets and overrides.

use einthoven::Error;
use einthoven::config::{self, Validate};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Experiment {
    network: Network,
    name: String,
    learning_rate: f64,
    n_steps: u64,
    schedule: Schedule,
    max_time_s: Option<f64>,
    sampler: Sampler,
    widths: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Network {
    width: u32,
    depth: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Schedule {
    n_levels: u32,
    beta_end: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sampler {
    Ddpm,
    Ddim,
}

impl Default for Experiment {
    fn default() -> Experiment {
        Experiment {
            network: Network::default(),
            name: "default".into(),
            learning_rate: 1e-4,
            n_steps: 100,
            schedule: Schedule::default(),
            max_time_s: None,
            sampler: Sampler::Ddpm,
            widths: vec![1, 2, 4],
        }
    }
}

impl Default for Network {
    fn default() -> Network {
        Network { width: 32, depth: 3 }
    }
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { n_levels: 1000, beta_end: 0.02 }
    }
}

impl Validate for Experiment {
    fn validate(&self) -> einthoven::Result<()> {
        let beta_end = self.schedule.beta_end;
        config::check("schedule.n_levels", self.schedule.n_levels > 0, self.schedule.n_levels, "at least 1")?;
        config::check("schedule.beta_end", beta_end > 0.0 && beta_end < 1.0, beta_end, "0 < beta < 1")?;
        config::check("learning_rate", self.learning_rate > 0.0, self.learning_rate, "a positive number")
    }
}

const PRESET: &str = "name = \"small\"\nlearning_rate = 3e-4\n\n[network]\nwidth = 16\n";

fn load(text: &str, overrides: &[&str]) -> einthoven::Result<Experiment> {
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    config::load_valid(text, "small.toml", &overrides)
}

/// Key and reason of the refusal.
fn refusal(text: &str, overrides: &[&str]) -> (String, String) {
    match load(text, overrides) {
        Err(error @ Error::Config { .. }) => {
            assert_eq!(error.exit_code(), 2);
            let Error::Config { key, reason } = error else { unreachable!() };
            (key, reason)
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn preset_then_overrides() {
    let config = load(
        PRESET,
        &[
            "network.depth=5",
            "sampler=ddim",
            "n_steps = 20",
            "name=a-b c",
            "widths=[1, 8]",
            "max_time_s=60",
            "n_steps=30",
        ],
    )
    .unwrap();
    assert_eq!(config.network, Network { width: 16, depth: 5 });
    assert_eq!(config.sampler, Sampler::Ddim);
    assert_eq!((config.n_steps, config.name.as_str()), (30, "a-b c"));
    assert_eq!(config.widths, [1, 8]);
    assert_eq!(config.max_time_s, Some(60.0));
    assert_eq!(config.learning_rate, 3e-4);
}

#[test]
fn resolved_config_reads_back() {
    let config = load(PRESET, &["max_time_s=0.1"]).unwrap();
    let text = config::to_toml(&config).unwrap();
    assert_eq!(load(&text, &[]).unwrap(), config);
    assert!(text.contains("learning_rate = 0.0003"), "{text}");
    assert!(text.contains("depth = 3"), "every default is written:\n{text}");
}

#[test]
fn m04_unknown_key_names_the_nearest() {
    let (key, reason) = refusal("[schedule]\nbeta_and = 0.02\n", &[]);
    assert_eq!(key, "schedule.beta_and");
    assert_eq!(reason, "unknown key, did you mean \"beta_end\"? (known: beta_end, n_levels) (small.toml:2:1)");
    // A struct that denies unknown fields itself answers in the same words.
    let (key, reason) = refusal("[network]\ndepth = 2\nwidht = 16\n", &[]);
    assert_eq!(key, "network.widht");
    assert_eq!(reason, "unknown key, did you mean \"width\"? (known: width, depth) (small.toml:3:1)");
    let (key, reason) = refusal(PRESET, &["learning_rat=1"]);
    assert_eq!(key, "learning_rat");
    assert!(
        reason.starts_with("unknown key, did you mean \"learning_rate\"?") && reason.ends_with("(--set)"),
        "{reason}"
    );
}

#[test]
fn m04_duplicate_key() {
    let (key, reason) = refusal("learning_rate = 1\nname = \"a\"\nlearning_rate = 2\n", &[]);
    assert_eq!((key.as_str(), reason.as_str()), ("learning_rate", "key appears twice (small.toml:3:1)"));
    let (key, reason) = refusal("[network]\nwidth = 1\n[network]\ndepth = 1\n", &[]);
    assert_eq!((key.as_str(), reason.as_str()), ("network", "key appears twice (small.toml:3:2)"));
}

#[test]
fn m04_zero_levels_beta_of_one_and_negative_rate() {
    assert_eq!(
        refusal("[schedule]\nn_levels = 0\n", &[]),
        ("schedule.n_levels".into(), "found 0, expected at least 1".into())
    );
    assert_eq!(
        refusal(PRESET, &["schedule.beta_end=1"]),
        ("schedule.beta_end".into(), "found 1, expected 0 < beta < 1".into())
    );
    assert_eq!(
        refusal("learning_rate = -1e-4", &[]),
        ("learning_rate".into(), "found -0.0001, expected a positive number".into())
    );
}

#[test]
fn m04_nan() {
    assert_eq!(
        refusal("name = \"a\"\n[schedule]\nbeta_end = nan\n", &[]),
        ("schedule.beta_end".into(), "found nan, expected a number (small.toml:3:1)".into())
    );
    assert_eq!(
        refusal(PRESET, &["learning_rate=nan"]),
        ("learning_rate".into(), "found nan, expected a number (--set)".into())
    );
}

#[test]
fn m04_wrong_type() {
    let (key, reason) = refusal("[network]\nwidth = \"wide\"\n", &[]);
    assert_eq!(key, "network.width");
    assert_eq!(reason, "found string \"wide\", expected u32 (small.toml:2:1)");
    let (key, reason) = refusal("[network]\nwidth = -3\n", &[]);
    assert_eq!((key.as_str(), reason.as_str()), ("network.width", "found integer `-3`, expected u32 (small.toml:2:1)"));
    let (key, reason) = refusal(PRESET, &["sampler=dimm"]);
    assert_eq!(key, "sampler");
    assert!(reason.starts_with("found \"dimm\", unknown value, did you mean \"ddim\"?"), "{reason}");
}

#[test]
fn m04_not_toml_and_botched_overrides() {
    let (key, reason) = refusal("name = \"a\nn_steps = 3\n", &[]);
    assert_eq!(key, "small.toml:1:10");
    assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
    assert_eq!(refusal(PRESET, &["network"]).1, "found no =, expected key=value (--set)");
    assert_eq!(refusal(PRESET, &["network..width=3"]).1, "found an empty key, expected key=value (--set)");
    assert_eq!(
        refusal(PRESET, &["name.first=3"]),
        ("name.first".into(), "name is a value and has no keys (--set)".into())
    );
    assert!(refusal(PRESET, &["widths=[1,"]).1.starts_with("found \"[1,\", expected a TOML value"));
}

#[test]
fn the_mended_presets_pass() {
    for text in ["[schedule]\nbeta_end = 0.02\n", "[network]\nwidth = 16\n", "learning_rate = 1\nname = \"a\"\n", ""] {
        load(text, &[]).unwrap();
    }
}

/// A recipe of one kind or another, told by a tag, with settings one level deeper.
#[derive(serde::Serialize, serde::Deserialize)]
struct Recipes {
    recipes: std::collections::BTreeMap<String, Recipe>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Recipe {
    Denoising { extra: Extra },
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Extra {
    spectral: f64,
}

#[test]
fn an_unknown_key_below_a_tag_is_named_in_full() {
    let text = "[recipes.a]\nkind = \"denoising\"\n[recipes.a.extra]\nspectral = 1.0\n";
    let read = |overrides: &[String]| einthoven::config::load::<Recipes>(text, "x.toml", overrides);
    assert!(read(&[]).is_ok());
    let error = read(&["recipes.a.extra.stft=1.0".into()]).err().expect("refused").to_string();
    assert!(error.starts_with("recipes.a.extra.stft: unknown key") && error.contains("spectral"), "{error}");
    assert!(error.ends_with("(--set)"), "{error}");
}
