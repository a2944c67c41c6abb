//! Infarction by territory and age, and ischemia.
//!
//! Injury current points from the heart's center to the injured wall, so leads over it show ST elevation and opposite
//! leads depression; dead muscle adds nothing, so the early vector points away from it (Q waves, lost R); T waves turn
//! away from the wall as it heals.

use crate::seed::Stream;
use crate::simulate::dipole::kernel::{Group, Kernel};
use crate::simulate::dipole::shape::{Shape, st_segment, t_wave};

/// Wall of the left ventricle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Territory {
    /// V1 to V4.
    Anterior,
    /// II, III and aVF.
    Inferior,
    /// I, aVL, V5 and V6.
    Lateral,
    /// Opposite V1 to V3.
    Posterior,
}

/// Age of an infarction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Hours: ST elevation, tall T, no Q yet.
    Acute,
    /// Days: Q waves, falling ST, inverted T.
    Subacute,
    /// Months: Q waves alone, flat T.
    Old,
}

impl Territory {
    /// Unit vector from the heart's center to the wall.
    fn direction(self) -> [f64; 3] {
        match self {
            Territory::Anterior => [0.30, -0.16, -0.94],
            Territory::Inferior => [-0.36, 0.93, 0.10],
            Territory::Lateral => [0.89, -0.42, 0.15],
            Territory::Posterior => [0.05, 0.15, 0.99],
        }
    }

    /// Frontal axes that go with the loss of this wall, degrees.
    pub(super) fn axis_deg(self) -> [f64; 2] {
        match self {
            Territory::Anterior => [15.0, 65.0],
            Territory::Inferior => [-25.0, 30.0],
            Territory::Lateral => [55.0, 88.0],
            Territory::Posterior => [20.0, 70.0],
        }
    }

    /// Early kernels that point away from dead muscle, for an infarction of full size.
    fn dead_zone(self) -> Kernel {
        match self {
            Territory::Anterior => Kernel::new(-21.0, 7.5, [-0.10, 0.05, 0.30]),
            Territory::Inferior => Kernel::new(-21.0, 7.5, [0.05, -0.62, 0.0]),
            Territory::Lateral => Kernel::new(-21.0, 7.5, [-0.55, 0.20, 0.0]),
            Territory::Posterior => Kernel::new(2.0, 9.0, [0.0, 0.0, -0.50]),
        }
    }
}

/// Changes a conducted beat into that of an infarction.
pub(super) fn add_infarction(shape: &mut Shape, territory: Territory, age: Age, stream: &mut Stream) {
    let direction = territory.direction();
    let along = |mv: f64| direction.map(|v| mv * v);
    let st_mv = stream.uniform_in(0.16, 0.34);
    let (st, t, dead) = match age {
        Age::Acute => (st_mv, stream.uniform_in(0.15, 0.40), 0.0),
        Age::Subacute => (0.35 * st_mv, stream.uniform_in(-0.95, -0.70), stream.uniform_in(0.8, 1.1)),
        Age::Old => (0.0, stream.uniform_in(-0.55, -0.40), stream.uniform_in(0.9, 1.2)),
    };
    shape.st.kernels.extend(st_segment(along(st)).kernels);
    shape.t.kernels.extend(t_wave(along(t)).kernels);
    if dead > 0.0 {
        remove_forces(&mut shape.qrs, territory);
        let mut kernel = territory.dead_zone();
        kernel.mv = kernel.mv.map(|v| dead * v);
        shape.qrs.kernels.push(kernel);
    }
}

/// Takes away what the dead muscle contributed.
fn remove_forces(qrs: &mut Group, territory: Territory) {
    for kernel in &mut qrs.kernels {
        let is_early = kernel.at_ms < -5.0;
        match territory {
            Territory::Anterior => {
                kernel.mv[2] = kernel.mv[2].max(0.0);
                kernel.mv[0] *= if is_early { 0.55 } else { 0.9 };
            }
            Territory::Inferior => kernel.mv[1] *= if is_early { 0.5 } else { 0.85 },
            Territory::Lateral => kernel.mv[0] *= if is_early { 0.45 } else { 0.7 },
            Territory::Posterior => kernel.mv[2] *= if kernel.mv[2] > 0.0 { 0.35 } else { 1.0 },
        }
    }
}

/// Ischemia of the inner layer: ST depression over the apex and the lateral wall, elevation in aVR, flat or inverted T.
pub(super) fn add_ischemia(shape: &mut Shape, stream: &mut Stream) {
    let depth_mv = stream.uniform_in(0.14, 0.26);
    shape.st.kernels.extend(st_segment([-0.72, -0.55, 0.42].map(|v| depth_mv * v)).kernels);
    let t = stream.uniform_in(0.35, 0.65);
    shape.t.kernels.extend(t_wave([-0.75, -0.2, 0.62].map(|v| t * v)).kernels);
}
