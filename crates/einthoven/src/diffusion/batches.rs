//! The data of a training: which items a step holds, which noise, and whose labels are hidden.

use std::sync::Arc;
use std::thread::JoinHandle;

use burn::tensor::{Device, Tensor, TensorData};

use super::denoiser::Condition;
use crate::dataset::Facts;
use crate::dataset::condition::FACTS;
use crate::nn::shown_beats::ShownBeat;
use crate::seed::{Seed, Stream};

/// Training items and the rule by which a step draws its batch.
#[derive(Debug, Clone)]
pub struct Batches {
    /// Signals `[n, lead, time]` in units of the training part's standard deviation.
    pub signals: Arc<[f32]>,
    /// Leads of each signal.
    pub n_leads: usize,
    /// Points in time of each signal.
    pub sig_len: usize,
    /// Class of each signal, by which batches are balanced; all alike where items have several labels.
    pub classes: Vec<usize>,
    /// Label weights `[n, label]` that the network is told instead of the class.
    pub labels: Option<Vec<f32>>,
    /// What the network is told of each item beside its labels, if anything.
    pub facts: Option<Arc<[Facts]>>,
    /// The beats of each item, whose times a network that is shown them always sees.
    pub beats: Option<Arc<[Vec<ShownBeat>]>>,
    /// Signals in a batch.
    pub batch: usize,
    /// Exponent p of the class shares: a class of n items is drawn in proportion to n^p. 1 keeps
    /// the shares of the data, 0 makes all classes equally frequent.
    pub class_exponent: f64,
    /// Share of items of which everything is hidden, so that the network also learns "no condition".
    pub label_dropout: f64,
    /// Share of items whose labels are hidden, of those of which each fact is, one by one, and of those of which the waves
    /// of the beats are: what remains visible is then any subset. Without facts it hides no label.
    pub fact_dropout: f64,
    /// Seed of the data order, the noise levels and the noise.
    pub seed: Seed,
    /// Device of the tensors.
    pub device: Device,
}

/// One drawn batch.
pub struct Batch {
    /// Indexes into the training items.
    pub items: Vec<u64>,
    /// Clean signals.
    pub x0: Tensor<3>,
    /// Standard normal noise of the same shape.
    pub noise: Tensor<3>,
    /// One number in [0, 1) per item, stratified over the batch, for the noise level.
    pub uniform: Vec<f64>,
    /// Labels, some hidden.
    pub condition: Condition,
}

impl Batches {
    /// The batch of a step, on the host; a function of the seed and the step alone.
    fn draw(&self, step: u64, pools: &[Vec<usize>]) -> Drawn {
        let mut stream = self.seed.purpose("batch").index(step).stream();
        let shares: Vec<f64> = pools.iter().map(|pool| share(pool.len(), self.class_exponent)).collect();
        let size = self.n_leads * self.sig_len;
        let mut x0 = Vec::with_capacity(self.batch * size);
        let (mut items, mut shown) = (Vec::new(), Vec::new());
        for _ in 0..self.batch {
            let pool = &pools[pick(&shares, &mut stream)];
            let item = pool[stream.below(pool.len())];
            x0.extend_from_slice(&self.signals[item * size..(item + 1) * size]);
            items.push(item as u64);
            shown.push(stream.uniform() >= self.label_dropout);
        }
        let offset = stream.uniform();
        let uniform = (0..self.batch).map(|i| (i as f64 + offset) / self.batch as f64).collect();
        let mut noise = vec![0.0; x0.len()];
        stream.fill_normal(&mut noise);
        Drawn { x0, noise, uniform, condition: self.told(step, &items, shown), items }
    }

    /// What a network is told of items that are shown or hidden as a whole, after facts are hidden one by one.
    fn told(&self, step: u64, items: &[u64], mut shown: Vec<bool>) -> Condition {
        let Some(facts) = &self.facts else { return self.condition(step, items, &shown) };
        let mut stream = self.seed.purpose("facts").index(step).stream();
        let mut told = Vec::with_capacity(items.len());
        for (&item, is_shown) in items.iter().zip(&mut shown) {
            let mut of_item = if *is_shown { facts[item as usize].clone() } else { Facts::default() };
            for fact in FACTS {
                if stream.uniform() < self.fact_dropout {
                    of_item.hide(fact);
                }
            }
            *is_shown &= stream.uniform() >= self.fact_dropout;
            told.push(of_item);
        }
        Condition { facts: Some(told), ..self.condition(step, items, &shown) }
    }

    /// The labels that a network is told of items whose labels are shown or hidden, and their beats.
    fn condition(&self, step: u64, items: &[u64], shown: &[bool]) -> Condition {
        let mut stream = self.seed.purpose("waves").index(step).stream();
        let mut of_item = |beats: &[ShownBeat]| match stream.uniform() < self.fact_dropout {
            true => beats.iter().map(|beat| ShownBeat::at(beat.at)).collect(),
            false => beats.to_vec(),
        };
        let beats = |beats: &Arc<[Vec<ShownBeat>]>| items.iter().map(|&item| of_item(&beats[item as usize])).collect();
        Condition { beats: self.beats.as_ref().map(beats), ..self.labelled(items, shown) }
    }

    fn labelled(&self, items: &[u64], shown: &[bool]) -> Condition {
        let each = items.iter().map(|&item| item as usize).zip(shown);
        match &self.labels {
            Some(labels) => {
                let n_labels = labels.len() / self.classes.len();
                let row = |(item, shown): (usize, &bool)| match shown {
                    true => labels[item * n_labels..(item + 1) * n_labels].to_vec(),
                    false => vec![0.0; n_labels],
                };
                Condition::of_labels(each.map(row).collect())
            }
            None => {
                Condition::of_optional_classes(each.map(|(item, shown)| shown.then_some(self.classes[item])).collect())
            }
        }
    }

    /// Items of each class that occurs.
    fn pools(&self) -> Vec<Vec<usize>> {
        let n_classes = self.classes.iter().max().map_or(0, |last| last + 1);
        let mut pools = vec![Vec::new(); n_classes];
        for (item, &class) in self.classes.iter().enumerate() {
            pools[class].push(item);
        }
        pools.retain(|pool| !pool.is_empty());
        pools
    }
}

/// Batches of consecutive steps: while one step runs, the next one's batch is drawn by another thread.
pub struct BatchQueue {
    batches: Arc<Batches>,
    /// Items of each class that occurs.
    pools: Arc<[Vec<usize>]>,
    next: Option<(u64, JoinHandle<Drawn>)>,
}

/// A batch that is not on a device yet.
struct Drawn {
    items: Vec<u64>,
    x0: Vec<f32>,
    noise: Vec<f32>,
    uniform: Vec<f64>,
    condition: Condition,
}

impl From<Batches> for BatchQueue {
    fn from(batches: Batches) -> BatchQueue {
        BatchQueue { pools: batches.pools().into(), batches: Arc::new(batches), next: None }
    }
}

impl BatchQueue {
    /// Device of the tensors.
    pub fn device(&self) -> &Device {
        &self.batches.device
    }

    /// The batch of a step; that of the step after it is begun.
    pub fn take(&mut self, step: u64) -> Batch {
        let drawn = match self.next.take() {
            Some((ready, thread)) if ready == step => {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            _ => self.batches.draw(step, &self.pools),
        };
        let (batches, pools) = (Arc::clone(&self.batches), Arc::clone(&self.pools));
        self.next = Some((step + 1, std::thread::spawn(move || batches.draw(step + 1, &pools))));
        let tensor = |values: Vec<f32>| {
            let shape = [drawn.items.len(), self.batches.n_leads, self.batches.sig_len];
            Tensor::from_data(TensorData::new(values, shape), &self.batches.device)
        };
        Batch {
            x0: tensor(drawn.x0),
            noise: tensor(drawn.noise),
            uniform: drawn.uniform,
            condition: drawn.condition,
            items: drawn.items,
        }
    }
}

fn share(n_items: usize, exponent: f64) -> f64 {
    libm::pow(n_items as f64, exponent)
}

/// An index drawn in proportion to `shares`.
fn pick(shares: &[f64], stream: &mut Stream) -> usize {
    let mut left = stream.uniform() * shares.iter().sum::<f64>();
    for (i, share) in shares.iter().enumerate() {
        left -= share;
        if left < 0.0 {
            return i;
        }
    }
    shares.len() - 1
}
