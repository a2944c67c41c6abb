//! Signs of myocardial infarction painted onto normal ECGs.

use serde_json::{Value, json};

use super::{Augmentation, Item, Pool};
use crate::beat::rpeak::r_peaks;
use crate::error::{Error, Result};
use crate::record::vcg::lead_vector;
use crate::seed::Stream;

/// Adds ST elevation, Q waves, loss of R and inversion of T in one territory to normal items, which
/// then are of the infarction class that is to grow.
///
/// Each sign is a vector towards the territory times a course in time around each R peak; the leads
/// show it as they show the heart's own vector, so that opposite leads have the reciprocal change and
/// the limb leads' laws hold. Works on real and on simulated items, of any of the twelve leads.
///
/// # Differs from the paper
/// The paper's parameters are not published; these are ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Infarction {
    /// Smallest and largest shift of the ST segment in the lead that shows it most, mV.
    pub st_mv: [f64; 2],
    /// Smallest and largest depth of the Q wave there, mV.
    pub q_mv: [f64; 2],
    /// Smallest and largest loss of R amplitude there, mV.
    pub r_loss_mv: [f64; 2],
    /// Smallest and largest negative T wave there, mV.
    pub t_mv: [f64; 2],
}

/// Where an infarction lies, and the direction to it: left, feet, back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Territory {
    Anterior,
    Inferior,
    Lateral,
}

/// Names of the class without infarction, the preferred first.
const NORMAL: [&str; 4] = ["NORM", "SR", "NSR", "N"];

impl Territory {
    fn direction(self) -> [f64; 3] {
        match self {
            // Also upwards: an injury high in the anterior wall depresses the inferior leads.
            Territory::Anterior => [0.2, -0.35, -1.0],
            Territory::Inferior => [0.0, 1.0, 0.1],
            Territory::Lateral => [1.0, -0.2, 0.2],
        }
    }

    /// The territories that a class name allows; none when it names no infarction.
    fn of_class(name: &str) -> &'static [Territory] {
        match name {
            "MI" => &[Territory::Anterior, Territory::Inferior, Territory::Lateral],
            "AMI" | "ASMI" | "ALMI" => &[Territory::Anterior],
            "IMI" | "IPMI" | "ILMI" => &[Territory::Inferior],
            "LMI" => &[Territory::Lateral],
            _ => &[],
        }
    }
}

impl Infarction {
    /// ST shifts of 0.05 to 0.4 mV, and the other signs from absent to marked.
    pub const DEFAULT: Infarction =
        Infarction { st_mv: [0.05, 0.4], q_mv: [0.0, 0.5], r_loss_mv: [0.0, 0.4], t_mv: [0.0, 0.5] };
}

impl Augmentation for Infarction {
    fn name(&self) -> &'static str {
        "infarction"
    }

    fn summary(&self) -> &'static str {
        "ST, Q, R and T signs of infarction on normal items, for the classes MI, AMI, IMI, LMI and such"
    }

    fn reference(&self) -> &'static str {
        "Naghashyar, Improving myocardial infarction detection via synthetic ECG pretraining, arXiv:2506.23259, 2025"
    }

    fn settings(&self) -> Value {
        json!({ "st_mv": self.st_mv, "q_mv": self.q_mv, "r_loss_mv": self.r_loss_mv, "t_mv": self.t_mv })
    }

    fn source(&self, pool: &Pool, class: usize) -> Option<usize> {
        let (names, labels) = (pool.label_names(), pool.labels(class));
        let painted = infarction_of(pool, class)?;
        let normal = NORMAL.iter().find_map(|normal| names.iter().position(|name| name == normal))?;
        // Whatever else is true of the item stays true.
        let mut source: Vec<usize> = labels.iter().map(|&of| if of == painted { normal } else { of }).collect();
        source.sort_unstable();
        pool.class_of(&source)
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let pool = item.pool;
        let painted = infarction_of(pool, item.class).ok_or_else(|| {
            Error::data(pool.name(item.class), "expected one label of infarction such as MI, AMI, IMI or LMI")
        })?;
        let territories = Territory::of_class(&pool.label_names()[painted]);
        let direction = territories[stream.below(territories.len())].direction();
        let mut gains = Vec::with_capacity(pool.leads().len());
        for name in pool.leads() {
            let vector = lead_vector(name)
                .ok_or_else(|| Error::data("leads", format!("{name} is none of the twelve, so its view is unknown")))?;
            gains.push(vector.iter().zip(&direction).map(|(a, b)| a * b).sum::<f64>());
        }
        // Of all twelve leads, the most exposed one shows the stated millivolts.
        let all = crate::record::lead_law::TWELVE.iter().filter_map(|lead| lead_vector(lead));
        let most = all.map(|v| v.iter().zip(&direction).map(|(a, b)| a * b).sum::<f64>().abs()).fold(0.0, f64::max);
        let course = self.course(&r_places(ecg, pool.sig_len(), pool.fs_hz())?, pool, stream);
        for (lead, gain) in ecg.chunks_exact_mut(pool.sig_len()).zip(gains) {
            lead.iter_mut().zip(&course).for_each(|(x, c)| *x += (gain / most * c) as f32);
        }
        Ok(())
    }
}

impl Infarction {
    /// The signs' course in time, in mV of the most exposed lead. Times are seconds after R.
    fn course(&self, r_places: &[usize], pool: &Pool, stream: &mut Stream) -> Vec<f64> {
        let mut draw = |range: [f64; 2]| stream.uniform_in(range[0], range[1]);
        let (st, q, r_loss, t_wave) = (draw(self.st_mv), draw(self.q_mv), draw(self.r_loss_mv), draw(self.t_mv));
        let wave = |s: f64, at: f64, sd: f64| libm::exp(-0.5 * ((s - at) / sd).powi(2));
        // Up within 30 ms after S, down into the T wave.
        let plateau = |s: f64| 1.0 / ((1.0 + libm::exp(-(s - 0.06) / 0.01)) * (1.0 + libm::exp((s - 0.2) / 0.025)));
        let sign = |s: f64| {
            st * plateau(s) - q * wave(s, -0.03, 0.012) - r_loss * wave(s, 0.0, 0.012) - t_wave * wave(s, 0.3, 0.045)
        };
        let (n, fs_hz) = (pool.sig_len() as i64, pool.fs_hz());
        let (before, after) = ((0.1 * fs_hz) as i64, (0.5 * fs_hz) as i64);
        let mut course = vec![0.0; n as usize];
        for &r in r_places {
            for t in (r as i64 - before).max(0)..(r as i64 + after).min(n) {
                course[t as usize] += sign((t - r as i64) as f64 / fs_hz);
            }
        }
        course
    }
}

/// The one label of a class that can be painted.
fn infarction_of(pool: &Pool, class: usize) -> Option<usize> {
    let is_infarction = |label: &&usize| !Territory::of_class(&pool.label_names()[**label]).is_empty();
    let mut painted = pool.labels(class).iter().filter(is_infarction);
    match (painted.next(), painted.next()) {
        (Some(&label), None) => Some(label),
        _ => None,
    }
}

/// Where the R peaks are: in the middle of a cut-out beat, else where the detector finds them.
fn r_places(ecg: &[f32], sig_len: usize, fs_hz: f64) -> Result<Vec<usize>> {
    if (sig_len as f64) < 2.0 * fs_hz {
        return Ok(vec![sig_len / 2]);
    }
    r_peaks(&ecg.chunks_exact(sig_len).collect::<Vec<_>>(), fs_hz)
}
