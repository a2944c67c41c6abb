//! Optimal transport between two weighted sets: exact, and smoothed by entropy.
//!
//! Costs are any matrix of finite numbers. The exact plan costs about the cube of the number of
//! points and suits some hundred of them; the smoothed one is a few matrix passes an iteration.

use crate::error::{Error, Result};

/// How much of each source goes to each target.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Mass, `[n_from, n_to]`.
    pub mass: Vec<f64>,
    /// Number of sources.
    pub n_from: usize,
    /// Number of targets.
    pub n_to: usize,
}

/// Settings of [`sinkhorn`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sinkhorn {
    /// Strength of the entropy, in the unit of the costs.
    pub epsilon: f64,
    /// Largest difference of a source's mass from its weight at which the iteration ends.
    pub tolerance: f64,
    /// Iterations after which it ends in any case.
    pub max_iterations: usize,
}

impl Plan {
    /// Row `i`: where source `i` goes.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.mass[i * self.n_to..(i + 1) * self.n_to]
    }

    /// Mass times cost.
    ///
    /// # Panics
    /// If the cost has another number of entries.
    pub fn cost(&self, cost: &[f64]) -> f64 {
        assert_eq!(cost.len(), self.mass.len(), "a cost for each pair");
        self.mass.iter().zip(cost).map(|(mass, cost)| mass * cost).sum()
    }

    /// Sum of `p (ln p - 1)`: minus the entropy, up to the total mass.
    pub fn negative_entropy(&self) -> f64 {
        self.mass.iter().filter(|p| **p > 0.0).map(|p| p * (libm::log(*p) - 1.0)).sum()
    }
}

/// The plan of least cost from weights `from` to weights `to`.
///
/// # Shape
/// `cost` is `[from, to]`.
/// # Errors
/// [`Error::Shape`] when the cost has other axes; [`Error::Data`] unless the weights are not negative and
/// both sum to the same positive number, and unless every cost is finite.
/// # Reference
/// Ahuja, Magnanti and Orlin 1993, section 9.7 (successive shortest paths with node potentials).
pub fn exact_plan(cost: &[f64], from: &[f64], to: &[f64]) -> Result<Plan> {
    let total = check(cost, from, to)?;
    let (n, m) = (from.len(), to.len());
    // Masses below this are rounding.
    let least = total * 1e-15;
    let (mut supply, mut demand) = (from.to_vec(), to.to_vec());
    let mut plan = Plan { mass: vec![0.0; n * m], n_from: n, n_to: m };
    // Costs are shifted to be positive, which leaves the best plan as it is.
    let lowest = cost.iter().copied().fold(f64::INFINITY, f64::min);
    let mut potential = vec![0.0; n + m];
    while supply.iter().any(|s| *s > least) && demand.iter().any(|d| *d > least) {
        let reduced = |i: usize, j: usize| (cost[i * m + j] - lowest + potential[i] - potential[n + j]).max(0.0);
        let mut distance: Vec<f64> =
            (0..n + m).map(|node| if node < n && supply[node] > least { 0.0 } else { f64::INFINITY }).collect();
        let mut before = vec![usize::MAX; n + m];
        let mut is_done = vec![false; n + m];
        loop {
            let open = (0..n + m).filter(|&k| !is_done[k] && distance[k].is_finite());
            let Some(node) = open.min_by(|&a, &b| distance[a].total_cmp(&distance[b])) else { break };
            is_done[node] = true;
            let mut reach = |next: usize, length: f64| {
                if distance[node] + length < distance[next] {
                    distance[next] = distance[node] + length;
                    before[next] = node;
                }
            };
            if node < n {
                (0..m).for_each(|j| reach(n + j, reduced(node, j)));
            } else {
                // Mass that came here may be taken back, at no reduced cost.
                (0..n).filter(|i| plan.mass[i * m + node - n] > 0.0).for_each(|i| reach(i, 0.0));
            }
        }
        potential.iter_mut().zip(&distance).filter(|(_, d)| d.is_finite()).for_each(|(p, d)| *p += d);
        let open = (0..m).filter(|&j| demand[j] > least);
        // The loop's condition holds, and every target can be reached from every source.
        let Some(target) = open.min_by(|&a, &b| potential[n + a].total_cmp(&potential[n + b])) else { break };
        let (mut amount, mut node) = (demand[target], n + target);
        while before[node] != usize::MAX {
            if node < n {
                amount = amount.min(plan.mass[node * m + before[node] - n]);
            }
            node = before[node];
        }
        let source = node;
        amount = amount.min(supply[source]);
        node = n + target;
        while before[node] != usize::MAX {
            let previous = before[node];
            if node < n {
                let taken = &mut plan.mass[node * m + previous - n];
                *taken = if *taken - amount > least { *taken - amount } else { 0.0 };
            } else {
                plan.mass[previous * m + node - n] += amount;
            }
            node = previous;
        }
        supply[source] -= amount;
        demand[target] -= amount;
    }
    Ok(plan)
}

/// The plan of least cost plus `epsilon` times the negative entropy.
///
/// # Shape
/// `cost` is `[from, to]`.
/// # Errors
/// As [`exact_plan`]; [`Error::Config`] unless `epsilon` is positive.
/// # Reference
/// Cuturi 2013; iterated on the logarithms as in Peyré and Cuturi 2019, section 4.4.
pub fn sinkhorn(cost: &[f64], from: &[f64], to: &[f64], settings: Sinkhorn) -> Result<Plan> {
    check(cost, from, to)?;
    let epsilon = settings.epsilon;
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Error::config("epsilon", format!("{epsilon}, expected a positive number")));
    }
    let (n, m) = (from.len(), to.len());
    let (log_from, log_to) = (from.iter().map(|w| libm::log(*w)), to.iter().map(|w| libm::log(*w)));
    let (log_from, log_to): (Vec<f64>, Vec<f64>) = (log_from.collect(), log_to.collect());
    let (mut f, mut g) = (vec![0.0; n], vec![0.0; m]);
    let log_mass = |f: &[f64], g: &[f64], i: usize, j: usize| f[i] + g[j] - cost[i * m + j] / epsilon;
    let mut terms = vec![0.0; n.max(m)];
    for _ in 0..settings.max_iterations {
        for j in 0..m {
            (0..n).for_each(|i| terms[i] = log_mass(&f, &g, i, j) - g[j]);
            g[j] = log_to[j] - log_sum_exp(&terms[..n]);
        }
        let mut worst: f64 = 0.0;
        for i in 0..n {
            (0..m).for_each(|j| terms[j] = log_mass(&f, &g, i, j) - f[i]);
            let next = log_from[i] - log_sum_exp(&terms[..m]);
            worst = worst.max(from[i] * libm::expm1(f[i] - next).abs());
            f[i] = next;
        }
        if worst < settings.tolerance {
            break;
        }
    }
    let mass = (0..n * m).map(|k| libm::exp(log_mass(&f, &g, k / m, k % m))).collect();
    Ok(Plan { mass, n_from: n, n_to: m })
}

fn log_sum_exp(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + libm::log(terms.iter().map(|t| libm::exp(t - largest)).sum::<f64>())
}

/// Checks shapes and weights; returns the total mass.
fn check(cost: &[f64], from: &[f64], to: &[f64]) -> Result<f64> {
    if cost.len() != from.len() * to.len() {
        let expected = vec![from.len(), to.len()];
        return Err(Error::Shape { what: "costs of all pairs".into(), expected, actual: vec![cost.len()] });
    }
    let (a, b): (f64, f64) = (from.iter().sum(), to.iter().sum());
    let is_weight = |w: &f64| *w >= 0.0 && w.is_finite();
    if !from.iter().chain(to).all(is_weight) || !(a > 0.0) || (a - b).abs() > 1e-9 * a {
        return Err(Error::data("weights", format!("sums {a} and {b}, expected equal sums of weights of 0 or more")));
    }
    if !cost.iter().all(|c| c.is_finite()) {
        return Err(Error::data("costs", "found a cost that is not finite"));
    }
    Ok(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    /// Least cost of a one-to-one assignment, by trying all.
    fn best_assignment(cost: &[f64], n: usize, row: usize, taken: &mut Vec<usize>) -> f64 {
        if row == n {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for j in 0..n {
            if !taken.contains(&j) {
                taken.push(j);
                best = best.min(cost[row * n + j] + best_assignment(cost, n, row + 1, taken));
                taken.pop();
            }
        }
        best
    }

    #[test]
    fn exact_plan_is_the_best_assignment_and_keeps_its_margins() {
        for index in 0..20 {
            let mut stream = Seed::new(6).index(index).stream();
            let n = 6;
            let cost: Vec<f64> = (0..n * n).map(|_| stream.normal()).collect();
            let plan = exact_plan(&cost, &[1.0; 6], &[1.0; 6]).unwrap();
            let expected = best_assignment(&cost, n, 0, &mut Vec::new());
            assert!((plan.cost(&cost) - expected).abs() < 1e-12, "{} {expected}", plan.cost(&cost));
        }
        let (from, to) = ([0.2, 0.5, 0.3], [0.6, 0.1, 0.1, 0.2]);
        let cost: Vec<f64> = (0..12).map(|k| f64::from(k * 7 % 5)).collect();
        for plan in [
            exact_plan(&cost, &from, &to).unwrap(),
            sinkhorn(&cost, &from, &to, Sinkhorn { epsilon: 0.5, tolerance: 1e-14, max_iterations: 10_000 }).unwrap(),
        ] {
            for (i, weight) in from.iter().enumerate() {
                assert!((plan.row(i).iter().sum::<f64>() - weight).abs() < 1e-12);
            }
            for (j, weight) in to.iter().enumerate() {
                assert!(((0..3).map(|i| plan.row(i)[j]).sum::<f64>() - weight).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn little_entropy_nearly_gives_the_exact_cost() {
        let mut stream = Seed::new(2).stream();
        let cost: Vec<f64> = (0..40).map(|_| stream.uniform()).collect();
        let (from, to) = ([0.125; 8], [0.2; 5]);
        let exact = exact_plan(&cost, &from, &to).unwrap().cost(&cost);
        let settings = Sinkhorn { epsilon: 0.002, tolerance: 1e-9, max_iterations: 20_000 };
        let smooth = sinkhorn(&cost, &from, &to, settings).unwrap().cost(&cost);
        assert!(smooth >= exact - 1e-8 && smooth - exact < 0.002 * 40_f64.ln(), "{smooth} {exact}");
    }

    #[test]
    fn bad_weights_and_costs_are_errors() {
        assert!(exact_plan(&[1.0], &[1.0], &[2.0]).is_err());
        assert!(exact_plan(&[1.0, 2.0], &[1.0], &[1.0]).is_err());
        assert!(exact_plan(&[f64::NAN], &[1.0], &[1.0]).is_err());
        assert!(exact_plan(&[], &[], &[]).is_err());
        let settings = Sinkhorn { epsilon: 0.0, tolerance: 1e-9, max_iterations: 10 };
        assert!(sinkhorn(&[1.0], &[1.0], &[1.0], settings).is_err());
    }
}
