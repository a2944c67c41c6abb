//! Rows X02 and X03, and the rules of Parquet: arrays, XML, tables.

use einthoven::Position::{self, Byte, File, LineColumn};
use einthoven::record::{WriteOptions, write};

use super::*;
use crate::bad_wfdb::assert_rule;
use crate::folder::TempFolder;

/// A valid document: I = 1, 2, 3 and II = -1, -2, -3 in steps of 5 uV at 500 Hz.
const GOOD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<id root="1.2.3"/><effectiveTime><low value="20020509103000"/></effectiveTime>
<component><series><code code="RHYTHM"/><component><sequenceSet>
<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS"><head value="20020509103000"/><increment value="0.002" unit="s"/></value></sequence></component>
<component><sequence><code code="MDC_ECG_LEAD_I"/><value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="5" unit="uV"/><digits>1 2 3</digits></value></sequence></component>
<component><sequence><code code="MDC_ECG_LEAD_II"/><value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="5" unit="uV"/><digits>-1 -2
-3</digits></value></sequence></component>
</sequenceSet></component></series></component>
</AnnotatedECG>
"#;

fn document(text: &str) -> Record {
    let folder = TempFolder::new("good-xml");
    strictly(folder.file("x.xml", text))
}

fn refuses(text: impl AsRef<[u8]>, at: Position, parts: &[&str]) {
    let folder = TempFolder::new("bad-xml");
    let path = folder.file("x.xml", text);
    for options in [ReadOptions::strict(), ReadOptions::lenient()] {
        assert_rule(read(&path, &options).unwrap_err(), "X03", at, parts);
    }
    assert_eq!(document(GOOD).warnings, []);
}

/// The valid document with one piece replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn x03_the_valid_document() {
    let record = document(GOOD);
    assert_eq!((record.fs_hz, record.sig_len), (500.0, 3));
    assert_eq!((record.leads[1].name.as_str(), &record.leads[1].adu[..]), ("II", &[-1, -2, -3][..]));
    assert_eq!(record.leads[0].mv().unwrap(), [0.005, 0.01, 0.015]);
    assert_eq!((record.base_date.as_deref(), record.base_time.as_deref()), (Some("09/05/2002"), Some("10:30:00")));
    // A derived series of representative beats is passed over.
    let derived = "<derivation><derivedSeries><code code=\"REPRESENTATIVE_BEAT\"/><component><sequenceSet><component>\
                   <sequence><code code=\"MDC_ECG_LEAD_I\"/><value><digits>9</digits></value></sequence></component>\
                   </sequenceSet></component></derivedSeries></derivation></series>";
    assert_eq!(document(&with("</series>", derived)).leads[0].adu, [1, 2, 3]);
}

#[test]
fn x03_document_types_and_entities() {
    let dtd = with("<AnnotatedECG", "<!DOCTYPE a [<!ENTITY b \"c\">]>\n<AnnotatedECG");
    refuses(dtd, LineColumn(2, 1), &["document type: found a DTD, expected none"]);
    let external = with("<AnnotatedECG", "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><AnnotatedECG");
    refuses(external, LineColumn(2, 1), &["document type"]);
    let entity = with(">1 2 3<", ">1 &lol; 3<");
    refuses(entity, LineColumn(6, 145), &["entity: found \"&lol;\""]);
    refuses(
        with("\"MDC_ECG_LEAD_I\"", "\"&lol;\""),
        LineColumn(6, 22),
        &["attribute: found \"&lol;\", expected no entities"],
    );
    assert_eq!(document(&with(">1 2 3<", ">&#49; 2 3<")).leads[0].adu, [1, 2, 3]);
}

#[test]
fn x03_depth_and_attributes() {
    let deep = with("<id root=\"1.2.3\"/>", &"<a>".repeat(100_000));
    refuses(deep, LineColumn(3, 1 + 3 * 63), &["element: found depth 65, expected at most 64"]);
    let attributes: String = (0..100_000).map(|index| format!(" a{index}=\"\"")).collect();
    refuses(with("<id root", &format!("<id{attributes} root")), LineColumn(3, 1), &["attributes: found more than 64"]);
}

#[test]
fn x03_structure_and_numbers() {
    refuses("", LineColumn(1, 1), &["document: found no element"]);
    refuses("<RestingECG/>", LineColumn(1, 1), &["root element: found \"RestingECG\", expected \"AnnotatedECG\""]);
    refuses("<AnnotatedECG/>", LineColumn(1, 1), &["no sequence of a lead"]);
    refuses(b"<AnnotatedECG>\xff", Byte(14), &["bytes that are no UTF-8"]);
    refuses(
        with("-1 -2\n-3", "-1 -2"),
        LineColumn(7, 12),
        &["length of lead \"MDC_ECG_LEAD_II\": found 2, expected 3"],
    );
    refuses(with("-2\n-3", "-2\nx3"), LineColumn(8, 1), &["digit 3 of MDC_ECG_LEAD_II: found \"x3\""]);
    refuses(with("1 2 3", "1 2 99999999999"), LineColumn(6, 147), &["digit 3 of MDC_ECG_LEAD_I"]);
    refuses(with("value=\"5\"", "value=\"0\""), LineColumn(6, 12), &["scale of lead \"I\": found scale 0"]);
    refuses(with("value=\"5\"", "value=\"1,5\""), LineColumn(6, 107), &["scale: found \"1,5\", expected a number"]);
    refuses(
        with("value=\"0.002\"", "value=\"0\""),
        LineColumn(5, 107),
        &["increment: found 0, expected more than 0 s"],
    );
    refuses(with("unit=\"s\"", "unit=\"h\""), LineColumn(5, 107), &["increment: found unit \"h\""]);
    refuses(with("<increment value=\"0.002\" unit=\"s\"/>", ""), LineColumn(4, 52), &["no time sequence"]);
}

#[test]
fn x02_records_in_archives() {
    let folder = TempFolder::new("x02-record");
    let mut record = Record::new("x", 360.0);
    record.sig_len = 3;
    record.leads.push(Lead::new("II", 200.0, vec![1, 2, 3]));
    let path = folder.path().join("x.npz");
    write(&record, &path, &WriteOptions::default()).unwrap();
    let array = |dictionary: &str, data: &[u8]| {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((dictionary.len() as u16).to_le_bytes());
        out.extend(dictionary.as_bytes());
        out.extend(data);
        out
    };
    // The valid archive with one entry replaced or added.
    let with = |name: &str, bytes: Vec<u8>| {
        let mut source = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
        let changed = folder.path().join("changed.npz");
        let mut out = zip::ZipWriter::new(std::fs::File::create(&changed).unwrap());
        for index in 0..source.len() {
            let entry = source.by_index(index).unwrap();
            if entry.name_raw() != name.as_bytes() {
                out.raw_copy_file(entry).unwrap();
            }
        }
        out.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut out, &bytes).unwrap();
        out.finish().unwrap();
        changed
    };
    let refuses = |name: &str, bytes: Vec<u8>, parts: &[&str]| {
        let error = read(with(name, bytes), &ReadOptions::lenient()).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), (Some("X02"), 3), "{error}");
        parts.iter().for_each(|part| assert!(error.to_string().contains(part), "{part}: {error}"));
    };
    refuses("adu.npy", array("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", b"x"), &["object array"]);
    let huge = "{'descr': '<i4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }";
    refuses("adu.npy", array(huge, &[]), &["address space"]);
    refuses(
        "../adu.npy",
        array("{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }", &[]),
        &["without a folder"],
    );
    let bomb = array("{'descr': '|u1', 'fortran_order': False, 'shape': (41943040,), }", &vec![0; 40 << 20]);
    refuses("adu.npy", bomb, &["bytes in all", "32 MiB plus 8 times"]);
    let long = array("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", &(1i64 << 40).to_le_bytes());
    refuses("adu.npy", long, &["a number beyond 32 bits"]);
    let rate = array("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", &(-1f64).to_le_bytes());
    refuses("fs_hz.npy", rate, &["fs_hz: found -1, expected a positive"]);
    // Big endian, and Fortran order, are read.
    let big: Vec<u8> = [7i32, -8, 9].iter().flat_map(|point| point.to_be_bytes()).collect();
    let order = "{'descr': '>i4', 'fortran_order': True, 'shape': (3,), }";
    assert_eq!(leniently(with("adu.npy", array(order, &big))).leads[0].adu, [7, -8, 9]);
    assert_eq!(strictly(&path).leads[0].adu, [1, 2, 3]);
}

#[test]
fn x02_millivolts_alone_make_a_record() {
    let folder = TempFolder::new("x02-mv");
    let path = folder.path().join("x.npz");
    let mut out = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let mut put = |name: &str, dictionary: &str, data: Vec<u8>| {
        out.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        let head = [b"\x93NUMPY\x01\x00", &(dictionary.len() as u16).to_le_bytes()[..], dictionary.as_bytes()].concat();
        std::io::Write::write_all(&mut out, &[head, data].concat()).unwrap();
    };
    let ecg = [0.5f32, f32::NAN, -1.25].iter().flat_map(|value| value.to_le_bytes()).collect();
    put("ecg.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }", ecg);
    put("fs_hz.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", 250f64.to_le_bytes().to_vec());
    let name = "V5".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    put("leads.npy", "{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", name);
    out.finish().unwrap();
    let record = strictly(&path);
    assert_eq!((record.leads[0].name.as_str(), &record.leads[0].adu[..]), ("V5", &[500, MISSING, -1250][..]));
}

#[test]
fn q_rules_of_parquet() {
    let folder = TempFolder::new("bad-parquet");
    let mut record = Record::new("x", 360.0);
    record.sig_len = 3;
    record.leads.push(Lead::new("II", 200.0, vec![1, 2, 3]));
    let path = folder.path().join("x.parquet");
    write(&record, &path, &WriteOptions::default()).unwrap();
    let good = std::fs::read(&path).unwrap();
    let refuses = |bytes: &[u8], code: &str, at: Position, parts: &[&str]| {
        let path = folder.file("y.parquet", bytes);
        assert_rule(read(path, &ReadOptions::lenient()).unwrap_err(), code, at, parts);
        assert_eq!(strictly(folder.file("y.parquet", &good)).leads[0].adu, [1, 2, 3]);
    };
    let n = good.len();
    refuses(b"PK", "Q01", Byte(0), &["no PAR1 at both ends"]);
    let length = u32::from_le_bytes([good[n - 8], good[n - 7], good[n - 6], good[n - 5]]) as usize;
    let mut metadata = good.clone();
    metadata[n - 8 - length] = 0xff;
    refuses(&metadata, "Q02", Byte((n - 8 - length) as u64), &["metadata: found bytes that are none"]);
    // The column that says the rate, under another name.
    let mut renamed = good.clone();
    let at = n - 8 - length + renamed[n - 8 - length..].windows(5).position(|w| w == b"fs_hz").unwrap();
    renamed[at..at + 5].copy_from_slice(b"rate?");
    refuses(&renamed, "Q03", File, &["no column \"fs_hz\""]);
    let mut page = good.clone();
    page[4] = 0xff;
    refuses(&page, "Q04", Byte(4), &["page header of column \"record\""]);
}
