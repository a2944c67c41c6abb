//! A record in the making: it is rendered in blocks of fixed size and handed out in chunks of any size.
//!
//! Blocks are aligned to the start of the record, so its bits depend neither on how large the chunks are nor on the
//! number of threads. Memory stays the same for any length: a beat is planned a few seconds before it is needed and
//! forgotten when its T wave has ended.

use std::collections::VecDeque;

use crate::error::Result;
use crate::record::lead_law::twelve_from_eight;
use crate::seed::Seed;
use crate::simulate::dipole::calibration;
use crate::simulate::dipole::kernel::Extent;
use crate::simulate::dipole::lead_field::{eight_rows, rotation, twelve_rows};
use crate::simulate::dipole::noise::ElectrodeNoise;
use crate::simulate::dipole::patient::Patient;
use crate::simulate::dipole::planner::{Origin, PlannedBeat, Planner};
use crate::simulate::dipole::recorder::{Filters, Recorder};
use crate::simulate::dipole::request::Request;
use crate::simulate::dipole::resolve::{Form, Model, WaveModel};
use crate::simulate::dipole::truth::{BeatTruth, Tally, Truth, VISIBLE_MV, WaveTruth};
use crate::simulate::wave::add_wave;

/// Frames of a block.
const BLOCK: usize = 1024;
/// Seconds from the start over which the noise is scaled to the wanted ratio; a record may be longer.
const SCALE_SECONDS: f64 = 30.0;
/// Beats are planned so far ahead, s: a blocked P wave may come more than two seconds before its beat.
const LOOK_AHEAD_S: f64 = 4.0;
/// Leads are whole multiples of this, mV, so that sums and halves of leads are exact in 32 bits.
const GRID_PER_MV: f64 = 65_536.0;

/// The next piece of a record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chunk {
    /// First frame.
    pub first: usize,
    /// Number of frames.
    pub n: usize,
    /// The eight independent leads as recorded, `[8, time]`, mV; NaN where an electrode is off.
    pub eight_mv: Vec<f32>,
    /// The same without noise and recorder.
    pub clean_mv: Vec<f32>,
    /// Beats whose QRS peaks inside.
    pub beats: Vec<BeatTruth>,
    /// Waves that peak inside, in the order of their peaks.
    pub waves: Vec<WaveTruth>,
}

/// One wave on the time axis.
struct Deflection {
    wave: usize,
    at_s: f64,
    stretch: f64,
    /// The eight leads at this moment of the breath, with the height of this beat.
    rows: [[f64; 3]; 8],
    start_s: f64,
    end_s: f64,
}

/// A block of signal and unscaled noise.
struct Block {
    first: usize,
    clean: [Vec<f64>; 8],
    noise: Option<[Vec<f64>; 8]>,
}

/// A record in the making.
pub struct Simulation {
    request: Request,
    model: Model,
    seed: Seed,
    planner: Planner,
    next_beat: Option<PlannedBeat>,
    dissociated: u64,
    active: Vec<Deflection>,
    pending_waves: VecDeque<WaveTruth>,
    pending_beats: VecDeque<BeatTruth>,
    noise: Option<ElectrodeNoise>,
    noise_scale: f64,
    filters: Filters,
    sig_len: usize,
    rendered: usize,
    ahead: VecDeque<Block>,
    /// The block from which chunks are cut, recorded and clean, and the position in it.
    current: Option<(usize, [Vec<f32>; 8], [Vec<f32>; 8])>,
    handed_out: usize,
    tally: Tally,
    work: Vec<f64>,
}

impl Simulation {
    /// Plans a record; the seed and the request decide every bit of it.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a request that is out of range or contradicts itself.
    pub fn new(request: &Request, seed: Seed) -> Result<Simulation> {
        let model = Model::new(request, seed)?;
        let planner = Planner::new(model.pace.clone(), seed.purpose("pace"));
        let noise = match request.snr_db {
            Some(_) => Some(ElectrodeNoise::new(&request.noise, request.fs_hz, seed.purpose("noise"))?),
            None => None,
        };
        let mut simulation = Simulation {
            filters: Filters::new(&request.recorder, request.fs_hz)?,
            sig_len: request.sig_len(),
            request: request.clone(),
            model,
            seed,
            planner,
            next_beat: None,
            dissociated: 0,
            active: Vec::new(),
            pending_waves: VecDeque::new(),
            pending_beats: VecDeque::new(),
            noise,
            noise_scale: 0.0,
            rendered: 0,
            ahead: VecDeque::new(),
            current: None,
            handed_out: 0,
            tally: Tally::default(),
            work: Vec::new(),
        };
        if let Some(snr_db) = request.snr_db {
            // The first seconds decide how strong the noise is, whatever the chunks.
            let until = simulation.sig_len.min((SCALE_SECONDS * request.fs_hz) as usize);
            while simulation.rendered < until {
                let block = simulation.render()?;
                simulation.ahead.push_back(block);
            }
            let ratio = simulation.tally.power_ratio().unwrap_or(0.0);
            simulation.noise_scale = libm::sqrt(ratio * libm::pow(10.0, -snr_db / 10.0));
        }
        Ok(simulation)
    }

    /// The simulated person.
    pub fn patient(&self) -> &Patient {
        &self.model.patient
    }

    /// Values of the record as far as it has been made; complete after the last chunk.
    pub fn truth(&self) -> Truth {
        let rhythm = self.model.rhythm_label(self.request.condition.conduction);
        self.tally.truth(&self.request, self.model.axis_deg, self.noise_scale, rhythm)
    }

    /// The next frames, at most `n` of them; `None` at the end.
    ///
    /// # Errors
    /// Whatever the RR process refuses.
    pub fn next_chunk(&mut self, n: usize) -> Result<Option<Chunk>> {
        let n = n.min(self.sig_len - self.handed_out);
        if n == 0 {
            return Ok(None);
        }
        let mut eight: [Vec<f32>; 8] = std::array::from_fn(|_| Vec::with_capacity(n));
        let mut clean = eight.clone();
        let first = self.handed_out;
        while self.handed_out < first + n {
            if self.current.is_none() {
                self.current = Some(self.record_block()?);
            }
            let Some((start, noisy_block, clean_block)) = &self.current else { continue };
            let len = clean_block[0].len();
            let from = self.handed_out - start;
            let to = len.min(first + n - start);
            for lead in 0..8 {
                eight[lead].extend_from_slice(&noisy_block[lead][from..to]);
                clean[lead].extend_from_slice(&clean_block[lead][from..to]);
            }
            self.handed_out += to - from;
            if to == len {
                self.current = None;
            }
        }
        // A point belongs to the frame that it is rounded to.
        let end_s = (self.handed_out as f64 - 0.5) / self.request.fs_hz;
        let beats = take_until(&mut self.pending_beats, |beat| beat.r_s < end_s);
        let waves = take_until(&mut self.pending_waves, |wave| wave.global_s[1] < end_s);
        Ok(Some(Chunk { first, n, eight_mv: eight.concat(), clean_mv: clean.concat(), beats, waves }))
    }

    /// The next block with noise, recorder and rounding.
    fn record_block(&mut self) -> Result<(usize, [Vec<f32>; 8], [Vec<f32>; 8])> {
        let block = match self.ahead.pop_front() {
            Some(block) => block,
            None => self.render()?,
        };
        // Adding and taking away 3/2 of 2^52 rounds to a whole number, to even in the middle.
        let whole = |v: f64| (v + 6_755_399_441_055_744.0) - 6_755_399_441_055_744.0;
        let on_grid = |lead: &Vec<f64>| lead.iter().map(|v| (whole(v * GRID_PER_MV) / GRID_PER_MV) as f32).collect();
        let clean: [Vec<f32>; 8] = std::array::from_fn(|lead| on_grid(&block.clean[lead]));
        if block.noise.is_none() && self.request.recorder == Recorder::default() {
            return Ok((block.first, clean.clone(), clean));
        }
        let mut recorded = block.clean;
        if let Some(noise) = block.noise {
            for (lead, noise) in recorded.iter_mut().zip(&noise) {
                lead.iter_mut().zip(noise).for_each(|(v, n)| *v += self.noise_scale * n);
            }
        }
        self.filters.next(block.first, &mut recorded);
        Ok((block.first, std::array::from_fn(|lead| on_grid(&recorded[lead])), clean))
    }

    /// Renders the next block.
    fn render(&mut self) -> Result<Block> {
        let fs_hz = self.request.fs_hz;
        let first = self.rendered;
        let n = BLOCK.min(self.sig_len - first);
        let (start_s, end_s) = (first as f64 / fs_hz, (first + n) as f64 / fs_hz);
        self.plan_until(end_s + LOOK_AHEAD_S)?;
        let mut clean: [Vec<f64>; 8] = std::array::from_fn(|_| vec![0.0; n]);
        let mut xyz = [vec![0.0; n], vec![0.0; n], vec![0.0; n]];
        for deflection in self.active.iter().filter(|d| d.start_s < end_s && d.end_s > start_s) {
            let from = (libm::floor((deflection.start_s - start_s) * fs_hz).max(0.0) as usize).min(n);
            let to = (libm::ceil((deflection.end_s - start_s) * fs_hz).max(0.0) as usize + 1).min(n);
            draw(&self.model.waves[deflection.wave], deflection, start_s, fs_hz, from..to, &mut xyz);
            let [x, y, z] = &mut xyz;
            for (lead, row) in clean.iter_mut().zip(&deflection.rows) {
                let vector = x[from..to].iter().zip(&y[from..to]).zip(&z[from..to]);
                for (value, ((x, y), z)) in lead[from..to].iter_mut().zip(vector) {
                    *value += row[0] * x + row[1] * y + row[2] * z;
                }
            }
            [x, y, z].into_iter().for_each(|axis| axis[from..to].fill(0.0));
        }
        self.active.retain(|deflection| deflection.end_s > end_s);
        for source in &self.model.continuous {
            self.work.resize(n, 0.0);
            source.fill(first, fs_hz, &mut self.work[..n]);
            for (lead, size) in clean.iter_mut().zip(source.leads) {
                lead.iter_mut().zip(&self.work).for_each(|(value, v)| *value += size * v);
            }
        }
        let noise = self.noise.as_mut().map(|source| {
            let mut noise = Default::default();
            source.next(first, n, &mut noise);
            noise
        });
        if let Some(noise) = &noise {
            self.tally.add_power(&clean, noise);
        }
        self.rendered += n;
        Ok(Block { first, clean, noise })
    }

    /// Plans all beats until a time.
    fn plan_until(&mut self, until_s: f64) -> Result<()> {
        if !self.request.condition.has_beats() {
            return Ok(());
        }
        let mut is_new = false;
        loop {
            let beat = match self.next_beat.take() {
                Some(beat) => beat,
                None => self.planner.next()?,
            };
            if beat.r_s > until_s {
                self.next_beat = Some(beat);
                break;
            }
            let next = self.planner.next()?;
            self.place(&beat, &next);
            self.next_beat = Some(next);
            is_new = true;
        }
        if let Some([period_s, first_s]) = self.model.dissociated_p
            && let Some(p) = self.model.conducted.p
        {
            while first_s + self.dissociated as f64 * period_s < until_s {
                let at_s = first_s + self.dissociated as f64 * period_s;
                self.deflect(p, at_s, 1.0, 1.0);
                self.dissociated += 1;
                is_new = true;
            }
        }
        if is_new {
            self.pending_waves.make_contiguous().sort_by(|a, b| a.global_s[1].total_cmp(&b.global_s[1]));
        }
        Ok(())
    }

    /// Puts a beat's waves on the time axis.
    fn place(&mut self, beat: &PlannedBeat, next: &PlannedBeat) {
        let model = &self.model;
        let shape = model.beat(beat.origin).clone();
        let (qrs, t) = (shape.qrs_extent, shape.t_extent);
        let gain = if model.patient.beat_gain_sd > 0.0 {
            let mut stream = self.seed.purpose("beat").index((beat.index + 1) as u64).stream();
            1.0 + model.patient.beat_gain_sd * stream.normal()
        } else {
            1.0
        };
        let onset_s = beat.r_s + 1e-3 * qrs.onset_ms;
        let end_s = beat.r_s + 1e-3 * qrs.offset_ms;
        // A beat that follows early cuts repolarization short.
        let next_onset_s = next.r_s + 1e-3 * model.beat(next.origin).qrs_extent.onset_ms;
        let room_ms = 1e3 * (next_onset_s - end_s) - 5.0;
        let t_stretch = shape.t_stretch.min((room_ms / t.offset_ms).max(0.4));
        let is_early_p = beat.origin == Origin::AtrialEctopic;
        let p = if is_early_p { Some(model.ectopic_p) } else { model.conducted.p };
        let pulse = if beat.origin == Origin::Paced { model.pulse } else { None };
        let is_inside =
            |t_s: f64| t_s * self.request.fs_hz >= -0.5 && t_s * self.request.fs_hz < self.sig_len as f64 - 0.5;
        let peak_s = beat.r_s + 1e-3 * qrs.peak_ms;
        if is_inside(peak_s) {
            let truth = BeatTruth {
                r_s: peak_s,
                symbol: model.symbol(beat.origin),
                rr_s: beat.rr_s,
                pr_ms: beat.pr_s.filter(|_| p.is_some()).map(|pr_s| 1e3 * pr_s),
                qrs_ms: qrs.duration_ms(),
                qt_ms: qrs.duration_ms() + t_stretch * t.offset_ms,
                is_usual: matches!(
                    (beat.origin, self.model.pace.rhythm),
                    (Origin::Conducted | Origin::JunctionalEscape | Origin::VentricularEscape | Origin::Paced, _)
                        | (_, crate::simulate::dipole::condition::Rhythm::VentricularTachycardia)
                ),
            };
            self.tally.add_beat(&truth);
            self.pending_beats.push_back(truth);
        }
        if let (Some(p), Some(pr_s)) = (p, beat.pr_s) {
            for before_s in &beat.blocked_before_s {
                self.deflect(p, onset_s - pr_s - before_s, 1.0, gain);
            }
            self.deflect(p, onset_s - pr_s, 1.0, gain);
        }
        if let Some(pulse) = pulse {
            self.deflect(pulse, onset_s - 0.004, 1.0, 1.0);
        }
        self.deflect(shape.qrs, beat.r_s, 1.0, gain);
        if let Some(st) = shape.st {
            self.deflect(st, end_s, t_stretch, gain);
        }
        self.deflect(shape.t, end_s, t_stretch, gain);
    }

    /// Enters one wave, and its truth.
    fn deflect(&mut self, wave: usize, at_s: f64, stretch: f64, gain: f64) {
        let model = &self.model.waves[wave];
        let [rate_hz, phase, depth_rad] = self.model.patient.breathing;
        // The diaphragm pulls the heart upright: a turn in the frontal plane and half as much around the long axis.
        let breath = depth_rad * libm::sin(std::f64::consts::TAU * (rate_hz * at_s + phase));
        let mut rows = match depth_rad > 0.0 && matches!(model.form, Form::Kernels(_)) {
            true => eight_rows(&self.model.field, &rotation([0.0, 0.5 * breath, breath])),
            false => self.model.field,
        };
        rows.iter_mut().flatten().for_each(|v| *v *= gain);
        let (start_ms, end_ms) = match &model.form {
            Form::Kernels(_) => {
                let start_ms = model.template.start_ms;
                (stretch * start_ms, stretch * (start_ms + model.template.xyz[0].len() as f64))
            }
            Form::Line(corners, _) => (corners[0].0, corners[corners.len() - 1].0),
            Form::Pulse { width_ms, .. } => (-2.0, width_ms + 2.0),
        };
        if let (Some(name), Some(extent)) = (model.wave, &model.extent) {
            let times = |extent: &Extent| {
                [extent.onset_ms, extent.peak_ms, extent.offset_ms].map(|t_ms| at_s + 1e-3 * stretch * t_ms)
            };
            let global_s = times(extent);
            // Waves that peak outside leave no truth; half a point is what rounding allows.
            let end_s = (self.sig_len as f64 - 0.5) / self.request.fs_hz;
            if global_s[1] >= -0.5 / self.request.fs_hz && global_s[1] < end_s {
                let twelve = twelve_rows(&rows);
                let is_line = matches!(model.form, Form::Line(..));
                let leads_s = std::array::from_fn(|lead| {
                    let seen = if is_line {
                        Some(Extent { peak_mv: extent.peak_mv * twelve[lead][0].abs(), ..*extent })
                    } else {
                        model.template.extent_in(twelve[lead], &mut self.work)
                    };
                    seen.filter(|extent| extent.peak_mv >= VISIBLE_MV).map(|extent| times(&extent))
                });
                self.pending_waves.push_back(WaveTruth { wave: name, global_s, leads_s });
            }
        }
        let (start_s, end_s) = (at_s + 1e-3 * start_ms, at_s + 1e-3 * end_ms);
        if end_s > 0.0 {
            self.active.push(Deflection { wave, at_s, stretch, rows, start_s, end_s });
        }
    }
}

/// Adds a wave's vector to the part `range` of a block that starts at `start_s`.
fn draw(
    model: &WaveModel,
    deflection: &Deflection,
    start_s: f64,
    fs_hz: f64,
    range: std::ops::Range<usize>,
    xyz: &mut [Vec<f64>; 3],
) {
    let Deflection { at_s, stretch, .. } = *deflection;
    match &model.form {
        Form::Kernels(group) => {
            for kernel in &group.kernels {
                let center_s = at_s - start_s + 1e-3 * stretch * kernel.at_ms;
                for (axis, &mv) in xyz.iter_mut().zip(&kernel.mv).filter(|(_, mv)| **mv != 0.0) {
                    add_wave(axis, fs_hz, center_s, 1e-3 * stretch * kernel.sd_ms, mv);
                }
            }
        }
        Form::Line(corners, mv) => {
            for k in range {
                xyz[0][k] += mv * calibration::line(corners, 1e3 * (start_s + k as f64 / fs_hz - at_s));
            }
        }
        Form::Pulse { width_ms, mv } => {
            // Each point is the mean over its own time, as a recorder that integrates gives it.
            let (from, to) = ((at_s - start_s) * fs_hz, (at_s - start_s + 1e-3 * width_ms) * fs_hz);
            for k in range {
                let covered = (to.min(k as f64 + 0.5) - from.max(k as f64 - 0.5)).clamp(0.0, 1.0);
                (0..3).for_each(|axis| xyz[axis][k] += covered * mv[axis]);
            }
        }
    }
}

/// Takes the leading elements that satisfy a condition.
fn take_until<T>(queue: &mut VecDeque<T>, is_inside: impl Fn(&T) -> bool) -> Vec<T> {
    let n = queue.iter().take_while(|item| is_inside(item)).count();
    queue.drain(..n).collect()
}

/// A whole record in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedEcg {
    /// Sampling rate, Hz.
    pub fs_hz: f64,
    /// Points of a lead.
    pub sig_len: usize,
    /// Twelve leads in the standard order as recorded, `[12, time]`, mV.
    pub ecg_mv: Vec<f32>,
    /// The same without noise and recorder.
    pub clean_mv: Vec<f32>,
    /// Beats in the order of time.
    pub beats: Vec<BeatTruth>,
    /// Waves in the order of their peaks.
    pub waves: Vec<WaveTruth>,
    /// Values of the record.
    pub truth: Truth,
    /// The simulated person.
    pub patient: Patient,
}

impl SimulatedEcg {
    /// Simulates a record.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn draw(request: &Request, seed: Seed) -> Result<SimulatedEcg> {
        let mut simulation = Simulation::new(request, seed)?;
        let chunk = simulation.next_chunk(request.sig_len())?.unwrap_or_default();
        Ok(SimulatedEcg {
            fs_hz: request.fs_hz,
            sig_len: chunk.n,
            ecg_mv: twelve_from_eight(&chunk.eight_mv),
            clean_mv: twelve_from_eight(&chunk.clean_mv),
            beats: chunk.beats,
            waves: chunk.waves,
            truth: simulation.truth(),
            patient: simulation.model.patient,
        })
    }
}
