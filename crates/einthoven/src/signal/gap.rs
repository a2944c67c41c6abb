//! Signals with missing points, for what cannot do without them.

/// Missing points replaced by the line between their neighbors, level at the ends; all zero where everything is missing.
pub fn bridged(x: &[f32]) -> Vec<f64> {
    let mut out: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
    let mut from = 0;
    while let Some(gap) = out[from..].iter().position(|v| !v.is_finite()).map(|at| from + at) {
        let end = out[gap..].iter().position(|v| v.is_finite()).map_or(out.len(), |n| gap + n);
        let after = out.get(end).copied();
        let before = gap.checked_sub(1).map(|at| out[at]);
        let (a, b) = (before.or(after).unwrap_or(0.0), after.or(before).unwrap_or(0.0));
        for (k, value) in out[gap..end].iter_mut().enumerate() {
            *value = a + (b - a) * (k + 1) as f64 / (end - gap + 1) as f64;
        }
        from = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_bridged_by_lines() {
        let nan = f32::NAN;
        assert_eq!(bridged(&[nan, 2.0, nan, nan, 5.0, nan]), [2.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
        assert_eq!(bridged(&[nan, 1.0, nan, nan, 4.0, nan]), [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(bridged(&[nan, nan]), [0.0, 0.0]);
    }
}
