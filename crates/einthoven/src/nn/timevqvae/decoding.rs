//! Codes out of nothing: all are masked at first, and each step keeps the answers that the prior is surest of.
//!
//! Every random number is drawn by the caller, see [`Draws`], so that a run can be repeated.

use burn::tensor::activation;
use serde::{Deserialize, Serialize};

use super::config::{Band, Form};
use super::pass::Pass;
use super::prior::{Prior, Query};
use super::quantizer::Tokens;
use crate::error::{Error, Result};
use crate::nn::weights::{View, Weights, host};
use crate::seed::Seed;

/// How codes are decoded; pairs are low band, high band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoding {
    /// Steps.
    pub steps: [usize; 2],
    /// How much chance there is in what is kept, falling to none with the last step.
    pub temperatures: [f64; 2],
    /// Strength of the class guidance, see [`Prior::guided_logits`].
    pub guidance: f64,
}

/// Logarithms of the probabilities of each code at each position of each item.
#[derive(Debug, Clone)]
pub struct CodeLogs {
    /// Number of items.
    pub n_items: usize,
    /// Positions of an item.
    pub n_positions: usize,
    /// Number of codes.
    pub codes: usize,
    /// `[item, position, code]`.
    pub values: Vec<f32>,
}

impl CodeLogs {
    /// Those of one position of one item.
    pub fn at(&self, item: usize, position: usize) -> &[f32] {
        &self.values[(item * self.n_positions + position) * self.codes..][..self.codes]
    }
}

/// The random numbers of a decoding run. Both are asked for once in each step, codes first.
pub trait Draws {
    /// A code for each position of each item, drawn with the given probabilities.
    fn codes(&mut self, band: Band, step: usize, logs: &CodeLogs) -> Tokens;
    /// A number from 0 to 1 for each position of each item.
    fn uniforms(&mut self, band: Band, step: usize, shape: [usize; 2]) -> Vec<Vec<f32>>;
}

/// Draws from streams of a seed: an item meets the same numbers in any batch.
#[derive(Debug, Clone)]
pub struct SeededDraws {
    /// Root of the streams.
    pub seed: Seed,
    /// Index of each item of the batch.
    pub items: Vec<u64>,
}

impl SeededDraws {
    fn seed(&self, what: &str, band: Band, step: usize, item: usize) -> Seed {
        let band = self.seed.purpose(what).purpose(band.letter());
        band.index(self.items[item]).index(step as u64)
    }
}

impl Draws for SeededDraws {
    fn codes(&mut self, band: Band, step: usize, logs: &CodeLogs) -> Tokens {
        let of_item = |item: usize| {
            let mut stream = self.seed("codes", band, step, item).stream();
            (0..logs.n_positions).map(|position| drawn(logs.at(item, position), stream.uniform())).collect()
        };
        (0..logs.n_items).map(of_item).collect()
    }

    fn uniforms(&mut self, band: Band, step: usize, [n_items, n_positions]: [usize; 2]) -> Vec<Vec<f32>> {
        let of_item = |item: usize| {
            let mut stream = self.seed("uniforms", band, step, item).stream();
            (0..n_positions).map(|_| stream.uniform() as f32).collect()
        };
        (0..n_items).map(of_item).collect()
    }
}

/// The code at which the distribution function passes `uniform`.
fn drawn(logs: &[f32], uniform: f64) -> usize {
    let mut left = uniform * logs.iter().map(|&log| libm::exp(f64::from(log))).sum::<f64>();
    for (code, &log) in logs.iter().enumerate() {
        left -= libm::exp(f64::from(log));
        if left < 0.0 {
            return code;
        }
    }
    logs.len() - 1
}

impl Decoding {
    /// That of a published form.
    pub fn published(form: Form) -> Decoding {
        let temperatures = match form {
            Form::Paper => [4.0, 4.0],
            Form::Release => [10.0, 0.0],
        };
        Decoding { steps: [10, 10], temperatures, guidance: 1.0 }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if self.steps.contains(&0) {
            return Err(Error::config("steps", "found 0, expected at least 1"));
        }
        match self.temperatures.iter().chain([&self.guidance]).find(|value| !value.is_finite()) {
            Some(value) => Err(Error::config("temperatures", format!("found {value}, expected a finite number"))),
            None => Ok(()),
        }
    }

    /// Codes of both bands, low first; `classes` as in [`Query`].
    ///
    /// # Errors
    /// [`Error::Config`] as in [`Decoding::validate`]; as [`Prior::logits`] for classes that do not fit.
    /// # Reference
    /// Chang et al. 2022, "MaskGIT", section 3.2, with a cosine schedule; Lee et al. 2023, algorithm 1.
    pub fn run(
        &self,
        prior: &Prior,
        p: &View,
        buffers: &Weights,
        n_items: usize,
        classes: Option<&[usize]>,
        draws: &mut dyn Draws,
    ) -> Result<[Tokens; 2]> {
        self.validate()?;
        let low = self.fill(prior, Band::Low, n_items, draws, &mut |low| {
            let query = Query { low, high: None, classes };
            self.logs(prior, p, buffers, query)
        })?;
        let high = self.fill(prior, Band::High, n_items, draws, &mut |high| {
            let query = Query { low: &low, high: Some(high), classes };
            self.logs(prior, p, buffers, query)
        })?;
        Ok([low, high])
    }

    fn logs(&self, prior: &Prior, p: &View, buffers: &Weights, query: Query) -> Result<CodeLogs> {
        let logits = prior.guided_logits(p, &mut Pass::evaluation(buffers), query, self.guidance)?;
        let [n_items, n_positions, codes] = logits.dims();
        Ok(CodeLogs { n_items, n_positions, codes, values: host(activation::log_softmax(logits, 2)) })
    }

    fn fill(
        &self,
        prior: &Prior,
        band: Band,
        n_items: usize,
        draws: &mut dyn Draws,
        logs: &mut dyn FnMut(&Tokens) -> Result<CodeLogs>,
    ) -> Result<Tokens> {
        let (mask, n_positions) = (prior.config().codes[band as usize], prior.config().positions[band as usize]);
        let n_steps = self.steps[band as usize];
        let mut tokens = vec![vec![mask; n_positions]; n_items];
        for step in 0..n_steps {
            let logs = logs(&tokens)?;
            let offered = draws.codes(band, step, &logs);
            let uniforms = draws.uniforms(band, step, [n_items, n_positions]);
            let done = (step + 1) as f64 / n_steps as f64;
            let temperature = (self.temperatures[band as usize] * (1.0 - done)) as f32;
            // The product is one of single precision in the original.
            let n_masked = (n_positions as f32 * share_masked(done) as f32).floor().max(0.0) as usize;
            for (item, tokens) in tokens.iter_mut().enumerate() {
                let mut confidence = Vec::with_capacity(n_positions);
                for (position, token) in tokens.iter_mut().enumerate() {
                    confidence.push(if *token == mask {
                        *token = offered[item][position];
                        let log = logs.at(item, position)[*token];
                        (log.exp() + 1e-5).ln() + temperature * gumbel(uniforms[item][position])
                    } else {
                        f32::INFINITY
                    });
                }
                for position in least(&confidence, n_masked) {
                    tokens[position] = mask;
                }
            }
        }
        Ok(tokens)
    }
}

/// Share of the codes that are masked when a share of the steps is done.
fn share_masked(done: f64) -> f64 {
    libm::cos(done * std::f64::consts::PI / 2.0)
}

/// A Gumbel variable of a uniform one, finite for 0 and 1.
fn gumbel(uniform: f32) -> f32 {
    let log = |x: f32| x.max(1e-20).ln();
    -log(-log(uniform))
}

/// Positions of the `n` least values.
fn least(values: &[f32], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order.truncate(n);
    order
}

/// Which codes of an item a training step shows: a share that follows from `uniform`, those with the highest
/// scores; at least one stays hidden.
///
/// # Reference
/// Chang et al. 2022, section 3.1.
pub fn shown(uniform: f64, scores: &[f32]) -> Vec<bool> {
    let n_shown = (share_masked(uniform) * scores.len() as f64).floor().max(0.0) as usize;
    let n_hidden = (scores.len() - n_shown.min(scores.len())).max(1);
    let mut shown = vec![true; scores.len()];
    least(scores, n_hidden).into_iter().for_each(|position| shown[position] = false);
    shown
}

/// Codes with the mask in place of those that are not shown.
pub(super) fn masked(tokens: &Tokens, shown: &[Vec<bool>], mask: usize) -> Tokens {
    let item = |(tokens, shown): (&Vec<usize>, &Vec<bool>)| {
        tokens.iter().zip(shown).map(|(&code, &is_shown)| if is_shown { code } else { mask }).collect()
    };
    tokens.iter().zip(shown).map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shows_the_best_and_hides_at_least_one() {
        let scores = [0.3, 0.9, 0.1, 0.5];
        assert_eq!(shown(0.0, &scores), [true, true, false, true]);
        // cos(pi / 3) of four.
        assert_eq!(shown(0.66, &scores), [false, true, false, true]);
        assert_eq!(shown(1.0, &scores), [false; 4]);
    }

    #[test]
    fn draws_follow_their_probabilities_and_do_not_depend_on_the_batch() {
        let logs = CodeLogs {
            n_items: 2,
            n_positions: 1000,
            codes: 2,
            values: (0..2000).flat_map(|_| [0.25f32.ln(), 0.75f32.ln()]).collect(),
        };
        let mut draws = SeededDraws { seed: Seed::new(3), items: vec![0, 1] };
        let both = draws.codes(Band::Low, 0, &logs);
        let ones: usize = both.iter().flatten().sum();
        // 2000 draws of 0.75: five standard deviations are 97.
        assert!(ones.abs_diff(1500) < 97, "{ones}");
        let second = CodeLogs { n_items: 1, values: logs.values[2000..].to_vec(), ..logs };
        let mut later = SeededDraws { items: vec![1], ..draws };
        assert_eq!(later.codes(Band::Low, 0, &second)[0], both[1]);
        assert_eq!(drawn(&[0f32.ln(), 1f32.ln()], 0.0), 1);
    }

    #[test]
    fn the_share_of_masked_codes_falls_to_none() {
        assert_eq!(share_masked(0.0), 1.0);
        assert!((1e3 * share_masked(1.0)).floor() == 0.0);
        assert!(gumbel(0.0).is_finite() && gumbel(1.0).is_finite());
    }
}
