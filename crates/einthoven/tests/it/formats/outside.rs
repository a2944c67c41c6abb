//! What other programs say to our files, and we to theirs.
//!
//! These tests run where `EINTHOVEN_PEER_PYTHON` names a Python with pyedflib, pydicom, pyarrow,
//! numpy and wfdb; elsewhere they say that they skip. Tried with pyedflib 0.1.42, pydicom 3.0.2,
//! pyarrow 26.0.1, wfdb 4.3.1.

use std::process::Command;

use einthoven::record::{WriteOptions, write};
use serde_json::Value;

use super::*;
use crate::folder::TempFolder;

/// Runs a script in the folder; `None` where there is no such Python.
fn python(folder: &TempFolder, script: &str) -> Option<Value> {
    let Some(python) = std::env::var_os("EINTHOVEN_PEER_PYTHON") else {
        println!("skipped: EINTHOVEN_PEER_PYTHON is not set");
        return None;
    };
    let done = Command::new(python).args(["-W", "ignore", "-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(serde_json::from_slice(&done.stdout).unwrap())
}

/// Twelve leads of two seconds, synthetic, with a beat and a rhythm note.
fn resting_ecg() -> Record {
    let mut record = Record::new("x", 500.0);
    record.sig_len = 1000;
    let names = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
    for (index, name) in names.into_iter().enumerate() {
        let adu = (0..1000).map(|point| (point * (index as i32 + 3)) % 2001 - 1000).collect();
        record.leads.push(Lead { baseline_adu: index as i32, ..Lead::new(name, 1000.0, adu) });
    }
    let rhythm = Annotation { aux: b"(N".to_vec(), ..Annotation::new(0, "+") };
    record.annotations.insert("atr".into(), vec![rhythm, Annotation::new(250, "N")]);
    record.comments = vec!["Synthetic: yes".into(), "Seed: 1".into(), "Index: 0".into()];
    record
}

/// Points of the leads as the other program gave them.
fn same_points(record: &Record, found: &Value) {
    for (lead, found) in record.leads.iter().zip(found.as_array().unwrap()) {
        let found: Vec<i32> = found.as_array().unwrap().iter().map(|point| point.as_f64().unwrap() as i32).collect();
        assert_eq!(lead.adu, found, "{}", lead.name);
    }
}

/// Millivolts of the leads as the other program gave them; a float of 32 bits has seven digits.
fn same_millivolts(record: &Record, found: &Value) {
    for (lead, found) in record.leads.iter().zip(found.as_array().unwrap()) {
        for (mv, found) in lead.mv().unwrap().iter().zip(found.as_array().unwrap()) {
            assert!((f64::from(*mv) - found.as_f64().unwrap()).abs() < 1e-6, "{}: {mv}, {found}", lead.name);
        }
    }
}

#[test]
fn pyedflib_reads_our_edf() {
    let folder = TempFolder::new("pyedflib");
    let record = resting_ecg();
    write(&record, folder.path().join("x.edf"), &WriteOptions::default()).unwrap();
    let script = r#"
import json, pyedflib
f = pyedflib.EdfReader("x.edf")
n = f.signals_in_file
onsets, _, texts = f.readAnnotations()
print(json.dumps({"labels": f.getSignalLabels(), "fs": [float(f.getSampleFrequency(i)) for i in range(n)],
  "digital": [f.readSignal(i, digital=True).tolist() for i in range(n)],
  "mv": [f.readSignal(i).tolist() for i in range(n)], "patient": f.getPatientCode(), "type": f.filetype,
  "marks": [[float(o), t] for o, t in zip(onsets, texts)]}))
"#;
    let Some(found) = python(&folder, script) else { return };
    same_points(&record, &found["digital"]);
    same_millivolts(&record, &found["mv"]);
    assert_eq!((&found["labels"][3], &found["fs"][0]), (&"ECG aVR".into(), &500.0.into()));
    assert_eq!((&found["patient"], &found["type"]), (&"SYNTHETIC".into(), &1.into()));
    let marks = found["marks"].as_array().unwrap();
    assert!(marks.contains(&serde_json::json!([0.5, "N"])), "{marks:?}");
}

#[test]
fn we_read_the_edf_of_pyedflib() {
    let folder = TempFolder::new("pyedflib-ours");
    let script = r#"
import json, numpy, pyedflib
w = pyedflib.EdfWriter("y.edf", 2, file_type=pyedflib.FILETYPE_EDFPLUS)
rates = [500, 250]
w.setSignalHeaders([{"label": l, "dimension": "uV", "sample_frequency": r, "physical_min": -3276.8, "physical_max": 3276.7,
  "digital_min": -32768, "digital_max": 32767, "transducer": "", "prefilter": ""} for l, r in zip(["ECG II", "Resp"], rates)])
points = [numpy.arange(3 * r, dtype=numpy.int32) * 7 - 900 for r in rates]
w.writeSamples(points, digital=True)
w.writeAnnotation(1.5, -1, "arousal")
w.close()
r = pyedflib.EdfReader("y.edf")
print(json.dumps({"digital": [p.tolist() for p in points], "mv": [(r.readSignal(i) / 1000).tolist() for i in range(2)]}))
"#;
    let Some(found) = python(&folder, script) else { return };
    let record = leniently(folder.path().join("y.edf"));
    same_points(&record, &found["digital"]);
    same_millivolts(&record, &found["mv"]);
    assert_eq!((record.fs_hz, record.leads[0].samples_per_frame), (250.0, 2));
    let note = &record.annotations["edf"][0];
    assert_eq!((note.sample, note.aux_text().as_str()), (375, "arousal"));
}

#[test]
fn pydicom_reads_our_object_and_writes_it_implicitly() {
    let folder = TempFolder::new("pydicom");
    let record = resting_ecg();
    write(&record, folder.path().join("x.dcm"), &WriteOptions::default()).unwrap();
    let script = r#"
import json, pydicom
d = pydicom.dcmread("x.dcm")
w = d.WaveformSequence[0]
mv = d.waveform_array(0)
out = {"class": str(d.SOPClassUID), "synthetic": d[0x0008001C].value, "patient": str(d.PatientName),
  "mv": mv.T.tolist(), "fs": float(w.SamplingFrequency), "uid": str(d.SOPInstanceUID),
  "codes": [c.ChannelSourceSequence[0].CodeValue for c in w.ChannelDefinitionSequence],
  "texts": [a.UnformattedTextValue for a in d.WaveformAnnotationSequence]}
pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
d.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
d.save_as("y.dcm", implicit_vr=True, little_endian=True, enforce_file_format=True)
print(json.dumps(out))
"#;
    let Some(found) = python(&folder, script) else { return };
    same_millivolts(&record, &found["mv"]);
    assert_eq!((&found["synthetic"], &found["patient"]), (&"YES".into(), &"SYNTHETIC^ECG".into()));
    assert_eq!((&found["class"], &found["fs"]), (&"1.2.840.10008.5.1.4.1.1.9.1.1".into(), &500.0.into()));
    assert_eq!((&found["codes"][0], &found["codes"][6]), (&"2:1".into(), &"2:3".into()));
    assert!(found["texts"].as_array().unwrap().contains(&"N".into()));
    let again = leniently(folder.path().join("y.dcm"));
    assert_eq!(again.leads[5].adu, record.leads[5].adu);
    assert_eq!(again.annotations, record.annotations);
}

#[test]
fn pyarrow_reads_our_table_and_we_read_its_own() {
    let folder = TempFolder::new("pyarrow");
    let record = resting_ecg();
    write(&record, folder.path().join("x.parquet"), &WriteOptions::default()).unwrap();
    let script = r#"
import json, pyarrow as pa, pyarrow.parquet as pq
t = pq.read_table("x.parquet")
r = t.to_pylist()[0]
out = {k: r[k] for k in ["record", "fs_hz", "sig_len", "synthetic", "leads", "adu", "gain_adu_per_unit"]}
pq.write_table(t, "snappy.parquet", compression="snappy")
pq.write_table(t, "v2.parquet", compression="none", data_page_version="2.0", use_dictionary=["adu.list.element.list.element"])
own = pa.table({"fs_hz": [250.0, 100.0], "leads": [["II"], ["I", "V1"]],
  "ecg": [[[0.5, None, -1.25]], [[0.001] * 300, [float(i) for i in range(300)]]]})
pq.write_table(own, "own.parquet", row_group_size=1)
pq.write_table(t, "zstd.parquet", compression="zstd")
print(json.dumps(out))
"#;
    let Some(found) = python(&folder, script) else { return };
    same_points(&record, &found["adu"]);
    assert_eq!(
        (&found["synthetic"], &found["sig_len"], &found["leads"][3]),
        (&true.into(), &1000.into(), &"aVR".into())
    );
    for name in ["snappy.parquet", "v2.parquet"] {
        let again = strictly(folder.path().join(name));
        let points = again.leads.iter().map(|lead| &lead.adu).collect::<Vec<_>>();
        assert_eq!(points, record.leads.iter().map(|lead| &lead.adu).collect::<Vec<_>>(), "{name}");
        assert_eq!((&again.annotations, &again.comments), (&record.annotations, &record.comments), "{name}");
    }
    let own =
        einthoven::record::format::parquet::read_records(&folder.path().join("own.parquet"), &ReadOptions::strict());
    let own = own.unwrap();
    assert_eq!(own[0].leads[0].adu, [500, MISSING, -1250]);
    assert_eq!((own[1].leads[1].name.as_str(), own[1].leads[1].adu[299], own[1].sig_len), ("V1", 299_000, 300));
    let error = read(folder.path().join("zstd.parquet"), &ReadOptions::strict()).unwrap_err();
    assert_eq!(error.code(), Some("Q05"), "{error}");
}

#[test]
fn numpy_wfdb_and_an_xml_parser_read_the_others() {
    let folder = TempFolder::new("numpy");
    let record = resting_ecg();
    for extension in ["npz", "hea", "xml", "csv"] {
        write(&record, folder.path().join(format!("x.{extension}")), &WriteOptions::default()).unwrap();
    }
    let script = r#"
import json, numpy, pandas, wfdb, xml.etree.ElementTree as E
z = numpy.load("x.npz", allow_pickle=False)
w = wfdb.rdrecord("x", physical=False)
a = wfdb.rdann("x", "atr")
c = pandas.read_csv("x.csv", comment='#')
n = {"h": "urn:hl7-org:v3"}
root = E.parse("x.xml").getroot()
digits = [[int(v) for v in d.text.split()] for d in root.findall(".//h:sequence/h:value/h:digits", n)]
print(json.dumps({"npz": z["adu"].reshape(12, -1).tolist(), "mv": z["ecg"].tolist(), "leads": z["leads"].tolist(),
  "wfdb": w.d_signal.T.tolist(), "marks": [[int(t), s, x] for t, s, x in zip(a.sample, a.symbol, a.aux_note)],
  "csv": c.to_numpy().T.tolist(), "columns": c.columns.tolist(), "comments": w.comments, "xml": digits,
  "subject": root.find(".//h:trialSubject/h:id", n).get("extension")}))
"#;
    let Some(found) = python(&folder, script) else { return };
    same_points(&record, &found["npz"]);
    same_millivolts(&record, &found["mv"]);
    same_points(&record, &found["wfdb"]);
    same_points(&record, &found["xml"]);
    same_millivolts(&record, &found["csv"]);
    assert_eq!(found["marks"], serde_json::json!([[0, "+", "(N"], [250, "N", ""]]));
    assert_eq!(found["columns"], found["leads"]);
    assert_eq!((&found["leads"][1], &found["comments"][0]), (&"II".into(), &"Synthetic: yes".into()));
    assert_eq!(found["subject"], "SYNTHETIC");
}
