//! Rejection: an item is drawn anew until a delineator reads every requested number within its tolerance.
//!
//! Try t of item i has randomness of its own, so what is kept of an item depends on the seed and its index alone, and
//! the first try is the item that a draw without rejection gives. A batch is in memory at a time.

use std::collections::BTreeMap;

use crate::dataset::condition::NUMBERS;
use crate::dataset::{Dataset, Facts};
use crate::delineators::DELINEATORS;
use crate::delineators::facts::measure_each;
use crate::error::{Error, Result};
use crate::evaluation::delivery::{Acceptance, is_delivered};
use crate::generators::{Generator, Item, SampleRequest, Sink};
use crate::record::Annotation;
use crate::run::Stop;
use crate::seed::Seed;

/// Draws from a generator until numbers are as requested, and counts.
pub struct Rejection<'a> {
    generator: &'a dyn Generator,
    tries: u64,
    axes: Dataset,
    n_drawn: u64,
    n_accepted: u64,
}

/// Items as they come.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    ecg: Vec<f32>,
    /// True beats by the item's index, where they are known.
    beats: BTreeMap<u64, Vec<Annotation>>,
}

impl Sink for Batch {
    fn accept(&mut self, items: &[Item], ecg: &[f32]) -> Result<()> {
        self.items.extend_from_slice(items);
        self.ecg.extend_from_slice(ecg);
        Ok(())
    }

    fn annotate(&mut self, item: &Item, beats: &[Annotation]) -> Result<()> {
        self.beats.insert(item.index, beats.to_vec());
        Ok(())
    }
}

/// An item that is as requested, with its true beats where they are known.
#[derive(Clone)]
struct Kept {
    item: Item,
    ecg: Vec<f32>,
    beats: Option<Vec<Annotation>>,
}

impl<'a> Rejection<'a> {
    /// Draws each item at most `tries` times.
    ///
    /// # Errors
    /// [`Error::Config`] for no try at all.
    pub fn new(generator: &'a dyn Generator, tries: u64) -> Result<Rejection<'a>> {
        if tries == 0 {
            return Err(Error::config("--tries", "found 0, expected at least 1"));
        }
        Ok(Rejection { generator, tries, axes: generator.axes(), n_drawn: 0, n_accepted: 0 })
    }

    /// Draws and kept items so far.
    pub fn acceptance(&self) -> Acceptance {
        Acceptance::new(self.n_drawn, self.n_accepted)
    }

    /// Draws the items of a request, in order, each as it was requested.
    ///
    /// # Errors
    /// [`Error::Limit`] naming an item that was not as requested in any try, with what was read last; whatever the
    /// generator, the delineator or the sink returns; [`Error::Interrupted`] between tries.
    pub fn sample_into(&mut self, request: &SampleRequest, seed: Seed, stop: &Stop, sink: &mut dyn Sink) -> Result<()> {
        let size = self.axes.leads.len() * self.axes.sig_len;
        let mut kept: Vec<Option<Kept>> = vec![None; request.items.len()];
        let mut pending: Vec<usize> = (0..request.items.len()).collect();
        let mut last = Vec::new();
        for attempt in 0..self.tries {
            stop.check("run the same command again")?;
            let seed = if attempt == 0 { seed } else { seed.purpose("try").index(attempt) };
            let items = pending.iter().map(|&k| request.items[k].clone()).collect();
            let mut batch = Batch::default();
            self.generator.sample_into(&SampleRequest { items, ..request.clone() }, seed, &mut batch)?;
            last = measure_each(&self.axes, &batch.ecg, DELINEATORS[0])?;
            self.n_drawn += pending.len() as u64;
            let made = batch.items.into_iter().zip(batch.ecg.chunks(size));
            let mut rejected = Vec::new();
            for ((&k, measured), (item, ecg)) in pending.iter().zip(&last).zip(made) {
                match is_delivered(&request.items[k].conditions.facts, measured) {
                    true => {
                        let beats = batch.beats.remove(&item.index);
                        kept[k] = Some(Kept { item, ecg: ecg.to_vec(), beats });
                    }
                    false => rejected.push((k, measured.clone())),
                }
            }
            (pending, last) = rejected.into_iter().unzip();
            if pending.is_empty() {
                break;
            }
        }
        self.n_accepted += kept.iter().flatten().count() as u64;
        if let (Some(&k), Some(measured)) = (pending.first(), last.first()) {
            return Err(self.refusal(&request.items[k], measured));
        }
        for Kept { item, ecg, beats } in kept.into_iter().flatten() {
            if let Some(beats) = beats {
                sink.annotate(&item, &beats)?;
            }
            sink.accept(&[item], &ecg)?;
        }
        Ok(())
    }

    fn refusal(&self, item: &Item, measured: &Facts) -> Error {
        let wanted = &item.conditions.facts;
        let off = NUMBERS.iter().filter_map(|number| {
            let (requested, tolerance) = (wanted.number(number.fact)?, number.tolerance?);
            let found = match measured.number(number.fact) {
                Some(found) if number.difference(found, requested).abs() <= tolerance => return None,
                Some(found) => format!("{found:.0}"),
                None => "nothing".into(),
            };
            Some(format!("{} {found}, expected {requested:.0} within {tolerance} {}", number.fact.name(), number.unit))
        });
        let off: Vec<String> = off.collect();
        let reason = format!(
            "item {} was not as requested in {} tries, the last had {} ({:.1} % of all draws accepted); allow more --tries or ask \
             for less",
            item.index,
            self.tries,
            off.join(" and "),
            100.0 * self.acceptance().rate
        );
        Error::Limit { reason }
    }
}
