//! Predictions: one class for each item, and any number of labels, with ties.

use einthoven::metrics::classification::{ClassificationInput, Predictions};
use einthoven::metrics::multilabel::Multilabel;
use einthoven::metrics::ranking::{Ranking, auroc_one_versus_one, top_k_accuracy};

use super::{Fixture, number_after};

/// Everything about predictions.
pub fn check(f: &Fixture) {
    check_classes(f);
    check_labels_together(f);
    check_labels_one_by_one(f);
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|class| format!("c{class}")).collect()
}

fn check_classes(f: &Fixture) {
    let classes: Vec<usize> = f.array("cls.mc_true").iter().map(|c| *c as usize).collect();
    let (probabilities, shape) = f.try_array("cls.mc_prob").expect("cls.mc_prob");
    let n = shape[1];
    let class_names = names(n);
    let input = ClassificationInput {
        probabilities: &probabilities,
        classes: &classes,
        class_names: &class_names,
        ..Default::default()
    };
    let scores = Predictions::new(input).unwrap().scores();
    let at = |name: &str| format!("/multiclass/{name}");
    f.compare_value("default", &at("accuracy"), scores.accuracy);
    f.compare_value("default", &at("balanced_accuracy"), scores.macro_average.recall);
    f.compare_value("default", &at("f1_macro"), scores.macro_average.f1);
    f.compare_value("default", &at("mcc"), scores.mcc);
    f.compare_value("default", &at("auroc_ovr_macro"), scores.macro_average.auroc.unwrap());
    f.compare_value("default", &at("auroc_ovo_macro"), auroc_one_versus_one(&probabilities, &classes, n));
    f.compare_value("default", &at("log_loss"), scores.log_loss);
    for key in f.keys("/multiclass") {
        if let Some(k) = number_after(&key, "top") {
            f.compare_value("default", &at(&key), top_k_accuracy(&probabilities, &classes, n, k));
        }
    }
    for (i, row) in scores.confusion.iter().enumerate() {
        for (j, count) in row.iter().enumerate() {
            f.compare_value("default", &at(&format!("confusion/{i}/{j}")), *count);
        }
    }
}

fn check_labels_together(f: &Fixture) {
    let (truth, shape) = f.try_array("cls.y_true").expect("cls.y_true");
    let truth: Vec<bool> = truth.iter().map(|y| *y != 0.0).collect();
    let score = f.array("cls.score");
    let all = Multilabel::new(&truth, &score, shape[1]).unwrap();
    let at = |name: &str| format!("/multilabel/{name}");
    f.compare_value("default", &at("auroc_micro"), all.auroc_micro().unwrap());
    f.compare_value("default", &at("coverage_error"), all.coverage_error());
    f.compare_value("default", &at("lrap"), all.label_ranking_average_precision());
    let scores = all.at_threshold(0.5);
    for (name, value) in [
        ("precision_macro", scores.precision_macro),
        ("recall_macro", scores.recall_macro),
        ("f1_macro", scores.f1_macro),
        ("f1_micro", scores.f1_micro),
        ("f1_weighted", scores.f1_weighted),
        ("f1_samples", scores.f1_samples),
        ("fbeta2_macro", scores.f2_macro),
        ("hamming_loss", scores.hamming_loss),
        ("subset_accuracy", scores.subset_accuracy),
    ] {
        f.compare_value("default", &at(name), value);
    }
    for label in f.variants("cls.roc_fpr_label", "") {
        let column = label.parse::<usize>().unwrap();
        let own: Vec<f64> = score.iter().skip(column).step_by(shape[1]).copied().collect();
        let ranking = Ranking::new(&own, |i| truth[i * shape[1] + column], &vec![0; own.len()], &[]);
        let (fpr, tpr): (Vec<f64>, Vec<f64>) = ranking.roc(&[1.0]).into_iter().unzip();
        f.compare("default", &format!("cls.roc_fpr_label{label}"), &fpr);
        f.compare("default", &format!("cls.roc_tpr_label{label}"), &tpr);
    }
}

fn check_labels_one_by_one(f: &Fixture) {
    let (truth, shape) = f.try_array("cls.y_true").expect("cls.y_true");
    let score = f.array("cls.score");
    let class_names = names(2);
    let (mut auroc, mut auprc) = (0.0, 0.0);
    for label in 0..shape[1] {
        let column = |values: &[f64]| values.iter().skip(label).step_by(shape[1]).copied().collect::<Vec<f64>>();
        // The label is class 0, so that a score of exactly 0.5 calls it, as in the fixture.
        let classes: Vec<usize> = column(&truth).iter().map(|y| usize::from(*y == 0.0)).collect();
        let probabilities: Vec<f64> = column(&score).iter().flat_map(|s| [*s, 1.0 - s]).collect();
        let input = ClassificationInput {
            probabilities: &probabilities,
            classes: &classes,
            class_names: &class_names,
            ..Default::default()
        };
        let scores = Predictions::new(input).unwrap().scores();
        let class = &scores.per_class[0];
        for (name, value) in [
            ("auroc_each", class.auroc.unwrap()),
            ("average_precision_each", class.auprc.unwrap()),
            ("brier_each", scores.brier / 2.0),
            ("mcc_each", scores.mcc),
            ("log_loss_each_clipped_1e_15", scores.log_loss),
        ] {
            f.compare_value("default", &format!("/multilabel/{name}/{label}"), value);
        }
        auroc += class.auroc.unwrap() / shape[1] as f64;
        auprc += class.auprc.unwrap() / shape[1] as f64;
    }
    f.compare_value("default", "/multilabel/auroc_macro", auroc);
    f.compare_value("default", "/multilabel/average_precision_macro", auprc);
}
