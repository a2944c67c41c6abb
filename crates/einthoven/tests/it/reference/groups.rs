//! Sets of vectors and samples of numbers: distances, privacy, transport, warping, agreement, tests.

use einthoven::metrics::agreement::{Disagreement, cohen_kappa, fleiss_kappa, randolph_kappa};
use einthoven::metrics::association::{pearson, spearman};
use einthoven::metrics::bootstrap::quantile;
use einthoven::metrics::distance::{
    Pairing, Points, frechet_distance, median_distance, mmd_rbf, nearest_neighbors, prdc,
};
use einthoven::metrics::dtw::{DtwOptions, dtw, dtw_path};
use einthoven::metrics::hypothesis::{signed_rank_test, t_test, welch_difference};
use einthoven::metrics::kid::mmd_cubic;
use einthoven::metrics::privacy::{adversarial_accuracy, closer_share, distance_attack_auroc, nearest_neighbor_ratios};
use einthoven::metrics::transport::{Ground, ground_cost, sinkhorn_divergence, sliced_wasserstein_2, wasserstein_2};
use einthoven::metrics::univariate::{
    KsMethod, energy_distance, histogram, jensen_shannon_distance, kl_divergence, ks_test, mann_whitney_test,
    wasserstein_1d,
};
use einthoven::signal::transport::{Sinkhorn, exact_plan, sinkhorn};

use super::{Fixture, number_after};

/// Everything about sets and samples.
pub fn check(f: &Fixture) {
    check_distances(f);
    check_samples(f);
    check_warping(f);
    check_agreement(f);
    check_transport(f);
}

fn check_distances(f: &Fixture) {
    let (train, shape) = f.try_array("vec.X").expect("vec.X");
    let (synthetic, held_out) = (f.array("vec.Y"), f.array("vec.holdout"));
    let dim = shape[1];
    let points = |values| Points::new(values, dim).unwrap();
    let (x, y, h) = (points(&train), points(&synthetic), points(&held_out));
    let neighbors = |a, b, k, pairing| nearest_neighbors(a, b, k, pairing).unwrap();
    for (name, a, b, k, pairing) in [
        ("nn.synthetic_to_train_2nn", y, x, 2, Pairing::Distinct),
        ("nn.synthetic_to_holdout_1nn", y, h, 1, Pairing::Distinct),
        ("nn.train_self_1nn", x, x, 1, Pairing::SameSet),
        ("nn.train_to_synthetic_1nn", x, y, 1, Pairing::Distinct),
        ("nn.holdout_to_synthetic_1nn", h, y, 1, Pairing::Distinct),
        ("nn.synthetic_self_1nn", y, y, 1, Pairing::SameSet),
    ] {
        f.compare("default", name, &neighbors(a, b, k, pairing).distance);
    }
    for gamma in f.keys("/mmd/rbf_by_gamma") {
        let mmd = mmd_rbf(x, y, gamma.parse().unwrap()).unwrap();
        f.compare_value("default", &format!("/mmd/rbf_by_gamma/{gamma}/mmd2_biased"), mmd.biased);
        f.compare_value("default", &format!("/mmd/rbf_by_gamma/{gamma}/mmd2_unbiased"), mmd.unbiased);
    }
    let median = median_distance(x, y).unwrap();
    f.compare_value("default", "/mmd/median_pairwise_distance_of_pooled_sample", median);
    f.compare_value("default", "/mmd/kid_poly3/mmd2_unbiased", mmd_cubic(x, y).unwrap());

    f.compare_value("frechet", "/frechet/distance", frechet_distance(x, y).unwrap());
    // What the outside tool dropped as rounding of a complex root; ours has no such part.
    f.compare_value("frechet", "/frechet/max_imag", 0.0);
    let rows = f.value("/frechet/distance_rank_deficient_vs_first_rows/rows") as usize;
    let few = points(&train[..rows * dim]);
    let deficient = frechet_distance(x, few).unwrap();
    f.compare_value("frechet", "/frechet/distance_rank_deficient_vs_first_rows/value", deficient);

    for key in f.keys("/prdc") {
        let found = prdc(x, y, key.strip_prefix('k').unwrap().parse().unwrap()).unwrap();
        for (name, value) in [
            ("precision", found.precision),
            ("recall", found.recall),
            ("density", found.density),
            ("coverage", found.coverage),
        ] {
            f.compare_value("default", &format!("/prdc/{key}/{name}"), value);
        }
    }
    let to_train = neighbors(y, x, 2, Pairing::Distinct);
    let mut nearest = to_train.nearest();
    let to_held_out = neighbors(y, h, 1, Pairing::Distinct).distance;
    let share = closer_share(&nearest, &to_held_out);
    f.compare_value("default", "/privacy/share_closer_to_train_than_holdout", share);
    nearest.sort_by(f64::total_cmp);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    f.compare_value("default", "/privacy/dcr_mean", mean(&nearest));
    f.compare_value("default", "/privacy/dcr_5th_percentile", quantile(&nearest, 0.05));
    f.compare_value("default", "/privacy/dcr_median", quantile(&nearest, 0.5));
    f.compare_value("default", "/privacy/nndr_mean", mean(&nearest_neighbor_ratios(&to_train.distance, 2)));
    let rows = f.value("/privacy/nn_adversarial_accuracy/rows_used") as usize * dim;
    let accuracy = adversarial_accuracy(points(&train[..rows]), points(&synthetic[..rows])).unwrap();
    f.compare_value("default", "/privacy/nn_adversarial_accuracy/value", accuracy);
    let members = neighbors(x, y, 1, Pairing::Distinct).distance;
    let strangers = neighbors(h, y, 1, Pairing::Distinct).distance;
    let auroc = distance_attack_auroc(&members, &strangers).unwrap();
    f.compare_value("default", "/privacy/distance_membership_attack_auroc", auroc);
}

fn check_samples(f: &Fixture) {
    let (a, b) = (f.array("one.a"), f.array("one.b"));
    let at = |name: &str| format!("/one_dimensional/{name}");
    f.compare_value("default", &at("wasserstein1"), wasserstein_1d(&a, &b, &[], &[]).unwrap());
    let weighted = wasserstein_1d(&a, &b, &f.array("one.wa"), &f.array("one.wb")).unwrap();
    f.compare_value("default", &at("wasserstein1_weighted"), weighted);
    f.compare_value("default", &at("energy_distance"), energy_distance(&a, &b).unwrap());
    let edges = f.array("one.hist_edges");
    let (p, q) = (histogram(&a, &edges), histogram(&b, &edges));
    f.compare_value("default", &at("jensen_shannon_distance_base2"), jensen_shannon_distance(&p, &q).unwrap());
    f.compare_value("default", &at("kl_a_b_eps1e_12"), kl_divergence(&p, &q, 1e-12).unwrap());

    let ks = ks_test(&a, &b, KsMethod::Asymptotic).unwrap();
    f.compare_value("default", &at("ks/statistic"), ks.statistic);
    f.compare_value("p_values", &at("ks/p_asymptotic"), ks.p_value);
    let whitney = mann_whitney_test(&a, &b).unwrap();
    f.compare_value("default", &at("mann_whitney_u/u"), whitney.u);
    f.compare_value("p_values", &at("mann_whitney_u/p"), whitney.p_value);
    // SciPy's sign is first minus second.
    let test = t_test(welch_difference(&b, &a).unwrap(), 0.95);
    f.compare_value("default", &at("welch_t/t"), test.t);
    f.compare_value("default", &at("welch_t/df"), test.difference.df);
    f.compare_value("p_values", &at("welch_t/p"), test.p_value);
    for key in f.keys("/one_dimensional") {
        if let Some(sizes) = key.strip_prefix("ks_exact_first") {
            let (n, m) = sizes.split_once('_').expect("two sizes");
            let (n, m): (usize, usize) = (n.parse().unwrap(), m.parse().unwrap());
            let ks = ks_test(&a[..n], &b[..m], KsMethod::Exact).unwrap();
            f.compare_value("default", &at(&format!("{key}/statistic")), ks.statistic);
            f.compare_value("p_values", &at(&format!("{key}/p")), ks.p_value);
        } else if let Some(n) = key.strip_prefix("wilcoxon_exact_first") {
            let n: usize = n.parse().unwrap();
            let signed = signed_rank_test(&b[..n], &a[..n]).unwrap();
            f.compare_value("default", &at(&format!("{key}/w")), signed.w);
            f.compare_value("p_values", &at(&format!("{key}/p")), signed.p_value);
        }
    }
    // The number of pairs is not stated.
    let sizes = || 3..=a.len().min(b.len());
    f.compare_any_value("default", &at("pearson_first/r"), sizes().map(|n| pearson(&a[..n], &b[..n]).unwrap().value));
    f.compare_any_value(
        "p_values",
        &at("pearson_first/p"),
        sizes().map(|n| pearson(&a[..n], &b[..n]).unwrap().p_value),
    );
    f.compare_any_value(
        "default",
        &at("spearman_first/rho"),
        sizes().map(|n| spearman(&a[..n], &b[..n]).unwrap().value),
    );
    f.compare_any_value(
        "p_values",
        &at("spearman_first/p"),
        sizes().map(|n| spearman(&a[..n], &b[..n]).unwrap().p_value),
    );
}

fn check_warping(f: &Fixture) {
    let (a, b) = (f.array("dtw.s1"), f.array("dtw.s2"));
    let free = DtwOptions::default();
    f.compare_value("default", "/dtw/s1_s2", dtw(&a, &b, 1, free).unwrap());
    for key in f.keys("/dtw") {
        let window = number_after::<usize>(&key, "window");
        if key.starts_with("s1_s2_window") {
            let options = DtwOptions { window, skip: 0 };
            f.compare_value("default", &format!("/dtw/{key}"), dtw(&a, &b, 1, options).unwrap());
        } else if key.starts_with("s1_s1shift_window") {
            // The first series turned by some points; how many is not stated.
            let turned = (0..a.len()).map(|by| {
                let mut turned = a.clone();
                turned.rotate_right(by);
                dtw(&a, &turned, 1, DtwOptions { window, skip: 0 }).unwrap()
            });
            f.compare_any_value("default", &format!("/dtw/{key}"), turned);
        } else if key == "s1_s2_psi" {
            // How many points may be skipped is not stated.
            let skipped = (1..a.len()).map(|skip| dtw(&a, &b, 1, DtwOptions { window: None, skip }).unwrap());
            f.compare_any_value("default", "/dtw/s1_s2_psi", skipped);
        }
    }
    let (many, shape) = f.try_array("dtw.M1").expect("dtw.M1");
    let multivariate = dtw(&many, &f.array("dtw.M2"), shape[1], free).unwrap();
    f.compare_value("default", "/dtw/multivariate_dependent", multivariate);
    for (k, (i, j)) in dtw_path(&a, &b, 1, free).unwrap().into_iter().enumerate() {
        f.compare_value("default", &format!("/dtw/path/{k}/0"), i as f64);
        f.compare_value("default", &format!("/dtw/path/{k}/1"), j as f64);
    }
}

fn check_agreement(f: &Fixture) {
    let whole = |values: Vec<f64>| values.into_iter().map(|v| v as usize).collect::<Vec<usize>>();
    let (a, b) = (whole(f.array("agree.r1")), whole(f.array("agree.r2")));
    let n_used = |ratings: &[usize]| ratings.iter().max().map_or(0, |last| last + 1);
    let n = n_used(&a).max(n_used(&b));
    for (name, weights) in [
        ("cohen", Disagreement::Nominal),
        ("cohen_linear", Disagreement::Linear),
        ("cohen_quadratic", Disagreement::Quadratic),
    ] {
        let kappa = cohen_kappa(&a, &b, n, weights).unwrap();
        f.compare_value("default", &format!("/agreement/{name}"), kappa);
    }
    let (ratings, shape) = f.try_array("agree.raters").expect("agree.raters");
    let ratings = whole(ratings);
    let n = n_used(&ratings);
    f.compare_value("default", "/agreement/fleiss", fleiss_kappa(&ratings, shape[1], n).unwrap());
    f.compare_value("default", "/agreement/randolph", randolph_kappa(&ratings, shape[1], n).unwrap());
}

fn check_transport(f: &Fixture) {
    let (a, shape) = f.try_array("ot.A").expect("ot.A");
    let (b, dim) = (f.array("ot.B"), shape[1]);
    let (from, to) = (f.array("ot.wa"), f.array("ot.wb"));
    let (x, y) = (Points::new(&a, dim).unwrap(), Points::new(&b, dim).unwrap());
    let cost = ground_cost(x, y, Ground::SquaredEuclidean).unwrap();
    f.compare("default", "ot.cost_sqeuclidean", &cost);
    let exact = exact_plan(&cost, &from, &to).unwrap().cost(&cost);
    f.compare_value("default", "/ot/emd_cost", exact);
    f.compare_value("default", "/ot/w2", exact.sqrt());
    let distance = ground_cost(x, y, Ground::Euclidean).unwrap();
    let exact = exact_plan(&distance, &from, &to).unwrap().cost(&distance);
    f.compare_value("default", "/ot/emd_cost_euclidean", exact);
    for reg in f.variants("ot.sinkhorn_plan.reg", "") {
        let epsilon: f64 = reg.parse().unwrap();
        let settings = Sinkhorn { epsilon, tolerance: 1e-12, max_iterations: 20_000 };
        let plan = sinkhorn(&cost, &from, &to, settings).unwrap();
        f.compare("sinkhorn", &format!("ot.sinkhorn_plan.reg{reg}"), &plan.mass);
        let at = |name: &str| format!("/ot/sinkhorn_reg{reg}/{name}");
        f.compare_value("sinkhorn", &at("transport_cost"), plan.cost(&cost));
        f.compare_value("sinkhorn", &at("entropy_regularised"), plan.cost(&cost) + epsilon * plan.negative_entropy());
    }
    let directions = f.array("ot.projections");
    for key in f.keys("/ot") {
        if let Some(reg) = key.strip_prefix("sinkhorn_divergence_uniform_reg") {
            let found = sinkhorn_divergence(x, y, reg.parse().unwrap()).unwrap();
            f.compare_value("sinkhorn", &format!("/ot/{key}"), found);
        } else if let Some(n) = key.strip_prefix("sliced_w2_first") {
            let n = n.parse::<usize>().unwrap() * dim;
            let (x, y) = (Points::new(&a[..n], dim).unwrap(), Points::new(&b[..n], dim).unwrap());
            let found = sliced_wasserstein_2(x, y, Points::new(&directions, dim).unwrap()).unwrap();
            f.compare_value("default", &format!("/ot/{key}"), found);
            // The exact distance is never smaller than the mean along directions.
            assert!(wasserstein_2(x, y).unwrap() >= found);
        }
    }
}
