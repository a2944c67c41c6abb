//! From a request to everything that is fixed for its record: the person, the shapes, the pace.

use crate::error::{Error, Result};
use crate::record::Wave;
use crate::seed::{Seed, Stream};
use crate::simulate::dipole::calibration::{self, Waveform};
use crate::simulate::dipole::condition::{Morphology, Rhythm};
use crate::simulate::dipole::continuous::Source as ContinuousSource;
use crate::simulate::dipole::ectopic::{Focus, ectopic};
use crate::simulate::dipole::injury::{add_infarction, add_ischemia};
use crate::simulate::dipole::kernel::{Extent, Group, Template};
use crate::simulate::dipole::lead_field::{
    LEAD_FIELD, Matrix, rotation, turn_to_axis, twelve_rows, vector_axis_deg, wrapped_deg,
};
use crate::simulate::dipole::patient::Patient;
use crate::simulate::dipole::planner::{Origin, Pace};
use crate::simulate::dipole::request::{Limits, Range, Request};
use crate::simulate::dipole::shape::{Conduction, Shape, low_atrial_p};

/// Shortest time from the end of QRS to the end of T, ms.
const SHORTEST_JT_MS: f64 = 90.0;
/// Room that must stay between the end of T and the next QRS, ms.
const T_ROOM_MS: f64 = 12.0;
/// Room that must stay between a QRS and the onset of the next P, ms.
const P_ROOM_MS: f64 = 15.0;

/// What a wave is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// Gaussians of the heart's vector.
    Kernels(Group),
    /// Straight lines, the same in all eight leads; the height is that of R in mV.
    Line(&'static [(f64, f64)], f64),
    /// A pacing pulse of constant height.
    Pulse { width_ms: f64, mv: [f64; 3] },
}

/// One wave of a beat.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WaveModel {
    pub form: Form,
    /// Which wave, for the truth; `None` for what is no wave of its own.
    pub wave: Option<Wave>,
    pub template: Template,
    pub extent: Option<Extent>,
}

/// A kind of beat, by the indices of its waves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BeatModel {
    pub p: Option<usize>,
    pub qrs: usize,
    pub st: Option<usize>,
    pub t: usize,
    pub qrs_extent: Extent,
    pub t_extent: Extent,
    /// Stretch of ST and T that gives the wanted QT.
    pub t_stretch: f64,
    pub symbol: &'static str,
}

/// Everything that is fixed for one record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    pub patient: Patient,
    pub waves: Vec<WaveModel>,
    pub conducted: BeatModel,
    pub ectopic_p: usize,
    pub ventricular: Vec<BeatModel>,
    pub pulse: Option<usize>,
    /// The eight leads as they are recorded.
    pub field: [[f64; 3]; 8],
    pub continuous: Vec<ContinuousSource>,
    pub pace: Pace,
    /// Period and first time of P waves that nothing follows, s.
    pub dissociated_p: Option<[f64; 2]>,
    /// Axis of the usual beat as recorded, degrees.
    pub axis_deg: Option<f64>,
}

impl Model {
    /// Draws what was not asked for and fits the shapes.
    ///
    /// # Errors
    /// [`Error::Config`] for a request that contradicts itself.
    pub fn new(request: &Request, seed: Seed) -> Result<Model> {
        request.validate()?;
        let condition = &request.condition;
        let mut stream = seed.purpose("patient").stream();
        let mut patient = Patient::draw(request.age_years, request.sex, &mut stream);
        if condition.waveform.is_some() {
            patient = Patient::analytic();
        }
        let targets = Targets::new(request, &mut patient, &mut seed.purpose("values").stream())?;
        let mut shapes = seed.purpose("shapes").stream();
        let mut waves = Vec::new();
        if let Some(Waveform::Calibration { mv }) = condition.waveform {
            return Ok(calibration_model(request, patient, &targets, mv));
        }
        let rotation = rotation(patient.turns_rad);
        let field = condition.reversal.map_or(LEAD_FIELD, |reversal| {
            reversal.apply(LEAD_FIELD, |a, b| std::array::from_fn(|k| a[k] - b[k]), |a| a.map(|v| -v))
        });

        let mut shape = conducted_shape(request, &patient, &rotation, &mut shapes);
        let qrs = fit(&mut shape, &targets)?;
        turn_axis(&mut shape, &qrs, &targets)?;
        if condition.morphologies.contains(&Morphology::LowVoltage) {
            lower_voltage(&mut shape, shapes.uniform_in(0.75, 1.0));
        }
        let symbol = match condition.conduction {
            Some(Conduction::LeftBundleBranchBlock) => "L",
            Some(Conduction::RightBundleBranchBlock) => "R",
            _ => "N",
        };
        let conducted = beat_model(shape, &targets, targets.qt_ms, symbol, &mut waves)?;

        let n_foci = if condition.rhythm == Rhythm::Multifocal { 3 } else { 1 };
        let is_paced = matches!(condition.rhythm, Rhythm::Paced | Rhythm::PacedDual);
        let foci = if is_paced { vec![Focus::RightApex] } else { Focus::draw(n_foci, &mut shapes) };
        let is_dominant = matches!(condition.rhythm, Rhythm::VentricularTachycardia) || is_paced;
        let mut ventricular = Vec::with_capacity(foci.len());
        for focus in foci {
            let mut shape = ectopic(focus, &mut shapes);
            shape.place(patient.gains, &rotation);
            if condition.morphologies.contains(&Morphology::LowVoltage) {
                lower_voltage(&mut shape, 0.9);
            }
            let qrs_ms = if is_dominant { targets.qrs_ms } else { (targets.qrs_ms + 50.0).clamp(130.0, 170.0) };
            let qt_ms = targets.qt_ms + if is_dominant { 0.0 } else { 0.6 * (qrs_ms - targets.qrs_ms) };
            let own = Targets { qrs_ms, ..targets.clone() };
            fit(&mut shape, &own)?;
            let symbol = match condition.rhythm {
                _ if is_paced => "/",
                Rhythm::Block3 => "E",
                _ => "V",
            };
            ventricular.push(beat_model(shape, &own, qt_ms, symbol, &mut waves)?);
        }
        let ectopic_p = waves.len();
        let mut low_p = Shape { p: low_atrial_p(), ..Shape::normal() };
        low_p.place(patient.gains, &rotation);
        low_p.fit_p(0.85 * targets.p_ms);
        waves.push(wave_model(low_p.p, Some(Wave::P)));
        let pulse = is_paced.then(|| {
            let form = Form::Pulse { width_ms: 2.0, mv: [0.9, -1.3, 0.5] };
            waves.push(WaveModel {
                form,
                wave: None,
                template: Template { start_ms: 0.0, xyz: Default::default() },
                extent: None,
            });
            waves.len() - 1
        });

        let dominant = if is_dominant { &ventricular[0] } else { &conducted };
        let axis_deg = condition.has_beats().then(|| {
            let wave = &waves[dominant.qrs];
            vector_axis_deg(&field, wave.template.area(&dominant.qrs_extent))
        });
        let refractory_ms = conducted.qrs_extent.offset_ms + conducted.t_stretch * conducted.t_extent.offset_ms
            - ventricular.iter().map(|beat| beat.qrs_extent.onset_ms).fold(0.0, f64::min)
            + P_ROOM_MS;
        let pace = Pace {
            rhythm: condition.rhythm,
            mean_s: targets.rr_s,
            seconds: request.seconds,
            pr_s: 1e-3 * targets.pr_ms,
            refractory_s: 1e-3 * refractory_ms,
            lf_share: patient.lf_share,
            rsa_share: patient.rsa_share,
            breathing: [patient.breathing[0], patient.breathing[1]],
            n_foci,
        };
        let mut own = seed.purpose("continuous").stream();
        let mut continuous = continuous_sources(condition.rhythm, &targets, &mut own);
        if let Some(reversal) = condition.reversal {
            for source in &mut continuous {
                source.leads = reversal.apply(source.leads, |a, b| a - b, |a| -a);
            }
        }
        // In tachycardia the sinus node goes on unseen in about half of the patients; in block it always does.
        let dissociated_p = match condition.rhythm {
            Rhythm::Block3 => Some([60.0 / own.uniform_in(72.0, 98.0), own.uniform_in(-0.8, 0.0)]),
            Rhythm::VentricularTachycardia if own.uniform() < 0.5 => {
                Some([60.0 / own.uniform_in(70.0, 100.0), own.uniform_in(-0.8, 0.0)])
            }
            _ => None,
        };
        Ok(Model {
            patient,
            waves,
            conducted,
            ectopic_p,
            ventricular,
            pulse,
            field,
            continuous,
            pace,
            dissociated_p,
            axis_deg,
        })
    }

    /// The beat of an origin.
    pub fn beat(&self, origin: Origin) -> &BeatModel {
        match origin {
            Origin::Ventricular(focus) => &self.ventricular[focus],
            Origin::VentricularEscape | Origin::Paced => &self.ventricular[0],
            _ => &self.conducted,
        }
    }

    /// Annotation symbol of a beat.
    pub fn symbol(&self, origin: Origin) -> &'static str {
        match origin {
            Origin::AtrialEctopic => "A",
            Origin::JunctionalEscape => "j",
            _ => self.beat(origin).symbol,
        }
    }

    /// Rhythm as annotations name it.
    pub fn rhythm_label(&self, conduction: Option<Conduction>) -> &'static str {
        match self.pace.rhythm {
            _ if conduction == Some(Conduction::PreExcitation) => "(PREX",
            Rhythm::Bradycardia => "(SBR",
            Rhythm::Fibrillation => "(AFIB",
            Rhythm::Flutter(_) => "(AFL",
            Rhythm::Bigeminy => "(B",
            Rhythm::Trigeminy => "(T",
            Rhythm::Supraventricular => "(SVTA",
            Rhythm::VentricularTachycardia => "(VT",
            Rhythm::VentricularFibrillation => "(VFIB",
            Rhythm::Block1 => "(BI",
            Rhythm::Mobitz1 | Rhythm::Mobitz2 => "(BII",
            Rhythm::Block3 => "(BIII",
            Rhythm::Paced | Rhythm::PacedDual => "(P",
            Rhythm::Tachycardia => "(STACH",
            Rhythm::SinusArrhythmia => "(SARRH",
            _ => "(N",
        }
    }
}

/// The values that a record shall have.
#[derive(Debug, Clone, PartialEq)]
struct Targets {
    rr_s: f64,
    p_ms: f64,
    pr_ms: f64,
    qrs_ms: f64,
    qt_ms: f64,
    /// `None` leaves the shape's own axis.
    axis_deg: Option<f64>,
}

impl Targets {
    /// Takes what was asked for, draws the rest so that it fits, and refuses what cannot fit.
    fn new(request: &Request, patient: &mut Patient, stream: &mut Stream) -> Result<Targets> {
        let limits = Limits::of(&request.condition);
        let mut take = |asked: Option<f64>, range: Option<Range>, own: f64| {
            let drawn = stream.uniform();
            let value = match range.and_then(|range| range.drawn) {
                Some([low, high]) => low + (high - low) * drawn,
                None => own,
            };
            asked.unwrap_or(value)
        };
        let name = &request.condition.name;
        let hr_bpm = take(request.hr_bpm, limits.hr_bpm, patient.hr_bpm);
        let mut pr_ms = take(request.pr_ms, limits.pr_ms, patient.pr_ms);
        let mut qrs_ms = take(request.qrs_ms, limits.qrs_ms, patient.qrs_ms);
        let wide_ms = 0.5 * (qrs_ms - 105.0).max(0.0);
        let qtc_ms = take(request.qtc_ms, limits.qtc_ms, patient.qtc_ms + wide_ms);
        let axis_deg = take(request.axis_deg, limits.axis_deg, patient.axis_deg);
        let has_axis = limits.axis_deg.is_some()
            && (request.axis_deg.is_some() || request.condition.conduction != Some(Conduction::PreExcitation));
        match request.condition.rhythm {
            Rhythm::SinusArrhythmia => {
                patient.rsa_share = take(None, Some(Range { allowed: [0.0; 2], drawn: Some([0.10, 0.17]) }), 0.0)
            }
            // Fast hearts beat regularly.
            _ if hr_bpm > 100.0 => {
                let calm = (1.0 - (hr_bpm - 100.0) / 80.0).max(0.1);
                patient.rsa_share *= calm;
                patient.lf_share *= calm;
            }
            _ => {}
        }
        let rr_s = 60.0 / hr_bpm;
        let rr_ms = 1e3 * rr_s;
        let refuse = |key: &str, reason: String| Err(Error::config(key, format!("{reason} ({name})")));

        let mut qt_ms = qtc_ms * libm::cbrt(rr_s);
        if request.condition.has_beats() {
            let longest_ms = rr_ms - T_ROOM_MS;
            if qt_ms > longest_ms {
                if request.qtc_ms.is_some() {
                    return refuse(
                        "qtc",
                        format!(
                            "QTc {qtc_ms} ms is a QT of {qt_ms:.0} ms at {hr_bpm} bpm, expected at most {longest_ms:.0} ms, so that T ends before the next beat"
                        ),
                    );
                }
                qt_ms = longest_ms;
            }
            if qt_ms - qrs_ms < SHORTEST_JT_MS {
                if request.qtc_ms.is_some() || request.qrs_ms.is_some() {
                    return refuse(
                        "qrs",
                        format!(
                            "QRS {qrs_ms:.0} ms in a QT of {qt_ms:.0} ms at {hr_bpm} bpm, expected {SHORTEST_JT_MS} ms between them for ST and T"
                        ),
                    );
                }
                qrs_ms = qt_ms - SHORTEST_JT_MS;
            }
            let longest_pr_ms = rr_ms - qrs_ms - P_ROOM_MS;
            if request.condition.has_pr() && pr_ms > longest_pr_ms {
                if request.pr_ms.is_some() {
                    return refuse(
                        "pr",
                        format!(
                            "PR {pr_ms} ms with a QRS of {qrs_ms:.0} ms at {hr_bpm} bpm, expected at most {longest_pr_ms:.0} ms, so that P begins after the beat before"
                        ),
                    );
                }
                pr_ms = longest_pr_ms;
            }
        }
        let p_ms = patient.p_ms.min(pr_ms - 8.0);
        Ok(Targets { rr_s, p_ms, pr_ms, qrs_ms, qt_ms, axis_deg: has_axis.then_some(axis_deg) })
    }
}

/// The beat that begins in the atria, placed in the patient's chest.
fn conducted_shape(request: &Request, patient: &Patient, rotation: &Matrix, stream: &mut Stream) -> Shape {
    let condition = &request.condition;
    let mut shape = Shape::conducted(condition.conduction);
    for morphology in &condition.morphologies {
        match *morphology {
            Morphology::LeftHypertrophy => shape.add_left_hypertrophy(stream.uniform_in(1.5, 2.1)),
            Morphology::RightHypertrophy => shape.add_right_hypertrophy(stream.uniform_in(1.0, 1.5)),
            Morphology::Infarction(territory, age) => add_infarction(&mut shape, territory, age, stream),
            Morphology::Ischemia => add_ischemia(&mut shape, stream),
            Morphology::LongQt | Morphology::LowVoltage => {}
        }
    }
    let [p_gain, t_gain] = patient.wave_gains;
    shape.p.scale([p_gain; 3]);
    shape.t.scale([t_gain; 3]);
    shape.place(patient.gains, rotation);
    shape
}

/// Stretches QRS and P to their durations.
fn fit(shape: &mut Shape, targets: &Targets) -> Result<Extent> {
    shape.fit_p(targets.p_ms);
    shape.fit_qrs(targets.qrs_ms).ok_or_else(|| Error::config("qrs", "the shape has no QRS"))
}

/// Turns QRS to the wanted axis; ST and T follow half of the way, P stays.
fn turn_axis(shape: &mut Shape, qrs: &Extent, targets: &Targets) -> Result<()> {
    let Some(target_deg) = targets.axis_deg else { return Ok(()) };
    let area = shape.qrs.template().area(qrs);
    let (angle, reached_deg) = turn_to_axis(&LEAD_FIELD, area, target_deg);
    if wrapped_deg(reached_deg - target_deg).abs() > 1.0 {
        let reason = format!(
            "{target_deg} degrees, but the vector points to the front or back and reaches only {reached_deg:.0}"
        );
        return Err(Error::config("axis", reason));
    }
    shape.qrs.turn(&rotation([0.0, 0.0, angle]));
    let half = rotation([0.0, 0.0, (0.5 * angle).clamp(-0.6, 0.6)]);
    shape.st.turn(&half);
    shape.t.turn(&half);
    Ok(())
}

/// Scales the ventricular waves until limb leads stay below 0.5 mV and chest leads below 1 mV, peak to peak.
fn lower_voltage(shape: &mut Shape, share: f64) {
    let template = shape.qrs.template();
    let swing = |row: &[f64; 3]| {
        let values = (0..template.xyz[0].len()).map(|i| (0..3).map(|k| row[k] * template.xyz[k][i]).sum::<f64>());
        let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    let rows = twelve_rows(&LEAD_FIELD);
    let limb = rows[..6].iter().map(swing).fold(0.0, f64::max);
    let chest = rows[6..].iter().map(swing).fold(0.0, f64::max);
    let factor = share * (0.45 / limb).min(0.9 / chest).min(1.0);
    for group in [&mut shape.qrs, &mut shape.st, &mut shape.t] {
        group.scale([factor; 3]);
    }
}

fn wave_model(group: Group, wave: Option<Wave>) -> WaveModel {
    let template = group.template();
    let extent = template.extent();
    WaveModel { form: Form::Kernels(group), wave, template, extent }
}

/// Enters the shape's waves into the list.
fn beat_model(
    shape: Shape,
    targets: &Targets,
    qt_ms: f64,
    symbol: &'static str,
    waves: &mut Vec<WaveModel>,
) -> Result<BeatModel> {
    let mut enter = |group: Group, wave: Option<Wave>| {
        waves.push(wave_model(group, wave));
        waves.len() - 1
    };
    let p = (!shape.p.kernels.is_empty()).then(|| enter(shape.p, Some(Wave::P)));
    let qrs = enter(shape.qrs, Some(Wave::Qrs));
    let st = (!shape.st.kernels.is_empty()).then(|| enter(shape.st, None));
    let t = enter(shape.t, Some(Wave::T));
    let extent = |k: usize| waves[k].extent.ok_or_else(|| Error::config("rhythm", "a wave of this shape vanishes"));
    let (qrs_extent, t_extent) = (extent(qrs)?, extent(t)?);
    let t_stretch = (qt_ms - targets.qrs_ms) / t_extent.offset_ms;
    Ok(BeatModel { p, qrs, st, t, qrs_extent, t_extent, t_stretch, symbol })
}

fn continuous_sources(rhythm: Rhythm, targets: &Targets, stream: &mut Stream) -> Vec<ContinuousSource> {
    match rhythm {
        Rhythm::Fibrillation | Rhythm::Paced => ContinuousSource::fibrillation(stream),
        Rhythm::Flutter(ratio) => {
            let rate = |ratio: u8| f64::from(ratio) / targets.rr_s;
            // Atria flutter at about 300 a minute.
            let ratio = if ratio > 0 {
                ratio
            } else {
                [2, 3, 4]
                    .into_iter()
                    .min_by(|&a, &b| (rate(a) - 5.0).abs().total_cmp(&(rate(b) - 5.0).abs()))
                    .unwrap_or(2)
            };
            ContinuousSource::flutter(rate(ratio), 0.0, stream)
        }
        Rhythm::VentricularFibrillation => ContinuousSource::ventricular_fibrillation(stream),
        _ => Vec::new(),
    }
}

/// The calibration waveform: lines instead of kernels, every beat the same.
fn calibration_model(request: &Request, patient: Patient, targets: &Targets, mv: f64) -> Model {
    let wave = |wave: Wave| {
        let corners = calibration::corners(wave);
        let extent = calibration::corner_extent(corners, mv);
        let template = Template { start_ms: 0.0, xyz: Default::default() };
        WaveModel { form: Form::Line(corners, mv), wave: Some(wave), template, extent }
    };
    let waves = vec![wave(Wave::P), wave(Wave::Qrs), wave(Wave::T)];
    let extent =
        |k: usize| waves[k].extent.unwrap_or(Extent { onset_ms: 0.0, peak_ms: 0.0, offset_ms: 0.0, peak_mv: 0.0 });
    let conducted = BeatModel {
        p: Some(0),
        qrs: 1,
        st: None,
        t: 2,
        qrs_extent: extent(1),
        t_extent: extent(2),
        t_stretch: 1.0,
        symbol: "N",
    };
    let [pr_ms, _, _] = calibration::INTERVALS_MS;
    let pace = Pace {
        rhythm: request.condition.rhythm,
        mean_s: targets.rr_s,
        seconds: request.seconds,
        pr_s: 1e-3 * pr_ms,
        refractory_s: 0.4,
        lf_share: 0.0,
        rsa_share: 0.0,
        breathing: [0.25, 0.0],
        n_foci: 1,
    };
    Model {
        patient,
        waves,
        ventricular: vec![conducted.clone()],
        conducted,
        ectopic_p: 0,
        pulse: None,
        field: [[1.0, 0.0, 0.0]; 8],
        continuous: Vec::new(),
        pace,
        dissociated_p: None,
        axis_deg: None,
    }
}
