//! Checkpoints of torch: what is read. The archives are made here; `bad` has those that are refused, `imports` the way from a
//! file of torch itself to a model.

mod bad;
#[cfg(feature = "nn")]
mod imports;

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use einthoven::Error;
use einthoven::error::InputError;
use einthoven::run::torch_zip::{TorchFile, from_bytes, read};
use zip::CompressionMethod::{Deflated, Stored};
use zip::write::SimpleFileOptions;

use crate::folder::TempFolder;

/// A pickle in the making, of protocol 2 without memos.
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Pickle {
        Pickle(vec![0x80, 2])
    }

    fn raw(mut self, bytes: impl AsRef<[u8]>) -> Pickle {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    fn text(self, text: &str) -> Pickle {
        self.raw(b"X").raw((text.len() as u32).to_le_bytes()).raw(text)
    }

    fn int(self, number: i32) -> Pickle {
        self.raw(b"J").raw(number.to_le_bytes())
    }

    fn float(self, number: f64) -> Pickle {
        self.raw(b"G").raw(number.to_be_bytes())
    }

    fn global(self, module: &str, name: &str) -> Pickle {
        self.raw(b"c").raw(module).raw(b"\n").raw(name).raw(b"\n")
    }

    fn ints(self, numbers: &[i32]) -> Pickle {
        numbers.iter().fold(self.raw(b"("), |pickle, number| pickle.int(*number)).raw(b"t")
    }

    fn empty_ordered(self) -> Pickle {
        self.global("collections", "OrderedDict").raw(b")R")
    }

    fn storage(self, class: &str, key: &str, n_values: i32) -> Pickle {
        self.raw(b"(").text("storage").global("torch", class).text(key).text("cpu").int(n_values).raw(b"tQ")
    }

    /// A view of a storage of `n_values`.
    fn tensor(self, storage: (&str, &str, i32), offset: i32, size: &[i32], stride: &[i32]) -> Pickle {
        let (class, key, n_values) = storage;
        let pickle = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage(class, key, n_values);
        pickle.int(offset).ints(size).ints(stride).raw([0x89]).empty_ordered().raw(b"tR")
    }

    fn stop(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// An archive of entries by their whole names.
fn archive(entries: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        out.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

/// The layout of `torch.save("x.pt")`, with storages by their key.
fn checkpoint(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("x/data/{key}")).collect();
    let mut entries = vec![("x/data.pkl", pickle), ("x/byteorder", b"little".as_slice())];
    entries.extend(names.iter().zip(storages).map(|(name, (_, bytes))| (name.as_str(), bytes.as_slice())));
    entries.push(("x/version", b"3\n"));
    archive(&entries, Stored)
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn load(bytes: &[u8], entry: Option<&str>) -> Result<TorchFile, Error> {
    from_bytes(bytes, Path::new("x.pt"), entry)
}

fn input(result: Result<TorchFile, Error>) -> InputError {
    match result {
        Err(Error::Input(error)) => *error,
        other => panic!("found {other:?}, expected an input error"),
    }
}

/// One tensor, `w`, of the given view of six floats.
fn view(offset: i32, size: &[i32], stride: &[i32]) -> Pickle {
    Pickle::new().raw(b"}").text("w").tensor(("FloatStorage", "0", 6), offset, size, stride).raw(b"s.")
}

/// A training checkpoint: an epoch, the model in an ordered dictionary with its versions, its optimizer.
fn training() -> Vec<u8> {
    let model = |pickle: Pickle| {
        let pickle = pickle.empty_ordered().raw(b"(");
        let pickle = pickle.text("0.weight").tensor(("FloatStorage", "0", 6), 0, &[2, 3], &[3, 1]);
        let pickle = pickle.text("0.bias").tensor(("FloatStorage", "1", 2), 0, &[2], &[1]);
        let pickle = pickle.text("1.num_batches_tracked").tensor(("LongStorage", "2", 1), 0, &[], &[]).raw(b"u");
        pickle.raw(b"}").text("_metadata").empty_ordered().text("").raw(b"}").text("version").int(1).raw(b"sssb")
    };
    let pickle = Pickle::new().raw(b"}(").text("epoch").int(3).text("lr").float(1e-3).text("done").raw([0x88]);
    let pickle = model(pickle.text("model_state_dict"));
    let pickle = pickle.text("optimizer").raw(b"}(").text("state").raw(b"}").int(0).raw(b"}").text("step");
    let pickle = pickle.tensor(("FloatStorage", "3", 1), 0, &[], &[]).raw(b"ss");
    let pickle = pickle.text("betas").float(0.9).float(0.999).raw([0x86]).text("none").raw(b"Nu");
    let pickle = pickle.text("shape").global("torch", "Size").ints(&[2, 3]).raw([0x85]).raw(b"Ru");
    let storages = [
        ("0", floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])),
        ("1", floats(&[-1.0, 0.5])),
        ("2", 7i64.to_le_bytes().to_vec()),
        ("3", floats(&[5.0])),
    ];
    checkpoint(&pickle.stop(), &storages)
}

#[test]
fn a_training_checkpoint_is_read_by_paths() {
    let folder = TempFolder::new("torch");
    let path = folder.file("x.pt", training());
    let file = read(&path, None).expect("read");
    let names = [
        "model_state_dict.0.bias",
        "model_state_dict.0.weight",
        "model_state_dict.1.num_batches_tracked",
        "optimizer.state.0.step",
    ];
    assert_eq!(file.tensors.keys().collect::<Vec<_>>(), names);
    assert_eq!(file.types.values().copied().collect::<Vec<_>>(), ["F32", "F32", "I64", "F32"]);
    assert_eq!(file.tensors[names[1]], (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    assert_eq!(file.tensors[names[2]], (vec![], vec![7.0]));
    let values: Vec<(&str, &str)> = file.values.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let expected = [
        ("done", "true"),
        ("epoch", "3"),
        ("lr", "0.001"),
        ("optimizer.betas.0", "0.9"),
        ("optimizer.betas.1", "0.999"),
        ("shape.0", "2"),
        ("shape.1", "3"),
    ];
    assert_eq!(values, expected);

    let model = read(&path, Some("model_state_dict")).expect("an entry");
    assert_eq!(model.tensors.keys().collect::<Vec<_>>(), ["0.bias", "0.weight", "1.num_batches_tracked"]);
    assert!(model.values.is_empty());
    // A dotted path reaches further down.
    assert_eq!(read(&path, Some("optimizer.state")).expect("a path").tensors["0.step"], (vec![], vec![5.0]));
    assert!(matches!(read(&folder.path().join("none.pt"), None), Err(Error::Io { .. })));
}

#[test]
fn m03_a_missing_entry_lists_those_there_are() {
    let error = input(load(&training(), Some("model")));
    assert_eq!((error.code, error.field.as_str()), ("M03", "entry"));
    assert_eq!(error.found, "no tensors below model");
    assert_eq!(error.expected, "one of model_state_dict, optimizer");
    // An entry without tensors, and one that is the beginning of a name only.
    assert_eq!(input(load(&training(), Some("shape"))).expected, error.expected);
    assert_eq!(input(load(&training(), Some("model_state_dict.0.weight"))).code, "M03");
    let plain = checkpoint(&view(0, &[6], &[1]).0, &[("0", floats(&[0.0; 6]))]);
    assert_eq!(input(load(&plain, Some("w"))).expected, "no entry to be named: the tensors are at the top");
    let error = input(load(&checkpoint(&Pickle::new().raw(b"}").text("epoch").int(1).raw(b"s").stop(), &[]), None));
    assert_eq!(
        (error.code, error.found.as_str(), error.expected.as_str()),
        ("M03", "no tensors", "tensors in the file")
    );
}

#[test]
fn views_follow_size_stride_and_offset() {
    let values = |offset, size: &[i32], stride: &[i32]| {
        let bytes = checkpoint(&view(offset, size, stride).0, &[("0", floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))]);
        let (shape, values) = load(&bytes, None).expect("read").tensors.remove("w").expect("there");
        assert_eq!(shape, size.iter().map(|side| *side as usize).collect::<Vec<_>>());
        values
    };
    // A transposed matrix, every second value, a row repeated, a diagonal.
    assert_eq!(values(0, &[3, 2], &[1, 3]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(values(1, &[3], &[2]), [1.0, 3.0, 5.0]);
    assert_eq!(values(3, &[2, 3], &[0, 1]), [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    assert_eq!(values(0, &[2], &[4]), [0.0, 4.0]);
    assert_eq!(values(0, &[2, 1, 3], &[3, 3, 1]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    // A step along one place is free; a scalar has no axes; an empty tensor needs no values.
    assert_eq!(values(4, &[1, 2], &[i32::MAX, 1]), [4.0, 5.0]);
    assert_eq!(values(5, &[], &[]), [5.0]);
    assert_eq!(values(6, &[0, 3], &[3, 1]), [0.0; 0]);
    // Against a slow reference, over every order of three axes.
    let storage: Vec<f32> = (0..24).map(|value| value as f32).collect();
    for (size, stride) in
        [([2, 3, 4], [12, 4, 1]), ([4, 3, 2], [1, 4, 12]), ([3, 4, 2], [4, 1, 12]), ([2, 2, 2], [1, 9, 3])]
    {
        let pickle = Pickle::new().tensor(("FloatStorage", "0", 24), 0, &size, &stride).stop();
        let mut expected = Vec::new();
        for i in 0..size[0] {
            for j in 0..size[1] {
                for k in 0..size[2] {
                    expected.push((i * stride[0] + j * stride[1] + k * stride[2]) as f32);
                }
            }
        }
        // A tensor by itself has no keys.
        assert_eq!(load(&checkpoint(&pickle, &[("0", floats(&storage))]), None).expect("read").tensors[""].1, expected);
    }
}

#[test]
fn every_type_becomes_f32() {
    let cases: [(&str, &str, Vec<u8>, [f32; 2]); 10] = [
        ("FloatStorage", "F32", floats(&[1.5, -2.0]), [1.5, -2.0]),
        ("DoubleStorage", "F64", [0.1f64, -1e-3].iter().flat_map(|x| x.to_le_bytes()).collect(), [0.1, -1e-3]),
        // IEEE 754-2019, binary16: 1.0 and -2.0. The bfloat16 are the upper halves of 1.0 and -2.0 in 32 bits.
        ("HalfStorage", "F16", vec![0x00, 0x3c, 0x00, 0xc0], [1.0, -2.0]),
        ("BFloat16Storage", "BF16", vec![0x80, 0x3f, 0x00, 0xc0], [1.0, -2.0]),
        ("LongStorage", "I64", [1i64 << 40, -7].iter().flat_map(|x| x.to_le_bytes()).collect(), [1.0995116e12, -7.0]),
        ("IntStorage", "I32", [70_000i32, -7].iter().flat_map(|x| x.to_le_bytes()).collect(), [70_000.0, -7.0]),
        ("ShortStorage", "I16", [300i16, -7].iter().flat_map(|x| x.to_le_bytes()).collect(), [300.0, -7.0]),
        ("CharStorage", "I8", vec![5, 0xff], [5.0, -1.0]),
        ("ByteStorage", "U8", vec![5, 0xff], [5.0, 255.0]),
        ("BoolStorage", "BOOL", vec![0, 1], [0.0, 1.0]),
    ];
    for (class, dtype, bytes, expected) in cases {
        let pickle = Pickle::new().raw(b"}").text("w").tensor((class, "0", 2), 0, &[2], &[1]).raw(b"s").stop();
        let file = load(&checkpoint(&pickle, &[("0", bytes)]), None).expect(class);
        assert_eq!((file.types["w"], &file.tensors["w"]), (dtype, &(vec![2], expected.to_vec())));
    }
    // Real and imaginary parts of a transposed matrix, from its second row on.
    let bytes: Vec<f32> = (0..12).map(|value| value as f32).collect();
    let pickle =
        Pickle::new().raw(b"}").text("c").tensor(("ComplexFloatStorage", "0", 6), 2, &[2, 2], &[1, 2]).raw(b"s");
    let file = load(&checkpoint(&pickle.stop(), &[("0", floats(&bytes))]), None).expect("complex");
    assert_eq!(file.types["c"], "C64");
    assert_eq!(file.tensors["c"], (vec![2, 2, 2], vec![4.0, 5.0, 8.0, 9.0, 6.0, 7.0, 10.0, 11.0]));
}

#[test]
fn shared_storages_parameters_and_lists() {
    let pickle = Pickle::new().raw(b"}(").text("tied").tensor(("FloatStorage", "0", 6), 0, &[2], &[1]);
    let pickle = pickle.text("p").global("torch._utils", "_rebuild_parameter");
    let pickle =
        pickle.tensor(("FloatStorage", "0", 6), 4, &[2], &[1]).raw([0x88]).empty_ordered().raw([0x87]).raw(b"R");
    let pickle = pickle.text("shadow").raw(b"](").tensor(("FloatStorage", "0", 6), 1, &[1], &[1]).int(9).raw(b"e");
    let bytes = checkpoint(&pickle.raw(b"u").stop(), &[("0", floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))]);
    let file = load(&bytes, None).expect("read");
    let found: BTreeMap<&str, &[f32]> =
        file.tensors.iter().map(|(name, (_, v))| (name.as_str(), v.as_slice())).collect();
    assert_eq!(found, BTreeMap::from([("p", &[4.0, 5.0][..]), ("shadow.0", &[1.0]), ("tied", &[0.0, 1.0])]));
    assert_eq!(file.values["shadow.1"], "9");
}

/// What protocol 4 adds: a frame, short texts, globals by way of the stack, and memos. The root is a
/// tuple of one dictionary, three times.
fn protocol_4() -> Vec<u8> {
    let short = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes(), &[0x94]].concat();
    let mut body = [b"}\x94".to_vec(), short("w"), short("torch._utils"), short("_rebuild_tensor_v2")].concat();
    body.extend(b"\x93\x94((");
    body.extend([short("storage"), short("torch"), short("FloatStorage")].concat());
    body.extend(b"\x93\x94");
    body.extend([short("0"), short("cpu")].concat());
    // ... 6), id; offset 0, size (2, 3), stride (3, 1), False, OrderedDict(), end of the arguments.
    body.extend(b"K\x06t\x94QK\x00K\x02K\x03\x86\x94K\x03K\x01\x86\x94\x89");
    body.extend([short("collections"), short("OrderedDict")].concat());
    body.extend(b"\x93\x94)R\x94t\x94R\x94s");
    // A seed of 64 bits; a text and the dictionary again, from the memo.
    body.extend([short("seed"), b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00s".to_vec()].concat());
    body.extend(
        [b"X\x02\x00\x00\x00toh\x01s".as_slice(), b"q\x40h\x40r\x41\x01\x00\x00j\x41\x01\x00\x00".as_slice()].concat(),
    );
    body.extend(b"\x87.");
    let mut pickle = vec![0x80, 4, 0x95];
    pickle.extend((body.len() as u64).to_le_bytes());
    [pickle, body].concat()
}

#[test]
fn protocol_4_and_compressed_entries() {
    let storage = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let pickle = protocol_4();
    for method in [Stored, Deflated] {
        let entries = [("my model/data.pkl", pickle.as_slice()), ("my model/data/0", storage.as_slice())];
        let file = load(&archive(&entries, method), None).expect("read");
        assert_eq!(file.tensors["2.w"], (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!((file.values["0.seed"].as_str(), file.values["1.to"].as_str()), ("18446744073709551615", "w"));
    }
}
