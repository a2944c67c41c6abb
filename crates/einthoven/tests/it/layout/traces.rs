//! The traces of CODE-15, in an HDF5 file that is written here byte by byte.
//!
//! The writer shares no code with the reader; `h5py` reads its files. It follows the HDF5 file format
//! specification, version 0 of the superblock: a root group with two contiguous data sets.

use einthoven::dataset::catalog::OpenOptions;
use einthoven::dataset::window::RecordOptions;

use crate::catalog::open;
use crate::folder::TempFolder;

const UNDEFINED: u64 = u64::MAX;
const TIME: usize = 4096;
const N_LEADS: usize = 12;

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().max(to), 0);
}

/// Version 1 object header with its messages.
fn object_header(messages: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, data) in messages {
        let size = data.len().next_multiple_of(8);
        body.extend(kind.to_le_bytes());
        body.extend((size as u16).to_le_bytes());
        body.extend([0; 4]);
        let end = body.len() + size;
        body.extend(data);
        pad(&mut body, end);
    }
    let mut out = vec![1, 0];
    out.extend((messages.len() as u16).to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend((body.len() as u32).to_le_bytes());
    out.extend([0; 4]);
    out.extend(body);
    out
}

/// Header of a contiguous data set.
fn data_header(dims: &[u64], datatype: &[u8], address: u64, n_bytes: u64) -> Vec<u8> {
    let mut space = vec![1, dims.len() as u8, 0, 0, 0, 0, 0, 0];
    dims.iter().for_each(|dim| space.extend(dim.to_le_bytes()));
    let mut layout = vec![3, 1];
    layout.extend(address.to_le_bytes());
    layout.extend(n_bytes.to_le_bytes());
    object_header(&[(1, space), (3, datatype.to_vec()), (8, layout)])
}

/// `exam_id` and `tracings` as the published files have them.
fn hdf5(ids: &[i64], tracings: &[f32]) -> Vec<u8> {
    const I64: [u8; 12] = [0x10, 8, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0];
    const F32: [u8; 20] = [0x11, 0x20, 0x1f, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];
    let ids_bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let ecg_bytes: Vec<u8> = tracings.iter().flat_map(|x| x.to_le_bytes()).collect();
    // Each part has a place of its own, larger than it needs.
    let [root, tree, heap, names, symbols, id_head, ecg_head, id_data] =
        [96u64, 256, 1024, 1088, 1152, 2048, 2304, 4096];
    let ecg_data = id_data + (ids_bytes.len() as u64).next_multiple_of(8);
    let end = ecg_data + ecg_bytes.len() as u64;
    let words = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();

    let mut out = b"\x89HDF\r\n\x1a\n".to_vec();
    out.extend([0, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0]);
    out.extend(words(&[0, UNDEFINED, end, UNDEFINED, 0, root]));
    out.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(words(&[tree, heap]));
    let mut place = |at: u64, bytes: &[u8]| {
        assert!(out.len() as u64 <= at);
        pad(&mut out, at as usize);
        out.extend(bytes);
    };
    place(root, &object_header(&[(0x11, words(&[tree, heap]))]));
    let mut node = b"TREE\0\0\x01\0".to_vec();
    node.extend(words(&[UNDEFINED, UNDEFINED, 0, symbols, 16]));
    place(tree, &node);
    let mut head = b"HEAP\0\0\0\0".to_vec();
    head.extend(words(&[32, 1, names]));
    place(heap, &head);
    place(names, b"\0\0\0\0\0\0\0\0exam_id\0tracings\0\0\0\0\0\0\0\0");
    let mut table = b"SNOD\x01\0\x02\0".to_vec();
    table.extend(words(&[8, id_head, 0, 0, 0, 16, ecg_head, 0, 0, 0]));
    place(symbols, &table);
    place(id_head, &data_header(&[ids.len() as u64], &I64, id_data, ids_bytes.len() as u64));
    let dims = [(tracings.len() / TIME / N_LEADS) as u64, TIME as u64, N_LEADS as u64];
    place(ecg_head, &data_header(&dims, &F32, ecg_data, ecg_bytes.len() as u64));
    place(id_data, &ids_bytes);
    place(ecg_data, &ecg_bytes);
    out
}

/// An exam of `n` frames in the middle of its padding; lead `k` lies around `k + 1` mV.
fn exam(n: usize) -> Vec<f32> {
    let start = (TIME - n) / 2;
    let mut out = vec![0f32; TIME * N_LEADS];
    for t in start..start + n {
        for k in 0..N_LEADS {
            out[t * N_LEADS + k] = (k + 1) as f32 + ((t * (k + 3)) as f32 * 0.37).sin() * 0.5;
        }
    }
    out
}

const HEAD: &str = "exam_id,age,is_male,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,normal_ecg,trace_file\n";

#[test]
fn code15_traces_lose_their_padding_and_keep_their_leads() {
    let folder = TempFolder::new("code15-traces");
    let rows = "11,38,True,False,False,False,True,False,False,1,False,exams_part0.hdf5\n\
                12,73,False,False,True,False,False,False,True,2,False,exams_part0.hdf5\n\
                14,50,False,False,False,False,False,False,False,4,True,exams_part0.hdf5\n\
                13,50,False,False,False,False,False,False,False,3,True,exams_part9.hdf5\n";
    folder.file("exams.csv", format!("{HEAD}{rows}"));
    let zeros = vec![0.0; TIME * N_LEADS];
    // Exam 14 is empty, as some are; the published files end in a row of padding with exam 0.
    let tracings = [exam(4000), exam(2800), zeros.clone(), zeros].concat();
    folder.file("exams_part0.hdf5", hdf5(&[12, 11, 14, 0], &tracings));
    let data = open("code15", folder.path(), |_| ()).expect("opened");
    assert_eq!((data.len(), data.sig_len, data.fs_hz, data.leads.len()), (2, 2800, 400.0, 12));
    assert_eq!(
        (data.record.as_slice(), data.patient[0].as_str()),
        (["11", "12"].map(String::from).as_slice(), "code15-1")
    );
    let labels = |i: usize| data.labels_of(i).map(|class| data.label_names[class].as_str()).collect::<Vec<_>>();
    assert_eq!((labels(0), labels(1)), (vec!["SB"], vec!["RBBB", "AF"]));
    assert_eq!(data.provenance["n_exams_without_trace"], 1);
    // Exam 11 is the second row: its 2800 frames begin at frame 648 of the file.
    for (k, t) in [(0, 0), (5, 17), (11, 2799)] {
        let expected = tracings[(TIME + 648 + t) * N_LEADS + k];
        assert!((data.item(0)[k * 2800 + t] - expected).abs() < 1e-6, "lead {k}, point {t}");
    }
    let long = |options: &mut OpenOptions| options.whole = RecordOptions { seconds: Some(10.0), ..Default::default() };
    let data = open("code15", folder.path(), long).expect("opened");
    assert_eq!((data.record.as_slice(), data.sig_len), (["12".to_string()].as_slice(), 4000));
}

#[test]
fn x04_damaged_traces_are_errors_that_name_the_file() {
    let folder = TempFolder::new("code15-damaged");
    folder.file("exams.csv", format!("{HEAD}12,73,False,False,True,False,False,False,True,2,False,exams_part0.hdf5\n"));
    let whole = hdf5(&[12], &exam(2800));
    for (name, bytes) in [("cut", &whole[..2200]), ("empty", &whole[..0]), ("text", &b"exam_id,tracings\n"[..])] {
        folder.file("exams_part0.hdf5", bytes);
        let error = open("code15", folder.path(), |_| ()).expect_err(name);
        assert_eq!((error.code(), error.exit_code()), (Some("X04"), 3), "{name}: {error}");
        assert!(error.to_string().contains("exams_part0.hdf5"), "{name}: {error}");
    }
    // The amplitudes themselves end too early: the header is right and the exam is not.
    folder.file("exams_part0.hdf5", &whole[..whole.len() - 100]);
    let error = open("code15", folder.path(), |_| ()).expect_err("short");
    assert!(error.exit_code() == 3 && error.to_string().contains("exams_part0.hdf5"), "{error}");
    folder.file("exams_part0.hdf5", &whole);
    open("code15", folder.path(), |_| ()).expect("the mended file");
}
