//! Augmentations: new training items made of the real ones of the training part.
//!
//! They act on copies of training items only, as the control that every synthetic row must beat. The
//! change of a copy depends on the seed and on the number of the copy, not on what else is drawn.
//!
//! [`CLASSICAL`] ones change one item and leave its label true. The others also look at other training
//! items ([`Pool`]): they blend within a class, or make an item of one class into one of another and
//! label it so. A class is a set of labels, so that items with several of them keep them. No label is ever a guess: where only a part of an item comes from another class, that
//! part is small and stated in the settings.

mod geodesic;
mod infarction;
mod jitter;
mod mixup;
mod pool;
mod scaling;
mod smote;
mod time_warp;
mod transport;
mod vcg_rotation;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde_json::{Value, json};

use super::mix::{self, Plan};
use super::{Dataset, Split, guard};
use crate::error::{Error, Result};
use crate::run::{Progress, Silent};
use crate::seed::{Seed, Stream};

pub use geodesic::Geodesic;
pub use infarction::Infarction;
pub use jitter::Jitter;
pub use mixup::Mixup;
pub use pool::{Item, Pool};
pub use scaling::Scaling;
pub use smote::Smote;
pub use time_warp::TimeWarp;
pub use transport::OptimalTransport;
pub use vcg_rotation::VcgRotation;

/// An augmentation with its settings.
pub trait Augmentation: Sync {
    /// Name, as typed by users.
    fn name(&self) -> &'static str;
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// Where it is described.
    fn reference(&self) -> &'static str;
    /// Settings by name, for the provenance.
    fn settings(&self) -> Value;
    /// The class of the pool whose items are changed into items of `class`; `None` when it makes none of that class.
    fn source(&self, _pool: &Pool, class: usize) -> Option<usize> {
        Some(class)
    }
    /// Whether signals of other patients of the training part go into an item.
    fn mixes_patients(&self) -> bool {
        false
    }
    /// Changes one item, `[lead, time]` in mV. Limb leads are derived anew afterwards.
    ///
    /// # Errors
    /// [`Error::Data`] when the data set lacks what it needs, such as leads.
    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()>;
}

/// Every augmentation, with the settings used by default.
pub static AUGMENTATIONS: &[&dyn Augmentation] = &[
    &Jitter::DEFAULT,
    &Scaling::DEFAULT,
    &TimeWarp::DEFAULT,
    &VcgRotation::DEFAULT,
    &Mixup::DEFAULT,
    &Smote::DEFAULT,
    &OptimalTransport::DEFAULT,
    &Geodesic::DEFAULT,
    &Infarction::DEFAULT,
];

/// The augmentations that together are the classical control: jitter, scaling and time warp.
pub static CLASSICAL: &[&dyn Augmentation] = &[&Jitter::DEFAULT, &Scaling::DEFAULT, &TimeWarp::DEFAULT];

/// Copies between two reports of progress.
const PROGRESS_EVERY: usize = 64;

/// The augmentation of that name with its default settings.
///
/// # Errors
/// [`Error::Unknown`] with the known names.
pub fn augmentation(name: &str) -> Result<&'static dyn Augmentation> {
    AUGMENTATIONS.iter().find(|augmentation| augmentation.name() == name).copied().ok_or_else(|| Error::Unknown {
        kind: "augmentation",
        name: name.into(),
        known: AUGMENTATIONS.iter().map(|augmentation| augmentation.name().into()).collect(),
    })
}

/// Grows the labels of the training part by augmented copies, by the same counts as
/// [`mix::mix`] under the same plan. Each copy goes through all of `augmentations` in turn.
///
/// An item with several labels counts for each of them, and so does its copy, which keeps them all: the rarest label is
/// grown first, and copies that come along with it are not made again for the next. A label may so gain more than its
/// plan. A class that one of the augmentations cannot make gains nothing, and the provenance counts the items that
/// are left out for it. A copy keeps record, patient and RR intervals of the item that it was made of, but not its facts;
/// the provenance says when other patients contributed.
///
/// # Errors
/// [`Error::Guard`] `L6` if synthetic items are in validation or test; [`Error::Data`] if no class can be grown, or from
/// [`Augmentation::apply`]; [`Error::Config`] when two augmentations start from different classes.
pub fn augment(real: &Dataset, plan: Plan, augmentations: &[&dyn Augmentation], seed: Seed) -> Result<Dataset> {
    augment_with(real, plan, augmentations, seed, &mut Silent)
}

/// As [`augment`], telling how many copies are made: transport and geodesics take minutes where thousands are wanted.
///
/// # Errors
/// As [`augment`].
pub fn augment_with(
    real: &Dataset,
    plan: Plan,
    augmentations: &[&dyn Augmentation],
    seed: Seed,
    progress: &mut dyn Progress,
) -> Result<Dataset> {
    guard::check_real_evaluation(real)?;
    let pool = Pool::new(real);
    let counts = real.label_counts(Split::Train);
    let wanted = plan.added(&counts);
    let Planned { order, added, left_out } = planned(&pool, &wanted, augmentations, seed)?;
    if wanted.iter().any(|&n| n > 0) && order.is_empty() {
        let names: Vec<&str> = augmentations.iter().map(|augmentation| augmentation.name()).collect();
        return Err(Error::data(
            names.join(", "),
            format!("can make items of none of the classes {:?}", real.label_names),
        ));
    }
    if let Some(line) = in_words(&pool, &left_out) {
        progress.tell(&line);
    }
    let mut copies = real.select(&order.iter().map(|(base, _)| *base).collect::<Vec<_>>());
    let size = (copies.leads.len() * copies.sig_len).max(1);
    let change = |(k, ecg): (usize, &mut [f32])| -> Result<()> {
        let (base, class) = order[k];
        let item = Item { pool: &pool, base, class };
        for augmentation in augmentations {
            let seed = seed.purpose("augment").index(k as u64).purpose(augmentation.name());
            augmentation.apply(ecg, &item, &mut seed.stream())?;
        }
        pool.restore_limb_leads(ecg);
        Ok(())
    };
    // Intervals and patient are no longer those of the base.
    copies.facts = None;
    let (n, mut done) = (order.len(), 0);
    progress.update("augment", 0, n as u64, "");
    for block in copies.ecg.chunks_mut(size * PROGRESS_EVERY) {
        block.par_chunks_mut(size).enumerate().try_for_each(|(k, ecg)| change((done + k, ecg)))?;
        done = (done + PROGRESS_EVERY).min(n);
        progress.update("augment", done as u64, n as u64, "");
    }
    let n_labels = copies.n_labels();
    for (row, (_, class)) in copies.labels.chunks_mut(n_labels.max(1)).zip(&order) {
        row.fill(0);
        pool.labels(*class).iter().for_each(|&label| row[label] = 1);
    }
    let mut out = real.clone();
    out.append(&copies)?;
    mix::write_provenance(&mut out, "augmented copies", &counts, &added);
    out.provenance["augmented"] = Value::from(true);
    out.provenance["mix"]["augmentations"] = augmentations
        .iter()
        .map(|a| json!({ "name": a.name(), "settings": a.settings(), "mixes_patients": a.mixes_patients() }))
        .collect();
    let left_out = left_out.iter().map(|&class| (pool.name(class), Value::from(pool.members(class).len())));
    out.provenance["mix"]["left_out"] = Value::Object(left_out.collect());
    Ok(out)
}

/// Which copies are made.
struct Planned {
    /// Item that is copied, and class of the pool that it becomes.
    order: Vec<(usize, usize)>,
    /// Items that each label gains.
    added: Vec<usize>,
    /// Classes with a wanted label that cannot be made.
    left_out: Vec<usize>,
}

/// Copies by which labels gain `wanted` items, where they can.
fn planned(pool: &Pool, wanted: &[usize], augmentations: &[&dyn Augmentation], seed: Seed) -> Result<Planned> {
    let sources =
        (0..pool.n_classes()).map(|class| source_of(pool, class, augmentations)).collect::<Result<Vec<_>>>()?;
    let sources: Vec<_> = sources.into_iter().map(|s| s.filter(|&s| !pool.members(s).is_empty())).collect();
    let with = |label: usize| (0..pool.n_classes()).filter(move |&class| pool.labels(class).contains(&label));
    // Where items of other labels are changed, a label is made only if they lack it.
    let makes = |class: usize, label: usize| {
        sources[class].is_some_and(|source| source == class || !pool.labels(source).contains(&label))
    };
    let n_items = |label: usize| with(label).map(|class| pool.members(class).len()).sum::<usize>();
    let mut labels: Vec<usize> = (0..wanted.len()).filter(|&label| wanted[label] > 0).collect();
    labels.sort_by_key(|&label| n_items(label));

    let mut added = vec![0; wanted.len()];
    let mut left_out = BTreeSet::new();
    // For each label the items whose like is wanted, with their class.
    let mut models: Vec<Vec<(usize, usize)>> = vec![Vec::new(); wanted.len()];
    for label in labels {
        let of_class = |class: usize| pool.members(class).iter().map(move |&i| (i, class));
        let mut candidates: Vec<_> = with(label).filter(|&class| makes(class, label)).flat_map(of_class).collect();
        candidates.sort_unstable();
        left_out.extend(with(label).filter(|&class| !makes(class, label) && !pool.members(class).is_empty()));
        let n = wanted[label].saturating_sub(added[label]);
        let turns = mix::in_turn(candidates.len(), n, seed.purpose("oversample").index(label as u64));
        models[label] = turns.into_iter().map(|k| candidates[k]).collect();
        for &(_, class) in &models[label] {
            pool.labels(class).iter().for_each(|&of| added[of] += 1);
        }
    }
    // Items that are changed into another class are taken in turn too.
    let models: Vec<(usize, usize)> = models.into_iter().flatten().collect();
    let mut bases: BTreeMap<usize, std::vec::IntoIter<usize>> = BTreeMap::new();
    for (class, source) in sources.iter().enumerate() {
        let Some(source) = source.filter(|&source| source != class) else { continue };
        let n = models.iter().filter(|(_, of)| *of == class).count();
        let own = seed.purpose("source").index(class as u64).purpose("oversample").index(source as u64);
        let turns = mix::in_turn(pool.members(source).len(), n, own);
        let items: Vec<usize> = turns.into_iter().map(|k| pool.members(source)[k]).collect();
        bases.insert(class, items.into_iter());
    }
    let base = |(item, class): (usize, usize)| (bases.get_mut(&class).and_then(Iterator::next).unwrap_or(item), class);
    Ok(Planned { order: models.into_iter().map(base).collect(), added, left_out: left_out.into_iter().collect() })
}

/// What was left out, in a line.
fn in_words(pool: &Pool, left_out: &[usize]) -> Option<String> {
    const MOST_NAMES: usize = 8;
    let n: usize = left_out.iter().map(|&class| pool.members(class).len()).sum();
    let names: Vec<String> = left_out.iter().take(MOST_NAMES).map(|&class| pool.name(class)).collect();
    let more = match left_out.len().saturating_sub(MOST_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (n > 0)
        .then(|| format!("left out: {n} training items of labels that cannot be made so: {}{more}", names.join(", ")))
}

/// The class to start from for items of `class`, in which all augmentations must agree.
fn source_of(pool: &Pool, class: usize, augmentations: &[&dyn Augmentation]) -> Result<Option<usize>> {
    let mut source = class;
    for augmentation in augmentations {
        match augmentation.source(pool, class) {
            None => return Ok(None),
            Some(own) if own == class || own == source => {}
            Some(own) if source == class => source = own,
            Some(_) => {
                return Err(Error::config(
                    "augmentations",
                    "two of them start from different classes; use one at a time",
                ));
            }
        }
    }
    Ok(Some(source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::lead_law::TWELVE;
    use serde_json::json;

    /// Beats of 256 points on twelve leads, twelve normal and four infarctions, of different patients; half as many for test.
    fn twelve_lead_beats() -> Dataset {
        let leads = TWELVE.iter().map(|lead| (*lead).to_string()).collect();
        let mut data = Dataset::new(leads, 256, 360.0, vec!["NORM".into(), "MI".into()]);
        let wave = |t: f64, center: f64, width: f64| (-((t - center) / width).powi(2)).exp();
        for i in 0..24 {
            let is_infarction = i % 4 == 3;
            let mut stream = Seed::new(5).index(i).stream();
            let mut eight = Vec::new();
            for _ in 0..8 {
                let (r, t_wave) = (stream.uniform_in(0.6, 1.2), if is_infarction { -0.3 } else { 0.3 });
                eight.extend(
                    (0..256).map(f64::from).map(|t| (r * wave(t, 128.0, 5.0) + t_wave * wave(t, 200.0, 20.0)) as f32),
                );
            }
            data.ecg.extend(crate::record::lead_law::twelve_from_eight(&eight));
            data.labels.extend(if is_infarction { [0, 1] } else { [1, 0] });
            data.record.push(format!("r{i}"));
            data.patient.push(format!("p{i}"));
            data.split.push(if i < 16 { Split::Train } else { Split::Test });
            data.index.push(i as i64);
        }
        data.provenance = json!({ "source": "made for a test" });
        data
    }

    fn lead(item: &[f32], name: &str) -> Vec<f64> {
        let place = TWELVE.iter().position(|lead| *lead == name).unwrap();
        item[place * 256..(place + 1) * 256].iter().map(|v| f64::from(*v)).collect()
    }

    #[test]
    fn every_entry_is_named_once_cited_and_conforms() {
        let real = twelve_lead_beats();
        let plan = Plan::OneToOne { cap: 12 };
        for (k, augmentation) in AUGMENTATIONS.iter().enumerate() {
            let name = augmentation.name();
            assert!(AUGMENTATIONS[..k].iter().all(|other| other.name() != name));
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
            assert!(augmentation.reference().chars().any(|c| c.is_ascii_digit()), "{name}");
            assert!(augmentation.settings().is_object());
            let out = augment(&real, plan, &[*augmentation], Seed::new(3)).unwrap();
            out.validate().unwrap();
            assert_eq!(out, augment(&real, plan, &[*augmentation], Seed::new(3)).unwrap(), "{name}");
            assert_ne!(out.ecg, augment(&real, plan, &[*augmentation], Seed::new(4)).unwrap().ecg, "{name}");
            // Real items come first and unchanged; only the training part grows.
            assert_eq!(out.select(&(0..24).collect::<Vec<_>>()).ecg, real.ecg, "{name}");
            assert!(out.len() > 24 && out.split[24..].iter().all(|split| *split == Split::Train), "{name}");
            assert_eq!(out.provenance["augmented"], true);
            assert_eq!(out.provenance["mix"]["augmentations"][0]["name"], name);
            let mut n_changed = 0;
            for i in 24..out.len() {
                let item = out.item(i);
                assert!(item.iter().all(|x| x.is_finite() && x.abs() < 4.0), "{name}");
                let base = (0..16).find(|&b| real.record[b] == out.record[i]).expect("made of a training item");
                assert_eq!(out.patient[i], real.patient[base]);
                n_changed += usize::from(item != real.item(base));
                assert!(out.class(i).is_ok());
                let [one, two, three] = ["I", "II", "III"].map(|name| lead(item, name));
                let augmented = ["aVR", "aVL", "aVF"].map(|name| lead(item, name));
                for t in 0..256 {
                    assert!((one[t] + three[t] - two[t]).abs() < 1e-5, "{name}: Einthoven at {t}");
                    assert!(
                        augmented.iter().map(|lead| lead[t]).sum::<f64>().abs() < 1e-5,
                        "{name}: Goldberger at {t}"
                    );
                }
            }
            // Mixup's share of the other item may be too small to see.
            assert!(4 * n_changed >= 3 * (out.len() - 24), "{name}: {n_changed} changed");
            // Which items there are besides makes no difference to the first ones of a class.
            let fewer = augment(&real, Plan::OneToOne { cap: 4 }, &[*augmentation], Seed::new(3)).unwrap();
            assert_eq!(fewer.item(24), out.item(24), "{name}");
        }
        assert!(matches!(augmentation("mixdown"), Err(Error::Unknown { .. })));
    }

    #[test]
    fn test_items_never_contribute() {
        let real = twelve_lead_beats();
        let mut marked = real.clone();
        // A marker in every test item would be seen in whatever was made of one.
        let size = 12 * 256;
        marked.ecg[16 * size..].iter_mut().for_each(|x| *x += 1000.0);
        for augmentation in AUGMENTATIONS {
            let plan = Plan::OneToOne { cap: usize::MAX };
            let out = augment(&marked, plan, &[*augmentation], Seed::new(1)).unwrap();
            assert!(out.ecg[24 * size..].iter().all(|x| x.abs() < 10.0), "{}", augmentation.name());
        }
    }

    #[test]
    fn transported_and_painted_items_are_of_the_class_that_grows() {
        let real = twelve_lead_beats();
        let plan = Plan::RaiseMinorities { times: 3, cap: usize::MAX };
        let t_level = |item: &[f32]| lead(item, "V5")[200];
        for augmentation in [&OptimalTransport::DEFAULT as &dyn Augmentation, &Infarction::DEFAULT] {
            let out = augment(&real, plan, &[augmentation], Seed::new(1)).unwrap();
            assert_eq!(out.class_counts(Split::Train).unwrap(), [12, 12]);
            for i in 24..out.len() {
                let base = (0..16).find(|&b| real.record[b] == out.record[i]).unwrap();
                assert_eq!((real.class(base).unwrap(), out.class(i).unwrap()), (0, 1));
                if augmentation.name() == "optimal-transport" {
                    // At least seven tenths of the way from 0.3 to -0.3.
                    assert!(t_level(out.item(i)) < -0.1, "{}", t_level(out.item(i)));
                }
            }
        }
        // Painted ST shifts: elevation towards the injury, the reciprocal in the opposite leads.
        let out = augment(
            &real,
            plan,
            &[&Infarction { q_mv: [0.0; 2], r_loss_mv: [0.0; 2], t_mv: [0.0; 2], st_mv: [0.3; 2] }],
            Seed::new(1),
        )
        .unwrap();
        for i in 24..out.len() {
            let base = (0..16).find(|&b| real.record[b] == out.record[i]).unwrap();
            let shift = |name: &str| lead(out.item(i), name)[174] - lead(real.item(base), name)[174];
            let largest = TWELVE.iter().map(|name| shift(name)).fold(f64::NEG_INFINITY, f64::max);
            let smallest = TWELVE.iter().map(|name| shift(name)).fold(f64::INFINITY, f64::min);
            // 128 ms after R the plateau has nearly its full height.
            assert!(largest > 0.25 && largest < 0.31 && smallest < -0.05, "{largest} {smallest}");
        }
    }

    /// As [`twelve_lead_beats`] with a rare third label that comes with one of the others, an item of all, and one of none.
    fn several_labels() -> Dataset {
        let mut data = twelve_lead_beats();
        data.label_names.push("AFIB".into());
        let rows = data.labels.chunks(2).enumerate().flat_map(|(i, row)| match i {
            1 | 2 => [1, 0, 1],
            3 => [0, 1, 1],
            4 => [1, 1, 1],
            5 => [0, 0, 0],
            _ => [row[0], row[1], 0],
        });
        data.labels = rows.collect();
        data
    }

    fn labels_of(data: &Dataset, i: usize) -> Vec<usize> {
        data.labels_of(i).collect()
    }

    #[test]
    fn items_with_several_labels_keep_them_and_the_rarest_label_grows_first() {
        let real = several_labels();
        assert_eq!(real.label_counts(Split::Train), [11, 5, 4]);
        let plan = Plan::RaiseMinorities { times: 10, cap: usize::MAX };
        for augmentation in AUGMENTATIONS {
            let name = augmentation.name();
            let out = augment(&real, plan, &[*augmentation], Seed::new(3)).unwrap();
            let added: Vec<usize> =
                out.label_counts(Split::Train).iter().zip([11, 5, 4]).map(|(n, was)| n - was).collect();
            let mix = &out.provenance["mix"];
            assert_eq!(mix["added_counts"], json!({ "NORM": added[0], "MI": added[1], "AFIB": added[2] }), "{name}");
            for i in 24..out.len() {
                let base = (0..16).find(|&b| real.record[b] == out.record[i]).unwrap();
                let is_kept = labels_of(&out, i) == labels_of(&real, base);
                match name {
                    "optimal-transport" => assert_eq!(labels_of(&real, base), [0]),
                    "infarction" => {
                        let painted = labels_of(&real, base).iter().map(|&label| label.max(1)).collect::<Vec<_>>();
                        assert!([vec![0], vec![0, 2]].contains(&labels_of(&real, base)), "{name}");
                        assert_eq!(labels_of(&out, i), painted, "{name}");
                    }
                    _ => assert!(is_kept, "{name}"),
                }
            }
            let left_out: Vec<&String> = mix["left_out"].as_object().unwrap().keys().collect();
            match name {
                // One item of each of these is alone with its labels.
                "mixup" | "smote" => assert_eq!(left_out, ["NORM+MI+AFIB", "MI+AFIB"], "{name}"),
                // Any set of labels that normal items lack can be arrived at.
                "optimal-transport" => assert_eq!((left_out.len(), added[2] >= 7), (0, true), "{name}"),
                "infarction" => assert!(left_out.contains(&&"NORM+AFIB".to_string()), "{name}: {left_out:?}"),
                // Seven and six copies bring them to the most frequent label's eleven; what comes along counts.
                _ => assert_eq!((left_out.len(), added[2] >= 7, added[1] >= 6), (0, true, true), "{name}: {added:?}"),
            }
        }
    }

    #[test]
    fn what_a_data_set_lacks_is_an_error() {
        let mut real = twelve_lead_beats();
        real.leads[11] = "V7".into();
        let plan = Plan::OneToOne { cap: 2 };
        let error = |real: &Dataset, augmentation: &dyn Augmentation| {
            augment(real, plan, &[augmentation], Seed::new(1)).unwrap_err().to_string()
        };
        assert!(error(&real, &VcgRotation::DEFAULT).contains("V6 is missing"));
        assert!(error(&real, &Infarction::DEFAULT).contains("V7 is none of the twelve"));
        real.label_names[1] = "V".into();
        assert!(error(&real, &Infarction::DEFAULT).contains("none of the classes"));
    }

    #[test]
    fn classical_ones_keep_the_beat_in_its_place() {
        let real = twelve_lead_beats();
        let out = augment(&real, Plan::OneToOne { cap: usize::MAX }, CLASSICAL, Seed::new(2)).unwrap();
        for i in 24..out.len() {
            let two = lead(out.item(i), "II");
            let peak = (0..256).max_by(|&a, &b| two[a].total_cmp(&two[b])).expect("points");
            assert!((peak as i64 - 128).abs() <= 6, "R moved to {peak}");
        }
    }
}
