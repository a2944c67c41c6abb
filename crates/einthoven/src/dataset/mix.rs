//! Real plus synthetic, by plan; and random oversampling with the same counts, as its control.
//!
//! Only the training part grows. Validation and test stay as they are, and synthetic items that
//! claim to belong there are refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Dataset, Split, guard};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// How many items each class of the training part should gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Every class but the largest grows to the smaller of the largest class and `times` its own
    /// size, by at most `cap` items.
    RaiseMinorities {
        /// Largest ratio of the new count to the real one.
        times: usize,
        /// Largest number of items added to one class; `usize::MAX` for no limit.
        cap: usize,
    },
    /// As many added as real items in every class, at most `cap` each.
    OneToOne {
        /// Largest number of items added to one class; `usize::MAX` for no limit.
        cap: usize,
    },
}

/// Name, as typed by users, and one line for listings, of every plan.
pub static PLANS: &[(&str, &str)] = &[
    ("raise-minorities", "each minority class to min(majority, 10 x its real count)"),
    ("one-to-one", "as many added as real items in every class"),
];

impl Plan {
    /// The plan of that name with its default factor and at most `cap` items added to a class.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the known names.
    pub fn parse(name: &str, cap: usize) -> Result<Plan> {
        match name {
            "raise-minorities" => Ok(Plan::RaiseMinorities { times: 10, cap }),
            "one-to-one" => Ok(Plan::OneToOne { cap }),
            _ => Err(Error::Unknown {
                kind: "mixing plan",
                name: name.into(),
                known: PLANS.iter().map(|(name, _)| (*name).to_string()).collect(),
            }),
        }
    }

    /// Items to add to each class that has `real` items. A class without a real item gains none.
    pub fn added(self, real: &[usize]) -> Vec<usize> {
        let majority = real.iter().copied().max().unwrap_or(0);
        let added = |count: usize| match self {
            Plan::RaiseMinorities { times, cap } => {
                majority.min(count.saturating_mul(times)).saturating_sub(count).min(cap)
            }
            Plan::OneToOne { cap } => count.min(cap),
        };
        real.iter().map(|&count| added(count)).collect()
    }
}

/// The real data set with synthetic items added to its training part.
///
/// Of each class the first synthetic items are taken, so that the same set gives the same mix. RR
/// intervals stay only if both sets have them. Patient hashes of the generator's training set travel
/// into the provenance, and [`guard::check_generator`] is run against the real held-out patients.
///
/// # Errors
/// [`Error::Guard`] `L6` if a synthetic item is marked as validation or test, or if the real set holds
/// synthetic items there; `L4` as in [`guard::check_generator`]; [`Error::Data`] if the synthetic set
/// has too few items of a class, holds items that are not marked synthetic, or has other axes.
pub fn mix(real: &Dataset, synthetic: &Dataset, plan: Plan) -> Result<Dataset> {
    guard::check_real_evaluation(real)?;
    if let Some(i) = (0..synthetic.len()).find(|&i| !synthetic.is_generated(i)) {
        return Err(Error::data(
            &synthetic.record[i],
            format!("item {i} of the synthetic set is not marked synthetic"),
        ));
    }
    guard::check_real_evaluation(synthetic)?;
    guard::check_generator(real, synthetic)?;

    let counts = real.class_counts(Split::Train)?;
    let added = plan.added(&counts);
    let order = first_of_each_class(synthetic, &added)?;
    let mut chosen = synthetic.select(&order);
    for name in chosen.record.iter_mut().chain(chosen.patient.iter_mut()) {
        mark(name);
    }
    let mut out = real.clone();
    out.append(&chosen)?;
    write_provenance(&mut out, "synthetic", &counts, &added);
    let generators = out.provenance["mix"]["generators"].take();
    let mut generators = generators.as_array().cloned().unwrap_or_default();
    generators.push(synthetic.provenance.clone());
    out.provenance["mix"]["generators"] = Value::from(generators);
    Ok(out)
}

/// Random oversampling: the classes grow by the same counts as under [`mix`], by copies of real items.
///
/// Copies are spread evenly: no item is copied a second time before every item of its class has been
/// copied once. A copy keeps its patient and its record, so that intervals over patients stay honest.
///
/// # Errors
/// [`Error::Guard`] `L6` as in [`mix`]; [`Error::Data`] unless each item has exactly one label.
pub fn oversample(real: &Dataset, plan: Plan, seed: Seed) -> Result<Dataset> {
    guard::check_real_evaluation(real)?;
    let counts = real.class_counts(Split::Train)?;
    let added = plan.added(&counts);
    let order = copies(real, &added, seed)?;
    let mut out = real.clone();
    out.append(&real.select(&order))?;
    write_provenance(&mut out, "copies", &counts, &added);
    Ok(out)
}

/// Training items to copy so that class `c` gains `added[c]` items, in random order without
/// replacement until the class is used up, then again.
///
/// # Errors
/// [`Error::Data`] unless each item has exactly one label.
fn copies(data: &Dataset, added: &[usize], seed: Seed) -> Result<Vec<usize>> {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); data.n_labels()];
    for i in (0..data.len()).filter(|&i| data.split[i] == Split::Train && !data.is_generated(i)) {
        members[data.class(i)?].push(i);
    }
    let mut order = Vec::with_capacity(added.iter().sum());
    for (class, (members, &added)) in members.iter().zip(added).enumerate() {
        let turns = in_turn(members.len(), added, seed.purpose("oversample").index(class as u64));
        order.extend(turns.into_iter().map(|k| members[k]));
    }
    Ok(order)
}

/// Which of `n` things are taken, `wanted` times: in random order without replacement until all are used up, then again.
pub(super) fn in_turn(n: usize, wanted: usize, seed: Seed) -> Vec<usize> {
    let mut stream = seed.stream();
    let mut order = Vec::with_capacity(wanted);
    while order.len() < wanted && n > 0 {
        let round = stream.permutation(n);
        order.extend(round.into_iter().take(wanted - order.len()));
    }
    order
}

/// Adds the record of what was added to the provenance.
pub(crate) fn write_provenance(data: &mut Dataset, kind: &str, real: &[usize], added: &[usize]) {
    if !data.provenance.is_object() {
        data.provenance = json!({});
    }
    let mut entry = data.provenance["mix"].take();
    if !entry.is_object() {
        entry = json!({});
    }
    let by_class = |counts: &[usize]| -> Value {
        data.label_names.iter().cloned().zip(counts.iter().map(|&count| Value::from(count))).collect()
    };
    entry["added"] = Value::from(kind);
    entry["train_counts_before"] = by_class(real);
    entry["added_counts"] = by_class(added);
    data.provenance["mix"] = entry;
}

/// Indices of the first `wanted[c]` items of each class.
fn first_of_each_class(data: &Dataset, wanted: &[usize]) -> Result<Vec<usize>> {
    if data.n_labels() != wanted.len() {
        return Err(Error::data(
            "label_names",
            format!("found {} labels in the synthetic set, expected {}", data.n_labels(), wanted.len()),
        ));
    }
    let mut left = wanted.to_vec();
    let mut order = Vec::new();
    for i in 0..data.len() {
        let class = data.class(i)?;
        if left[class] > 0 {
            left[class] -= 1;
            order.push(i);
        }
    }
    let short: BTreeSet<String> = (0..left.len())
        .filter(|&class| left[class] > 0)
        .map(|class| {
            format!("{}: found {}, expected {}", data.label_names[class], wanted[class] - left[class], wanted[class])
        })
        .collect();
    if short.is_empty() {
        Ok(order)
    } else {
        let list: Vec<String> = short.into_iter().collect();
        Err(Error::data("synthetic set", format!("too few items ({})", list.join("; "))))
    }
}

/// Puts the synthetic prefix before a name that lacks it.
fn mark(name: &mut String) {
    if !name.starts_with(super::SYNTHETIC_PREFIX) {
        name.insert_str(0, super::SYNTHETIC_PREFIX);
    }
}
