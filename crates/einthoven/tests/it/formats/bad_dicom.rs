//! Rows C01 to C08 and X04: DICOM waveforms, and lengths in tag-length-value data.

use einthoven::Position::Byte;

use super::*;
use crate::bad_wfdb::{assert_rule, assert_warned};
use crate::folder::TempFolder;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const TWELVE_LEAD: &str = "1.2.840.10008.5.1.4.1.1.9.1.1";

/// A data set of elements, in explicit or implicit encoding.
#[derive(Clone)]
struct Object {
    syntax: &'static str,
    class: &'static str,
    groups: Vec<Group>,
}

/// A multiplex group; values of channels are interleaved.
#[derive(Clone)]
struct Group {
    label: &'static str,
    fs_hz: &'static str,
    n_channels: u16,
    n_points: u32,
    bits: u16,
    interpretation: &'static str,
    channels: Vec<Channel>,
    padding: Option<Vec<u8>>,
    data_vr: &'static str,
    data: Vec<u8>,
}

#[derive(Clone)]
struct Channel {
    code: &'static str,
    sensitivity: Option<&'static str>,
    correction: &'static str,
    baseline: &'static str,
}

/// Two channels of three points: I = 1, 2, 3 and II = -1, -2, -3.
fn good() -> Object {
    let channel = |code| Channel { code, sensitivity: Some("0.005"), correction: "1", baseline: "0" };
    let group = Group {
        label: "RHYTHM",
        fs_hz: "500",
        n_channels: 2,
        n_points: 3,
        bits: 16,
        interpretation: "SS",
        channels: vec![channel("2:1"), channel("2:2")],
        padding: None,
        data_vr: "OW",
        data: [1i16, -1, 2, -2, 3, -3].iter().flat_map(|point| point.to_le_bytes()).collect(),
    };
    Object { syntax: EXPLICIT, class: TWELVE_LEAD, groups: vec![group] }
}

/// An element.
fn element(is_explicit: bool, tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = [((tag >> 16) as u16).to_le_bytes(), (tag as u16).to_le_bytes()].concat();
    let is_long = ["OB", "OW", "SQ", "UN"].contains(&vr);
    if is_explicit {
        bytes.extend(vr.bytes());
        bytes.extend(&[0, 0][..if is_long { 2 } else { 0 }]);
    }
    if is_explicit && !is_long {
        bytes.extend((value.len() as u16).to_le_bytes());
    } else {
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

fn item(value: &[u8]) -> Vec<u8> {
    [&[0xfe, 0xff, 0x00, 0xe0][..], &(value.len() as u32).to_le_bytes(), value].concat()
}

/// Preamble and meta group, with the length of both.
fn preamble(syntax: &str) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(element(true, 0x0002_0010, "UI", &even(syntax)));
    bytes
}

fn even(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

impl Object {
    fn bytes(&self) -> Vec<u8> {
        let is_explicit = self.syntax == EXPLICIT;
        let put = |tag, vr: &str, value: &[u8]| element(is_explicit, tag, vr, value);
        let mut groups = Vec::new();
        for group in &self.groups {
            let mut channels = Vec::new();
            for channel in &group.channels {
                let source = item(&put(0x0008_0100, "SH", &even(channel.code)));
                let unit = item(&put(0x0008_0100, "SH", &even("mV")));
                let mut fields = put(0x003A_0208, "SQ", &source);
                if let Some(sensitivity) = channel.sensitivity {
                    fields.extend(put(0x003A_0210, "DS", &even(sensitivity)));
                }
                fields.extend(put(0x003A_0211, "SQ", &unit));
                fields.extend(put(0x003A_0212, "DS", &even(channel.correction)));
                fields.extend(put(0x003A_0213, "DS", &even(channel.baseline)));
                channels.extend(item(&fields));
            }
            let mut fields = put(0x003A_0005, "US", &group.n_channels.to_le_bytes());
            fields.extend(put(0x003A_0010, "UL", &group.n_points.to_le_bytes()));
            fields.extend(put(0x003A_001A, "DS", &even(group.fs_hz)));
            fields.extend(put(0x003A_0020, "SH", &even(group.label)));
            fields.extend(put(0x003A_0200, "SQ", &channels));
            fields.extend(put(0x5400_1004, "US", &group.bits.to_le_bytes()));
            fields.extend(put(0x5400_1006, "CS", &even(group.interpretation)));
            if let Some(padding) = &group.padding {
                fields.extend(put(0x5400_100A, "OW", padding));
            }
            fields.extend(put(0x5400_1010, group.data_vr, &group.data));
            groups.extend(item(&fields));
        }
        let mut bytes = preamble(self.syntax);
        bytes.extend(put(0x0008_0016, "UI", &even(self.class)));
        bytes.extend(put(0x5400_0100, "SQ", &groups));
        bytes
    }
}

/// Where a tag begins in the file.
fn place(bytes: &[u8], tag: u32) -> u64 {
    let wanted = [((tag >> 16) as u16).to_le_bytes(), (tag as u16).to_le_bytes()].concat();
    bytes.windows(4).position(|window| window == wanted).expect("the tag") as u64
}

fn refuses(bytes: &[u8], code: &str, at: u64, parts: &[&str]) {
    let folder = TempFolder::new("bad-dicom");
    let path = folder.file("x.dcm", bytes);
    for options in [ReadOptions::strict(), ReadOptions::lenient()] {
        assert_rule(read(&path, &options).unwrap_err(), code, Byte(at), parts);
    }
    assert_eq!(strictly(folder.file("x.dcm", good().bytes())).warnings, []);
}

fn accepts(bytes: &[u8]) -> Record {
    let folder = TempFolder::new("good-dicom");
    strictly(folder.file("x.dcm", bytes))
}

/// The valid object after a change of its group.
fn changed(change: impl Fn(&mut Group)) -> Vec<u8> {
    let mut object = good();
    change(&mut object.groups[0]);
    object.bytes()
}

#[test]
fn c00_the_valid_object_in_both_encodings() {
    for syntax in [EXPLICIT, IMPLICIT] {
        let record = accepts(&Object { syntax, ..good() }.bytes());
        assert_eq!((record.fs_hz, record.sig_len), (500.0, 3), "{syntax}");
        assert_eq!(record.leads[1].adu, [-1, -2, -3], "{syntax}");
        let lead = &record.leads[0];
        assert_eq!((lead.name.as_str(), lead.units.as_str(), lead.gain_adu_per_unit), ("I", "mV", Some(200.0)));
    }
}

#[test]
fn c01_preamble_and_class() {
    refuses(b"", "C01", 128, &["preamble: found no \"DICM\""]);
    refuses(&good().bytes()[132..], "C01", 128, &["preamble"]);
    let image = Object { class: "1.2.840.10008.5.1.4.1.1.7", ..good() }.bytes();
    refuses(&image, "C01", place(&image, 0x0008_0016), &["SOP class: found \"1.2.840.10008.5.1.4.1.1.7\""]);
    let empty = Object { groups: Vec::new(), ..good() }.bytes();
    refuses(&empty, "C01", place(&empty, 0x5400_0100), &["waveform sequence: found none"]);
}

#[test]
fn c02_lengths() {
    let mut bytes = good().bytes();
    let at = place(&bytes, 0x5400_1010) as usize;
    bytes[at + 8..at + 12].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    refuses(&bytes, "C02", at as u64, &["element (5400,1010): found length 4294967280", "at most 12"]);
    bytes[at + 8..at + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    refuses(&bytes, "C02", at as u64, &["element (5400,1010): found an undefined length"]);
    let good = good().bytes();
    let at = place(&good, 0x0008_0016);
    refuses(&good[..at as usize + 3], "C02", at, &["element: found 3 bytes to the end, expected tag and length"]);
    let mut strange = good.clone();
    strange[at as usize + 4..at as usize + 6].copy_from_slice(b"x\n");
    refuses(&strange, "C02", at, &["element (0008,0016): found value representation \"x\\n\""]);
}

#[test]
fn c03_depth() {
    let mut bytes = preamble(EXPLICIT);
    let start = bytes.len();
    // (0040,0555) SQ of undefined length, an item of undefined length, and again.
    let level = [0x40, 0, 0x55, 5, b'S', b'Q', 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255];
    (0..100_000).for_each(|_| bytes.extend(level));
    let at = (start + 64 * level.len()) as u64;
    refuses(&bytes, "C03", at, &["element (0040,0555): found depth 65, expected at most 64"]);
}

#[test]
fn c04_sizes() {
    let short = changed(|group| group.n_points = 4_000_000_000);
    let at = place(&short, 0x5400_1010);
    refuses(
        &short,
        "C04",
        at,
        &["waveform data (5400,1010): found 12 bytes", "2 channels x 4000000000 samples x 2 bytes"],
    );
    let definitions = changed(|group| group.n_channels = 3);
    let at = place(&definitions, 0x003A_0200);
    refuses(&definitions, "C04", at, &["channel definitions (003A,0200): found 2 definitions, expected 3"]);
    let rate = changed(|group| group.fs_hz = "0");
    refuses(&rate, "C04", place(&rate, 0x003A_001A), &["sampling frequency (003A,001A): found \"0\""]);
}

#[test]
fn c05_codings_and_syntaxes() {
    for (interpretation, name) in [("MB", "mu-law"), ("AB", "A-law"), ("XX", "unknown")] {
        let bytes = changed(|group| (group.bits, group.interpretation) = (8, interpretation));
        let at = place(&bytes, 0x5400_1006);
        refuses(&bytes, "C05", at, &["sample interpretation (5400,1006)", name, "not supported"]);
    }
    for (syntax, name) in
        [("1.2.840.10008.1.2.2", "big endian"), ("1.2.840.10008.1.2.1.99", "deflated"), ("1.2.3", "1.2.3")]
    {
        let bytes = Object { syntax, ..good() }.bytes();
        refuses(&bytes, "C05", 132, &["transfer syntax: found", name, "expected explicit or implicit little endian"]);
    }
    let bytes = changed(|group| {
        (group.bits, group.interpretation) = (32, "SL");
        group.data = [1i32, -1, 2, -2, 70_000, -3].iter().flat_map(|point| point.to_le_bytes()).collect();
    });
    assert_eq!(accepts(&bytes).leads[0].adu, [1, 2, 70_000]);
    for (interpretation, first) in [("SB", -1), ("UB", 255)] {
        let bytes = changed(|group| {
            (group.bits, group.interpretation) = (8, interpretation);
            group.data = vec![1, 255, 2, 255, 3, 255];
        });
        assert_eq!(accepts(&bytes).leads[1].adu, [first; 3], "{interpretation}");
    }
}

#[test]
fn c06_sensitivity_and_baseline() {
    for sensitivity in [None, Some("0"), Some("nan"), Some("1e-400"), Some("0,005")] {
        let bytes = changed(|group| group.channels[1].sensitivity = sensitivity);
        // The second channel begins with the second source sequence.
        let text = sensitivity.map_or("none".to_string(), |text| format!("\"{text}\""));
        let source = |bytes: &[u8], tag| {
            let first = place(bytes, tag) as usize;
            first as u64 + 4 + place(&bytes[first + 4..], tag)
        };
        let tag = if sensitivity.is_some() { 0x003A_0210 } else { 0x003A_0208 };
        let at = source(&bytes, tag);
        refuses(&bytes, "C06", at, &["sensitivity (003A,0210) of channel 1 \"II\": found", &text]);
    }
    let bytes = changed(|group| {
        (group.channels[0].correction, group.channels[0].baseline) = ("2", "0.5");
    });
    // raw x sensitivity x correction + baseline
    let record = accepts(&bytes);
    assert_eq!(record.leads[0].physical(), [0.51, 0.52, 0.53]);
    assert_eq!(record.warnings, []);
}

#[test]
fn c07_several_groups() {
    let mut object = good();
    let mut median = object.groups[0].clone();
    (median.label, median.fs_hz) = ("MEDIAN BEAT", "1000");
    object.groups.insert(0, median);
    let bytes = object.bytes();
    let record = accepts(&bytes);
    assert_eq!(record.fs_hz, 500.0);
    let expected = "2 multiplex groups (\"MEDIAN BEAT\": 2 channels, 0.003 s at 1000 Hz; \
                    \"RHYTHM\": 2 channels, 0.006 s at 500 Hz): took group 2";
    let first = place(&bytes, 0x003A_0005);
    let second = first + 4 + place(&bytes[first as usize + 4..], 0x003A_0005);
    assert_warned(&record.warnings, "C07", Byte(second), expected);
    // Without labels the longest one.
    object.groups.iter_mut().for_each(|group| group.label = "");
    assert_eq!(accepts(&object.bytes()).fs_hz, 500.0);
}

#[test]
fn c08_padding_odd_lengths_and_representations() {
    let bytes = changed(|group| group.padding = Some(2i16.to_le_bytes().to_vec()));
    assert_eq!(accepts(&bytes).leads[0].adu, [1, MISSING, 3]);
    for vr in ["UN", "OB"] {
        let bytes = changed(|group| group.data_vr = vr);
        let record = accepts(&bytes);
        assert_eq!(record.leads[0].adu, [1, 2, 3]);
        assert_warned(&record.warnings, "C08", Byte(place(&bytes, 0x5400_1010)), vr);
    }
    let bytes = changed(|group| {
        (group.bits, group.interpretation, group.n_channels, group.n_points) = (8, "SB", 1, 3);
        group.channels.pop();
        group.data = vec![1, 2, 3];
    });
    let record = accepts(&bytes);
    assert_eq!(record.leads[0].adu, [1, 2, 3]);
    assert_warned(&record.warnings, "C08", Byte(place(&bytes, 0x5400_1010)), "odd length 3");
    let even = changed(|group| {
        (group.bits, group.interpretation, group.n_channels, group.n_points) = (8, "SB", 1, 3);
        group.channels.pop();
        group.data = vec![1, 2, 3, 0];
    });
    assert_eq!(accepts(&even).warnings, []);
}

#[test]
fn x04_lengths_are_compared_with_what_is_left() {
    let good = good().bytes();
    let at = place(&good, 0x5400_0100);
    let folder = TempFolder::new("x04");
    // The sequence's length: 0 leaves items outside it, 1 and 255 cut one, 2^32 - 2 leaves the file.
    for (length, code, part) in [
        (1, "C02", "expected tag and length"),
        (255, "C02", "which is what is left"),
        (u32::MAX - 1, "C02", "element (5400,0100): found length 4294967294"),
    ] {
        let mut bytes = good.clone();
        bytes[at as usize + 8..at as usize + 12].copy_from_slice(&length.to_le_bytes());
        let error = read(folder.file("x.dcm", bytes), &ReadOptions::lenient()).unwrap_err();
        assert_eq!(error.code(), Some(code), "{length}: {error}");
        assert!(error.to_string().contains(part), "{length}: {error}");
    }
    let mut empty = good.clone();
    empty[at as usize + 8..at as usize + 12].fill(0);
    let error = read(folder.file("x.dcm", empty), &ReadOptions::lenient()).unwrap_err();
    assert_eq!(error.code(), Some("C02"), "{error}");
    // A Parquet file whose metadata begin before the file.
    for (length, at) in [(u32::MAX, 16), (100, 16)] {
        let mut bytes = b"PAR1".to_vec();
        bytes.extend([0; 12]);
        bytes.extend(length.to_le_bytes());
        bytes.extend(b"PAR1");
        let error = read(folder.file("x.parquet", bytes), &ReadOptions::strict()).unwrap_err();
        assert_rule(error, "Q02", Byte(at), &["length of the metadata", "expected at most 12"]);
    }
}
