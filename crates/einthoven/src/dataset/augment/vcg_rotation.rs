//! Another position of the heart in the chest.

use serde_json::{Value, json};

use super::{Augmentation, Item};
use crate::error::Result;
use crate::record::lead_law::EIGHT;
use crate::record::vcg::{DOWER, INVERSE_DOWER};
use crate::seed::Stream;

/// Turns and stretches the vectorcardiogram, for items with I, II and V1 to V6.
///
/// # Differs from the paper
/// The paper replaces the leads by those of the changed vector, and so loses what no vector explains.
/// Here the change of the vector's leads is added to the leads, so that no rotation is no change. The
/// default angles are smaller than the paper's 45 degrees, which turn a normal axis into a deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VcgRotation {
    /// Largest angle around each axis, degrees.
    pub max_angle_deg: f64,
    /// Largest factor by which an axis is stretched; its inverse is the smallest.
    pub max_stretch: f64,
}

impl VcgRotation {
    /// At most 15 degrees and a tenth.
    pub const DEFAULT: VcgRotation = VcgRotation { max_angle_deg: 15.0, max_stretch: 1.1 };

    /// The drawn change of the vector, minus no change.
    fn change(&self, stream: &mut Stream) -> [[f64; 3]; 3] {
        let mut matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        for axis in 0..3 {
            let angle = stream.uniform_in(-self.max_angle_deg, self.max_angle_deg).to_radians();
            let (sine, cosine) = libm::sincos(angle);
            let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
            for row in &mut matrix {
                (row[a], row[b]) = (cosine * row[a] - sine * row[b], sine * row[a] + cosine * row[b]);
            }
        }
        let most = libm::log(self.max_stretch);
        for (axis, row) in matrix.iter_mut().enumerate() {
            let stretch = libm::exp(stream.uniform_in(-most, most));
            row.iter_mut().for_each(|value| *value *= stretch);
            row[axis] -= 1.0;
        }
        matrix
    }
}

impl Augmentation for VcgRotation {
    fn name(&self) -> &'static str {
        "vcg-rotation"
    }

    fn summary(&self) -> &'static str {
        "turns and stretches the heart's vector; needs I, II and V1 to V6"
    }

    fn reference(&self) -> &'static str {
        "Gopal et al., 3KG: contrastive learning of 12-lead electrocardiograms using physiologically-inspired augmentations, ML4H 2021"
    }

    fn settings(&self) -> Value {
        json!({ "max_angle_deg": self.max_angle_deg, "max_stretch": self.max_stretch })
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let places = item.pool.lead_places(&EIGHT)?;
        let change = self.change(stream);
        let n = item.pool.sig_len();
        for t in 0..n {
            let leads: [f64; 8] = std::array::from_fn(|lead| f64::from(ecg[places[lead] * n + t]));
            let vector: [f64; 3] =
                std::array::from_fn(|axis| INVERSE_DOWER[axis].iter().zip(&leads).map(|(w, x)| w * x).sum());
            let moved: [f64; 3] =
                std::array::from_fn(|axis| change[axis].iter().zip(&vector).map(|(w, v)| w * v).sum());
            for (place, row) in places.iter().zip(&DOWER) {
                ecg[place * n + t] += row.iter().zip(&moved).map(|(w, v)| w * v).sum::<f64>() as f32;
            }
        }
        Ok(())
    }
}
