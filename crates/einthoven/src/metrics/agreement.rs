//! Agreement of raters beyond chance.

use crate::error::{Error, Result};

/// How far two categories are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// Any two categories are equally different.
    Nominal,
    /// By the difference of their places in order.
    Linear,
    /// By the squared difference of their places.
    Quadratic,
}

/// Cohen's kappa of two raters over categories `0..n_categories`; 1 for full agreement, 0 for chance.
///
/// NaN when chance alone already agrees fully, as when both raters use one category only.
/// # Errors
/// [`Error::Shape`] when the raters judged different numbers of items; [`Error::Data`] without items or
/// with a category beyond the last.
/// # Reference
/// Cohen 1960; weights after Cohen 1968.
pub fn cohen_kappa(first: &[usize], second: &[usize], n_categories: usize, weights: Disagreement) -> Result<f64> {
    let (table, margins) = pair_table(first, second, n_categories)?;
    let weight = |i: usize, j: usize| match weights {
        Disagreement::Nominal => f64::from(u8::from(i != j)),
        Disagreement::Linear => i.abs_diff(j) as f64,
        Disagreement::Quadratic => (i.abs_diff(j) as f64).powi(2),
    };
    let (mut observed, mut expected) = (0.0, 0.0);
    for i in 0..n_categories {
        for j in 0..n_categories {
            observed += weight(i, j) * table[i * n_categories + j];
            expected += weight(i, j) * margins[0][i] * margins[1][j];
        }
    }
    Ok(1.0 - observed / expected)
}

/// Gwet's AC1 of two raters: stays meaningful when nearly all items are of one category.
///
/// # Errors
/// As [`cohen_kappa`], and with fewer than two categories.
/// # Reference
/// Gwet 2008, eqs. 8 and 9.
pub fn gwet_ac1(first: &[usize], second: &[usize], n_categories: usize) -> Result<f64> {
    let (table, margins) = pair_table(first, second, n_categories)?;
    if n_categories < 2 {
        return Err(Error::data("categories", format!("{n_categories}, expected at least 2")));
    }
    let observed: f64 = (0..n_categories).map(|k| table[k * n_categories + k]).sum();
    let share = |k: usize| 0.5 * (margins[0][k] + margins[1][k]);
    let spread: f64 = (0..n_categories).map(|k| share(k) * (1.0 - share(k))).sum();
    let chance = spread / (n_categories as f64 - 1.0);
    Ok((observed - chance) / (1.0 - chance))
}

/// Fleiss' kappa of several raters; chance from how often each category was used.
///
/// # Shape
/// `ratings` is `[item, rater]`.
/// # Errors
/// [`Error::Data`] without items, with fewer than two raters, or with a category beyond the last.
/// # Reference
/// Fleiss 1971.
pub fn fleiss_kappa(ratings: &[usize], n_raters: usize, n_categories: usize) -> Result<f64> {
    let (agreement, shares) = rater_agreement(ratings, n_raters, n_categories)?;
    let chance: f64 = shares.iter().map(|share| share * share).sum();
    Ok((agreement - chance) / (1.0 - chance))
}

/// Randolph's kappa of several raters; chance is an even choice among the categories.
///
/// # Shape
/// `ratings` is `[item, rater]`.
/// # Errors
/// As [`fleiss_kappa`].
/// # Reference
/// Randolph 2005 (free-marginal multirater kappa).
pub fn randolph_kappa(ratings: &[usize], n_raters: usize, n_categories: usize) -> Result<f64> {
    let (agreement, _) = rater_agreement(ratings, n_raters, n_categories)?;
    let chance = 1.0 / n_categories as f64;
    Ok((agreement - chance) / (1.0 - chance))
}

/// Shares of items in each pair of categories, and of each rater in each category.
fn pair_table(first: &[usize], second: &[usize], n_categories: usize) -> Result<(Vec<f64>, [Vec<f64>; 2])> {
    if first.len() != second.len() {
        return Err(Error::Shape {
            what: "ratings of the second rater".into(),
            expected: vec![first.len()],
            actual: vec![second.len()],
        });
    }
    check_categories(first.iter().chain(second), n_categories)?;
    let each = 1.0 / first.len() as f64;
    let mut table = vec![0.0; n_categories * n_categories];
    let mut margins = [vec![0.0; n_categories], vec![0.0; n_categories]];
    for (&a, &b) in first.iter().zip(second) {
        table[a * n_categories + b] += each;
        margins[0][a] += each;
        margins[1][b] += each;
    }
    Ok((table, margins))
}

/// Mean share of pairs of raters that agree on an item, and the share of each category.
fn rater_agreement(ratings: &[usize], n_raters: usize, n_categories: usize) -> Result<(f64, Vec<f64>)> {
    if n_raters < 2 || !ratings.len().is_multiple_of(n_raters) {
        let reason =
            format!("{} ratings of {n_raters} raters, expected whole items of two raters or more", ratings.len());
        return Err(Error::data("ratings", reason));
    }
    check_categories(ratings.iter(), n_categories)?;
    let n_items = (ratings.len() / n_raters) as f64;
    let n = n_raters as f64;
    let (mut agreement, mut shares) = (0.0, vec![0.0; n_categories]);
    for item in ratings.chunks_exact(n_raters) {
        let mut counts = vec![0.0; n_categories];
        item.iter().for_each(|&category| counts[category] += 1.0);
        agreement += counts.iter().map(|c| c * (c - 1.0)).sum::<f64>() / (n * (n - 1.0)) / n_items;
        shares.iter_mut().zip(&counts).for_each(|(share, c)| *share += c / (n * n_items));
    }
    Ok((agreement, shares))
}

fn check_categories<'a>(mut ratings: impl Iterator<Item = &'a usize>, n_categories: usize) -> Result<()> {
    let mut is_empty = true;
    let beyond = ratings.find(|category| {
        is_empty = false;
        **category >= n_categories
    });
    match beyond {
        Some(category) => Err(Error::data("ratings", format!("category {category}, expected below {n_categories}"))),
        None if is_empty => Err(Error::data("ratings", "no items, expected at least 1")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
    }

    #[test]
    fn published_examples_come_out() {
        // Fleiss 1971, as tabulated in the literature: ten items, fourteen raters, kappa 0.210.
        let counts = [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ];
        let item = |row: &[usize; 5]| row.iter().enumerate().flat_map(|(c, &n)| vec![c; n]).collect::<Vec<_>>();
        let ratings: Vec<usize> = counts.iter().flat_map(item).collect();
        close(fleiss_kappa(&ratings, 14, 5).unwrap(), 0.210);
        // Gwet 2008, table 1: 118, 5, 2 and 0 items; kappa is -0.0234, AC1 0.9408.
        let pairs = [(0, 0, 118), (0, 1, 5), (1, 0, 2)];
        let rater = |pick: fn(&(usize, usize, usize)) -> usize| {
            pairs.iter().flat_map(|p| vec![pick(p); p.2]).collect::<Vec<_>>()
        };
        let (a, b) = (rater(|p| p.0), rater(|p| p.1));
        close(cohen_kappa(&a, &b, 2, Disagreement::Nominal).unwrap(), -0.0234);
        close(gwet_ac1(&a, &b, 2).unwrap(), 0.9408);
    }

    #[test]
    fn full_agreement_is_one_and_bad_ratings_are_errors() {
        let a = [0, 1, 2, 1, 0];
        for weights in [Disagreement::Nominal, Disagreement::Linear, Disagreement::Quadratic] {
            assert_eq!(cohen_kappa(&a, &a, 3, weights).unwrap(), 1.0);
        }
        assert!(cohen_kappa(&a, &[0, 1], 3, Disagreement::Nominal).is_err());
        assert!(cohen_kappa(&a, &a, 2, Disagreement::Nominal).is_err());
        assert!(cohen_kappa(&[], &[], 2, Disagreement::Nominal).is_err());
        assert!(fleiss_kappa(&a, 1, 3).is_err());
        assert!(fleiss_kappa(&a, 2, 3).is_err());
    }
}
