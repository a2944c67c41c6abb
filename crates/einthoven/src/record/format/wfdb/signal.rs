//! Signal files to leads: which files, how many frames, points, checksums and skew.
//!
//! Rules W08, W10, W18-W26 and D01-D10 of the reliability page.

use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, InputError, Position, Result};
use crate::record::format::notes::{Notes, file_kind, input, quoted, read_file};
use crate::record::{Lead, MISSING, StorageFormat};

use super::flac;
use super::header::{Header, SignalSpec};
use super::pack::{BLOCK_POINTS, bytes_for, points_in, unpack, unpack_212_pair};

/// Signals that stand next to each other in the header and share a file.
struct Group {
    signals: Range<usize>,
    path: PathBuf,
    format: StorageFormat,
    /// Points in a frame of the file.
    frame_points: usize,
    content: Content,
}

/// What a file holds.
enum Content {
    /// A null signal.
    Nothing,
    /// Packed points, from the byte offset on.
    Packed { bytes: Vec<u8>, offset: usize },
    /// Decoded channels, and whether the file holds more.
    Decoded { channels: Vec<Vec<i32>>, has_more: bool },
}

impl Group {
    /// Whole frames that the file holds.
    fn frames(&self) -> u64 {
        match &self.content {
            Content::Nothing => 0,
            Content::Packed { bytes, offset } => {
                points_in(self.format, (bytes.len() - offset) as u64) / self.frame_points as u64
            }
            Content::Decoded { channels, .. } => {
                let spf = (self.frame_points / channels.len().max(1)).max(1);
                channels.first().map_or(0, |channel| channel.len() / spf) as u64
            }
        }
    }

    /// Bytes of the file after the offset.
    fn data(&self) -> &[u8] {
        match &self.content {
            Content::Packed { bytes, offset } => &bytes[*offset..],
            _ => &[],
        }
    }
}

/// Checks the names of a header's signal files before any is opened, and finds the files' sizes.
///
/// # Errors
/// Rules W21, W22, W25 and W26.
pub(crate) fn file_sizes(header: &Header) -> Result<u64> {
    let mut total = 0u64;
    for range in runs(header)? {
        let signal = &header.signals[range.start];
        if signal.format != StorageFormat::Null {
            let path = signal_path(header, signal)?;
            let metadata = fs::metadata(&path).map_err(|source| Error::io(&path, source))?;
            total = total.saturating_add(metadata.len());
        }
    }
    Ok(total)
}

/// Reads the leads of an ordinary record. Returns the number of frames and the leads.
pub(crate) fn read_leads(header: &Header, notes: &mut Notes) -> Result<(usize, Vec<Lead>)> {
    let runs = runs(header)?;
    let mut groups = Vec::with_capacity(runs.len());
    for range in runs {
        groups.push(open(header, range, notes)?);
    }
    let sig_len = frame_count(header, &groups, notes)?;
    let mut leads = Vec::with_capacity(header.signals.len());
    for group in groups {
        check_length(header, &group, sig_len, notes)?;
        let present = usize::try_from(group.frames()).unwrap_or(usize::MAX).min(sig_len);
        let first = leads.len();
        leads.extend(header.signals[group.signals.clone()].iter().map(lead_of));
        fill(header, group, present, sig_len, &mut leads[first..])?;
        for (lead, signal) in leads[first..].iter_mut().zip(&header.signals[first..]) {
            if header.sig_len.is_some() && present == sig_len && signal.format != StorageFormat::Null {
                verify(header, signal, lead, notes)?;
            } else {
                lead.checksum_ok = None;
            }
            shift(header, signal, lead, sig_len, notes)?;
        }
    }
    Ok((sig_len, leads))
}

/// Runs of signals with the same file (rules W21 and W22).
fn runs(header: &Header) -> Result<Vec<Range<usize>>> {
    let signals = &header.signals;
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for (index, signal) in signals.iter().enumerate() {
        let at = Position::Line(signal.line);
        if signal.format == StorageFormat::Null {
            runs.push(index..index + 1);
            continue;
        }
        check_name(&header.path, signal)?;
        let Some(&first) = seen.get(signal.file.as_str()) else {
            seen.insert(signal.file.as_str(), index);
            runs.push(index..index + 1);
            continue;
        };
        let before: &SignalSpec = &signals[first];
        let fault = |code, field: &str, found: String, expected: String| {
            Error::from(input(code, &header.path, at, field, found, expected))
        };
        match runs.last_mut() {
            Some(run) if run.start == first && run.end == index => run.end += 1,
            _ => {
                let found = format!("{} again after another file", quoted(&signal.file));
                let expected = format!("the signals of a file together, beginning in line {}", before.line);
                return Err(fault("W22", "signal file", found, expected));
            }
        }
        if signal.format != before.format {
            let expected = format!("{} as in line {}, which has the same file", before.format, before.line);
            return Err(fault("W22", "storage format", signal.format.to_string(), expected));
        }
        if signal.byte_offset != before.byte_offset {
            let expected = format!("{} as in line {}, which has the same file", before.byte_offset, before.line);
            return Err(fault("W21", "byte offset", signal.byte_offset.to_string(), expected));
        }
        if signal.format.is_flac() && signal.samples_per_frame != before.samples_per_frame {
            let expected = format!("{} as in line {}: a FLAC file has one rate", before.samples_per_frame, before.line);
            return Err(fault("W19", "samples per frame", signal.samples_per_frame.to_string(), expected));
        }
    }
    Ok(runs)
}

/// Headers name plain files beside them, nothing else (rules W25 and W26).
fn check_name(path: &Path, signal: &SignalSpec) -> Result<()> {
    let name = &signal.file;
    let fault = |code, expected: &str| {
        Err(input(code, path, Position::LineColumn(signal.line, 1), "signal file", quoted(name), expected).into())
    };
    if name == "-" || name.contains("://") {
        return fault("W26", "a file beside the header, not a stream or URL");
    }
    if name == "." || name == ".." || name == "~" || name.contains(['/', '\\', ':', '\0']) {
        return fault("W25", "the plain name of a file beside the header");
    }
    Ok(())
}

/// The signal file beside the header; only a regular file in the same folder is accepted (W25).
fn signal_path(header: &Header, signal: &SignalSpec) -> Result<PathBuf> {
    let folder = header.path.parent().filter(|folder| *folder != OsStr::new("")).unwrap_or(Path::new("."));
    let path = folder.join(&signal.file);
    let at = Position::LineColumn(signal.line, 1);
    let metadata = fs::symlink_metadata(&path).map_err(|source| Error::io(&path, source))?;
    if metadata.is_symlink() {
        let real = fs::canonicalize(&path).map_err(|source| Error::io(&path, source))?;
        let home = fs::canonicalize(folder).map_err(|source| Error::io(folder, source))?;
        if !real.starts_with(&home) {
            let found = format!("{}, a symbolic link that leaves the folder", quoted(&signal.file));
            return Err(input("W25", &header.path, at, "signal file", found, "a file beside the header").into());
        }
    }
    let metadata = fs::metadata(&path).map_err(|source| Error::io(&path, source))?;
    if !metadata.is_file() {
        let found = format!("{}, {}", quoted(&signal.file), file_kind(&metadata));
        return Err(input("W25", &header.path, at, "signal file", found, "a regular file").into());
    }
    Ok(path)
}

/// Reads the file of a run of signals.
fn open(header: &Header, signals: Range<usize>, notes: &Notes) -> Result<Group> {
    let specs = &header.signals[signals.clone()];
    let first = &specs[0];
    let (format, n_channels) = (first.format, specs.len());
    let frame_points = specs.iter().map(|signal| signal.samples_per_frame).sum();
    if format == StorageFormat::Null {
        return Ok(Group { signals, path: header.path.clone(), format, frame_points, content: Content::Nothing });
    }
    let path = signal_path(header, first)?;
    let bytes = read_file(&path, u64::MAX, "W08")?;
    let offset = usize::try_from(first.byte_offset).unwrap_or(usize::MAX);
    if offset > bytes.len() {
        let expected = format!("at most {}, the size of {}", bytes.len(), first.file);
        let at = Position::Line(first.line);
        return Err(input("W21", &header.path, at, "byte offset", first.byte_offset.to_string(), expected).into());
    }
    let content = if format.is_flac() {
        if n_channels > 8 {
            let at = Position::Line(first.line);
            return Err(
                input("D09", &header.path, at, "signals in a FLAC file", n_channels.to_string(), "at most 8").into()
            );
        }
        let cap = notes.options.caps.decompressed_points / frame_points as u64;
        let limit = header.sig_len.unwrap_or(cap).min(cap).saturating_mul(first.samples_per_frame as u64);
        let stream = flac::decode(&bytes[offset..], n_channels, u32::from(format.bits()), limit).map_err(|broken| {
            let at = Position::Byte((offset + broken.byte) as u64);
            input("D09", &path, at, broken.part, broken.found, broken.expected)
        })?;
        Content::Decoded { channels: stream.channels, has_more: stream.has_more }
    } else {
        Content::Packed { bytes, offset }
    };
    Ok(Group { signals, path, format, frame_points, content })
}

/// Number of frames: as declared, or what the files hold (rules W08 and W10).
fn frame_count(header: &Header, groups: &[Group], notes: &mut Notes) -> Result<usize> {
    let with_file = || groups.iter().filter(|group| group.format != StorageFormat::Null);
    let held = with_file().map(Group::frames).min();
    let frame_points: u64 = groups.iter().map(|group| group.frame_points as u64).sum();
    let bytes: u64 = with_file().map(|group| group.data().len() as u64).sum();
    let decoded: u64 = with_file()
        .map(|group| match &group.content {
            Content::Decoded { channels, .. } => channels.iter().map(|channel| channel.len() as u64).sum(),
            _ => 0,
        })
        .sum();
    let sig_len = match header.sig_len {
        Some(declared) => declared,
        None => {
            if let Some(held) = held {
                let message =
                    format!("number of samples: not given, took {held} from the files; checksums not verifiable");
                notes.warn("W10", &header.path, Position::Line(header.line), message);
            }
            held.unwrap_or(0)
        }
    };
    let allowed = notes.options.caps.implied_points.saturating_add(bytes.saturating_mul(2)).saturating_add(decoded);
    let too_long = || {
        let held = held.unwrap_or(0);
        let mut error = input(
            "W08",
            &header.path,
            Position::Line(header.line),
            "number of samples",
            sig_len.to_string(),
            format!("{held}, which is what the file holds"),
        );
        error.hint = "correct the number of samples in the record line".into();
        Error::from(error)
    };
    if sig_len.saturating_mul(frame_points) > allowed {
        return Err(too_long());
    }
    usize::try_from(sig_len).map_err(|_| too_long())
}

/// Compares a file's length with the number of frames (rules D02 to D05).
fn check_length(header: &Header, group: &Group, sig_len: usize, notes: &mut Notes) -> Result<()> {
    let fault =
        |code, found: String, expected: String| input(code, &group.path, Position::File, "file size", found, expected);
    let points = sig_len as u64 * group.frame_points as u64;
    let repair = "the rest is marked missing";
    if let Content::Decoded { has_more, .. } = &group.content {
        let frames = group.frames();
        if frames < sig_len as u64 {
            let error = fault("D02", format!("{frames} samples"), format!("{sig_len} as the header declares"));
            notes.deviation(error, repair)?;
        } else if *has_more || frames > sig_len as u64 {
            notes.warn("D04", &group.path, Position::File, "file size: more samples than declared, ignored");
        }
        return Ok(());
    }
    let have = group.data().len() as u64;
    let width = match group.format {
        StorageFormat::F16 | StorageFormat::F61 | StorageFormat::F160 => 2,
        StorageFormat::F24 => 3,
        StorageFormat::F32 => 4,
        _ => 1,
    };
    if !have.is_multiple_of(width) {
        let error =
            fault("D03", format!("{have} bytes of data"), format!("a multiple of {width}, the bytes of a value"));
        return Err(error.into());
    }
    let need = bytes_for(group.format, points);
    let cut_inside = match header.sig_len {
        None => group.format == StorageFormat::F212 && have % 3 == 1,
        Some(_) => group.format == StorageFormat::F212 && points % 2 == 1 && have + 1 == need,
    };
    if cut_inside {
        let expected = format!("{} or {}, for {} values", have + 1, have + 2, points_in(group.format, have + 1));
        return Err(fault("D05", format!("{have} bytes of data"), expected).into());
    }
    if have < need {
        let frames = group.frames();
        let found = format!("{have} bytes, the last whole frame is {frames}");
        let error = InputError {
            hint: "get the whole file, or read it leniently".into(),
            ..fault("D02", found, format!("{need} bytes for {sig_len} samples"))
        };
        notes.deviation(error, repair)?;
    } else if points_in(group.format, have).saturating_sub(points) >= 3 || have.saturating_sub(need) > 3 {
        // Up to three bytes may pad the last block of a packed format.
        let message = format!("file size: found {have} bytes, expected {need}; ignored the surplus of {}", have - need);
        notes.warn("D04", &group.path, Position::File, message);
    }
    Ok(())
}

/// A lead without points.
pub(crate) fn lead_of(signal: &SignalSpec) -> Lead {
    Lead {
        name: signal.description.clone(),
        units: signal.units.clone(),
        samples_per_frame: signal.samples_per_frame,
        gain_adu_per_unit: signal.gain,
        baseline_adu: signal.baseline,
        adc_zero_adu: signal.adc_zero,
        adc_resolution_bits: signal.adc_resolution,
        initial_adu: signal.initial,
        block_size: signal.block_size,
        checksum: signal.checksum,
        checksum_ok: None,
        format: signal.format,
        adu: Vec::new(),
        gain_changes: Vec::new(),
    }
}

/// Fills the leads of a group with `present` frames and missing points after them. Leaves in
/// `checksum_ok` whether the sum matches.
fn fill(header: &Header, group: Group, present: usize, sig_len: usize, leads: &mut [Lead]) -> Result<()> {
    let marker = group.format.missing_marker().unwrap_or(MISSING);
    let mut sums = vec![0i32; leads.len()];
    match group.content {
        Content::Nothing => {}
        Content::Decoded { channels, .. } => {
            for ((lead, mut channel), sum) in leads.iter_mut().zip(channels).zip(&mut sums) {
                channel.truncate(present * lead.samples_per_frame);
                for value in &mut channel {
                    *sum = sum.wrapping_add(*value);
                    if *value == marker {
                        *value = MISSING;
                    }
                }
                lead.adu = channel;
            }
        }
        Content::Packed { ref bytes, offset } => {
            let data = &bytes[offset..];
            match leads {
                [a, b] if group.format == StorageFormat::F212 && group.frame_points == 2 => {
                    sums.copy_from_slice(&unpack_212_pair(data, present, [&mut a.adu, &mut b.adu]));
                }
                _ => fill_chunks(header, &group, data, present, leads, &mut sums)?,
            }
        }
    }
    for (lead, sum) in leads.iter_mut().zip(sums) {
        lead.adu.resize(sig_len * lead.samples_per_frame, MISSING);
        lead.checksum_ok = lead.checksum.map(|stated| stated == sum as i16);
    }
    Ok(())
}

/// Any other layout: chunks of frames are unpacked and dealt out to the leads.
fn fill_chunks(
    header: &Header,
    group: &Group,
    data: &[u8],
    present: usize,
    leads: &mut [Lead],
    sums: &mut [i32],
) -> Result<()> {
    let frame = group.frame_points;
    // A chunk stays in the first-level cache and begins on a byte boundary in every format.
    let chunk_frames = (2048 / frame).max(1) * BLOCK_POINTS;
    let marker = group.format.missing_marker().unwrap_or(MISSING);
    let mut running: Vec<i64> = leads.iter().map(|lead| i64::from(lead.initial_adu)).collect();
    let mut chunk = vec![0i32; chunk_frames.min(present) * frame];
    for lead in leads.iter_mut() {
        lead.adu.reserve_exact(present * lead.samples_per_frame);
    }
    for first in (0..present).step_by(chunk_frames) {
        let n = chunk_frames.min(present - first);
        let points = &mut chunk[..n * frame];
        unpack(group.format, data, first * frame, points);
        let mut offset = 0;
        for (index, lead) in leads.iter_mut().enumerate() {
            let spf = lead.samples_per_frame;
            if group.format == StorageFormat::F8 {
                let signal = &header.signals[group.signals.start + index];
                integrate(points, frame, offset..offset + spf, &mut running[index])
                    .map_err(|frame| overflow(&group.path, signal, (first + frame) as u64))?;
            }
            let sum = &mut sums[index];
            let mut value = |&value: &i32| {
                *sum = sum.wrapping_add(value);
                if value == marker { MISSING } else { value }
            };
            if spf == 1 {
                lead.adu.extend(points[offset..].iter().step_by(frame).map(value));
            } else {
                for points in points.chunks_exact(frame) {
                    lead.adu.extend(points[offset..offset + spf].iter().map(&mut value));
                }
            }
            offset += spf;
        }
    }
    Ok(())
}

/// Turns first differences into values, in place; the error is the frame where 32 bits overflow.
fn integrate(
    points: &mut [i32],
    frame: usize,
    signal: Range<usize>,
    running: &mut i64,
) -> std::result::Result<(), usize> {
    for (index, points) in points.chunks_exact_mut(frame).enumerate() {
        for point in &mut points[signal.clone()] {
            *running += i64::from(*point);
            // The smallest 32-bit number marks missing points and is no value.
            *point = i32::try_from(*running).ok().filter(|&value| value != MISSING).ok_or(index)?;
        }
    }
    Ok(())
}

/// Rule D08.
fn overflow(path: &Path, signal: &SignalSpec, frame: u64) -> Error {
    let field = format!("running sum of signal {}", quoted(&signal.description));
    let found = format!("a value beyond 32 bits in frame {frame}");
    input("D08", path, Position::File, field, found, "32-bit values").into()
}

/// Compares the checksum of the header with the points (rule W23).
fn verify(header: &Header, signal: &SignalSpec, lead: &Lead, notes: &mut Notes) -> Result<()> {
    let (Some(stated), Some(false)) = (signal.checksum, lead.checksum_ok) else { return Ok(()) };
    let computed = lead.compute_checksum();
    let at = Position::LineColumn(signal.line, signal.checksum_column);
    let field = format!("checksum of signal {}", quoted(&signal.description));
    let mut error = input("W23", &header.path, at, field, stated.to_string(), format!("{computed} as computed"));
    error.hint = "the signal file was changed or damaged; get it again".into();
    notes.deviation(error, "kept the signal")
}

/// Moves a lagging signal to its place; its tail is missing (rule W20).
fn shift(header: &Header, signal: &SignalSpec, lead: &mut Lead, sig_len: usize, notes: &Notes) -> Result<()> {
    if signal.skew == 0 {
        return Ok(());
    }
    let skew = usize::try_from(signal.skew).ok().filter(|&skew| skew <= sig_len).ok_or_else(|| {
        let expected = format!("at most {sig_len}, the length of the record");
        input("W20", &header.path, Position::Line(signal.line), "skew", signal.skew.to_string(), expected)
    })?;
    if !notes.options.ignore_skew {
        let points = skew * lead.samples_per_frame;
        let end = lead.adu.len() - points;
        lead.adu.copy_within(points.., 0);
        lead.adu[end..].fill(MISSING);
    }
    Ok(())
}
