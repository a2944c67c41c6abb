//! The report of a beat experiment: what was done, what came out, what it does not show.
//!
//! Each file has one section of the page; those that judge any synthetic set are also those of
//! [`evaluate`](super::evaluate()).

mod beats;
mod classifier;
mod data;
mod delivery;
mod efficiency;
mod fidelity;
mod headline;
mod physiology;
mod privacy;
mod snr;
mod summary;

use serde_json::json;

use super::RunRequest;
use super::config::Experiment;
use super::efficiency::Measured;
use super::models::Models;
use super::quality::Quality;
use crate::dataset::{Dataset, SIMULATED};
use crate::error::Result;
use crate::evaluation::utility::Comparison;
use crate::report::Report;
use crate::run::Run;

pub use beats::{beat_overlay, beats_section, spectra};
pub use delivery::delivery_section;
pub use fidelity::fidelity_section;
pub use physiology::physiology_section;
pub use privacy::privacy_section;
pub use snr::snr_section;

/// Everything that a report tells.
pub struct Findings<'a> {
    pub config: &'a Experiment,
    pub request: &'a RunRequest<'a>,
    pub run: &'a Run,
    pub data: &'a Dataset,
    pub generator_part: &'a Dataset,
    pub splits: &'a [(String, Dataset)],
    pub models: &'a Models,
    pub judged: &'a [(String, Dataset)],
    pub quality: &'a Quality,
    pub efficiency: &'a [Measured],
    pub comparisons: &'a [Comparison],
}

/// The paper whose figures stand beside ours.
const PAPER: &str = "Ge et al. 2025";

/// Puts the findings together.
///
/// # Errors
/// Whatever counting and spectra return.
pub fn build(f: &Findings) -> Result<Report> {
    let request = f.request;
    let mut report = Report::new(request.preset, request.seed, request.device);
    report.title = f.config.title.clone();
    report.command = request.command.clone();
    report.commit = f.run.origin().commit.clone().unwrap_or_default();
    report.config = serde_json::to_value(f.config).unwrap_or_default();
    report.environment = json!({
        "threads": rayon::current_num_threads(),
        "arch": std::env::consts::ARCH,
        "os": std::env::consts::OS,
    });
    report.intervals = format!(
        "Intervals are 95 %, by resampling patients and training seeds together ({} replicates); a class with fewer \
         than 10 patients, or with half of its beats from one patient, is called insufficient. Intervals of time \
         ratios are the smallest and largest ratio of interleaved repetitions.",
        f.config.classifier.replicates
    );
    data::data_section(&mut report, f)?;
    beats_section(&mut report, f.generator_part, f.judged)?;
    efficiency::efficiency_section(&mut report, f);
    snr_section(&mut report, f.quality, f.config.quality.snr_margin_db);
    fidelity_section(&mut report, f.quality);
    privacy_section(&mut report, f.quality);
    for comparison in f.comparisons {
        classifier::comparison_section(&mut report, f, comparison);
    }
    headline::headline(&mut report, f);
    report.abstract_text = summary::summary(&report, f);
    report.limits = summary::limits(f);
    references(&mut report);
    Ok(report)
}

fn is_intra(split: &str) -> bool {
    split == "intra-patient"
}

/// What the data are called: simulated beats must not pass for recorded ones.
fn real_word(data: &Dataset) -> &'static str {
    if data.provenance["kind"] == SIMULATED { SIMULATED } else { "real" }
}

/// Each name once, in the order of first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.fold(Vec::new(), |mut seen, name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
        seen
    })
}

/// What the sections rest on.
pub fn references(report: &mut Report) {
    for (key, text) in [
        (
            "ge2025",
            "Ge B, Chen N, Jin P, Su X, Lu X. Research on ECG pathological signal classification empowered by diffusion \
             generative data. Journal of Electronics & Information Technology, 2025. doi 10.11999/JEIT250404",
        ),
        ("ho2020", "Ho J, Jain A, Abbeel P. Denoising diffusion probabilistic models. NeurIPS 2020. arXiv:2006.11239"),
        (
            "salimans2022",
            "Salimans T, Ho J. Progressive distillation for fast sampling of diffusion models. ICLR 2022. arXiv:2202.00512",
        ),
        (
            "lu2022",
            "Lu C et al. DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models. arXiv:2211.01095",
        ),
        (
            "dechazal2004",
            "de Chazal P, O'Dwyer M, Reilly RB. Automatic classification of heartbeats using ECG morphology and heartbeat \
             interval features. IEEE Trans Biomed Eng 2004; 51(7):1196-1206",
        ),
        (
            "moody2001",
            "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol 2001; 20(3):45-50",
        ),
        (
            "carlini2023",
            "Carlini N et al. Extracting training data from diffusion models. USENIX Security 2023. arXiv:2301.13188",
        ),
    ] {
        report.reference(key, text);
    }
}
