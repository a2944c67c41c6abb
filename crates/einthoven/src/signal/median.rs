//! The running median.

/// What lies beyond the ends of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Zeros, as in `scipy.signal.medfilt`.
    Zeros,
    /// The first and the last value, as in `scipy.ndimage.median_filter` with mode `nearest`.
    Nearest,
}

/// Median of the `width` points around each point. An even width is raised by one.
///
/// The window is kept sorted, so that a wide one costs little more than a narrow one.
pub fn median_filter(x: &[f64], width: usize, edge: Edge) -> Vec<f64> {
    let Some(last) = x.len().checked_sub(1) else { return Vec::new() };
    let half = width / 2;
    let at = |place: usize| {
        // Places are counted from `half` points before the signal.
        let is_inside = (half..half + x.len()).contains(&place);
        match edge {
            Edge::Zeros if !is_inside => 0.0,
            _ => x[place.saturating_sub(half).min(last)],
        }
    };
    let mut window: Vec<f64> = (0..2 * half + 1).map(at).collect();
    window.sort_unstable_by(f64::total_cmp);
    let mut out = Vec::with_capacity(x.len());
    out.push(window[half]);
    for i in 1..x.len() {
        let (leaving, entering) = (at(i - 1), at(i + 2 * half));
        if leaving.total_cmp(&entering).is_ne() {
            // The leaving value was put in before, so it is found.
            window.remove(window.partition_point(|v| v.total_cmp(&leaving).is_lt()));
            window.insert(window.partition_point(|v| v.total_cmp(&entering).is_lt()), entering);
        }
        out.push(window[half]);
    }
    out
}

/// Median of a sample; NaN without values.
pub fn median(x: &[f64]) -> f64 {
    if x.is_empty() {
        return f64::NAN;
    }
    let mut sorted = x.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    0.5 * (sorted[(n - 1) / 2] + sorted[n / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn agrees_with_sorting_each_window() {
        let mut stream = Seed::new(1).stream();
        let x: Vec<f64> = (0..80).map(|_| (4.0 * stream.normal()).round()).collect();
        for width in [1, 2, 3, 7, 31, 99] {
            for edge in [Edge::Zeros, Edge::Nearest] {
                let half = (width / 2) as i64;
                let slow: Vec<f64> = (0..80i64)
                    .map(|i| {
                        let value = |j: i64| match edge {
                            Edge::Zeros if !(0..80).contains(&j) => 0.0,
                            _ => x[j.clamp(0, 79) as usize],
                        };
                        median(&(i - half..=i + half).map(value).collect::<Vec<f64>>())
                    })
                    .collect();
                assert_eq!(median_filter(&x, width, edge), slow, "{width} {edge:?}");
            }
        }
        assert!(median_filter(&[], 3, Edge::Zeros).is_empty());
    }
}
