//! `plot`: every layout in every format, what a sheet says of itself, and requests that are refused.

use std::path::Path;

use super::command::{TempFolder, einthoven, text};
use super::inspect::write_record;
use super::simulate::simulated;

#[test]
fn every_layout_is_drawn_in_every_format() {
    let folder = TempFolder::new("plot");
    let record = simulated(&folder, "a", &["--seconds", "10"]);
    for (layout, n_leads) in [("3x4+1", 13), ("6x2", 12), ("12x1", 12), ("strip", 1)] {
        for (extension, magic) in [("svg", &b"<svg"[..]), ("pdf", &b"%PDF-"[..]), ("png", &b"\x89PNG\r\n\x1a\n"[..])] {
            let out = folder.at(&format!("{layout}.{extension}"));
            let drawn = einthoven(["plot", text(&record), "--layout", layout, "--out", &out, "--json"]).json();
            assert_eq!(drawn["written"], out.as_str());
            let sheet = &drawn["sheets"][0];
            assert_eq!((&sheet["record"], &sheet["layout"]), (&"syn_000000".into(), &layout.into()));
            assert_eq!((&sheet["width_mm"], &sheet["is_synthetic"]), (&297.0.into(), &true.into()));
            assert_eq!(sheet["leads"].as_array().map(Vec::len), Some(n_leads), "{sheet}");
            let bytes = std::fs::read(&out).expect("a file");
            assert!(bytes.windows(magic.len()).take(200).any(|window| window == magic), "{out}");
            if extension == "png" {
                // The header says the width in pixels at byte 16: 297 mm at 6 pixels each.
                assert_eq!(u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]), 297 * 6);
            }
        }
    }
    let two = einthoven(["plot", text(&record), text(&record), "--out", &folder.at("two.pdf"), "--json"]).json();
    assert_eq!(two["sheets"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_sheet_says_what_it_shows_and_what_it_cuts() {
    let folder = TempFolder::new("sheet");
    let svg = |record: &Path, name: &str, more: &[&str]| {
        let out = folder.at(name);
        let drawn = einthoven(["plot", text(record), "--out", &out, "--json"].iter().chain(more));
        let cut = drawn.json()["sheets"][0]["cut_leads"].clone();
        (std::fs::read_to_string(&out).expect("an SVG"), cut, drawn.stderr)
    };
    // The condition's name is the word that matters in the head; it is never cut while a line is free.
    for rhythm in ["flutter", "paced", "lbbb", "wpw"] {
        let record = simulated(&folder, rhythm, &["--rhythm", rhythm]);
        let (sheet, _, _) = svg(&record, &format!("{rhythm}.svg"), &[]);
        assert!(sheet.contains(&format!("Condition: {rhythm}")), "{rhythm}");
        assert!(sheet.contains("SYNTHETIC") && sheet.contains("25 mm/s"), "{rhythm}");
    }
    let record = simulated(&folder, "lvh", &["--rhythm", "lvh"]);
    let (sheet, cut, said) = svg(&record, "lvh.svg", &[]);
    assert!(cut.as_array().is_some_and(|leads| leads.contains(&"V4".into())), "{cut}");
    assert!(sheet.contains("cut at the edge of the paper: V4"));
    assert!(said.contains("syn_000000: cut at the edge of the paper: V4; a lower --gain"), "{said}");
    let (sheet, cut, said) = svg(&record, "half.svg", &["--gain", "5"]);
    assert_eq!((cut, said.as_str()), (serde_json::json!([]), ""));
    assert!(sheet.contains("5 mm/mV") && !sheet.contains("cut at the edge"));

    let measured = einthoven(["delineate", text(&record), "--json"]);
    std::fs::write(folder.path().join("measured.json"), &measured.stdout).expect("writable");
    let (sheet, _, _) = svg(&record, "with.svg", &["--intervals", &folder.at("measured.json"), "--fiducials", "leads"]);
    assert!(sheet.contains("QTc (Fridericia)") && sheet.contains(">QRS<"));
}

#[test]
fn what_cannot_be_drawn_is_refused_and_nothing_is_written() {
    let folder = TempFolder::new("plot-bad");
    let twelve = simulated(&folder, "a", &[]);
    let twelve = text(&twelve);
    write_record(&folder.path().join("one.hea"), &[]);
    std::fs::remove_file(folder.path().join("one.atr")).expect("annotations");
    std::fs::write(folder.path().join("other.json"), r#"{"hr":72}"#).expect("writable");
    std::fs::write(folder.path().join("list.json"), "[]").expect("writable");
    let [one, other, list, none] = ["one", "other.json", "list.json", "none"].map(|name| folder.at(name));
    let [one, other, list, none] = [&one, &other, &list, &none].map(|path| path.as_str());
    for (record, name, more, code, said) in [
        (twelve, "x.svg", vec!["--layout", "4x3"], 2, "(known: 3x4+1, 6x2, 12x1, strip)"),
        (twelve, "x.bmp", vec![], 2, "unknown sheet format \"bmp\" (known: svg, pdf, png)"),
        (twelve, "x.svg", vec!["--lead", "V9"], 2, "unknown lead \"V9\""),
        (
            twelve,
            "x.svg",
            vec!["--lead", "II", "--lead", "V1"],
            2,
            "--lead: found 2 leads, expected at most 1 with 3x4+1",
        ),
        (twelve, "x.svg", vec!["--layout", "6x2", "--lead", "II"], 2, "expected at most 0 with 6x2"),
        (twelve, "x.svg", vec!["--speed", "30"], 2, "--speed: found 30, expected one of"),
        (twelve, "x.svg", vec!["--gain", "7"], 2, "--gain: found 7, expected one of"),
        (twelve, "x.svg", vec!["--start", "20"], 2, "--start: found 20, expected less than the 10.0 s"),
        (twelve, "x.svg", vec!["--start", "-1"], 2, "--start: found -1, expected seconds from 0 on"),
        (twelve, "x.svg", vec!["--pages", "0"], 2, "--pages: found 0"),
        (twelve, "x.png", vec!["--px-per-mm", "200"], 2, "--px-per-mm: found 200, expected a number from 2 to 24"),
        (
            twelve,
            "x.svg",
            vec!["--high-pass", "40", "--low-pass", "10"],
            2,
            "--high-pass: found 40 Hz, expected less than",
        ),
        (twelve, "x.svg", vec!["--low-pass", "300"], 2, "--low-pass: 300 Hz at a sampling rate of 500 Hz"),
        (twelve, "x.svg", vec!["--layout", "strip", "--cabrera"], 2, "--cabrera: found Cabrera's order for a strip"),
        (twelve, "x.svg", vec!["--fiducials", "wavs"], 2, "unknown annotator \"wavs\", did you mean \"waves\"?"),
        (twelve, "x.svg", vec!["--intervals", other], 3, "found no measurement, expected one of hr_bpm, pr_ms"),
        (twelve, "x.svg", vec!["--intervals", list], 3, "found no measurement"),
        (twelve, "x.svg", vec!["--intervals", none], 4, "none: No such file"),
        (twelve, "x.svg", vec![one], 2, "--out: found 2 sheets, expected one for .svg; write a .pdf"),
        (twelve, "x.pdf", vec![none], 4, "none.hea: No such file"),
        (one, "x.svg", vec!["--layout", "3x4+1"], 3, "layout 3x4+1 shows twelve leads: found 1 of them (II)"),
        (one, "x.svg", vec!["--fiducials", "atr"], 3, "one: found no annotation file beside it"),
        (text(folder.path()), "x.svg", vec![], 3, "found a folder, expected a record"),
    ] {
        let out = folder.at(name);
        let failed = einthoven(["plot", record, "--out", &out].iter().chain(&more));
        assert_eq!((failed.code, failed.stdout.as_str()), (code, ""), "{more:?}: {}", failed.stderr);
        assert!(failed.stderr.contains(said), "{more:?}: {}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{more:?}: {}", failed.stderr);
        assert!(!Path::new(&out).exists(), "{more:?}");
    }
    std::fs::write(folder.path().join("mine.svg"), "mine").expect("writable");
    let refused = einthoven(["plot", twelve, "--out", &folder.at("mine.svg"), "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (5, &"overwrite".into()));
    assert_eq!(std::fs::read(folder.path().join("mine.svg")).expect("a file"), b"mine");
    assert_eq!(einthoven(["plot", twelve, "--out", &folder.at("mine.svg"), "--force"]).code, 0);
}
