//! Splits: which items a model may learn from, which it may be tuned on, which it is tested on.
//!
//! The unit of splitting is the patient. The one scheme that breaks this, `intra-patient`, exists
//! because most published augmentation results use it; it names the guard rules that it waives and
//! stamps its provenance as not comparable. A split is an [`Assignment`] of the items of an unsplit
//! data set, so that two schemes can be compared item by item: see [`generator_training`].
//!
//! # Reference
//! de Chazal P, O'Dwyer M, Reilly RB. Automatic classification of heartbeats using ECG morphology
//! and heartbeat interval features. IEEE Trans Biomed Eng 51(7):1196-1206, 2004 (DS1 and DS2).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::catalog::mitdb;
use super::{Dataset, Split};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Number of folds of [`Scheme::FiveFold`].
pub const N_FOLDS: usize = 5;

/// How items are given to the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Between patients: DS1 without record 201 against the whole of DS2.
    Inter,
    /// Between records: DS1 and DS2 as published, with one person in both.
    Published,
    /// Between beats: 80/10/10 at random, with every patient in every part.
    IntraPatient,
    /// Between patients: one fold of five is the test part, the next one the validation part.
    FiveFold {
        /// The test fold, 0 to 4.
        fold: usize,
    },
    /// None: everything is the training part, for noise, synthetic sets and sets that are tested elsewhere.
    Whole,
}

/// Name, as typed by users, and one line for listings, of every scheme.
pub static SCHEMES: &[(&str, &str)] = &[
    ("inter", "patients apart: DS1 without record 201 for training and validation, DS2 whole for test"),
    ("published", "DS1 and DS2 of de Chazal et al. 2004 unchanged; records 201 and 202 are one person"),
    ("intra-patient", "80/10/10 by beat at random; leaks patients, not comparable with the others"),
    ("whole", "no split: everything for training, such as noise or a synthetic set"),
    ("five-fold", "patients in five balanced folds; five-fold:K tests on fold K of 0 to 4"),
];

/// The part of every item, with what a reader must know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Part of each item of the unsplit data set; `None` leaves the item out.
    pub parts: Vec<Option<Split>>,
    /// Scheme, seed, waived guard rules and notes: becomes `provenance.split`.
    pub provenance: Value,
}

/// Class counts of one patient.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PatientCounts {
    /// Patient id.
    pub patient: String,
    /// Part, or `mixed` if the patient is in several.
    pub split: String,
    /// Items in each class, in the order of the label axis.
    pub counts: Vec<usize>,
}

/// How many patients stand behind a class in one part.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClassSupport {
    /// Class name.
    pub class: String,
    /// Items of the class.
    pub n_items: usize,
    /// Patients with at least one item of the class.
    pub n_patients: usize,
    /// Patient with the most items of the class; empty if there is none.
    pub largest_patient: String,
    /// Share of that patient in the items, 0-1.
    pub largest_share: f64,
    /// Why a figure on this class is `insufficient`; empty if it is not.
    pub insufficient: String,
}

/// Fewest positive patients for which a figure is printed as a result (rule L13).
pub const MIN_POSITIVE_PATIENTS: usize = 10;
/// Share of one patient from which an interval over patients rests on that patient alone.
pub const MAX_PATIENT_SHARE: f64 = 0.9;

impl Scheme {
    /// The scheme of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the known names; [`Error::Config`] for a fold outside 0 to 4.
    pub fn parse(name: &str) -> Result<Scheme> {
        match name {
            "inter" => return Ok(Scheme::Inter),
            "published" => return Ok(Scheme::Published),
            "intra-patient" => return Ok(Scheme::IntraPatient),
            "five-fold" => return Ok(Scheme::FiveFold { fold: 0 }),
            "whole" => return Ok(Scheme::Whole),
            _ => {}
        }
        if let Some(fold) = name.strip_prefix("five-fold:") {
            return match fold.parse() {
                Ok(fold) if fold < N_FOLDS => Ok(Scheme::FiveFold { fold }),
                _ => Err(Error::config("split", format!("found fold \"{fold}\", expected 0 to {}", N_FOLDS - 1))),
            };
        }
        Err(Error::Unknown {
            kind: "split",
            name: name.into(),
            known: SCHEMES.iter().map(|(name, _)| (*name).to_string()).collect(),
        })
    }

    /// Name as typed by users; [`Scheme::parse`] reads it back.
    pub fn name(self) -> String {
        match self {
            Scheme::Inter => "inter".into(),
            Scheme::Published => "published".into(),
            Scheme::IntraPatient => "intra-patient".into(),
            Scheme::FiveFold { fold } => format!("five-fold:{fold}"),
            Scheme::Whole => "whole".into(),
        }
    }
}

impl Assignment {
    /// The data set with the items that are left out removed and the parts filled in.
    pub fn apply(&self, data: &Dataset) -> Dataset {
        let kept: Vec<usize> = (0..data.len()).filter(|&i| self.parts[i].is_some()).collect();
        let mut out = data.select(&kept);
        out.split = self.parts.iter().filter_map(|part| *part).collect();
        if !out.provenance.is_object() {
            out.provenance = json!({});
        }
        out.provenance["split"] = self.provenance.clone();
        out
    }
}

/// Splits a data set: [`assign`], then [`Assignment::apply`].
///
/// # Errors
/// As [`assign`].
pub fn split(data: &Dataset, scheme: Scheme, seed: Seed) -> Result<Dataset> {
    Ok(assign(data, scheme, seed)?.apply(data))
}

/// Gives each item of an unsplit data set to a part.
///
/// The same seed gives the same parts. For a source other than MIT-BIH, `inter` means the parts that
/// the data set came with, provided that they keep patients apart.
///
/// # Errors
/// [`Error::Guard`] `L1` without patient ids, `L4` if synthetic items are among the data (enlarge the
/// training part after splitting), `L8` if paced MIT-BIH records meet a split between patients, `L2`
/// if the data set's own parts share a patient; [`Error::Unsupported`] for `published` on another
/// source, `X07` if a whole record is stored under two patients; [`Error::Data`] for fewer patients than folds.
pub fn assign(data: &Dataset, scheme: Scheme, seed: Seed) -> Result<Assignment> {
    if scheme != Scheme::Whole {
        check_splittable(data)?;
    }
    let is_mitdb = data.provenance["source"] == mitdb::NAME;
    if is_mitdb
        && scheme != Scheme::IntraPatient
        && let Some(i) = (0..data.len()).find(|&i| mitdb::PACED.contains(&data.record[i].as_str()))
    {
        return Err(Error::Guard {
            code: "L8",
            reason: format!(
                "record {} is paced: a split between patients leaves 102, 104, 107 and 217 out; use labels \"aami\", or the split \"intra-patient\"",
                data.record[i]
            ),
        });
    }
    let (parts, mut provenance) = match scheme {
        Scheme::Inter if is_mitdb => (between_records(data, true)?, inter_provenance()),
        Scheme::Inter => own_parts(data)?,
        Scheme::Published if is_mitdb => (between_records(data, false)?, published_provenance()),
        Scheme::Published => {
            return Err(Error::Unsupported { what: "the split \"published\" on a source other than mitdb".into() });
        }
        Scheme::IntraPatient => (between_beats(data.len(), seed), intra_provenance()),
        Scheme::Whole => (vec![Some(Split::Train); data.len()], whole_provenance()),
        Scheme::FiveFold { fold } => {
            let folds = folds(data, N_FOLDS)?;
            let parts = data.patient.iter().map(|patient| Some(fold_part(folds[patient], fold))).collect();
            (parts, json!({ "comparable": true, "waives": [], "folds": folds }))
        }
    };
    provenance["scheme"] = Value::from(scheme.name());
    Ok(Assignment { parts, provenance })
}

/// What must hold before items go to different parts: every one names its patient, no whole record is stored
/// under two, and all are real.
fn check_splittable(data: &Dataset) -> Result<()> {
    super::guard::check_patients(data)?;
    if let Some(i) = (0..data.len()).find(|&i| data.is_generated(i)) {
        return Err(Error::Guard {
            code: "L4",
            reason: format!("item {i} ({}) is synthetic: split the real data first, then mix", data.record[i]),
        });
    }
    super::guard::check_one_patient_per_signal(data)
}

/// Items on which one generator may be trained so that it serves the inter-patient and the
/// intra-patient split without having seen a test beat of either.
///
/// They are the items that are in the training part of both. Indices are into the unsplit `data`.
///
/// # Errors
/// As [`assign`].
pub fn generator_training(data: &Dataset, seed: Seed) -> Result<Vec<usize>> {
    let inter = assign(data, Scheme::Inter, seed)?;
    let intra = assign(data, Scheme::IntraPatient, seed)?;
    let is_train = |assignment: &Assignment, i: usize| assignment.parts[i] == Some(Split::Train);
    Ok((0..data.len()).filter(|&i| is_train(&inter, i) && is_train(&intra, i)).collect())
}

/// Gives each patient to one of `k` folds so that every class is spread over them.
///
/// Greedy and without chance: patients in falling order of their share of the classes (a patient who
/// holds most of a rare class comes first), each to the fold where the sum of squared class shares
/// grows least.
///
/// # Errors
/// [`Error::Data`] for fewer patients than folds.
pub fn folds(data: &Dataset, k: usize) -> Result<BTreeMap<String, usize>> {
    let table = patient_counts(data)?;
    if table.len() < k {
        return Err(Error::data(
            "data set",
            format!("found {} patients, expected at least {k} for {k} folds", table.len()),
        ));
    }
    let n_labels = data.n_labels();
    let totals: Vec<f64> =
        (0..n_labels).map(|class| table.iter().map(|row| row.counts[class]).sum::<usize>() as f64).collect();
    let share = |row: &PatientCounts, class: usize| {
        if totals[class] > 0.0 { row.counts[class] as f64 / totals[class] } else { 0.0 }
    };
    let weight = |row: &PatientCounts| (0..n_labels).map(|class| share(row, class)).sum::<f64>();
    let mut order: Vec<&PatientCounts> = table.iter().collect();
    order.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then_with(|| a.patient.cmp(&b.patient)));

    let mut held = vec![vec![0.0; n_labels]; k];
    let mut n_patients = vec![0usize; k];
    let mut out = BTreeMap::new();
    for row in order {
        let growth = |fold: usize| -> f64 {
            (0..n_labels).map(|class| share(row, class) * (share(row, class) + 2.0 * held[fold][class])).sum()
        };
        let mut best = 0;
        for fold in 1..k {
            let order = growth(fold).total_cmp(&growth(best)).then(n_patients[fold].cmp(&n_patients[best]));
            if order.is_lt() {
                best = fold;
            }
        }
        for class in 0..n_labels {
            held[best][class] += share(row, class);
        }
        n_patients[best] += 1;
        out.insert(row.patient.clone(), best);
    }
    Ok(out)
}

/// Class counts of every patient, ordered by patient id. An item with several labels counts in each.
///
/// # Errors
/// [`Error::Shape`] if the axes of the data set disagree.
pub fn patient_counts(data: &Dataset) -> Result<Vec<PatientCounts>> {
    data.validate()?;
    let mut rows: BTreeMap<&str, PatientCounts> = BTreeMap::new();
    for i in 0..data.len() {
        let split = data.split[i].name();
        let row = rows.entry(&data.patient[i]).or_insert_with(|| PatientCounts {
            patient: data.patient[i].clone(),
            split: split.into(),
            counts: vec![0; data.n_labels()],
        });
        if row.split != split {
            row.split = "mixed".into();
        }
        data.labels_of(i).for_each(|class| row.counts[class] += 1);
    }
    Ok(rows.into_values().collect())
}

/// How many patients stand behind each class of one part, with the verdict of rule L13. An item with several
/// labels counts in each.
///
/// # Errors
/// [`Error::Shape`] if the axes of the data set disagree.
pub fn class_support(data: &Dataset, split: Split) -> Result<Vec<ClassSupport>> {
    data.validate()?;
    let mut by_patient: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for i in (0..data.len()).filter(|&i| data.split[i] == split) {
        let counts = by_patient.entry(&data.patient[i]).or_insert_with(|| vec![0; data.n_labels()]);
        data.labels_of(i).for_each(|class| counts[class] += 1);
    }
    let support = |class: usize| {
        let positive = by_patient.iter().filter(|(_, counts)| counts[class] > 0);
        let n_items: usize = positive.clone().map(|(_, counts)| counts[class]).sum();
        let n_patients = positive.clone().count();
        let (largest_patient, largest) =
            positive.fold(
                ("", 0),
                |best, (patient, counts)| {
                    if counts[class] > best.1 { (*patient, counts[class]) } else { best }
                },
            );
        let largest_share = if n_items > 0 { largest as f64 / n_items as f64 } else { 0.0 };
        let insufficient = if n_patients < MIN_POSITIVE_PATIENTS {
            format!("{n_patients} positive patients, fewer than {MIN_POSITIVE_PATIENTS}")
        } else if largest_share > MAX_PATIENT_SHARE {
            format!("patient {largest_patient} holds {:.0} % of the items", 100.0 * largest_share)
        } else {
            String::new()
        };
        ClassSupport {
            class: data.label_names[class].clone(),
            n_items,
            n_patients,
            largest_patient: largest_patient.into(),
            largest_share,
            insufficient,
        }
    };
    Ok((0..data.n_labels()).map(support).collect())
}

/// Parts of DS1 and DS2; `is_clean` leaves record 201 out, whose patient is in DS2 as record 202.
fn between_records(data: &Dataset, is_clean: bool) -> Result<Vec<Option<Split>>> {
    data.record
        .iter()
        .map(|record| {
            let record = record.as_str();
            if mitdb::DS2.contains(&record) {
                Ok(Some(Split::Test))
            } else if is_clean && record == "201" {
                Ok(None)
            } else if mitdb::VALIDATION.contains(&record) {
                Ok(Some(Split::Validation))
            } else if mitdb::DS1.contains(&record) {
                Ok(Some(Split::Train))
            } else {
                Err(Error::Guard { code: "L8", reason: format!("record {record} is neither in DS1 nor in DS2") })
            }
        })
        .collect()
}

/// The parts that the data set came with.
fn own_parts(data: &Dataset) -> Result<(Vec<Option<Split>>, Value)> {
    super::guard::check_patients_apart(data, &[])?;
    for split in [Split::Train, Split::Validation, Split::Test] {
        if !data.split.contains(&split) {
            return Err(Error::data(
                "data set",
                format!("the {} part is empty: use the split \"five-fold\"", split.name()),
            ));
        }
    }
    let note = "the patient-disjoint parts that the data set came with";
    Ok((data.split.iter().copied().map(Some).collect(), json!({ "comparable": true, "waives": [], "note": note })))
}

fn whole_provenance() -> Value {
    json!({ "comparable": true, "waives": [], "note": "no split: there is no validation and no test part" })
}

/// 80 % training, 10 % validation, 10 % test, by beat.
fn between_beats(n: usize, seed: Seed) -> Vec<Option<Split>> {
    let order = seed.purpose("intra-patient split").stream().permutation(n);
    let (n_train, n_validation) = (n * 8 / 10, n / 10);
    let mut parts = vec![None; n];
    for (rank, item) in order.into_iter().enumerate() {
        parts[item] = Some(if rank < n_train {
            Split::Train
        } else if rank < n_train + n_validation {
            Split::Validation
        } else {
            Split::Test
        });
    }
    parts
}

/// Part of a patient in fold `own` when fold `test` is tested.
fn fold_part(own: usize, test: usize) -> Split {
    if own == test {
        Split::Test
    } else if own == (test + 1) % N_FOLDS {
        Split::Validation
    } else {
        Split::Train
    }
}

fn inter_provenance() -> Value {
    json!({
        "comparable": true,
        "waives": [],
        "reference": "de Chazal et al. 2004",
        "left_out": ["201"],
        "validation_patients": mitdb::VALIDATION.map(mitdb::patient),
        "note": "records 201 and 202 are one person; 201 is left out of DS1 and DS2 is whole, so the test part is the published one",
    })
}

fn published_provenance() -> Value {
    json!({
        "comparable": true,
        "waives": [{ "rule": "L2", "patients": [mitdb::patient("201")], "reason": "records 201 (DS1) and 202 (DS2) are one person in the published split" }],
        "reference": "de Chazal et al. 2004",
        "validation_patients": mitdb::VALIDATION.map(mitdb::patient),
        "note": "the published split has one person, records 201 and 202, in training and test; prefer the split \"inter\"",
    })
}

fn intra_provenance() -> Value {
    json!({
        "comparable": false,
        "stamp": "not comparable",
        "waives": [
            { "rule": "L2", "reason": "beats of one patient are in every part" },
            { "rule": "L3", "reason": "neighbouring windows share raw points across parts" },
        ],
        "note": "beat-random split: shows what the literature reports on such splits, not how a classifier does on new patients",
    })
}
