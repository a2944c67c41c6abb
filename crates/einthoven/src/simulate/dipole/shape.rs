//! The shapes of a beat that begins in the atria: normal conduction, bundle branch block, fascicular block,
//! pre-excitation and hypertrophy.
//!
//! X is left, Y down, Z back; kernels of QRS count from R, those of ST and T from the end of QRS. Heights and times
//! follow the textbook description of each pattern; the pictures they make were looked at lead by lead.

use crate::simulate::dipole::kernel::{Extent, Group, Kernel, Part, adult};
use crate::simulate::dipole::lead_field::Matrix;

/// The ventricular part of a beat, and the P wave before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    /// P wave, from its own onset.
    pub p: Group,
    /// QRS, from R.
    pub qrs: Group,
    /// ST segment, from the end of QRS; stretched with the T wave. It is no wave of its own.
    pub st: Group,
    /// T wave, from the end of QRS.
    pub t: Group,
}

/// Conduction from the atria to the ventricles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduction {
    /// Left bundle branch block.
    LeftBundleBranchBlock,
    /// Right bundle branch block.
    RightBundleBranchBlock,
    /// Left anterior fascicular block.
    LeftAnteriorFascicularBlock,
    /// Pre-excitation over an accessory pathway.
    PreExcitation,
}

/// Widest T kernel: the table's wider ones would let the T wave begin inside QRS.
const WIDEST_T_MS: f64 = 40.0;
/// End of the table's QRS, from which its T wave is counted here.
const TABLE_J_MS: f64 = 32.0;
/// Share of the table's T wave, whose 0.9 mV in V2 is at the upper end of normal.
const T_SHARE: f64 = 0.68;
/// Widest kernels elsewhere; the table has none that is wider in P or QRS.
const NO_LIMIT_MS: f64 = 1000.0;

impl Shape {
    /// The normal adult.
    pub fn normal() -> Shape {
        let mut t = adult(Part::T, WIDEST_T_MS);
        t.shift(-TABLE_J_MS);
        // In II the table's T has a tenth of a millivolt, where 0.2 to 0.4 is normal.
        t.scale([T_SHARE, 2.0 * T_SHARE, T_SHARE]);
        Shape { p: sinus_p(), qrs: adult(Part::Qrs, NO_LIMIT_MS), st: Group::default(), t }
    }

    /// A conduction disturbance; `None` is normal conduction.
    pub fn conducted(conduction: Option<Conduction>) -> Shape {
        let normal = Shape::normal();
        match conduction {
            None => normal,
            Some(Conduction::LeftBundleBranchBlock) => Shape {
                qrs: Group::new(vec![
                    Kernel::new(-45.0, 12.0, [0.16, 0.05, -0.12]),
                    Kernel::new(-18.0, 15.0, [0.85, 0.25, 0.35]),
                    Kernel::new(12.0, 15.0, [0.50, 0.10, 0.75]),
                    Kernel::new(40.0, 14.0, [0.80, -0.05, 0.45]),
                ]),
                st: st_segment([-0.10, -0.01, -0.13]),
                t: t_wave([-0.34, -0.06, -0.34]),
                ..normal
            },
            Some(Conduction::RightBundleBranchBlock) => {
                let mut qrs = normal.qrs;
                qrs.scale([0.9, 1.0, 0.9]);
                qrs.kernels.push(Kernel::new(48.0, 13.0, [-0.27, 0.02, -0.50]));
                qrs.kernels.push(Kernel::new(66.0, 13.0, [-0.20, 0.04, -0.37]));
                Shape { qrs, t: t_wave([0.32, 0.12, 0.16]), ..normal }
            }
            Some(Conduction::LeftAnteriorFascicularBlock) => {
                let mut qrs = adult(Part::Qrs, NO_LIMIT_MS);
                qrs.kernels.retain(|kernel| kernel.mv[1] == 0.0);
                qrs.kernels.push(Kernel::new(-22.0, 7.0, [0.0, 0.30, 0.0]));
                qrs.kernels.push(Kernel::new(8.0, 11.0, [0.0, -0.85, 0.0]));
                Shape { qrs, ..normal }
            }
            Some(Conduction::PreExcitation) => {
                let mut qrs = normal.qrs;
                qrs.shift(24.0);
                qrs.kernels.push(Kernel::new(-24.0, 15.0, [0.26, 0.14, -0.20]));
                qrs.kernels.push(Kernel::new(-4.0, 11.0, [0.20, 0.10, -0.16]));
                Shape { qrs, st: st_segment([-0.04, -0.03, 0.02]), t: t_wave([0.06, 0.02, -0.12]), ..normal }
            }
        }
    }

    /// Enlargement of the left ventricle with strain.
    pub fn add_left_hypertrophy(&mut self, degree: f64) {
        self.qrs.scale([degree, 0.5 + 0.5 * degree, degree]);
        self.st = st_segment([-0.08, -0.03, -0.07]);
        self.t = t_wave([-0.24, -0.08, -0.30]);
    }

    /// Enlargement of the right ventricle with strain.
    pub fn add_right_hypertrophy(&mut self, degree: f64) {
        self.qrs = Group::new(vec![
            Kernel::new(-20.0, 7.0, [0.12, 0.10, -0.25]),
            Kernel::new(-2.0, 8.0, [0.40, 0.45, -0.65]),
            Kernel::new(20.0, 10.0, [-0.55, 0.25, -0.40]),
        ]);
        self.qrs.scale([degree, degree, degree]);
        self.st = st_segment([0.03, -0.02, 0.05]);
        self.t = t_wave([0.28, 0.06, 0.30]);
    }

    /// Turns and scales everything as this patient's heart lies in this patient's chest.
    pub fn place(&mut self, gains: [f64; 3], rotation: &Matrix) {
        for group in [&mut self.p, &mut self.qrs, &mut self.st, &mut self.t] {
            group.scale(gains);
            group.turn(rotation);
        }
    }

    /// Stretches QRS to a duration and returns its boundaries.
    pub fn fit_qrs(&mut self, duration_ms: f64) -> Option<Extent> {
        let natural = self.qrs.template().extent()?;
        self.qrs.stretch(duration_ms / natural.duration_ms());
        // Exactly what the stretched kernels give on their own grid, which the truth is read from.
        self.qrs.template().extent()
    }

    /// Stretches P to a duration and puts its onset at 0.
    pub fn fit_p(&mut self, duration_ms: f64) {
        if let Some(natural) = self.p.template().extent() {
            self.p.stretch(duration_ms / natural.duration_ms());
        }
        if let Some(fitted) = self.p.template().extent() {
            self.p.shift(-fitted.onset_ms);
        }
    }
}

/// The table's P wave, weaker along Z, and one kernel more: the table's alone has 0.08 mV in II, where 0.1 to 0.2 is
/// normal, and 0.3 in V2.
pub(super) fn sinus_p() -> Group {
    let mut p = adult(Part::P, NO_LIMIT_MS);
    p.scale([1.0, 1.0, 0.5]);
    p.kernels.push(Kernel::new(-154.0, 16.0, [0.02, 0.075, 0.02]));
    p
}

/// The P wave of a focus low in the atria: it runs upward, so it is negative in the inferior leads.
pub(super) fn low_atrial_p() -> Group {
    Group::new(vec![Kernel::new(40.0, 15.0, [0.03, -0.10, -0.03]), Kernel::new(62.0, 14.0, [0.02, -0.06, 0.03])])
}

/// A T wave of the given main vector: rises slowly and falls fast.
pub(super) fn t_wave(mv: [f64; 3]) -> Group {
    let part = |share: f64| mv.map(|v| share * v);
    Group::new(vec![Kernel::new(150.0, 36.0, part(0.5)), Kernel::new(195.0, 28.0, part(0.75))])
}

/// An ST segment that leaves the end of QRS at the given vector and fades into the T wave.
pub(super) fn st_segment(mv: [f64; 3]) -> Group {
    let part = |share: f64| mv.map(|v| share * v);
    Group::new(vec![
        Kernel::new(10.0, 14.0, part(0.55)),
        Kernel::new(45.0, 25.0, part(0.67)),
        Kernel::new(90.0, 35.0, part(0.60)),
        Kernel::new(130.0, 35.0, part(0.33)),
    ])
}
