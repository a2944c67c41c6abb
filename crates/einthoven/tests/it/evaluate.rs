//! Judging sets of whole records whose items have several labels, as a library user does.

use einthoven::dataset::{Dataset, Split, guard};
use einthoven::experiment::{EvaluateRequest, evaluate};
use einthoven::record::lead_law::TWELVE;
use einthoven::report::Report;
use einthoven::run::Silent;
use einthoven::simulate::dipole::{Request, SimulatedEcg};
use einthoven::{Error, Result, Seed};
use serde_json::json;

const FS_HZ: f64 = 100.0;

/// Simulated records of which every other one fibrillates and every third has a bundle branch block as well; the last label
/// nobody has.
fn records(n: u64, seed: u64, split: Split) -> Dataset {
    let names = ["SR", "AFIB", "CLBBB", "PVC"].map(String::from).to_vec();
    let mut data = Dataset::new(TWELVE.map(String::from).to_vec(), 600, FS_HZ, names);
    for i in 0..n {
        let (af, block) = (i % 2 == 1, i % 3 == 0);
        let condition = [if af { "af" } else { "sinus" }, if block { "+lbbb" } else { "" }].concat();
        let request = Request { fs_hz: FS_HZ, seconds: 6.0, snr_db: Some(20.0), ..Request::new(&condition).unwrap() };
        data.ecg.extend(SimulatedEcg::draw(&request, Seed::new(seed).index(i)).unwrap().ecg_mv);
        data.labels.extend([!af, af, block, false].map(u8::from));
        data.record.push(format!("{seed}-{i}"));
        data.patient.push(format!("{seed}-{i}"));
        data.split.push(split);
        data.index.push(0);
    }
    data
}

fn real() -> Dataset {
    let mut data = records(40, 1, Split::Train);
    data.append(&records(20, 2, Split::Validation)).unwrap();
    data.append(&records(20, 3, Split::Test)).unwrap();
    data
}

/// A set under a synthetic name, of a generator that learned from the training part of `real`.
fn as_synthetic(mut data: Dataset, real: &Dataset) -> Dataset {
    let patients = guard::training_patients(&real.part(Split::Train), "key");
    data.provenance = json!({ "synthetic": true, "generator": "test", "training_patients": patients });
    data.record.iter_mut().chain(&mut data.patient).for_each(|name| name.insert_str(0, "syn_"));
    data.split.fill(Split::Train);
    data
}

fn judge(real: &Dataset, synthetic: &Dataset) -> Result<(Report, Vec<String>)> {
    let command = "einthoven evaluate".into();
    evaluate(&EvaluateRequest { real, synthetic, train: None, snr_margin_db: 1.0, seed: 1, command }, &mut Silent)
}

/// Keys of the headline that a reader would meet raw, or under no heading.
fn unnamed(report: &Report) -> Vec<&String> {
    let is_grouped = |key| report.headline_groups.iter().any(|group| group.keys.contains(key));
    let unnamed = report.headline.iter().filter(|(key, number)| number.label.is_empty() || !is_grouped(*key));
    unnamed.map(|(key, _)| key).collect()
}

#[test]
fn records_with_several_labels_are_judged_by_each_label_and_all_together() {
    let real = real();
    let (report, failed) = judge(&real, &as_synthetic(records(40, 4, Split::Train), &real)).unwrap();
    assert_eq!(failed, Vec::<String>::new());
    let sections: Vec<&str> = report.sections.iter().map(|section| section.id.as_str()).collect();
    assert_eq!(sections, ["labels", "physiology", "beats", "snr", "fidelity", "privacy", "usefulness"]);
    // 40 records, of which 20 in each rhythm and 14 with a block in one of the two.
    let cell = |table: &str, row: &str, column: &str| {
        let row = report.tables[table].rows.iter().find(|r| r.label == row).expect("a row");
        serde_json::to_value(&row.cells[column]).unwrap()["value"].as_f64()
    };
    for (label, n) in [("all", 40.0), ("SR", 20.0), ("AFIB", 20.0), ("CLBBB", 14.0), ("PVC", 0.0)] {
        assert_eq!((cell("labels", label, "train"), cell("labels", label, "synthetic")), (Some(n), Some(n)), "{label}");
    }
    // Fewer than thirty of each label: only all records together are compared, and the page says so.
    assert!(report.tables["fidelity"].rows.iter().all(|row| row.group == "class all"));
    assert!(
        report.tables["fidelity"].notes[0].ends_with("SR, AFIB, CLBBB, PVC."),
        "{:?}",
        report.tables["fidelity"].notes
    );
    let spaces: Vec<_> = report.raw["privacy"].as_array().unwrap().iter().map(|audit| &audit["space"]).collect();
    assert_eq!(spaces, ["records, point by point", "averaged beats"]);
    // Two draws of one simulator have the same heart rate; the headline has the interval.
    let rate = &report.headline["hr_bpm_difference"];
    assert!(rate.ci_low.unwrap() <= rate.value && rate.value <= rate.ci_high.unwrap(), "{rate:?}");
    assert_eq!(report.headline["averaged_beats_exact_copies"].value, 0.0);
    assert_eq!(unnamed(&report), Vec::<&String>::new());
    assert_eq!(report.headline["qtc_ms_difference"].label, "QTc interval");
    let block = report.raw["physiology"].as_array().unwrap().iter();
    let block = block.filter(|row| row["label"] == "CLBBB" && row["quantity"] == "qrs_ms").collect::<Vec<_>>();
    assert!(block[0]["synthetic"]["quartiles"][1].as_f64().is_some_and(|ms| ms > 120.0), "{:?}", block[0]);
    let again = Report::from_json(&report.to_json(), "report.json").unwrap();
    assert_eq!(again.to_html(), report.to_html());
    assert!(report.to_markdown().contains("Not measured"));
}

#[test]
fn copies_that_begin_at_another_moment_are_found_by_their_averaged_beats() {
    let real = real();
    let mut stolen = as_synthetic(real.part(Split::Train), &real);
    stolen.ecg.chunks_mut(600).for_each(|lead| lead.rotate_left(130));
    let (report, failed) = judge(&real, &stolen).unwrap();
    assert_eq!(report.headline["exact_copies"].value, 0.0);
    assert!(failed.len() == 1 && failed[0].contains("P2") && failed[0].contains("averaged beats"), "{failed:?}");
    let share = |space: usize| &report.raw["privacy"][space]["scores"]["closer_share"];
    // Point by point the copies are as far from their originals as from anyone; as averaged beats they are theirs.
    assert!(share(0)["train"].as_f64().unwrap() < 0.8, "{}", share(0));
    assert!(share(1)["train"].as_f64().unwrap() > 0.85, "{}", share(1));
    assert!(share(1)["p_value"].as_f64().unwrap() < 0.01, "{}", share(1));
    let stolen = as_synthetic(real.part(Split::Train), &real);
    let (_, failed) = judge(&real, &stolen).unwrap();
    assert!(failed[0].contains("40 exact copies") && failed[0].contains("point by point"), "{failed:?}");
}

#[test]
fn what_was_asked_of_a_set_is_reported_against_what_it_shows() {
    let real = real();
    let mut asked = as_synthetic(records(20, 5, Split::Train), &real);
    let (report, _) = judge(&real, &asked).unwrap();
    assert!(report.sections.iter().all(|section| section.id != "delivery"));
    let number = |fact: &str, measured: bool| {
        json!({
            "fact": fact, "unit": "bpm", "n_requested": 20, "n_measured": if measured { 19 } else { 0 },
            "mean_error": measured.then_some(-1.25), "sd_error": measured.then_some(2.5),
            "error_quantiles": measured.then_some([-6.0, -3.0, -1.0, 0.5, 2.0]), "tolerance": 5.0,
            "within_tolerance": if measured { 0.9 } else { 0.0 },
        })
    };
    asked.provenance["delivery"] = json!({
        "delivered": [number("hr", true), number("pr", false)],
        "acceptance": { "n_drawn": 80, "n_accepted": 20, "rate": 0.25 },
    });
    let (report, _) = judge(&real, &asked).unwrap();
    let found = serde_json::to_value(&report).unwrap();
    assert_eq!(found["sections"][1]["id"], "delivery");
    assert_eq!(found["headline"]["acceptance_rate"]["value"], 0.25);
    assert_eq!(found["headline"]["requested_hr_bpm_mean_error"]["value"], -1.25);
    assert_eq!(found["headline"]["requested_hr_within_tolerance"]["value"], 0.9);
    assert_eq!(unnamed(&report), Vec::<&String>::new());
    let label = "heart rate, share within 5 bpm of what was asked for";
    assert_eq!(found["headline"]["requested_hr_within_tolerance"]["label"], label);
    let rows = &report.tables["delivery"].rows;
    assert_eq!(serde_json::to_value(&rows[0].cells["q05"]).unwrap()["value"], -6.0);
    assert_eq!(serde_json::to_value(&rows[0].cells["q95"]).unwrap()["value"], 2.0);
    assert_eq!(serde_json::to_value(&rows[1].cells["mean_error"]).unwrap()["kind"], "insufficient");
    for text in [report.to_markdown(), report.to_html()] {
        assert!(text.contains("20 of 80 draws were accepted, a rate of 0.250"), "{text}");
    }
    asked.provenance["delivery"] = json!({ "delivered": 7 });
    let message = judge(&real, &asked).err().unwrap().to_string();
    assert!(message.contains("provenance.delivery of the synthetic set: ") && message.contains('7'), "{message}");
}

#[test]
fn sets_that_cannot_be_compared_are_refused_in_one_line() {
    let real = records(4, 1, Split::Train);
    let synthetic = as_synthetic(records(4, 2, Split::Train), &real);
    let refused = |real: &Dataset, synthetic: &Dataset, wanted: &str| {
        let message = judge(real, synthetic).unwrap_err().to_string();
        assert!(message.contains(wanted) && !message.contains('\n'), "{message}");
    };
    refused(&real, &synthetic, "validation and test part of the real set: is empty");
    let mut parted = real.clone();
    parted.append(&records(4, 3, Split::Test)).unwrap();
    let mut other = synthetic.clone();
    other.label_names[0] = "NORM".into();
    refused(&parted, &other, "label_names: the data sets differ");
    let mut longer = records(4, 2, Split::Train);
    longer.ecg = longer.ecg.chunks(600).flat_map(|lead| [lead, &lead[..100]].concat()).collect();
    longer.sig_len = 700;
    refused(&parted, &as_synthetic(longer, &real), "found 700 points, expected 600; draw with sample --seconds 6");
    let mut flat = synthetic.clone();
    flat.ecg.fill(0.0);
    refused(&parted, &flat, "synthetic set: has no record with three beats");
    let mut unmarked = synthetic.clone();
    (unmarked.provenance, unmarked.record) = (serde_json::Value::Null, real.record.clone());
    refused(&parted, &unmarked, "not marked synthetic");
    let known = as_synthetic(records(4, 4, Split::Train), &{
        let mut all = parted.clone();
        all.split.fill(Split::Train);
        all
    });
    assert!(matches!(judge(&parted, &known), Err(Error::Guard { code: "L4", .. })));
}
