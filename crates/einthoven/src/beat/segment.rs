//! Beats cut out of a lead, and the RR intervals around them.

/// Where a beat's window lies around its R annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Points before the R annotation, which is therefore at this index of the window.
    pub before: usize,
    /// Points in all.
    pub sig_len: usize,
}

impl Window {
    /// 256 points with the R annotation in the middle: 0.36 s before and 0.35 s after at 360 Hz.
    pub const BEAT: Window = Window { before: 128, sig_len: 256 };

    /// The window around `r_index`, or `None` if it crosses an edge of the lead.
    pub fn cut<'a>(&self, lead: &'a [f32], r_index: i64) -> Option<&'a [f32]> {
        let start = usize::try_from(r_index.checked_sub(i64::try_from(self.before).ok()?)?).ok()?;
        lead.get(start..start.checked_add(self.sig_len)?)
    }
}

/// RR interval before and after each beat in seconds.
///
/// `r_index` are the beats of one record in order of time, whatever their class: an ectopic beat ends
/// the interval of its neighbour. The first beat has no interval before and takes the one after, the
/// last one the other way round; a single beat has none and gets NaN. Stretches without annotated
/// beats, such as ventricular flutter, show as long intervals.
pub fn rr_s(r_index: &[i64], fs_hz: f64) -> Vec<[f32; 2]> {
    let gap = |k: usize| ((r_index[k + 1] - r_index[k]) as f64 / fs_hz) as f32;
    let n = r_index.len();
    (0..n)
        .map(|k| match (k > 0, k + 1 < n) {
            (true, true) => [gap(k - 1), gap(k)],
            (true, false) => [gap(k - 1); 2],
            (false, true) => [gap(k); 2],
            (false, false) => [f32::NAN; 2],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_holds_the_annotation_at_before_and_never_crosses_an_edge() {
        let lead: Vec<f32> = (0..1000).map(|t| t as f32).collect();
        let beat = Window::BEAT.cut(&lead, 500).expect("inside");
        assert_eq!((beat.len(), beat[128]), (256, 500.0));
        assert!(Window::BEAT.cut(&lead, 128).is_some() && Window::BEAT.cut(&lead, 872).is_some());
        for outside in [127, 873, -1, i64::MIN, i64::MAX] {
            assert!(Window::BEAT.cut(&lead, outside).is_none(), "{outside}");
        }
    }

    #[test]
    fn rr_intervals_are_before_and_after_and_ends_take_the_one_they_have() {
        assert_eq!(rr_s(&[0, 360, 540], 360.0), [[1.0, 1.0], [1.0, 0.5], [0.5, 0.5]]);
        assert!(rr_s(&[7], 360.0)[0][0].is_nan());
        assert!(rr_s(&[], 360.0).is_empty());
    }
}
