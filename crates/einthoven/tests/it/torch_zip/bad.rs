//! Checkpoints that are refused: programs (rule M01), and what is broken (rule M02).

use einthoven::Seed;
use einthoven::error::{InputError, Position};
use zip::CompressionMethod::{Deflated, Stored};

use super::{Pickle, archive, checkpoint, floats, input, load, protocol_4, training, view};

/// The error of a program beside a storage `0` of six floats.
fn refused(pickle: Pickle) -> InputError {
    input(load(&checkpoint(&pickle.0, &[("0", floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))]), None))
}

#[test]
fn m01_programs_are_refused_by_name() {
    let run = |module: &str, name: &str| Pickle::new().global(module, name).text("touch /tmp/x").raw([0x85]).raw(b"R.");
    for (module, name) in [
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor"),
        ("collections", "OrderedDict.__init__"),
        ("numpy.core.multiarray", "scalar"),
        ("torch.nn.modules.linear", "Linear"),
    ] {
        let error = refused(run(module, name));
        assert_eq!((error.code, error.field.as_str()), ("M01", "data.pkl"));
        assert_eq!(error.found, format!("the global {module}.{name} at byte 2"));
        assert!(matches!(error.position, Position::Byte(_)) && !error.to_string().contains('\n'), "{error}");
    }
    // Deep inside of a good file as well, and by way of the stack.
    let hidden = Pickle::new().raw(b"}(").text("w").tensor(("FloatStorage", "0", 6), 0, &[6], &[1]);
    let hidden = hidden.text("x").text("posix").text("system").raw([0x93]).text("id").raw([0x85]).raw(b"Ru.");
    assert!(refused(hidden).found.starts_with("the global posix.system at byte "));
    // A name cannot break the line.
    let error = refused(Pickle::new().text("a\nb").text("\u{1b}[2J").raw([0x93]).raw(b"."));
    assert_eq!(error.found, "the global a\\nb.\\u{1b}[2J at byte 19");

    let class = || Pickle::new().global("torch", "FloatStorage");
    let tensor = || Pickle::new().tensor(("FloatStorage", "0", 6), 0, &[6], &[1]);
    let arguments = |metadata: Pickle| {
        let start =
            Pickle::new().global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage("FloatStorage", "0", 6);
        let start = start.int(0).ints(&[6]).ints(&[1]).raw([0x89]).empty_ordered();
        start.raw(&metadata.0[2..]).raw(b"tR.")
    };
    for (pickle, found) in [
        (class().raw(b")R."), "a call of FloatStorage with 0 arguments"),
        (class().raw(b")").raw([0x81]).raw(b"."), "a call of FloatStorage with 0 arguments"),
        (Pickle::new().text("f").raw(b")R."), "a call of text"),
        (Pickle::new().global("collections", "OrderedDict").ints(&[1]).raw(b"R."), "a call of OrderedDict with 1"),
        (Pickle::new().global("torch", "Size").int(1).raw([0x85]).raw(b"R."), "a call of Size with 1 arguments"),
        (
            Pickle::new().global("torch._utils", "_rebuild_parameter").int(1).raw(b"NN").raw([0x87]).raw(b"R."),
            "a call of _rebuild_parameter",
        ),
        (tensor().raw(b"}b."), "an object with a state"),
        (Pickle::new().text("0").raw(b"Q."), "an unknown identity"),
        (Pickle::new().raw(b"(").text("module").raw(b"NNNNtQ."), "an unknown identity"),
        (arguments(Pickle::new().raw(b"}").text("conj").raw([0x88]).raw(b"s")), "a call of _rebuild_tensor_v2 with 7"),
        (arguments(Pickle::new().raw(b"NNN")), "a call of _rebuild_tensor_v2 with 9"),
        (Pickle::new().raw([0x8a, 17]).raw([1; 17]).raw(b"."), "a whole number of 17 bytes"),
        (Pickle(vec![0x80, 6, b'N', b'.']), "protocol 6"),
        // INST, OBJ, EXT1, PERSID, POP, NEWOBJ_EX, BYTEARRAY8
        (Pickle::new().raw(b"(iposix\nsystem\n."), "operation 0x69"),
        (Pickle::new().raw(b"(o."), "operation 0x6f"),
        (Pickle::new().raw([0x82, 1]), "operation 0x82"),
        (Pickle::new().raw(b"P0\n."), "operation 0x50"),
        (Pickle::new().raw(b"N0."), "operation 0x30"),
        (Pickle::new().raw([0x92]), "operation 0x92"),
        (Pickle::new().raw([0x96]), "operation 0x96"),
    ] {
        let error = refused(pickle);
        assert!(error.code == "M01" && error.found.starts_with(found), "{found}: {error}");
    }
    // Metadata that say nothing are those of a plain tensor.
    for empty in [Pickle::new().raw(b"}"), Pickle::new().raw(b"N")] {
        let bytes = checkpoint(&arguments(empty).0, &[("0", floats(&[1.0; 6]))]);
        assert_eq!(load(&bytes, None).expect("plain").tensors[""].1, [1.0; 6]);
    }
}

#[test]
fn m01_other_formats_are_named() {
    let magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    for (bytes, found) in [
        (magic.to_vec(), "a file in the layout before torch 1.6"),
        (Pickle::new().raw(b"N").stop(), "a bare pickle"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{      }".to_vec(), "safetensors"),
        (b"PKx".to_vec(), "something else"),
        (Vec::new(), "something else"),
    ] {
        let error = input(load(&bytes, None));
        assert_eq!((error.code, error.position, error.found.as_str()), ("M01", Position::Byte(0), found));
        assert!(!error.hint.is_empty());
    }
    let pickle = view(0, &[6], &[1]).0;
    for entries in [
        vec![("fs_hz.npy", b"x".as_slice())],
        vec![("data.pkl", pickle.as_slice())],
        vec![("x/data.pkl", pickle.as_slice()), ("y/data/0", b"x".as_slice())],
        vec![("x/data/0", b"x".as_slice())],
        vec![],
    ] {
        let error = input(load(&archive(&entries, Stored), None));
        assert_eq!((error.code, error.field.as_str()), ("M01", "archive"), "{error}");
    }
    let big: [(&str, &[u8]); 3] = [("x/data.pkl", &pickle), ("x/byteorder", b"big"), ("x/data/0", &[0; 24])];
    let error = load(&archive(&big, Stored), None).expect_err("big endian");
    assert_eq!(
        (error.to_string().as_str(), error.exit_code()),
        ("x.pt: byte order big (little is) is not supported", 2)
    );
}

#[test]
fn m02_broken_programs() {
    // A list in itself; forty tuples of twice the one before: 2^40 paths.
    let cycle = Pickle::new().raw(b"]q\x00h\x00a.");
    let bomb = (0..40).fold(Pickle::new().raw(b"(N"), |pickle, _| pickle.raw(b"q\x00(h\x00h\x00t")).raw(b"t.");
    for (pickle, found) in [
        (Pickle(b"}.".to_vec()), "no protocol at byte 0"),
        (Pickle::new(), "the end of the data at byte 2"),
        (Pickle::new().raw(b"X\xff\xff\xff\xff"), "a length of 4294967295"),
        (Pickle::new().raw([0x8d]).raw([0xff; 8]), "a length of 18446744073709551615"),
        (Pickle::new().raw([0x95]).raw([0xff; 8]), "a frame of 18446744073709551615 bytes"),
        (Pickle::new().raw(b"X\x01\x00\x00\x00\xff."), "text that is not UTF-8"),
        (Pickle::new().raw(b"ctorch\nSi"), "a name without an end"),
        (Pickle::new().raw(b"."), "nothing on the stack at byte 2"),
        (Pickle::new().raw(b"NN."), "an end with values left over"),
        (Pickle::new().raw(b"(N."), "an end with values left over"),
        (Pickle::new().raw(b"N.N"), "1 bytes after the end"),
        (Pickle::new().raw(b"t"), "no mark on the stack"),
        (Pickle::new().raw(b"N(").raw([0x85]), "0 values on the stack"),
        (Pickle::new().raw(b"h\x07"), "memo 7"),
        (Pickle::new().raw(b"NNa"), "None at byte 4"),
        (Pickle::new().raw(b"}Na"), "items for what is no list"),
        (Pickle::new().raw(b"]NNs"), "pairs for what is no dictionary"),
        (Pickle::new().raw(b"}(Nu"), "a key without a value"),
        (Pickle::new().raw(b"NN").raw([0x93]), "a global that is no text"),
        (Pickle::new().global("torch", "Size").raw(b"NR"), "a call of Size without a tuple"),
        (Pickle::new().storage("FloatStorage", "0", -1), "-1 at byte"),
        (view(-1, &[6], &[1]), "-1 at byte"),
        (view(0, &[6], &[-1]), "-1 at byte"),
        (view(0, &[6], &[]), "1 sides and 0 strides"),
        (view(0, &[1; 17], &[1; 17]), "17 axes"),
        (Pickle::new().raw(b"}NNs."), "a key that is None"),
        (Pickle::new().raw(b"}").text("a").raw(b"Ns").text("a").raw(b"Ns."), "key a twice"),
        (Pickle::new().raw(b"}").text("1").raw(b"Ns").int(1).raw(b"Ns."), "key 1 twice"),
        (
            Pickle::new()
                .raw(b"}(")
                .text("a")
                .raw(b"}")
                .text("b.c")
                .int(1)
                .raw(b"s")
                .text("a.b")
                .raw(b"}")
                .text("c")
                .int(1)
                .raw(b"su."),
            "a path twice",
        ),
        (cycle, "deeper nesting"),
        ((0..200_000).fold(Pickle::new().raw(b")"), |pickle, _| pickle.raw([0x85])).raw(b"."), "deeper nesting"),
        (bomb, "335"),
        (Pickle::new().raw(vec![b'N'; 800_000]), "more operations"),
    ] {
        let error = refused(pickle);
        assert!(error.code == "M02" && error.found.starts_with(found), "{found}: {error}");
    }
}

#[test]
fn m02_views_beyond_their_storage() {
    for (pickle, found) in [
        (view(1, &[6], &[1]), "size [6], stride [1], offset 1"),
        (view(6, &[], &[]), "size [], stride [], offset 6"),
        (view(0, &[2, 3], &[4, 1]), "size [2, 3], stride [4, 1], offset 0"),
        (view(i32::MAX, &[i32::MAX; 2], &[i32::MAX; 2]), "size [2147483647"),
        (view(0, &[i32::MAX; 4], &[0; 4]), "size [2147483647"),
        // As many as there is room for in 64 bits, but not in the budget.
        (view(0, &[i32::MAX; 2], &[0; 2]), "18446744056529"),
    ] {
        let error = refused(pickle);
        assert!(error.code == "M02" && error.found.starts_with(found), "{found}: {error}");
    }
    assert_eq!(refused(view(1, &[6], &[1])).expected, "a view of the 6 values of its storage");
    let of = |class: &str, key: &str, n: i32| {
        refused(Pickle::new().raw(b"}").text("w").tensor((class, key, n), 0, &[1], &[1]).raw(b"s."))
    };
    for (error, found, expected) in [
        (of("FloatStorage", "0", 7), "24 bytes in data/0", "7 values of FloatStorage"),
        (of("DoubleStorage", "0", 6), "24 bytes in data/0", "6 values of DoubleStorage"),
        (of("FloatStorage", "7", 6), "no such entry", "data/7 in the archive"),
        (of("FloatStorage", "../data.pkl", 6), "no such entry", "data/../data.pkl in the archive"),
    ] {
        assert_eq!((error.code, error.field.as_str()), ("M02", "w"), "{error}");
        assert_eq!((error.found.as_str(), error.expected.as_str()), (found, expected));
    }
    // Axes of which the last multiplies to nothing.
    let bytes = checkpoint(&view(0, &[i32::MAX, 0], &[0, 0]).0, &[("0", floats(&[0.0; 6]))]);
    assert!(load(&bytes, None).expect("empty").tensors["w"].1.is_empty());
}

#[test]
fn m02_broken_archives() {
    let pickle = view(0, &[6], &[1]).0;
    let storage = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let good = [("x/data.pkl", pickle.as_slice()), ("x/data/0", storage.as_slice())];
    let with = |name: &str| archive(&[good[0], good[1], (name, b"x".as_slice())], Stored);
    for name in ["x/../y", "/x/y", "x//y", "x/./y", "x/a\\b", "../x/y"] {
        let error = input(load(&with(name), None));
        assert_eq!((error.code, error.field.as_str()), ("M02", "entry name"), "{name}: {error}");
    }
    load(&with("x/.data/serialization_id"), None).expect("a name of torch");

    // Two entries of one name, which no honest writer makes.
    let mut twice = with("x/data/9");
    while let Some(at) = twice.windows(8).position(|name| name == b"x/data/9") {
        twice[at + 7] = b'0';
    }
    let error = input(load(&twice, None));
    assert_eq!((error.code, error.found.as_str()), ("M02", "an entry twice"));

    // A storage with another byte than its checksum is of.
    let mut damaged = archive(&good, Stored);
    let at = damaged.windows(24).position(|window| window == storage).unwrap();
    damaged[at] ^= 1;
    let error = input(load(&damaged, None));
    assert_eq!((error.code, error.field.as_str()), ("M02", "data/0"), "{error}");
    assert_eq!(error.expected, "readable data with its checksum");

    // 40 MiB of zeros in as many kilobytes, and a file cut short.
    let zeros = vec![0; 40 << 20];
    let large = Pickle::new().tensor(("FloatStorage", "0", 10 << 20), 0, &[1], &[1]).stop();
    let bomb = archive(&[("x/data.pkl", large.as_slice()), ("x/data/0", zeros.as_slice())], Deflated);
    let error = input(load(&bomb, None));
    assert!(error.code == "M02" && error.hint.contains("bomb"), "{error}");
    assert!(error.expected.ends_with("(32 MiB plus 8 times the file)"), "{error}");
    let mut truncated = archive(&good, Stored);
    truncated.truncate(truncated.len() - 1);
    assert_eq!(input(load(&truncated, None)).code, "M02");
}

/// Whatever the bytes are, the answer is a file of bounded size or an error of one line.
fn survives(bytes: &[u8]) {
    match load(bytes, None) {
        Ok(file) => {
            for (name, (shape, values)) in &file.tensors {
                assert!(file.types.contains_key(name));
                assert_eq!(shape.iter().product::<usize>(), values.len());
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let good = training();
    for length in 0..good.len() {
        survives(&good[..length]);
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            survives(&bytes);
        }
    }
    // With a right checksum around it, a changed program reaches the machine.
    let storage = [("0", floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))];
    let mut stream = Seed::new(1).purpose("torch").stream();
    let programs = [view(0, &[2, 3], &[3, 1]).0, protocol_4()];
    for program in &programs {
        for at in 0..program.len() {
            survives(&checkpoint(&program[..at], &storage));
            for change in [1, 0x80, 0xff, stream.below(255) as u8 + 1] {
                let mut changed = program.clone();
                changed[at] ^= change;
                survives(&checkpoint(&changed, &storage));
            }
        }
    }
    // Operations in any order, and pieces of good programs.
    let operations = b"()]}tNKJMGXq\x94hjaesucQRb.\x85\x86\x87\x88\x89\x8a\x8c\x93\x81";
    for _ in 0..3000 {
        let mut program = vec![0x80, 2];
        for _ in 0..stream.below(60) {
            match stream.below(4) {
                0 => program.push(stream.below(256) as u8),
                1 => {
                    let good = &programs[stream.below(2)];
                    let start = stream.below(good.len());
                    let end = start + stream.below(good.len() - start);
                    program.extend_from_slice(&good[start..end]);
                }
                _ => program.push(operations[stream.below(operations.len())]),
            }
        }
        survives(&checkpoint(&program, &storage));
    }
}
