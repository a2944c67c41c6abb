//! Denoisers: from a noisy signal, its noise level and a condition to clean signal and noise.
//!
//! A [`Backbone`] is a network that returns raw numbers for a network time; [`NetworkDenoiser`]
//! knows what they mean. Everything above (samplers, guidance, distillation) sees [`Denoiser`]s.

use burn::tensor::Tensor;

use super::level::{NoiseLevel, check_same_shape, per_item};
use super::parameterization::Parameterization;
use super::time::TimeView;
use crate::dataset::{Conditions, Facts};
use crate::error::{Error, Result};
use crate::nn::shown_beats::ShownBeat;

/// A denoiser's answer: `x = alpha * x0 + sigma * noise` holds for the noisy signal that it was given.
///
/// # Shape
/// Both `[batch, lead, time]`, in units of the data's standard deviation.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The clean signal.
    pub x0: Tensor<3>,
    /// The noise.
    pub noise: Tensor<3>,
}

impl Prediction {
    /// Completes a clean signal with the noise that the noisy signal `x` then holds.
    ///
    /// At the clean end the noise is not determined by `x` and is set to its mean, 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes differ or `levels` is not one per item.
    pub fn from_x0(x0: Tensor<3>, x: Tensor<3>, levels: &[NoiseLevel]) -> Result<Prediction> {
        check_same_shape("clean signal", &x0, &x)?;
        let unless_clean = |level: NoiseLevel, value: f64| if level.sigma() == 0.0 { 0.0 } else { value };
        let of_x = per_item(levels, |level| unless_clean(level, 1.0 / level.sigma()), &x)?;
        let of_x0 = per_item(levels, |level| unless_clean(level, level.alpha() / level.sigma()), &x)?;
        Ok(Prediction { noise: x * of_x - x0.clone() * of_x0, x0 })
    }
}

/// What a signal is to be like.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Condition {
    /// Class of each item, `None` for an item without one; `None` as a whole for no class at all.
    pub classes: Option<Vec<Option<usize>>>,
    /// How much each label counts, one row for each item; a row of zeros says nothing.
    pub labels: Option<Vec<Vec<f32>>>,
    /// What else is told of each item; `None` as a whole tells nothing of any.
    pub facts: Option<Vec<Facts>>,
    /// The beats of each item in rising order; they may lie outside the signal.
    pub beats: Option<Vec<Vec<ShownBeat>>>,
}

impl Condition {
    /// No condition.
    pub fn none() -> Condition {
        Condition::default()
    }

    /// One class per item.
    pub fn of_classes(classes: &[usize]) -> Condition {
        Condition::of_optional_classes(classes.iter().copied().map(Some).collect())
    }

    /// One class per item, or `None` where the label was dropped.
    pub fn of_optional_classes(classes: Vec<Option<usize>>) -> Condition {
        Condition { classes: Some(classes), ..Condition::none() }
    }

    /// A row of label weights per item, such as 1 for each label that it carries.
    pub fn of_labels(labels: Vec<Vec<f32>>) -> Condition {
        Condition { labels: Some(labels), ..Condition::none() }
    }

    /// What each of some items is to be like, for a network that knows `n_labels` labels.
    ///
    /// # Errors
    /// [`Error::Config`] for a label that is none of them.
    pub fn of_items<'a>(items: impl Iterator<Item = &'a Conditions>, n_labels: usize) -> Result<Condition> {
        let (mut labels, mut facts) = (Vec::new(), Vec::new());
        for conditions in items {
            let mut row = vec![0.0; n_labels];
            for &(label, weight) in &conditions.labels {
                let place = row.get_mut(label).ok_or_else(|| unknown_class(label, n_labels))?;
                *place += weight;
            }
            labels.push(row);
            facts.push(conditions.facts.clone());
        }
        Ok(Condition { labels: Some(labels), facts: Some(facts), ..Condition::none() })
    }

    /// The same number of items with everything hidden but the beats, as guidance needs.
    pub fn unconditional(&self) -> Condition {
        Condition {
            classes: self.classes.as_ref().map(|classes| vec![None; classes.len()]),
            labels: self.labels.as_ref().map(|rows| rows.iter().map(|row| vec![0.0; row.len()]).collect()),
            facts: self.facts.as_ref().map(|facts| vec![Facts::default(); facts.len()]),
            beats: self.beats.clone(),
        }
    }

    /// The labels of `n_items` items as rows of `n_labels` weights; a class counts as the label of its number.
    ///
    /// # Errors
    /// [`Error::Shape`] as [`Condition::check`] and for rows of another length; [`Error::Config`] for a
    /// class that is no label.
    pub fn label_rows(&self, n_items: usize, n_labels: usize) -> Result<Vec<f32>> {
        self.check(n_items)?;
        let mut rows = vec![0.0; n_items * n_labels];
        for (row, of_item) in rows.chunks_mut(n_labels.max(1)).zip(self.labels.iter().flatten()) {
            if of_item.len() != n_labels {
                let (expected, actual) = (vec![n_labels], vec![of_item.len()]);
                return Err(Error::Shape { what: "labels of the condition".into(), expected, actual });
            }
            row.copy_from_slice(of_item);
        }
        for (item, class) in self.classes.iter().flatten().enumerate() {
            match class {
                Some(class) if *class >= n_labels => return Err(unknown_class(*class, n_labels)),
                Some(class) => rows[item * n_labels + class] += 1.0,
                None => {}
            }
        }
        Ok(rows)
    }

    /// Refuses a condition that is not for `n_items` items.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of classes, of label rows, of facts or of rows of beats differs.
    pub fn check(&self, n_items: usize) -> Result<()> {
        let classes = self.classes.as_ref().map(|classes| ("classes of the condition", classes.len()));
        let labels = self.labels.as_ref().map(|rows| ("label rows of the condition", rows.len()));
        let facts = self.facts.as_ref().map(|facts| ("facts of the condition", facts.len()));
        let beats = self.beats.as_ref().map(|beats| ("beats of the condition", beats.len()));
        match [classes, labels, facts, beats].into_iter().flatten().find(|(_, found)| *found != n_items) {
            Some((what, found)) => {
                Err(Error::Shape { what: what.into(), expected: vec![n_items], actual: vec![found] })
            }
            None => Ok(()),
        }
    }
}

fn unknown_class(class: usize, n_labels: usize) -> Error {
    Error::config("class", format!("found {class}, but the network knows {n_labels} classes"))
}

/// Something that estimates the clean signal and the noise in a noisy signal.
pub trait Denoiser {
    /// Denoises items that each have a level of their own.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]`; `levels` is one per item.
    /// # Errors
    /// [`Error::Shape`] if the numbers of items differ; [`Error::Config`] for a level that the
    /// denoiser cannot serve.
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction>;

    /// Denoises items at one common level.
    ///
    /// # Errors
    /// As [`Denoiser::denoise_each`].
    fn denoise(&self, x: Tensor<3>, level: NoiseLevel, condition: &Condition) -> Result<Prediction> {
        let levels = vec![level; x.dims()[0]];
        self.denoise_each(x, &levels, condition)
    }
}

impl<D: Denoiser + ?Sized> Denoiser for &D {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        (**self).denoise_each(x, levels, condition)
    }
}

/// A network that maps a noisy signal and a time to raw numbers of the same shape.
pub trait Backbone {
    /// Raw output; its meaning is a [`Parameterization`].
    ///
    /// # Shape
    /// `x` and the result are `[batch, lead, time]`; `time` is `[batch]`, in the network's own
    /// units (see [`TimeView`]).
    /// # Errors
    /// [`Error::Shape`] for a signal that the network cannot take.
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>>;
}

impl<B: Backbone + ?Sized> Backbone for &B {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        (**self).predict(x, time, condition)
    }
}

/// What a network puts out for noisy signals: it is shown what its parameterization and its time say.
///
/// # Errors
/// As [`Backbone::predict`], and [`crate::Error::Shape`] if `levels` is not one per item.
pub(super) fn raw_output<B: Backbone + ?Sized>(
    backbone: &B,
    parameterization: Parameterization,
    time: &TimeView,
    x: Tensor<3>,
    levels: &[NoiseLevel],
    condition: &Condition,
) -> Result<Tensor<3>> {
    let time = time.tensor(levels, &x);
    backbone.predict(parameterization.input(x, levels)?, time, condition)
}

/// A network as a denoiser.
#[derive(Debug, Clone)]
pub struct NetworkDenoiser<B> {
    /// The network.
    pub backbone: B,
    parameterization: Parameterization,
    time: TimeView,
}

impl<B: Backbone> NetworkDenoiser<B> {
    /// Reads a network's output by its parameterization and tells it the time by `time`.
    ///
    /// # Errors
    /// [`Error::Config`] for noise prediction with a time that reaches pure noise.
    pub fn new(backbone: B, parameterization: Parameterization, time: TimeView) -> Result<NetworkDenoiser<B>> {
        parameterization.check(time.last_level())?;
        Ok(NetworkDenoiser { backbone, parameterization, time })
    }

    /// What the network's output means.
    pub fn parameterization(&self) -> Parameterization {
        self.parameterization
    }

    /// The network's time.
    pub fn time(&self) -> &TimeView {
        &self.time
    }
}

impl<B: Backbone> Denoiser for NetworkDenoiser<B> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        condition.check(x.dims()[0])?;
        let raw = raw_output(&self.backbone, self.parameterization, &self.time, x.clone(), levels, condition)?;
        self.parameterization.prediction(raw, x, levels)
    }
}

/// What becomes of the noise when the clean signal is clipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClippedNoise {
    /// Stays as predicted.
    Keep,
    /// Follows from the clipped signal.
    Recompute,
}

/// A denoiser whose clean signal is held within `-bound..=bound`.
///
/// For our own data the bound must be at least 6 standard deviations: a tighter one cuts R peaks.
#[derive(Debug, Clone)]
pub struct Clipped<D> {
    /// The denoiser that is clipped.
    pub denoiser: D,
    bound: f64,
    noise: ClippedNoise,
}

impl<D: Denoiser> Clipped<D> {
    /// Clips `denoiser` at `bound`, in the denoiser's units.
    ///
    /// # Errors
    /// [`Error::Config`] unless `bound` is positive.
    pub fn new(denoiser: D, bound: f64, noise: ClippedNoise) -> Result<Clipped<D>> {
        if bound > 0.0 {
            Ok(Clipped { denoiser, bound, noise })
        } else {
            Err(Error::config("clip", format!("found {bound}, expected a positive bound")))
        }
    }
}

impl<D: Denoiser> Denoiser for Clipped<D> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        let free = self.denoiser.denoise_each(x.clone(), levels, condition)?;
        let x0 = free.x0.clamp(-self.bound, self.bound);
        match self.noise {
            ClippedNoise::Keep => Ok(Prediction { x0, noise: free.noise }),
            ClippedNoise::Recompute => Prediction::from_x0(x0, x, levels),
        }
    }
}
