//! Sheets: millimetres measured in the files themselves, marks, gaps, pages, and refused options.

use std::io::Read;

use einthoven::record::{Annotation, Lead, MISSING, ReadOptions, Record, lead_law, read};
use einthoven::report::sheet::{Band, Intervals, Landmarks, Layout, LimbOrder, SheetOptions, Sheets};

use crate::folder::{TempFolder, data_folder};

/// Twelve lawful leads of 10 s: each a triangle wave of 1 mV, 1 s long, scaled by lead.
fn twelve(fs_hz: f64, seconds: f64) -> Record {
    let n = (fs_hz * seconds) as usize;
    let wave = |scale: f32| move |t: usize| scale * (1.0 - ((t as f64 / fs_hz * 2.0) % 2.0 - 1.0).abs() as f32);
    let eight: Vec<f32> =
        [0.6, 1.0, -0.6, -0.8, 0.3, 1.2, 1.1, 0.9].into_iter().flat_map(|s| (0..n).map(wave(s))).collect();
    let mut record = Record::new("triangle", fs_hz);
    record.sig_len = n;
    let all = lead_law::twelve_from_eight(&eight);
    for (k, name) in lead_law::TWELVE.iter().enumerate() {
        record.leads.push(Lead::from_mv(*name, &all[k * n..(k + 1) * n], 1000.0).unwrap());
    }
    record
}

fn options(layout: Layout) -> SheetOptions {
    SheetOptions { layout: Some(layout), ..SheetOptions::default() }
}

/// Paths of a class in a drawing, each as runs of points in mm.
fn paths(svg: &str, class: &str) -> Vec<Vec<Vec<(f64, f64)>>> {
    let marker = format!("<path class=\"{class}\"");
    svg.match_indices(&marker)
        .map(|(at, _)| {
            let rest = &svg[at..];
            let data = &rest[rest.find(" d=\"").unwrap() + 4..];
            runs(&data[..data.find('"').unwrap()])
        })
        .collect()
}

/// Moves and relative lines of a path, in mm (ten units each).
fn runs(data: &str) -> Vec<Vec<(f64, f64)>> {
    let mut numbers = Vec::new();
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut command = ' ';
    let mut text = String::new();
    let mut tokens: Vec<(char, f64)> = Vec::new();
    for c in data.chars().chain([' ']) {
        let ends = c.is_ascii_alphabetic() || c == ' ' || c == '-' || (c == '.' && text.contains('.'));
        if ends && !text.is_empty() && text != "-" {
            tokens.push((command, text.parse().unwrap()));
            text.clear();
        }
        match c {
            'M' | 'l' | 'L' => command = c,
            ' ' => {}
            c => text.push(c),
        }
    }
    for (command, value) in tokens {
        numbers.push(value / 10.0);
        if let [x, y] = numbers[..] {
            numbers.clear();
            match command {
                'M' => runs.push(vec![(x, y)]),
                _ => {
                    let run = runs.last_mut().unwrap();
                    let (px, py) = *run.last().unwrap();
                    run.push((px + x, py + y));
                }
            }
        }
    }
    runs
}

fn near(a: f64, b: f64) -> bool {
    // Coordinates are printed to 0.01 mm; relative steps are those between rounded points.
    (a - b).abs() < 0.0101
}

#[test]
fn the_page_the_grid_and_the_pulse_are_true_to_the_millimetre() {
    for (speed, gain) in [(25.0, 10.0), (50.0, 10.0), (25.0, 5.0), (50.0, 20.0)] {
        let options = SheetOptions { speed_mm_per_s: speed, gain_mm_per_mv: gain, ..options(Layout::ThreeByFour) };
        let svg = Sheets::of(&twelve(500.0, 10.0), &options).unwrap().to_svg(0);
        assert!(svg.contains(r#"width="297mm" height="210mm" viewBox="0 0 2970 2100""#));
        for (class, step) in [("mm1", 1.0), ("mm5", 5.0)] {
            let lines = &paths(&svg, class)[0];
            let mut xs: Vec<f64> = lines.iter().filter(|run| near(run[0].0, run[1].0)).map(|run| run[0].0).collect();
            xs.sort_by(f64::total_cmp);
            assert!(xs.len() > 50, "{class}: {} lines", xs.len());
            // Fine lines leave out the places of bold ones.
            assert!(xs.windows(2).all(|pair| near(pair[1] - pair[0], step) || near(pair[1] - pair[0], 2.0 * step)));
        }
        let traces = paths(&svg, "trace");
        let pulse = &traces[0][0];
        assert!(near(pulse[1].1 - pulse[2].1, gain), "the pulse is 1 mV high: {pulse:?}");
        assert!(near(pulse[3].0 - pulse[2].0, 0.2 * speed), "the pulse is 200 ms wide: {pulse:?}");
        // The rhythm lead II: peaks of 1 mV, one second apart.
        let rhythm = traces.iter().map(|runs| &runs[0]).max_by_key(|run| run.len()).unwrap();
        let top = rhythm.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let base = rhythm.iter().map(|p| p.1).fold(0.0, f64::max);
        assert!(near(base - top, gain), "1 mV is {} mm", base - top);
        let peaks: Vec<f64> = rhythm.iter().filter(|p| near(p.1, top)).map(|p| p.0).collect();
        assert!(near(peaks[1] - peaks[0], speed), "1 s is {} mm", peaks[1] - peaks[0]);
        // The record ends a point before 10 s; where only 5 s fit, the point at their end is drawn too.
        let width = if speed == 25.0 { 250.0 - speed / 500.0 } else { 250.0 };
        assert!(near(rhythm[rhythm.len() - 1].0 - rhythm[0].0, width));
    }
}

#[test]
fn each_layout_shows_its_leads_with_names_pulses_and_separators() {
    let record = twelve(500.0, 10.0);
    // Pulses, traces and separators of each layout.
    for (layout, n_pulses, n_traces, n_separators) in [
        (Layout::ThreeByFour, 4, 13, 18),
        (Layout::SixByTwo, 6, 12, 12),
        (Layout::TwelveByOne, 12, 12, 0),
        (Layout::Strip, 1, 1, 0),
    ] {
        let sheets = Sheets::of(&record, &options(layout)).unwrap();
        let svg = sheets.to_svg(0);
        assert_eq!(paths(&svg, "trace").len(), n_pulses + n_traces + n_separators, "{}", layout.name());
        let names = if layout == Layout::Strip { &["II"][..] } else { &lead_law::TWELVE[..] };
        for name in names {
            assert!(svg.contains(&format!(">{name}</text>")), "{}: {name}", layout.name());
        }
        for text in ["25 mm/s", "10 mm/mV", "no filter added", "500 Hz", "triangle"] {
            assert!(svg.contains(text), "{}: {text}", layout.name());
        }
        assert_eq!(sheets.summaries()[0].layout, layout.name());
    }
}

#[test]
fn columns_of_3x4_follow_each_other_in_time_and_short_records_show_their_beginning() {
    let second_start = |record: &Record| {
        let sheets = Sheets::of(record, &options(Layout::ThreeByFour)).unwrap();
        let svg = sheets.to_svg(0);
        // Pulses come first, then I, II, III, aVR; a separator of aVR is drawn with its trace.
        let avr = paths(&svg, "trace")[4 + 3][0].clone();
        (avr[0].0, avr[0].1, svg.contains("columns at the same time"))
    };
    let (x, y, is_simultaneous) = second_start(&twelve(500.0, 10.0));
    // aVR is -(I + II)/2 = -0.8 of the triangle, which at 2.5 s is at its peak; baseline at 27 + 25 mm.
    assert!(near(x, 26.0 + 62.5) && near(y, 52.0 + 8.0) && !is_simultaneous, "{x} {y}");
    let (_, y, is_simultaneous) = second_start(&twelve(500.0, 6.0));
    assert!(near(y, 52.0) && is_simultaneous, "{y}");
}

#[test]
fn cabrera_orders_by_angle_and_turns_avr_over() {
    let record = twelve(500.0, 10.0);
    let cabrera = SheetOptions { limb_order: LimbOrder::Cabrera, ..options(Layout::TwelveByOne) };
    let sheets = Sheets::of(&record, &cabrera).unwrap();
    let expected = ["aVL", "I", "-aVR", "II", "aVF", "III", "V1", "V2", "V3", "V4", "V5", "V6"];
    assert_eq!(sheets.summaries()[0].leads, expected);
    let svg = sheets.to_svg(0);
    let inverted = &paths(&svg, "trace")[12 + 2][0];
    let top = inverted.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    // -aVR points up, to 0.8 mV, from the third baseline at 27 + 10 + 2 * 14 mm.
    assert!(near(65.0 - top, 8.0), "{top}");
    assert!(svg.contains("Cabrera order"));
    // A strip shows the leads that were named, in their order.
    let strip = SheetOptions { rhythm_leads: vec!["aVL".into(), "-aVR".into()], ..options(Layout::Strip) };
    let sheets = Sheets::of(&record, &strip).unwrap();
    assert_eq!(sheets.summaries()[0].leads, ["aVL", "-aVR"]);
    let inverted = &paths(&sheets.to_svg(0), "trace")[2 + 1][0];
    assert!(near(77.0 - 8.0, inverted.iter().map(|p| p.1).fold(f64::INFINITY, f64::min)), "{:?}", inverted[0]);
}

#[test]
fn the_head_begins_with_the_patient_and_names_keep_clear_of_waves() {
    let mut record = twelve(500.0, 10.0);
    record.comments = ["Synthetic: yes", "Generator: test", "<age>: 64", "Sex: female"].map(String::from).to_vec();
    let svg = Sheets::of(&record, &options(Layout::TwelveByOne)).unwrap().to_svg(0);
    assert!(svg.contains(">&lt;age&gt;: 64   Sex: female   Generator: test</text>") && !svg.contains("Synthetic: yes"));
    // Beside the paper, which begins at 11 mm.
    let place = svg.split("<text").find(|text| text.contains(">V3</text>")).unwrap();
    assert!(place.contains("x=\"100.0\""), "{place}");
    // A wave of 2 mV where a name would stand.
    record.leads[1].adu[..100].iter_mut().zip(0..).for_each(|(adu, k)| *adu = 2000 - k);
    let svg = Sheets::of(&record, &options(Layout::ThreeByFour)).unwrap().to_svg(0);
    let heights: Vec<&str> = svg.split("<text").filter(|text| text.contains(">II</text>")).collect();
    // The second and fourth baselines lie at 92 and 172 mm.
    assert!(heights[0].contains("y=\"708.0\"") && heights[1].contains("y=\"1508.0\""), "{heights:?}");
}

#[test]
fn missing_points_are_gaps_and_clipped_flat_and_absent_leads_are_named() {
    let mut record = twelve(500.0, 10.0);
    record.leads[6].adu[1000..1100].fill(MISSING);
    record.leads[7].adu.iter_mut().for_each(|adu| *adu = (*adu).max(-300));
    record.leads[8].adu.fill(7);
    record.leads.truncate(11);
    let svg = Sheets::of(&record, &options(Layout::TwelveByOne)).unwrap().to_svg(0);
    assert_eq!(paths(&svg, "trace")[12 + 6].len(), 2);
    for text in ["V2 (clipped)", "V3 (flat)", "V6 (not recorded)"] {
        assert!(svg.contains(text), "{text}");
    }
    // Eight leads are enough for twelve.
    let mut eight = twelve(500.0, 10.0);
    eight.leads.drain(2..6);
    let derived = Sheets::of(&eight, &options(Layout::TwelveByOne)).unwrap().to_svg(0);
    let whole = Sheets::of(&twelve(500.0, 10.0), &options(Layout::TwelveByOne)).unwrap().to_svg(0);
    assert!(derived.contains("III, aVR, aVL, aVF derived from I and II"));
    assert_eq!(paths(&derived, "trace")[12 + 4][0].len(), paths(&whole, "trace")[12 + 4][0].len());
}

#[test]
fn a_synthetic_record_is_marked_in_every_format_and_a_real_one_is_not() {
    let real = twelve(500.0, 10.0);
    let mut by_comment = real.clone();
    by_comment.comments = vec!["Synthetic: yes".into(), "Generator: test".into()];
    let mut by_name = real.clone();
    by_name.name = "syn_000001".into();
    for (record, is_marked) in [(&real, false), (&by_comment, true), (&by_name, true)] {
        for layout in Layout::ALL {
            let sheets = Sheets::of(record, &options(layout)).unwrap();
            assert_eq!(sheets.summaries()[0].is_synthetic, is_marked);
            let svg = sheets.to_svg(0);
            assert_eq!(svg.contains(">SYNTHETIC</text>"), is_marked);
            assert_eq!(svg.contains("not for clinical use"), is_marked);
            let content = inflate(&sheets.to_pdf());
            assert_eq!(content.contains("(SYNTHETIC) Tj"), is_marked);
            assert_eq!(content.contains("(not for clinical use) Tj"), is_marked);
        }
    }
    // In pixels: the stamp's red is there, and only there.
    let reds = |record: &Record| {
        let (_, pixels, palette) = pixels(&Sheets::of(record, &options(Layout::Strip)).unwrap().to_png(0, 4).unwrap());
        pixels.iter().filter(|&&p| palette[usize::from(p)] == [0xb0, 0x00, 0x20]).count()
    };
    assert_eq!(reds(&real), 0);
    assert!(reds(&by_comment) > 100);
}

/// The content streams of a PDF, inflated.
fn inflate(pdf: &[u8]) -> String {
    let mut text = String::new();
    let find = |from: usize, what: &[u8]| pdf[from..].windows(what.len()).position(|w| w == what).map(|k| from + k);
    let mut at = 0;
    while let Some(start) = find(at, b"stream\n") {
        let end = find(start, b"\nendstream").unwrap();
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(&pdf[start + 7..end]).read_to_end(&mut bytes).unwrap();
        text.extend(bytes.iter().map(|&byte| char::from(byte)));
        at = end + 10;
    }
    text
}

/// Size, palette indexes and palette of an image.
fn pixels(file: &[u8]) -> (png::Info<'static>, Vec<u8>, Vec<[u8; 3]>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut buffer).unwrap();
    let info = reader.info().clone();
    let palette = info.palette.as_ref().unwrap().chunks(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect();
    (info, buffer, palette)
}

#[test]
fn a_pdf_has_a_page_for_each_sheet_of_a4_with_the_pulse_in_its_place() {
    let mut sheets = Sheets::default();
    for name in ["one", "two (b)"] {
        let mut record = twelve(500.0, 10.0);
        record.name = name.into();
        sheets.add(&record, &options(Layout::ThreeByFour)).unwrap();
    }
    let pdf = sheets.to_pdf();
    // One character for each byte, so that offsets in the file are offsets in the text.
    let text: String = pdf.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect();
    assert!(text.starts_with("%PDF-1.4") && text.ends_with("%%EOF\n"));
    assert!(text.contains("/Count 2"));
    // A4 in points: 297 and 210 mm times 72 / 25.4.
    assert_eq!(text.matches("/MediaBox [0 0 841.8898 595.2756]").count(), 2);
    // Every offset of the table is where its object begins.
    let start: usize = text[text.rfind("startxref\n").unwrap() + 10..].lines().next().unwrap().parse().unwrap();
    for (k, line) in text[start..].lines().skip(3).take_while(|line| line.ends_with(" n ")).enumerate() {
        let offset: usize = line[..10].parse().unwrap();
        assert!(text[offset..].starts_with(&format!("{} 0 obj", k + 1)), "object {}", k + 1);
    }
    let content = inflate(&pdf);
    // The scale makes a unit 0.01 mm; the pulse of the first row is 5 mm wide and 10 mm high at 52 mm.
    assert!(content.starts_with("0.028346457 0 0 -0.028346457 0 595.2756 cm"));
    assert!(content.contains("1600 4200 l\n2100 4200 l\n2100 5200 l"), "the pulse is not where it should be");
    assert!(content.contains("(two \\(b\\)) Tj"));
    assert_eq!(pdf, sheets.to_pdf());
}

#[test]
fn a_png_says_its_size_and_its_pulse_has_as_many_pixels() {
    let sheets = Sheets::of(&twelve(500.0, 10.0), &options(Layout::ThreeByFour)).unwrap();
    for px_per_mm in [4usize, 6, 10] {
        let (info, pixels, palette) = pixels(&sheets.to_png(0, px_per_mm as u32).unwrap());
        assert_eq!((info.width as usize, info.height as usize), (297 * px_per_mm, 210 * px_per_mm));
        let dims = info.pixel_dims.unwrap();
        assert_eq!((dims.xppu as usize, dims.yppu as usize), (px_per_mm * 1000, px_per_mm * 1000));
        // Along the row 5 mm above the first baseline, the pulse stands at 16 and at 21 mm.
        let row = 47 * px_per_mm + px_per_mm / 2;
        let is_ink = |x: usize| palette[usize::from(pixels[row * info.width as usize + x])].iter().all(|c| *c < 0x80);
        let inked: Vec<usize> = (12 * px_per_mm..25 * px_per_mm).filter(|&x| is_ink(x)).collect();
        let middle = |from: usize, to: usize| {
            let group: Vec<f64> = inked
                .iter()
                .filter(|&&x| (from * px_per_mm..to * px_per_mm).contains(&x))
                .map(|&x| x as f64 + 0.5)
                .collect();
            group.iter().sum::<f64>() / group.len() as f64 / px_per_mm as f64
        };
        // A pixel's width is the resolution.
        let (left, right) = (middle(14, 18), middle(19, 24));
        assert!((left - 16.0).abs() <= 0.5 / px_per_mm as f64, "{left}");
        assert!((right - left - 5.0).abs() <= 1.0 / px_per_mm as f64, "{left} {right}");
    }
}

#[test]
fn long_records_go_on_over_lines_and_pages() {
    let mut record = twelve(360.0, 200.0);
    record.leads.truncate(2);
    record.leads[0].name = "MLII".into();
    let all = SheetOptions { max_pages: 99, ..SheetOptions::default() };
    let sheets = Sheets::of(&record, &all).unwrap();
    // Two leads: four lines of 10 s on a page.
    let starts: Vec<f64> = sheets.summaries().iter().map(|sheet| sheet.start_s).collect();
    assert_eq!(starts, [0.0, 40.0, 80.0, 120.0, 160.0]);
    assert_eq!(sheets.summaries()[0].leads, ["MLII", "II"]);
    assert!(sheets.to_svg(1).contains(">0:50.0</text>"));
    let some = SheetOptions { start_s: 190.0, max_pages: 2, ..SheetOptions::default() };
    let last = Sheets::of(&record, &some).unwrap();
    assert_eq!((last.summaries().len(), last.summaries()[0].seconds), (1, 10.0));
    // One line needs no whole page.
    assert!(last.summaries()[0].height_mm < 210.0);
}

#[test]
fn landmarks_measurements_and_filter_are_on_the_sheet() {
    let mut record = twelve(500.0, 10.0);
    let mark = |sample, symbol| Annotation::new(sample, symbol);
    record.annotations.insert("ii".into(), vec![mark(200, "("), mark(250, "N"), mark(300, ")"), mark(350, "t")]);
    let mut rhythm = mark(10, "+");
    rhythm.aux = b"(AFIB".to_vec();
    record.annotations.insert("atr".into(), vec![rhythm, mark(250, "V")]);
    let with = |landmarks, intervals, band| SheetOptions { landmarks, intervals, band, ..options(Layout::SixByTwo) };
    let intervals = Intervals { qt_ms: Some(401.6), qtc_fridericia_ms: Some(419.7), ..Intervals::default() };
    let band = Band { high_pass_hz: Some(0.5), low_pass_hz: Some(40.0) };
    let svg = Sheets::of(&record, &with(Landmarks::PerLead, Some(intervals), band)).unwrap().to_svg(0);
    for text in
        [">QRS</text>", ">T</text>", "QTc (Fridericia)", ">420 ms<", ">402 ms<", ">Heart rate<", "filter 0.5 to 40 Hz"]
    {
        assert!(svg.contains(text), "{text}");
    }
    // The brackets of QRS stand at 0.4 and 0.6 s: 10 and 15 mm from the start of the trace at 26 mm.
    let brackets = paths(&svg, "qrs");
    assert_eq!(brackets.len(), 2);
    assert!(near(brackets[0][0][1].0, 36.0) && near(brackets[1][0][1].0, 41.0), "{brackets:?}");
    let beats = Landmarks::Annotator("atr".into());
    let svg = Sheets::of(&record, &with(beats, None, Band::default())).unwrap().to_svg(0);
    assert!(svg.contains(">V</text>") && svg.contains(">AFIB</text>") && !svg.contains("QTc"));
    let unknown = Sheets::of(&record, &with(Landmarks::Annotator("qrs".into()), None, Band::default()));
    assert!(unknown.unwrap_err().to_string().contains("atr"));
}

#[test]
fn hostile_text_stays_text() {
    let mut record = twelve(500.0, 10.0);
    record.name = "</text><script>alert(1)</script>".into();
    record.comments = vec!["\u{7}<b>) Tj".into(), "x".repeat(5000)];
    let sheets = Sheets::of(&record, &options(Layout::Strip)).unwrap();
    let svg = sheets.to_svg(0);
    assert!(!svg.contains("<script>") && !svg.contains("<b>") && svg.contains("&lt;script&gt;"));
    assert!(inflate(&sheets.to_pdf()).contains("<b>\\) Tj"));
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let record = twelve(500.0, 10.0);
    let base = || options(Layout::ThreeByFour);
    let refused = |options: SheetOptions, words: &[&str]| {
        let error = Sheets::of(&record, &options).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{error}: {word}");
        }
    };
    refused(SheetOptions { speed_mm_per_s: 30.0, ..base() }, &["speed_mm_per_s", "30", "25"]);
    refused(SheetOptions { gain_mm_per_mv: f64::NAN, ..base() }, &["gain_mm_per_mv", "NaN"]);
    refused(SheetOptions { start_s: -1.0, ..base() }, &["start_s", "-1"]);
    refused(SheetOptions { start_s: 10.0, ..base() }, &["start_s", "10.0 s"]);
    refused(SheetOptions { max_pages: 0, ..base() }, &["max_pages"]);
    let cabrera = LimbOrder::Cabrera;
    refused(SheetOptions { limb_order: cabrera, ..options(Layout::Strip) }, &["limb_order", "strip", "12x1"]);
    refused(SheetOptions { rhythm_leads: vec!["V9".into()], ..base() }, &["V9", "V6"]);
    let nine = vec!["II".to_string(); 9];
    refused(SheetOptions { rhythm_leads: nine, ..options(Layout::Strip) }, &["9 leads", "8"]);
    refused(SheetOptions { band: Band { high_pass_hz: Some(900.0), low_pass_hz: None }, ..base() }, &["900"]);
    let sheets = Sheets::of(&record, &base()).unwrap();
    for px_per_mm in [0, 1, 25, u32::MAX] {
        assert_eq!(sheets.to_png(0, px_per_mm).unwrap_err().exit_code(), 2);
    }
    let folder = TempFolder::new("sheet");
    assert!(sheets.write(&folder.path().join("a.gif"), 6).unwrap_err().to_string().contains("svg"));
    let mut two = sheets.clone();
    two.add(&record, &base()).unwrap();
    assert!(two.write(&folder.path().join("a.png"), 6).unwrap_err().to_string().contains("2 sheets"));
    two.write(&folder.path().join("a.pdf"), 6).unwrap();
    assert!(folder.path().join("a.pdf").is_file());
    // Records that cannot be drawn as asked.
    let mut few = record.clone();
    few.leads.truncate(2);
    let error = Sheets::of(&few, &base()).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("use strip"), "{error}");
    assert_eq!(Sheets::of(&Record::new("empty", 500.0), &base()).unwrap_err().exit_code(), 3);
    let mut pressure = record.clone();
    pressure.leads[1].units = "mmHg".into();
    assert!(Sheets::of(&pressure, &base()).unwrap_err().to_string().contains("mmHg"));
}

#[test]
fn real_records_of_three_databases_are_drawn_in_their_usual_layouts() {
    let Some(folder) = data_folder("") else { return };
    for (path, expected) in [
        ("ptbxl/records100/00000/00001_lr.hea", Layout::ThreeByFour),
        ("ludb/data/1.hea", Layout::ThreeByFour),
        ("mitdb/100.hea", Layout::Strip),
        ("cinc2017/A00002.hea", Layout::Strip),
    ] {
        let record = read(folder.join(path), &ReadOptions::lenient()).unwrap();
        let sheets = Sheets::of(&record, &SheetOptions::default()).unwrap();
        assert_eq!(sheets.summaries()[0].layout, expected.name(), "{path}");
        assert!(!sheets.summaries()[0].is_synthetic);
        assert!(sheets.to_svg(0).len() > 20_000 && sheets.to_png(0, 4).unwrap().len() > 20_000, "{path}");
    }
}
