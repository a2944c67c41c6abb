//! Local maxima with their prominence.

/// A local maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Where it is; the middle of a flat top, rounded down.
    pub index: usize,
    /// How far one must descend from it before reaching a higher point.
    pub prominence: f64,
}

/// What a peak must be to be found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeakFinder {
    /// Least height.
    pub height: f64,
    /// Least distance to a higher peak, points; 1 for none.
    pub distance: usize,
    /// Least prominence.
    pub prominence: f64,
}

impl Default for PeakFinder {
    fn default() -> PeakFinder {
        PeakFinder { height: f64::NEG_INFINITY, distance: 1, prominence: 0.0 }
    }
}

impl PeakFinder {
    /// Peaks in order of time. Heights are asked for first, then distances, then prominences.
    ///
    /// # Reference
    /// `scipy.signal.find_peaks`; of equal heights too close to each other the later one stays.
    pub fn find(&self, x: &[f64]) -> Vec<Peak> {
        let mut peaks: Vec<usize> = local_maxima(x).into_iter().filter(|&i| x[i] >= self.height).collect();
        if self.distance > 1 {
            let mut order: Vec<usize> = (0..peaks.len()).collect();
            order.sort_by(|&a, &b| x[peaks[b]].total_cmp(&x[peaks[a]]).then(b.cmp(&a)));
            let mut is_kept = vec![true; peaks.len()];
            for k in order {
                if is_kept[k] {
                    let near = |other: &usize| peaks[*other].abs_diff(peaks[k]) < self.distance;
                    (0..k).rev().take_while(near).for_each(|other| is_kept[other] = false);
                    (k + 1..peaks.len()).take_while(near).for_each(|other| is_kept[other] = false);
                }
            }
            peaks = peaks.into_iter().zip(is_kept).filter(|(_, kept)| *kept).map(|(i, _)| i).collect();
        }
        let with_prominence = peaks.into_iter().map(|index| Peak { index, prominence: prominence(x, index) });
        with_prominence.filter(|peak| peak.prominence >= self.prominence).collect()
    }
}

/// Points, or middles of flat tops, higher than both neighbors; never an end of the signal.
fn local_maxima(x: &[f64]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut i = 1;
    while i + 1 < x.len() {
        let mut end = i;
        if x[i] > x[i - 1] {
            while end + 1 < x.len() && x[end + 1] == x[i] {
                end += 1;
            }
            if end + 1 < x.len() && x[end + 1] < x[i] {
                found.push((i + end) / 2);
            }
        }
        i = end + 1;
    }
    found
}

fn prominence(x: &[f64], peak: usize) -> f64 {
    let lowest =
        |side: &mut dyn Iterator<Item = &f64>| side.take_while(|v| **v <= x[peak]).fold(x[peak], |low, v| low.min(*v));
    let (left, right) = (lowest(&mut x[..peak].iter().rev()), lowest(&mut x[peak + 1..].iter()));
    x[peak] - left.max(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tops_ends_and_prominences_are_as_one_reads_them_off() {
        let x = [0.0, 2.0, 1.0, 3.0, 3.0, 3.0, 0.5, 1.0, 0.0, 5.0];
        let found = PeakFinder::default().find(&x);
        let expected = [(1, 1.0), (4, 3.0), (7, 0.5)];
        assert_eq!(found.iter().map(|p| (p.index, p.prominence)).collect::<Vec<_>>(), expected);
        let index = |finder: PeakFinder| finder.find(&x).iter().map(|p| p.index).collect::<Vec<_>>();
        assert_eq!(index(PeakFinder { distance: 4, ..Default::default() }), [4]);
        assert_eq!(index(PeakFinder { height: 1.5, ..Default::default() }), [1, 4]);
        assert_eq!(index(PeakFinder { prominence: 0.9, ..Default::default() }), [1, 4]);
        assert!(PeakFinder::default().find(&[1.0, 2.0]).is_empty());
        assert!(PeakFinder::default().find(&[]).is_empty());
    }
}
