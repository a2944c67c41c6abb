//! `augment`, on what `prepare simulated` writes: the training part grows, the others stay, and refusals.

use std::path::Path;

use einthoven::dataset::{Split, npz};

use super::command::{TempFolder, einthoven};
use super::delineate::cut_in_half;

#[test]
fn the_training_part_grows_and_the_others_stay() {
    let folder = TempFolder::new("augment");
    let prepared = einthoven(["prepare", "simulated", "--out", &folder.at("real"), "--json"]).json();
    assert!(prepared["n_items"].as_u64().is_some_and(|n| n > 1000), "{prepared}");
    let grow = |out: &str, more: &[&str]| {
        einthoven(["augment", &folder.at("real"), "--out", &folder.at(out), "--json"].iter().chain(more))
    };
    let grown = grow("grown", &["--method", "jitter", "--method", "scaling", "--cap", "20"]).json();
    let added = grown["mix"]["added_counts"].as_object().expect("counts");
    assert!(added.values().any(|n| n == 20) && added.values().all(|n| n.as_u64() <= Some(20)), "{added:?}");
    let n_added: u64 = added.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(grown["n_items"].as_u64(), prepared["n_items"].as_u64().map(|n| n + n_added));
    let used: Vec<_> = grown["mix"]["augmentations"].as_array().expect("methods").iter().map(|m| &m["name"]).collect();
    assert_eq!(used, ["jitter", "scaling"]);
    assert!(folder.path().join("grown/manifest.json").is_file());
    let read = |name: &str| npz::read(&folder.path().join(name).join("data.npz")).expect("a data set");
    let (before, after) = (read("real"), read("grown"));
    for part in [Split::Validation, Split::Test] {
        let (before, after) = (before.part(part), after.part(part));
        assert_eq!((before.ecg, before.labels, before.patient), (after.ecg, after.labels, after.patient));
    }
    // The seed decides.
    let one = ["--method", "jitter", "--cap", "5"];
    let bytes = |name: &str| read(name).ecg;
    assert_eq!(grow("a", &one).code, 0);
    assert_eq!(grow("b", &one).code, 0);
    assert_eq!(grow("c", &[&one[..], &["--seed", "2"]].concat()).code, 0);
    assert_eq!(bytes("a"), bytes("b"));
    assert_ne!(bytes("a"), bytes("c"));

    for (out, more, code, said) in [
        ("x", vec!["--method", "gitter"], 2, "unknown augmentation \\\"gitter\\\", did you mean \\\"jitter\\\"?"),
        ("x", vec![], 2, "required"),
        ("x", vec!["--method", "jitter", "--plan", "some"], 2, "unknown"),
        ("x", vec!["--method", "jitter", "--cap", "0"], 2, "invalid value '0'"),
        ("x", vec!["--method", "vcg-rotation"], 3, "leads: I is missing"),
        ("grown", vec!["--method", "jitter"], 5, "overwrite"),
    ] {
        let failed = grow(out, &more);
        assert_eq!((failed.code, failed.stdout.as_str()), (code, ""), "{more:?}: {}", failed.stderr);
        assert!(failed.stderr.contains(said), "{more:?}: {}", failed.stderr);
        assert!(!folder.path().join("x").exists(), "{more:?}");
    }
    let (file, out) = (folder.at("real/data.npz"), folder.at("x"));
    cut_in_half(Path::new(&file));
    let broken = einthoven(["augment", &file, "--method", "jitter", "--out", &out, "--json"]);
    assert_eq!((broken.code, &broken.error()["code"]), (3, &"X02".into()));
    let missing = einthoven(["augment", &folder.at("none"), "--method", "jitter", "--out", &out]);
    assert_eq!(missing.code, 4);
    assert!(missing.stderr.contains("none/data.npz: No such file"), "{}", missing.stderr);
    assert!(!Path::new(&out).exists());
}

#[test]
fn items_with_several_labels_are_grown_and_keep_them() {
    let folder = TempFolder::new("augment-labels");
    assert_eq!(einthoven(["prepare", "simulated", "--out", &folder.at("real")]).code, 0);
    let file = folder.path().join("real/data.npz");
    let mut set = npz::read(&file).expect("a data set");
    // Every twentieth item has all labels, and the one after it none.
    let n = set.n_labels();
    for (i, row) in set.labels.chunks_mut(n).enumerate() {
        match i % 20 {
            0 => row.fill(1),
            1 => row.fill(0),
            _ => {}
        }
    }
    // One has labels that no other has, and so nothing to be mixed with.
    let alone = (0..set.len()).find(|&i| set.split[i] == Split::Train && i % 20 > 1).expect("a training item");
    set.labels[alone * n..(alone + 1) * n].fill(0);
    set.labels[alone * n..alone * n + 2].fill(1);
    npz::write(&file, &set).expect("a data set");
    for (method, is_told) in [("jitter", false), ("mixup", true), ("optimal-transport", false)] {
        let out = folder.at(method);
        let call = ["augment", &folder.at("real"), "--method", method, "--cap", "3", "--out", &out, "--json"];
        let done = einthoven(call);
        assert_eq!(done.json()["mix"]["left_out"].as_object().map(|left| !left.is_empty()), Some(is_told), "{method}");
        assert_eq!(done.stderr.contains("left out: "), is_told, "{method}: {}", done.stderr);
        let grown = npz::read(&folder.path().join(method).join("data.npz")).expect("a data set");
        assert!(grown.len() > set.len(), "{method}");
    }
}

#[test]
fn a_database_has_no_settings_of_a_preset() {
    let folder = TempFolder::new("prepare-set");
    let out = folder.at("x");
    let refused = einthoven(["prepare", "simulated", "--set", "data.highpas_hz=1", "--out", &out]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--set: found data.highpas_hz=1, expected none"), "{}", refused.stderr);
    assert!(!Path::new(&out).exists());
}
