//! The report: contract of `report.json`, round trip, self-contained page, hostile text.

use einthoven::report::{
    BarSeries, Bars, BeatOverlay, BeatPanel, Better, Cell, ConfusionMatrix, ConfusionPanel, Estimate, Figure, Forest,
    ForestRow, Histogram, Line, LineSeries, Margin, Marker, Published, Reliability, ReliabilityBin, ReliabilitySeries,
    Report, Row, RowKind, Spectrum, SpectrumPanel, SpectrumSeries, Table,
};
use serde_json::Value;

/// Text that would break out of HTML, Markdown or an attribute if it were not escaped.
const HOSTILE: &str = "</title><script>alert(\"1\")</script>'|&";

/// A small report with one of everything.
fn report() -> Report {
    let mut report = Report::new("quickstart", 7, "cpu");
    report.title = format!("A test {HOSTILE}");
    report.command = format!("einthoven run quickstart --seed 7 {HOSTILE}");
    report.abstract_text = vec![HOSTILE.into()];
    report.data = serde_json::json!({"name": HOSTILE, "fingerprint": "00ff", "n_beats": {"train": 12345}});
    report.config = serde_json::json!({"teacher": {"width": 16, "name": HOSTILE}});
    report.reference("paper", format!("Someone, 2024. {HOSTILE}"));
    report.limits.push(HOSTILE.into());
    report.raw.insert("teacher_time_s".into(), serde_json::json!([1.25, 1.5, 1.375]));
    let f1 = || {
        Estimate::with_ci(0.5125, 0.4, 0.6)
            .n(1234)
            .label(HOSTILE)
            .note(HOSTILE)
            .published(Published::value(0.957, "paper"))
    };
    report.headline_group(
        format!("Inter-patient {HOSTILE}"),
        HOSTILE,
        [("inter_macro_f1_real", f1()), ("few_step_speedup", Estimate::insufficient("not run"))],
    );
    report.headline.insert("student_size_ratio".into(), Estimate::new(0.28).published(Published::not_found()));
    let table = Table::new("classifier", format!("Classifier {HOSTILE}"), "trained on")
        .caption(HOSTILE)
        .stamp("beat-random split: not comparable")
        .column("macro_f1", "macro F1", "", Better::Higher)
        .column("snr_db", "SNR", "dB", Better::Neither)
        .row(Row::new(RowKind::Control, "real only").group(HOSTILE).cell("macro_f1", f1()).cell("snr_db", 12.5))
        .row(Row::new(RowKind::Result, HOSTILE).group(HOSTILE).cell("macro_f1", Estimate::insufficient(HOSTILE)))
        .row(Row::new(RowKind::Published, "paper").cell("macro_f1", Cell::NotFound).cell("snr_db", HOSTILE))
        .note(HOSTILE);
    let section = report.section("results", format!("Results {HOSTILE}")).text(HOSTILE).note(HOSTILE).table(table);
    figures().into_iter().fold(section, |section, figure| section.figure(figure));
    report
}

/// One figure of each kind, with a value that is not finite wherever one can occur.
fn figures() -> Vec<Figure> {
    let beat: Vec<f32> = (0..256).map(|i| 1.2 * (-((i as f32 - 128.0) / 4.0).powi(2)).exp()).collect();
    let panel = |source: &str, is_synthetic| BeatPanel::from_beats("N", source, is_synthetic, [beat.as_slice()]);
    let estimates = || {
        vec![Estimate::with_ci(0.5, 0.4, 0.6).published(Published::value(0.55, "paper")), Estimate::insufficient("few")]
    };
    let frequency_hz: Vec<f64> = (0..40).map(f64::from).collect();
    let plots = [
        BeatOverlay {
            fs_hz: 360.0,
            r_index: 128,
            panels: vec![panel("real", false), panel("DGN", true)],
            n_columns: 2,
        }
        .into(),
        Spectrum {
            panels: vec![SpectrumPanel {
                label: HOSTILE.into(),
                series: vec![SpectrumSeries {
                    label: HOSTILE.into(),
                    level_db: frequency_hz.iter().map(|f| if *f == 3.0 { f64::NAN } else { -f }).collect(),
                    low_db: frequency_hz.iter().map(|f| -f - 3.0).collect(),
                    high_db: frequency_hz.iter().map(|f| -f + 3.0).collect(),
                    frequency_hz,
                }],
            }],
            y_label: "PSD (dB re 1 mV²/Hz)".into(),
            max_hz: 30.0,
        }
        .into(),
        Forest {
            x_label: HOSTILE.into(),
            rows: estimates()
                .into_iter()
                .map(|estimate| ForestRow { label: HOSTILE.into(), is_control: true, estimate })
                .collect(),
            reference: Some(Marker { value: 0.0, label: HOSTILE.into() }),
            margin: Some(Margin { low: -0.1, high: 0.1, label: HOSTILE.into() }),
        }
        .into(),
        Bars {
            y_label: HOSTILE.into(),
            categories: vec!["N".into(), HOSTILE.into()],
            series: vec![
                BarSeries { label: HOSTILE.into(), values: estimates() },
                BarSeries { label: "b".into(), values: estimates() },
            ],
            reference: None,
        }
        .into(),
        Line {
            x_label: "step".into(),
            y_label: "loss".into(),
            is_log_x: false,
            is_log_y: true,
            series: vec![LineSeries {
                label: HOSTILE.into(),
                x: vec![0.0, 1.0, 2.0],
                y: vec![1.0, f64::NAN, 0.0],
                has_markers: true,
            }],
        }
        .into(),
        Histogram::from_values(HOSTILE, 5, &[(HOSTILE, &[0.1, 0.2, f64::NAN]), ("b", &[])]).into(),
        ConfusionMatrix {
            classes: vec!["N".into(), HOSTILE.into()],
            panels: vec![ConfusionPanel { label: HOSTILE.into(), counts: vec![vec![9, 1], vec![0, 0]] }],
        }
        .into(),
        Reliability {
            series: vec![ReliabilitySeries {
                label: HOSTILE.into(),
                ece: f64::NAN,
                bins: vec![ReliabilityBin { confidence: 0.9, accuracy: 0.8, n: 5 }],
            }],
        }
        .into(),
    ];
    plots
        .into_iter()
        .enumerate()
        .map(|(i, plot): (usize, einthoven::report::Plot)| {
            Figure::new(format!("figure-{i}"), HOSTILE, plot).caption(HOSTILE)
        })
        .collect()
}

#[test]
fn json_has_the_keys_of_the_contract() {
    let json: Value = serde_json::from_str(&report().to_json()).unwrap();
    for key in ["schema_version", "preset", "seed", "device", "data", "tables", "headline", "command", "version"] {
        assert!(!json[key].is_null(), "{key} is missing");
    }
    assert_eq!(json["preset"], "quickstart");
    assert_eq!(json["seed"], 7);
    let f1 = &json["headline"]["inter_macro_f1_real"];
    assert_eq!(
        (f1["value"].as_f64(), f1["ci_low"].as_f64(), f1["ci_high"].as_f64()),
        (Some(0.5125), Some(0.4), Some(0.6))
    );
    let size = &json["headline"]["student_size_ratio"];
    assert_eq!(size["value"], 0.28);
    assert!(size.as_object().unwrap().contains_key("ci_low") && size["ci_low"].is_null());
    assert!(json["headline"]["few_step_speedup"]["value"].is_null());
    assert_eq!(json["tables"]["classifier"]["rows"][0]["cells"]["snr_db"]["value"], 12.5);
    assert_eq!(json["raw"]["teacher_time_s"][1], 1.5);
}

#[test]
fn headlines_stand_in_their_groups_and_in_words() {
    let mut report = Report::new("p", 1, "cpu");
    report.headline.insert("alone".into(), Estimate::new(3.0));
    assert!(report.to_markdown().contains("|---:|\n| `alone` | 3 |  |  |  |\n\n"), "{}", report.to_markdown());
    report.headline_group("Later", "", [("b", Estimate::new(1.0).label("what b is"))]);
    report.headline_group("Last", "a_stamp", [("a", Estimate::new(2.0).unit("ms"))]);
    let table = "| **Later** | | | | |\n| what b is (`b`) | 1 |  |  |  |\n| **Last** (a\\_stamp) | | | | |\n| `a` | 2 ms |  |  |  |\n\
                 | **Further results** | | | | |\n| `alone` | 3 |  |  |  |\n\n";
    assert!(report.to_markdown().contains(table), "{}", report.to_markdown());
    let page = report.to_html();
    let places = ["Later", "what b is", "Last", "Further results", "<dt>alone"].map(|word| page.find(word).unwrap());
    assert!(places.is_sorted(), "{places:?}");
    // A number that was taken out takes its heading along.
    report.headline.remove("b");
    assert!(!report.to_html().contains("Later") && !report.to_markdown().contains("Later"));
}

#[test]
fn a_report_survives_writing_and_reading() {
    let folder = std::env::temp_dir().join(format!("einthoven-report-{}", std::process::id()));
    let page = report().write(&folder).unwrap();
    let back = Report::read(folder.join("report.json")).unwrap();
    // NaN differs from itself, so texts are compared instead of structs. Numbers are read to within
    // the last bit (0.12000000000000001 comes back as 0.12), so the fixed point is that of reading.
    let again = Report::from_json(&back.to_json(), "again").unwrap();
    assert!(again.to_json() == back.to_json(), "reading twice changed the report");
    assert_eq!(
        (&back.headline["inter_macro_f1_real"], &back.raw),
        (&report().headline["inter_macro_f1_real"], &report().raw)
    );
    assert_eq!(back.tables, report().tables);
    assert!(back.to_html() == std::fs::read_to_string(page).unwrap(), "the page changed");
    assert_eq!(back.to_markdown(), std::fs::read_to_string(folder.join("report.md")).unwrap());
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn reading_names_the_file_and_the_place() {
    let text = report().to_json().replace("\"seed\": 7", "\"seed\": -7");
    let error = Report::from_json(&text, "old/report.json").unwrap_err();
    assert!(error.to_string().starts_with("old/report.json:"), "{error}");
    assert_eq!((error.exit_code(), error.code()), (3, Some("J01")));
    let error = Report::read("/nowhere/report.json").unwrap_err();
    assert_eq!(error.exit_code(), 4);
}

/// Walks the tags of a page and returns the names of the elements in it.
///
/// Fails on a tag that closes another element than the open one: escaping or nesting went wrong.
fn elements(page: &str) -> Vec<String> {
    const VOID: [&str; 4] = ["meta", "!doctype", "br", "hr"];
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').expect("a tag ends") + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closes the wrong element");
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().unwrap_or_default().to_lowercase();
        seen.push(name.clone());
        if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

#[test]
fn the_page_is_one_file_and_hostile_text_stays_text() {
    let page = report().to_html();
    let elements = elements(&page);
    for forbidden in ["script", "link", "img", "iframe", "object", "embed"] {
        assert!(!elements.iter().any(|name| name == forbidden), "{forbidden} in the page");
    }
    for reach in ["http:", "https:", "src=", "url(", "@import", "javascript:"] {
        assert!(!page.contains(reach), "{reach} in the page");
    }
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"));
    assert!(!page.contains("NaN"), "a value that is not finite reached the page");
}

#[test]
fn the_page_shows_what_a_reader_must_see() {
    let page = report().to_html();
    for words in [
        "not for clinical use",
        "SYNTHETIC - not for clinical use",
        "0.51",
        "0.40 to 0.60",
        "n = 1234",
        "published 0.957",
        "published: not found",
        "beat-random split: not comparable",
        "insufficient",
        ">control<",
        "25 mm/s · 10 mm/mV",
        "fingerprint",
        "00ff",
        "einthoven run quickstart --seed 7",
        "prefers-color-scheme:dark",
        "@media print",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
}

#[test]
fn every_figure_stands_alone_with_words_for_screen_readers() {
    for figure in figures() {
        let svg = figure.to_svg();
        let names = elements(&svg);
        assert_eq!(names[..3], ["svg", "title", "desc"], "{}", figure.id);
        assert!(!names.iter().any(|name| name == "script"), "{}", figure.id);
        assert!(!svg.contains("NaN") && !svg.contains("inf "), "{}", figure.id);
        assert!(svg.matches("<path").count() + svg.matches("<rect").count() > 3, "{} is empty", figure.id);
    }
}

#[test]
fn a_page_of_full_overlays_stays_below_two_megabytes() {
    let beats: Vec<Vec<f32>> =
        (0..60).map(|k| (0..256).map(|i| ((i * (k + 3)) as f32 * 0.37).sin()).collect()).collect();
    let panels =
        (0..12).map(|i| BeatPanel::from_beats(format!("{i}"), "DGN", true, beats.iter().map(Vec::as_slice))).collect();
    let mut report = Report::new("p", 1, "cpu");
    let overlay = BeatOverlay { fs_hz: 360.0, r_index: 128, panels, n_columns: 3 };
    report.section("s", "S").figure(Figure::new("f", "F", overlay));
    // Noise of full scale in every panel is the worst case.
    let size = report.to_html().len();
    assert!(size < 2_000_000, "{size} bytes");
}
