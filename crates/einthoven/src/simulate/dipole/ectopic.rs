//! Beats that begin in a ventricle: they spread from muscle to muscle, so QRS is wide and ST and T point the other way.

use crate::seed::Stream;
use crate::simulate::dipole::kernel::{Group, Kernel};
use crate::simulate::dipole::shape::{Shape, st_segment, t_wave};

/// Where in the ventricles a beat begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    /// Apex of the right ventricle, where pacing leads lie: left bundle branch pattern, superior axis.
    RightApex,
    /// Outflow tract of the right ventricle: left bundle branch pattern, inferior axis.
    RightOutflow,
    /// Free wall of the left ventricle: right bundle branch pattern, right axis.
    LeftLateral,
    /// Inferior septum, left side: right bundle branch pattern, superior axis.
    LeftInferior,
}

impl Focus {
    const ALL: [Focus; 4] = [Focus::RightOutflow, Focus::LeftLateral, Focus::RightApex, Focus::LeftInferior];

    /// Distinct foci in random order.
    pub fn draw(n: usize, stream: &mut Stream) -> Vec<Focus> {
        stream.permutation(Focus::ALL.len()).into_iter().take(n).map(|k| Focus::ALL[k]).collect()
    }

    /// Vector of the main deflection, mV.
    fn main(self) -> [f64; 3] {
        match self {
            Focus::RightApex => [0.70, -0.85, 0.75],
            Focus::RightOutflow => [0.40, 1.05, 0.55],
            Focus::LeftLateral => [-0.95, 0.25, -0.65],
            Focus::LeftInferior => [-0.10, -0.95, -0.90],
        }
    }
}

/// A beat from a focus, with no P wave. Direction and height vary between patients.
pub(super) fn ectopic(focus: Focus, stream: &mut Stream) -> Shape {
    let height = stream.uniform_in(0.9, 1.25);
    let main = focus.main().map(|v| height * (v + 0.08 * stream.normal()));
    let late = main.map(|v| 0.7 * v + 0.08 * stream.normal());
    let early = main.map(|v| 0.3 * v + 0.05 * stream.normal());
    Shape {
        p: Group::default(),
        qrs: Group::new(vec![
            Kernel::new(-42.0, 14.0, early),
            Kernel::new(-8.0, 17.0, main),
            Kernel::new(30.0, 16.0, late),
        ]),
        st: st_segment(main.map(|v| -0.10 * v)),
        t: t_wave(main.map(|v| -0.42 * v)),
    }
}
