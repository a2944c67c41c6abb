//! Changing a record by a trained generator: noise of a chosen level, removed again under other conditions.
//!
//! Above the generator's band the record is kept to the share that the noise left of its signal.

use serde::Serialize;

use super::denoise::keep_missing;
use super::{Acquaintance, Drawing, OnRecord};
use crate::dataset::Facts;
use crate::dataset::condition::NUMBERS;
use crate::dataset::wish::Wish;
use crate::delineators::{DELINEATORS, facts};
use crate::error::{Error, Result};
use crate::evaluation::delivery::{Delivered, delivered};
use crate::run::{Progress, Stop};
use crate::seed::Seed;
use crate::signal::gap::bridged;

/// What a user asks of [`edit()`].
pub struct EditRequest<'a> {
    /// Record, generator and result.
    pub on: OnRecord<'a>,
    /// How the change is drawn.
    pub drawing: Drawing<'a>,
    /// Guidance weight; `None` for the model's own.
    pub guidance: Option<f64>,
    /// Share of the way to pure noise, from 0, which changes nothing, to 1.
    pub strength: f64,
    /// What the record is to be like; at most one turn of labels.
    pub wish: &'a Wish,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edited {
    /// Whether the generator knew the patient.
    #[serde(flatten)]
    pub acquaintance: Acquaintance,
    /// Factor of the record's own signal at the level of the noise, from 1 to 0.
    pub signal_kept: f64,
    /// Leads that the generator does not make, which are as they were.
    pub untouched: Vec<String>,
    /// Requested against delivered, for each requested number that an ECG shows.
    pub delivered: Vec<Delivered>,
}

/// Changes a record and writes the whole of it, marked as partly synthetic; its annotations, which may no longer hold, are
/// left out. With strength 0 the record is written as it is.
///
/// # Errors
/// [`Error::Config`] for a strength outside 0 to 1, several turns of labels, or a condition that the generator does not
/// know; [`Error::Data`] for a record without the leads that the model has; everything that reading, sampling and writing
/// return.
pub fn edit(request: &EditRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Edited> {
    let mut opened = request.on.open(progress)?;
    let level = opened.model.level_of_strength(request.strength)?;
    let places = opened.places_of_all_limbs()?;
    let seed = Seed::new(request.drawing.seed);
    if request.wish.labels.len() > 1 {
        let reason = format!("found {}, expected one for one record; join labels by +", request.wish.labels.len());
        return Err(Error::config("--label", reason));
    }
    let turns = match request.wish.labels.is_empty() {
        true => vec![Vec::new()],
        false => request.wish.turns(&opened.model.card().label_names)?,
    };
    let conditions = request.wish.item(&turns, seed, 0);
    let requested = conditions.facts.clone();
    let mut call = opened.request(conditions, Some(&request.drawing));
    call.guidance = request.guidance.unwrap_or(call.guidance);
    stop.check("run the same command again")?;

    let recorded = opened.mv()?;
    let mut mv = recorded.clone();
    let mut comments = Vec::new();
    if request.strength > 0.0 {
        let whole: Vec<Vec<f32>> =
            places.iter().map(|&place| bridged(&recorded[place]).into_iter().map(|v| v as f32).collect()).collect();
        let coarse = opened.coarse(&whole.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        progress.update("edit", 0, 1, "");
        let made = opened.model.renoised(&coarse.concat(), request.strength, &call, seed)?;
        progress.update("edit", 1, 1, "");
        let n = coarse.first().map_or(0, Vec::len);
        for (k, (&place, made)) in places.iter().zip(made.chunks(n)).enumerate() {
            let (made, in_band) = (opened.fine(made)?, opened.fine(&coarse[k])?);
            let above = whole[k].iter().zip(&in_band).map(|(x, low)| level.alpha() as f32 * (x - low));
            mv[place] = made.iter().zip(above).map(|(low, high)| low + high).collect();
            keep_missing(&mut mv[place], &recorded[place]);
        }
        opened.quantize(&places, &mut mv);
        opened.derive_limbs(&places, &mut mv);
        opened.record.annotations.clear();
        comments.push(format!("Edited: strength {}, seed {}", request.strength, request.drawing.seed));
        comments.extend(request.wish.labels.iter().map(|label| format!("Label: {label}")));
        let asked = NUMBERS.iter().filter_map(|number| Some((number, requested.number(number.fact)?)));
        comments.extend(
            asked.map(|(number, value)| format!("Requested {}: {value:.1} {}", number.fact.name(), number.unit)),
        );
    }
    let names = opened.names.iter().map(String::as_str);
    let measured = match requested.is_empty() {
        true => Facts::default(),
        false => {
            let leads: Vec<(&str, &[f32])> = names.zip(mv.iter().map(Vec::as_slice)).collect();
            facts::measure(&leads, opened.record.fs_hz, DELINEATORS[0].build()?.as_ref())?
        }
    };
    let edited = Edited {
        acquaintance: opened.acquaintance.clone(),
        signal_kept: level.alpha(),
        untouched: opened.untouched(&places),
        delivered: delivered(&[requested], &[measured]),
    };
    opened.store(&request.on, &mv, |at, t| !recorded[at][t].is_nan() && mv[at][t] != recorded[at][t], &comments)?;
    Ok(edited)
}

impl Edited {
    /// Requested against delivered, a line for each number.
    pub fn lines(&self) -> Vec<String> {
        let of = |d: &Delivered| match d.mean_error {
            Some(error) => {
                let verdict = if d.within_tolerance == 1.0 { "within" } else { "beyond" };
                format!(
                    "{}: delivered less requested {error:+.1} {}, {verdict} {} {}",
                    d.fact, d.unit, d.tolerance, d.unit
                )
            }
            None => format!("{}: could not be measured", d.fact),
        };
        self.delivered.iter().map(of).collect()
    }
}
