//! Dynamic time warping: the distance of two series whose clocks run differently.

use crate::error::{Error, Result};

/// Limits on the warping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DtwOptions {
    /// How far the clocks may be apart, beyond the difference in length; unlimited when `None`.
    pub window: Option<usize>,
    /// Points that may be skipped at each end of either series.
    pub skip: usize,
}

/// Root of the least sum of squared distances along a warping of two series, `[time, dim]` each.
///
/// With lengths r and c and window w, points i and j may meet when
/// `i - max(0, r - c) - w < j < i + max(0, c - r) + w`.
/// # Errors
/// [`Error::Data`] for an empty series or one that is not whole points of `dim`, and when the window is
/// 0, so that no points may meet.
/// # Reference
/// Sakoe and Chiba 1978, the symmetric form without slope weights; conventions of `dtaidistance`.
pub fn dtw(a: &[f64], b: &[f64], dim: usize, options: DtwOptions) -> Result<f64> {
    Ok(Table::new(a, b, dim, options)?.best().0)
}

/// The pairs of points that meet on the best warping, from the first to the last.
///
/// # Errors
/// As [`dtw`].
pub fn dtw_path(a: &[f64], b: &[f64], dim: usize, options: DtwOptions) -> Result<Vec<(usize, usize)>> {
    let table = Table::new(a, b, dim, options)?;
    let (_, (mut i, mut j)) = table.best();
    let mut path = vec![(i, j)];
    loop {
        let at = |i: usize, j: usize| table.sum[i * table.width + j];
        // Places in the table are one above the points, row and column 0 being the start.
        let (diagonal, up, left) = (at(i, j), at(i, j + 1), at(i + 1, j));
        let least = diagonal.min(up).min(left);
        if least == diagonal {
            if i == 0 || j == 0 {
                break;
            }
            (i, j) = (i - 1, j - 1);
        } else if least == up {
            if i == 0 {
                break;
            }
            i -= 1;
        } else {
            if j == 0 {
                break;
            }
            j -= 1;
        }
        path.push((i, j));
    }
    path.reverse();
    Ok(path)
}

/// Least sums up to each pair of points, `[a + 1, b + 1]`.
struct Table {
    sum: Vec<f64>,
    width: usize,
    skip: usize,
}

impl Table {
    fn new(a: &[f64], b: &[f64], dim: usize, options: DtwOptions) -> Result<Table> {
        for (name, series) in [("first series", a), ("second series", b)] {
            if dim == 0 || series.is_empty() || !series.len().is_multiple_of(dim) {
                let reason = format!("{} values, expected whole points of {dim}", series.len());
                return Err(Error::data(name, reason));
            }
        }
        if options.window == Some(0) {
            return Err(Error::data("window", "0, expected at least 1"));
        }
        let (r, c) = (a.len() / dim, b.len() / dim);
        let skip = options.skip.min(r.min(c) - 1);
        let width = c + 1;
        let mut sum = vec![f64::INFINITY; (r + 1) * width];
        sum[..=skip].fill(0.0);
        (0..=skip).for_each(|i| sum[i * width] = 0.0);
        for i in 0..r {
            let (from, to) = match options.window {
                None => (0, c),
                Some(w) => (
                    (i + 1).saturating_sub(r.saturating_sub(c) + w),
                    (i + c.saturating_sub(r)).saturating_add(w).min(c),
                ),
            };
            for j in from..to {
                let (x, y) = (&a[i * dim..(i + 1) * dim], &b[j * dim..(j + 1) * dim]);
                let squared: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
                let before = sum[i * width + j].min(sum[i * width + j + 1]).min(sum[(i + 1) * width + j]);
                sum[(i + 1) * width + j + 1] = squared + before;
            }
        }
        Ok(Table { sum, width, skip })
    }

    /// Distance, and the pair of points at which the best warping ends.
    fn best(&self) -> (f64, (usize, usize)) {
        let (r, c) = (self.sum.len() / self.width - 1, self.width - 1);
        let ends = (0..=self.skip).flat_map(|k| [(r - k, c), (r, c - k)]);
        let at = |&(i, j): &(usize, usize)| self.sum[i * self.width + j];
        let (i, j) = ends.min_by(|x, y| at(x).total_cmp(&at(y))).unwrap_or((r, c));
        (at(&(i, j)).sqrt(), (i - 1, j - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_copy_is_at_no_distance() {
        let a = [0.0, 1.0, 3.0, 1.0, 0.0];
        let slow: Vec<f64> = a.iter().flat_map(|v| [*v, *v]).collect();
        assert_eq!(dtw(&a, &slow, 1, DtwOptions::default()).unwrap(), 0.0);
        let path = dtw_path(&a, &slow, 1, DtwOptions::default()).unwrap();
        assert_eq!((path[0], *path.last().unwrap()), ((0, 0), (4, 9)));
        assert!(path.iter().all(|&(i, j)| a[i] == slow[j]));
    }

    #[test]
    fn window_of_one_is_the_plain_distance_and_skipping_drops_ends() {
        let (a, b) = ([1.0, 2.0, 4.0], [0.0, 2.0, 2.0]);
        let strict = DtwOptions { window: Some(1), skip: 0 };
        assert_eq!(dtw(&a, &b, 1, strict).unwrap(), 5.0_f64.sqrt());
        let skip = DtwOptions { window: None, skip: 1 };
        assert_eq!(dtw(&[9.0, 1.0, 2.0], &[1.0, 2.0], 1, skip).unwrap(), 0.0);
        assert!(dtw(&[], &a, 1, strict).is_err());
        assert!(dtw(&a, &b, 2, strict).is_err());
        assert!(dtw(&a, &b, 1, DtwOptions { window: Some(0), skip: 0 }).is_err());
    }
}
