//! Rows S01 to S09: records of several segments.

use einthoven::Position::{Line, LineColumn};
use einthoven::record::MISSING;

use super::*;

/// A fixed layout of two segments, 2 and 3 frames of the leads I and II.
fn two_segments(name: &str) -> TempFolder {
    let folder = TempFolder::new(name);
    folder.file("m.hea", MASTER);
    segment(&folder, "a", &["I", "II"], &[[1, 2], [3, 4]]);
    segment(&folder, "b", &["I", "II"], &[[5, 6], [7, 8], [9, 10]]);
    folder
}

/// The header of the record.
const MASTER: &str = "m/2 2 360 5\na 2\nb 3\n";

/// Writes a segment with the given leads and frames.
fn segment<const N: usize>(folder: &TempFolder, name: &str, leads: &[&str; N], frames: &[[i16; N]]) {
    let mut header = format!("{name} {N} 360 {}\n", frames.len());
    for (index, lead) in leads.iter().enumerate() {
        let sum: i16 = frames.iter().map(|frame| frame[index]).sum();
        header += &format!("{name}.dat 16 200 12 0 {} {sum} 0 {lead}\n", frames[0][index]);
    }
    folder.file(&format!("{name}.hea"), header);
    folder.file(
        &format!("{name}.dat"),
        frames.iter().flatten().flat_map(|point| point.to_le_bytes()).collect::<Vec<u8>>(),
    );
}

/// A header in place of the valid one must be refused, and the valid one read afterwards.
fn refuses_master(master: &str, code: &str, position: Position, parts: &[&str]) {
    let folder = two_segments("segments");
    let path = folder.file("m.hea", master);
    assert_rule(read(&path, &ReadOptions::lenient()).unwrap_err(), code, position, parts);
    folder.file("m.hea", MASTER);
    let record = strictly(&path);
    assert_eq!(
        (record.leads[0].adu.as_slice(), record.leads[1].adu.as_slice()),
        (&[1, 3, 5, 7, 9][..], &[2, 4, 6, 8, 10][..])
    );
}

#[test]
fn s01_segments_of_segments() {
    refuses_master("m/2 2 360 5\na 2\nm 3\n", "S01", Line(3), &["segment: found \"m\", expected another record"]);
    let folder = two_segments("s01");
    let path = folder.path().join("m.hea");
    folder.file("b.hea", "b/1 2 360 3\nm 3\n");
    assert_rule(
        read(&path, &ReadOptions::strict()).unwrap_err(),
        "S01",
        Line(3),
        &["\"b\", which has segments of its own"],
    );
}

#[test]
fn s02_number_of_segments() {
    refuses_master("m/0 2 360 5\na 2\nb 3\n", "S02", LineColumn(1, 1), &["number of segments: found \"0\""]);
    refuses_master("m/100000 2 360 5\na 2\n", "S02", LineColumn(1, 1), &["expected an integer from 1 to 65536"]);
    refuses_master("m/3 2 360 5\na 2\nb 3\n", "S02", Line(1), &["segment lines: found 2, expected 3"]);
}

#[test]
fn s03_lengths_that_do_not_add_up() {
    refuses_master("m/2 2 360 6\na 2\nb 3\n", "S03", Line(1), &["number of samples: found 6, expected 5, the sum"]);
    refuses_master("m/2 2 360 6\na 9223372036854775807\nb 9223372036854775807\n", "S03", Line(1), &["found 6"]);
}

#[test]
fn s04_another_sampling_frequency() {
    refuses_master("m/2 2 250 5\na 2\nb 3\n", "S04", Line(2), &["360 Hz in \"a\", expected 250 Hz"]);
}

#[test]
fn s05_length_against_the_segments_own_header() {
    refuses_master(
        "m/2 2 360 5\na 3\nb 2\n",
        "S05",
        Line(2),
        &["segment length: found 3 for \"a\", expected 2 as its own"],
    );
}

#[test]
fn s06_missing_segments_and_gaps() {
    refuses_master(
        "m/2 2 360 5\na 2\nc 3\n",
        "S06",
        Line(3),
        &["segment header: found \"c\"", "c.hea, which does not exist"],
    );
    let folder = two_segments("s06");
    let path = folder.file("m.hea", "m/3 2 360 9\na 2\n~ 4\nb 3\n");
    let record = strictly(&path);
    assert_eq!(record.leads[0].adu, [1, 3, MISSING, MISSING, MISSING, MISSING, 5, 7, 9]);
    // A gap takes memory only as far as the files justify it.
    folder.file("m.hea", "m/3 2 360 1000000000005\na 2\n~ 1000000000000\nb 3\n");
    assert_rule(read(&path, &ReadOptions::strict()).unwrap_err(), "W08", Line(1), &["most of them in gaps"]);
    let options = ReadOptions { range: Some(1_000_000_000_000..1_000_000_000_003), ..ReadOptions::strict() };
    assert_eq!(read(&path, &options).unwrap().leads[1].adu, [MISSING, MISSING, 6]);
}

#[test]
fn s07_segment_names() {
    for name in ["a+b", "../a", "/tmp/a", "http://host/a", "C:a", ".."] {
        refuses_master(
            &format!("m/2 2 360 5\n{name} 2\nb 3\n"),
            "S07",
            LineColumn(2, 1),
            &["segment name: found", "a plain record name"],
        );
    }
}

#[test]
fn s08_layouts() {
    let folder = two_segments("s08");
    let path = folder.file("m.hea", "m/3 2 360 5\nm_layout 0\na 2\nb 3\n");
    folder.file("m_layout.hea", "m_layout 2 360 0\n~ 0 200 12 0 0 0 0 I\n~ 0 200 12 0 0 0 0 II\n");
    assert_eq!(strictly(&path).leads[1].adu, [2, 4, 6, 8, 10]);
    folder.file("m.hea", "m/3 2 360 6\nm_layout 1\na 2\nb 3\n");
    assert_rule(
        read(&path, &ReadOptions::lenient()).unwrap_err(),
        "S08",
        Line(2),
        &["segment length: found 1 frames", "it is a layout"],
    );
    folder.file("m.hea", "m/3 2 360 5\nm_layout 0\na 2\nb 3\n");
    folder.file("m_layout.hea", "m_layout 2 360 7\n~ 0 200 12 0 0 0 0 I\n~ 0 200 12 0 0 0 0 II\n");
    assert_rule(
        read(&path, &ReadOptions::lenient()).unwrap_err(),
        "S08",
        Line(1),
        &["m_layout.hea", "found 7, expected 0"],
    );
    folder.file("m_layout.hea", "m_layout 2 360 0\n~ 0 200 12 0 0 0 0 I\n~ 0 200 12 0 0 0 0 II\n");
    folder.file("a.hea", "a 2 360 2\na.dat 16x4 200 12 0 0 10 0 I\na.dat 16 200 12 0 0 0 0 II\n");
    assert_rule(
        read(&path, &ReadOptions::lenient()).unwrap_err(),
        "S08",
        Line(2),
        &["a.hea", "samples per frame: found 4 for \"I\", expected 1"],
    );
}

#[test]
fn s09_absent_signals_and_changing_gains() {
    let folder = two_segments("s09");
    let path = folder.path().join("m.hea");
    segment(&folder, "b", &["II"], &[[6], [8], [10]]);
    let record = strictly(&path);
    assert_eq!(record.leads[0].adu, [1, 3, MISSING, MISSING, MISSING]);
    assert_eq!(record.leads[1].adu, [2, 4, 6, 8, 10]);
    folder.file("b.hea", "b 1 360 3\nb.dat 16 100(4) 12 0 6 24 0 II\n");
    let mv = strictly(&path).leads[1].mv().unwrap();
    assert_eq!(mv, [0.01, 0.02, 0.02, 0.04, 0.06]);
    folder.file("b.hea", "b 1 360 3\nb.dat 16 200 12 0 6 24 0 III\n");
    assert_rule(
        read(&path, &ReadOptions::strict()).unwrap_err(),
        "S09",
        Line(3),
        &["\"III\" in segment \"b\", expected one of \"I\", \"II\""],
    );
}
