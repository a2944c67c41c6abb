//! What an augmentation may draw on: the real items of the training part, by class.
//!
//! Where items have several labels or none, those with equal labels are a class: whatever is made of them alone has these
//! labels in truth.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Dataset, Split};
use crate::error::{Error, Result};
use crate::record::lead_law::{derive_limb_leads, standard_name};
use crate::seed::Stream;

/// The real items of the training part.
#[derive(Debug)]
pub struct Pool<'a> {
    data: &'a Dataset,
    /// Labels of each class, in rising order.
    labels: Vec<Vec<usize>>,
    members: Vec<Vec<usize>>,
}

/// A copy that is about to be changed.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What else there is.
    pub pool: &'a Pool<'a>,
    /// The item that was copied, by its number in the data set.
    pub base: usize,
    /// The class of the pool that the result is to be of.
    pub class: usize,
}

impl<'a> Pool<'a> {
    /// Sorts the training items of a data set by class: first a class for each label alone, whether an item has it or not,
    /// then one for every other set of labels that an item has.
    pub fn new(data: &'a Dataset) -> Pool<'a> {
        let mut by_labels: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for i in (0..data.len()).filter(|&i| data.split[i] == Split::Train && !data.is_generated(i)) {
            by_labels.entry(data.labels_of(i).collect()).or_default().push(i);
        }
        let alone = (0..data.n_labels()).map(|label| vec![label]);
        let alone: Vec<_> = alone.map(|labels| (by_labels.remove(&labels).unwrap_or_default(), labels)).collect();
        let others = by_labels.into_iter().map(|(labels, members)| (members, labels));
        let (members, labels) = alone.into_iter().chain(others).unzip();
        Pool { data, labels, members }
    }

    /// Amplitudes of an item, `[lead, time]`, mV.
    pub fn ecg(&self, i: usize) -> &'a [f32] {
        self.data.item(i)
    }

    /// Items of a class.
    pub fn members(&self, class: usize) -> &[usize] {
        &self.members[class]
    }

    /// The class with most items; the first of equal ones.
    pub fn largest_class(&self) -> usize {
        let sizes = self.members.iter().map(Vec::len).enumerate();
        sizes.max_by_key(|(class, size)| (*size, std::cmp::Reverse(*class))).map_or(0, |(class, _)| class)
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.members.len()
    }

    /// Labels of a class, in rising order.
    pub fn labels(&self, class: usize) -> &[usize] {
        &self.labels[class]
    }

    /// The class of these labels, in rising order.
    pub fn class_of(&self, labels: &[usize]) -> Option<usize> {
        self.labels.iter().position(|of| of == labels)
    }

    /// Names of the labels.
    pub fn label_names(&self) -> &'a [String] {
        &self.data.label_names
    }

    /// Name of a class: its labels, joined by `+`.
    pub fn name(&self, class: usize) -> String {
        self.labels[class].iter().map(|&label| self.data.label_names[label].as_str()).collect::<Vec<_>>().join("+")
    }

    /// Names of the leads.
    pub fn leads(&self) -> &'a [String] {
        &self.data.leads
    }

    /// Points in time of each item.
    pub fn sig_len(&self) -> usize {
        self.data.sig_len
    }

    /// Sampling rate.
    pub fn fs_hz(&self) -> f64 {
        self.data.fs_hz
    }

    /// Places of the named leads, in the order asked for.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first one that is missing.
    pub fn lead_places(&self, names: &[&str]) -> Result<Vec<usize>> {
        let place = |name: &&str| {
            let found = self.data.leads.iter().position(|lead| standard_name(lead) == Some(*name));
            found.ok_or_else(|| Error::data("leads", format!("{name} is missing, found {:?}", self.data.leads)))
        };
        names.iter().map(place).collect()
    }

    /// Up to `size` different items of a class in random order, `first` being one of them if given.
    pub fn batch(&self, class: usize, size: usize, first: Option<usize>, stream: &mut Stream) -> Vec<usize> {
        let members = &self.members[class];
        let mut batch: Vec<usize> = first.into_iter().collect();
        if members.len() <= size {
            batch.extend(members.iter().copied().filter(|i| Some(*i) != first));
            return batch;
        }
        let mut taken: BTreeSet<usize> = batch.iter().copied().collect();
        while batch.len() < size {
            let drawn = members[stream.below(members.len())];
            if taken.insert(drawn) {
                batch.push(drawn);
            }
        }
        batch
    }

    /// Another item of a class than `i`, at random; `i` itself where it is the only one.
    pub fn other(&self, class: usize, i: usize, stream: &mut Stream) -> usize {
        let others: Vec<usize> = self.batch(class, 2, Some(i), stream);
        others.last().copied().unwrap_or(i)
    }

    /// Derives III and the augmented leads anew, where an item has I and II, so that the laws of the limb
    /// leads hold again after each lead has been changed on its own.
    pub fn restore_limb_leads(&self, ecg: &mut [f32]) {
        let Ok(source) = self.lead_places(&["I", "II"]) else { return };
        let n = self.data.sig_len;
        for (k, name) in ["III", "aVR", "aVL", "aVF"].iter().enumerate() {
            let Ok(target) = self.lead_places(&[*name]) else { continue };
            for t in 0..n {
                let (i, ii) = (f64::from(ecg[source[0] * n + t]), f64::from(ecg[source[1] * n + t]));
                ecg[target[0] * n + t] = derive_limb_leads(i, ii)[k] as f32;
            }
        }
    }
}

/// Squared Euclidean distance of two items.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum()
}

/// Moves an item by a share of the way to another.
pub(super) fn move_towards(ecg: &mut [f32], other: &[f32], share: f64) {
    ecg.iter_mut().zip(other).for_each(|(x, y)| *x += share as f32 * (y - *x));
}
