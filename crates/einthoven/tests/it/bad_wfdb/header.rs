//! Rows W01 to W33: headers.

use einthoven::Position::{Byte, File, Line, LineColumn};
use einthoven::record::StorageFormat;

use super::*;

/// The valid header with one piece replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    GOOD.replacen(from, to, 1)
}

#[test]
fn w01_no_record_line() {
    refuses("", "W01", File, &["record line: found an empty file"]);
    refuses("# only\n# comments\n", "W01", File, &["found comments only"]);
}

#[test]
fn w02_no_signals() {
    let record = accepts("r 0 360 4\n");
    assert_eq!((record.leads.len(), record.sig_len, record.annotations["atr"].len()), (0, 4, 2));
}

#[test]
fn w03_fewer_signal_lines_than_declared() {
    refuses(with("r 2", "r 3"), "W03", Line(1), &["signal lines: found 2, expected 3"]);
}

#[test]
fn w04_more_signal_lines_than_declared() {
    let record = accepts(GOOD.to_string() + "r.dat 99 is not even read\n");
    assert_eq!(record.leads.len(), 2);
    assert_warned(&record.warnings, "W04", Line(5), "1 signal lines more");
}

#[test]
fn w05_number_of_signals() {
    for count in ["1000000", "1000000000000000000000000000000", "-2", "1.5", "two"] {
        refuses(
            with("r 2", &format!("r {count}")),
            "W05",
            LineColumn(1, 3),
            &["number of signals: found", count, "0 to 4096"],
        );
    }
}

#[test]
fn w06_sampling_frequency() {
    for fs in ["0", "-500", "nan", "inf", "1e400"] {
        refuses(with("360", fs), "W06", LineColumn(1, 5), &["sampling frequency: found", fs, "positive finite"]);
    }
    let folder = good_record("w06");
    let path = folder.file("r.hea", "r 0\n");
    let record = strictly(&path);
    assert_eq!(record.fs_hz, 250.0);
    assert_warned(&record.warnings, "W06", Line(1), "took 250 Hz");
}

#[test]
fn w07_spellings_of_360() {
    for fs in ["3.6e2", "360.", "360/1(0)", "+360", "360.000"] {
        let record = accepts(with("360", fs));
        assert_eq!((record.fs_hz, record.warnings.len()), (360.0, 0), "{fs}");
    }
    assert_eq!(accepts(with("360", "360/24000(-5)")).counter.map(|c| (c.frequency_hz, c.base)), Some((24000.0, -5.0)));
}

#[test]
fn w08_more_samples_than_the_file_can_hold() {
    refuses(
        with("360 4", "360 1000000000000"),
        "W08",
        Line(1),
        &["found 1000000000000, expected 4, which is what the file holds"],
    );
}

#[test]
fn w09_number_of_samples_beyond_64_bits() {
    for count in ["9223372036854775808", "1000000000000000000000000000000", "-4"] {
        refuses(with("360 4", &format!("360 {count}")), "W09", LineColumn(1, 9), &["number of samples: found", count]);
    }
}

#[test]
fn w10_number_of_samples_absent() {
    for header in [with("360 4", "360 0"), with("360 4", "360")] {
        let record = accepts(header);
        assert_eq!((record.sig_len, record.leads[0].adu.as_slice()), (4, &[1, 2, 3, 4][..]));
        assert_eq!((record.leads[0].checksum, record.leads[0].checksum_ok), (Some(10), None));
        assert_warned(&record.warnings, "W10", Line(1), "took 4 from the files; checksums not verifiable");
    }
}

#[test]
fn w11_gain_absent_or_zero() {
    for header in ["r 1 360 8\nr.dat 16\n", "r 1 360 8\nr.dat 16 0\n", "r 1 360 8\nr.dat 16 0(0)/mV\n"] {
        let record = accepts(header);
        assert!(!record.leads[0].is_calibrated());
        assert_eq!(record.leads[0].mv().unwrap()[1], 0.01);
        assert_eq!(record.summary().leads[0].gain_adu_per_mv, None);
        assert!(record.warnings.iter().any(|warning| warning.code == "W11"));
    }
}

#[test]
fn w12_negative_gain() {
    let record = accepts(with("200(0)", "-200(1)"));
    assert_eq!(record.leads[0].mv().unwrap()[..2], [0.0, -0.005]);
    assert_warned(&record.warnings, "W12", LineColumn(2, 10), "polarity inverted");
}

#[test]
fn w13_gain_that_is_no_finite_number() {
    for gain in ["nan", "inf", "-inf", "1e400", "1e-320", "NaN"] {
        refuses(with("200", gain), "W13", LineColumn(2, 10), &["gain: found", gain, "finite normal number"]);
    }
}

#[test]
fn w14_rubbish_in_a_number() {
    refuses(with("200", "2OO"), "W14", LineColumn(2, 11), &["gain: found \"2OO\""]);
    refuses(with("200(0)", "200(x)"), "W14", LineColumn(2, 14), &["baseline: found \"x\""]);
    refuses(with("200(0)", "200(0"), "W14", LineColumn(2, 14), &["baseline"]);
    refuses(with("12 0 1 10", "12a 0 1 10"), "W14", LineColumn(2, 22), &["ADC resolution: found \"12a\""]);
    refuses(with("12 0 1 10", "12 0x 1 10"), "W14", LineColumn(2, 24), &["ADC zero: found \"0x\""]);
    refuses(with("12 0 1 10", "12 0 1. 10"), "W14", LineColumn(2, 26), &["initial value: found \"1.\""]);
    refuses(with("12 0 1 10", "12 0 1 1O"), "W14", LineColumn(2, 28), &["checksum: found \"1O\""]);
    refuses(with("10 0 I", "10 - I"), "W14", LineColumn(2, 31), &["block size: found \"-\""]);
    refuses(with("360 4", "360 4x"), "W14", LineColumn(1, 10), &["number of samples: found \"4x\""]);
    refuses(with("360", "36O"), "W14", LineColumn(1, 7), &["sampling frequency: found \"36O\""]);
    refuses(with("16", "16x1y"), "W14", LineColumn(2, 11), &["samples per frame: found \"1y\""]);
}

#[test]
fn w15_baseline_outside_32_bits() {
    refuses(with("200(0)", "200(2147483648)"), "W15", LineColumn(2, 14), &["baseline: found \"2147483648\"", "32-bit"]);
    refuses(with("12 0 1", "12 -2147483649 1"), "W15", LineColumn(2, 23), &["ADC zero: found"]);
    let record = accepts(with("200(0)", "200(-40000)"));
    assert_eq!(record.leads[0].mv().unwrap()[0], 200.005);
}

#[test]
fn w16_baseline_and_adc_zero_absent() {
    assert_eq!(accepts(with("200(0)/mV 12 0 1", "200 12 7 1")).leads[0].baseline_adu, 7);
    assert_eq!(accepts("r 1 360 8\nr.dat 16 200\n").leads[0].baseline_adu, 0);
}

#[test]
fn w17_units() {
    for (units, mv) in [("uV", 5e-6f32), ("\u{b5}V", 5e-6), ("\u{3bc}V", 5e-6), ("V", 5.0), ("mV", 0.005)] {
        let record = accepts(with("/mV", &format!("/{units}")));
        assert_eq!((record.leads[0].mv().unwrap()[0], record.warnings.len()), (mv, 0), "{units}");
    }
    let latin1: Vec<u8> = with("/mV", "/?V").bytes().map(|byte| if byte == b'?' { 0xb5 } else { byte }).collect();
    assert_eq!(accepts(latin1).leads[0].mv().unwrap()[0], 5e-6);
    let record = accepts(with("/mV", "/mmHg"));
    assert_eq!(record.leads[0].physical()[0], 0.005);
    let error = record.leads[0].mv().unwrap_err().to_string();
    assert!(error.contains("lead I") && error.contains("mmHg") && error.contains("W17"), "{error}");
}

#[test]
fn w18_storage_format() {
    refuses(
        with("16", "999"),
        "W18",
        LineColumn(2, 7),
        &["storage format: found \"999\"", "0, 8, 16, 24, 32, 61, 80, 160, 212, 310, 311, 508, 516, 524"],
    );
    refuses(
        with("r.dat 16 200(0)/mV 12 0 1 10 0 I", "r.dat"),
        "W18",
        LineColumn(2, 6),
        &["storage format: found \"\""],
    );
    let record =
        accepts(with("r.dat 16", "~ 0").replace("r.dat 16 200(0)/mV 12 0 2 -6 0 II", "r.dat 16x2 200 12 0 1 4 0 II"));
    assert_eq!((record.leads[0].format, record.leads[0].n_missing()), (StorageFormat::Null, 4));
    assert_eq!(record.leads[1].adu, [1, 2, 2, -2, 3, 0, 4, -6]);
}

#[test]
fn w19_samples_per_frame() {
    refuses(with("16", "16x0"), "W19", LineColumn(2, 10), &["samples per frame: found \"0\""]);
    refuses(with("16", "16x99999999"), "W19", LineColumn(2, 10), &["samples per frame: found \"99999999\"", "65536"]);
    let folder = TempFolder::new("w19");
    folder.file("r.dat", good_points());
    let record =
        strictly(folder.file("r.hea", "r 2 360 2\nr.dat 16x3 200 12 0 1 12 0 I\nr.dat 16 200 12 0 -2 -8 0 II\n"));
    assert_eq!(
        (record.leads[0].adu.as_slice(), record.leads[1].adu.as_slice()),
        (&[1, 2, 2, 3, 0, 4][..], &[-2, -6][..])
    );
    assert_eq!((record.lead_fs_hz(&record.leads[0]), record.lead_fs_hz(&record.leads[1])), (1080.0, 360.0));
}

#[test]
fn w20_skew() {
    let record = accepts(with("16", "16:1"));
    assert_eq!(record.leads[0].adu, [2, 3, 4, einthoven::record::MISSING]);
    refuses(with("16", "16:5"), "W20", Line(2), &["skew: found 5, expected at most 4"]);
    refuses(with("16", "16:-1"), "W20", LineColumn(2, 10), &["skew: found \"-1\""]);
}

#[test]
fn w21_byte_offset() {
    let both = |offset: &str| GOOD.replace("16", &format!("16+{offset}"));
    refuses(both("17"), "W21", Line(2), &["byte offset: found 17, expected at most 16"]);
    refuses(with("16", "16+4"), "W21", Line(3), &["byte offset: found 0, expected 4 as in line 2"]);
    let folder = good_record("w21");
    folder.file("r.dat", [vec![9; 4], good_points()].concat());
    let path = folder.file("r.hea", both("4"));
    assert_eq!(strictly(path).leads[0].adu, [1, 2, 3, 4]);
}

#[test]
fn w22_one_file_in_two_places_or_two_formats() {
    let line = "r.dat 16 200 12 0 1 10 0 I\n";
    let other = "other.dat 16 200 12 0 1 10 0 I\n";
    refuses(format!("r 3 360 4\n{line}{other}{line}"), "W22", Line(4), &["\"r.dat\" again", "line 2"]);
    refuses(
        format!("r 2 360 4\n{line}{}", line.replace("16", "212")),
        "W22",
        Line(3),
        &["storage format: found 212, expected 16 as in line 2"],
    );
}

#[test]
fn w23_checksum() {
    let folder = good_record("w23");
    let path = folder.file("r.hea", with("1 10 0", "1 11 0"));
    let error = read(&path, &ReadOptions::strict()).unwrap_err();
    assert_rule(error, "W23", LineColumn(2, 27), &["checksum of signal \"I\": found 11, expected 10 as computed"]);
    let record = leniently(&path);
    assert_warned(&record.warnings, "W23", LineColumn(2, 27), "kept the signal");
    assert_eq!((record.leads[0].checksum_ok, record.leads[1].checksum_ok), (Some(false), Some(true)));
    let waived = ReadOptions { waivers: vec!["W23".into()], ..ReadOptions::strict() };
    assert_eq!(read(&path, &waived).unwrap().leads[0].adu, [1, 2, 3, 4]);
    // The unsigned form of -6, and the signed one.
    for sum in ["65530", "-6"] {
        assert_eq!(accepts(with("2 -6 0", &format!("2 {sum} 0"))).leads[1].checksum, Some(-6));
    }
}

#[test]
fn w24_record_name() {
    let folder = good_record("w24");
    let path = folder.file("r.hea", with("r 2", "q 2"));
    let error = read(&path, &ReadOptions::strict()).unwrap_err();
    assert_rule(error, "W24", LineColumn(1, 1), &["record name: found \"q\", expected \"r\""]);
    let record = leniently(&path);
    assert_warned(&record.warnings, "W24", LineColumn(1, 1), "record name");
    assert_eq!(record.name, "q");
    folder.file("r.hea", GOOD);
    assert_eq!(strictly(&path).name, "r");
}

#[test]
fn w25_files_elsewhere() {
    for name in ["../r.dat", "/etc/passwd", "C:\\r.dat", "\\\\host\\r.dat", "a/r.dat", "..", "."] {
        let header = format!("r 1 360 4\n{name} 16 200\n");
        refuses(header, "W25", LineColumn(2, 1), &["signal file: found", "beside the header"]);
    }
}

#[cfg(unix)]
#[test]
fn w25_links_pipes_and_folders() {
    let folder = good_record("w25");
    let outside = TempFolder::new("outside");
    outside.file("secret.dat", good_points());
    let header = |file: &str| folder.file("r.hea", format!("r 1 360 8\n{file} 16 200\n"));
    std::os::unix::fs::symlink(outside.path().join("secret.dat"), folder.path().join("link.dat")).unwrap();
    let error = read(header("link.dat"), &ReadOptions::strict()).unwrap_err();
    assert_rule(error, "W25", LineColumn(2, 1), &["symbolic link that leaves the folder"]);
    std::fs::create_dir(folder.path().join("sub.dat")).unwrap();
    let error = read(header("sub.dat"), &ReadOptions::strict()).unwrap_err();
    assert_rule(error, "W25", LineColumn(2, 1), &["a directory"]);
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.dat")).status();
    if made.is_ok_and(|status| status.success()) {
        let error = read(header("pipe.dat"), &ReadOptions::strict()).unwrap_err();
        assert_rule(error, "W25", LineColumn(2, 1), &["a device, pipe or socket"]);
    }
    std::os::unix::fs::symlink(folder.path().join("r.dat"), folder.path().join("inside.dat")).unwrap();
    assert_eq!(strictly(header("inside.dat")).sig_len, 8);
}

#[test]
fn w26_streams_and_urls() {
    for name in ["-", "http://host/r.dat", "file:///r.dat"] {
        refuses(format!("r 1 360 4\n{name} 16 200\n"), "W26", LineColumn(2, 1), &["not a stream or URL"]);
    }
}

#[test]
fn w27_line_ends() {
    for header in
        [GOOD.replace('\n', "\r\n"), GOOD.trim_end().to_string(), GOOD.replace(' ', "\t"), GOOD.replace('\n', "\n\n")]
    {
        let record = accepts(header);
        assert_eq!((record.leads[1].adu.as_slice(), record.warnings.len()), (&[2, -2, 0, -6][..], 0));
    }
    refuses(GOOD.replace('\n', "\r"), "W27", Byte(9), &["a lone carriage return"]);
}

#[test]
fn w28_byte_order_marks() {
    let record = accepts(format!("\u{feff}{GOOD}"));
    assert_warned(&record.warnings, "W28", Byte(0), "byte-order mark");
    assert_eq!(record.leads.len(), 2);
    let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(GOOD.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    refuses(little, "W28", Byte(0), &["found UTF-16 (little-endian)"]);
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(GOOD.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    refuses(big, "W28", Byte(0), &["found UTF-16 (big-endian)"]);
}

#[test]
fn w29_bytes_that_are_no_utf8() {
    let record = accepts([GOOD.as_bytes(), b"# J\xfcrgen\n"].concat());
    assert_eq!(record.comments[1], "J\u{fc}rgen");
    assert_warned(&record.warnings, "W29", Line(5), "shown as Latin-1");
    let fields: Vec<u8> = with("0 I\n", "0 ?\n").bytes().map(|byte| if byte == b'?' { 0xe9 } else { byte }).collect();
    refuses(fields, "W29", LineColumn(2, 32), &["ASCII or UTF-8"]);
}

#[test]
fn w30_control_bytes() {
    refuses(with("200", "2\0"), "W30", Byte(20), &["control byte 0x00"]);
    refuses(with("a comment", "a \u{1b}[31m"), "W30", Byte((GOOD.len() - 8) as u64), &["control byte 0x1b"]);
}

#[test]
fn w31_long_lines() {
    let record = accepts(GOOD.to_string() + "# " + &"x".repeat(300) + "\n");
    assert_eq!(record.comments[1].len(), 300);
    assert_warned(&record.warnings, "W31", Line(5), "302 bytes");
    refuses(
        GOOD.to_string() + "# " + &"x".repeat(70_000),
        "W31",
        Line(5),
        &["line: found 70002 bytes, expected at most 65536"],
    );
    refuses("# comment\n".repeat(200_000), "W31", File, &["file size: found 2000000 bytes, expected at most 1048576"]);
}

#[test]
fn w32_dates_that_do_not_exist() {
    for when in [
        "10:00:00 31/02/2020",
        "25:61:00",
        "2006",
        "05-May-2020 09:49:17",
        "2014-05-16 11:05:25",
        "10:00:00 1/1/2020 x",
    ] {
        let record = accepts(with("360 4", &format!("360 4 {when}")));
        assert_eq!((record.base_time, record.base_date), (None, None), "{when}");
        assert_eq!(record.leads[0].adu, [1, 2, 3, 4]);
        assert_warned(&record.warnings, "W32", LineColumn(1, 11), "took none");
    }
    let record = accepts(with("360 4", "360 4 8:26:04.250 29/2/2020"));
    assert_eq!((record.base_time.as_deref(), record.base_date.as_deref()), (Some("08:26:04.250"), Some("29/02/2020")));
    assert_eq!(record.warnings, []);
}

#[test]
fn w33_duplicate_lead_names() {
    let record = accepts(with("0 II", "0 I"));
    assert_warned(&record.warnings, "W33", Line(3), "occurs again");
    let error = record.lead("I").unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(
        error.to_string().contains("found indexes 0, 1, expected one") && error.to_string().contains("W33"),
        "{error}"
    );
    assert_eq!(accepts(GOOD).lead("II").unwrap().adu, [2, -2, 0, -6]);
}
