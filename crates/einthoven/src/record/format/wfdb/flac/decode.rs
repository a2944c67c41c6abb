//! FLAC stream to points.

use super::bits::BitReader;
use super::{crc8, crc16, digest};

/// A decoded stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Points by channel.
    pub channels: Vec<Vec<i32>>,
    /// Whether decoding stopped at the limit with frames left.
    pub has_more: bool,
}

/// Where and why a stream is broken (rule D09).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Byte offset in the stream.
    pub byte: usize,
    /// Part of the stream: `STREAMINFO`, `frame 3`.
    pub part: String,
    /// What was found there.
    pub found: String,
    /// What the format calls for.
    pub expected: String,
}

/// What STREAMINFO says.
struct StreamInfo {
    n_channels: usize,
    bits: u32,
    max_block: usize,
    total: u64,
    md5: [u8; 16],
}

/// Decodes a stream of `n_channels` channels of `bits` bits, at most `limit` points per channel.
pub(crate) fn decode(bytes: &[u8], n_channels: usize, bits: u32, limit: u64) -> Result<Stream, Broken> {
    let (info, mut at) = metadata(bytes)?;
    let fault = |part: &str, found: String, expected: String| Broken { byte: at, part: part.into(), found, expected };
    if info.n_channels != n_channels {
        let expected = format!("{n_channels} as the header has signals in this file");
        return Err(fault("STREAMINFO", format!("{} channels", info.n_channels), expected));
    }
    if info.bits != bits {
        let expected = format!("{bits} as the storage format says");
        return Err(fault("STREAMINFO", format!("{} bits per sample", info.bits), expected));
    }
    let mut channels: Vec<Vec<i32>> = vec![Vec::new(); n_channels];
    let mut index = 0usize;
    while at < bytes.len() && (channels[0].len() as u64) < limit {
        at += frame(&bytes[at..], &info, index, limit, &mut channels).map_err(|(offset, found, expected)| Broken {
            byte: at + offset,
            part: format!("frame {index}"),
            found,
            expected,
        })?;
        index += 1;
    }
    let has_more = at < bytes.len();
    let decoded = channels[0].len() as u64;
    if !has_more && decoded < limit && info.total != 0 && decoded != info.total {
        let expected = format!("{} as STREAMINFO states", info.total);
        let part = format!("frame {index}");
        return Err(Broken { byte: at, part, found: format!("end of file after {decoded} samples"), expected });
    }
    let is_whole = if info.total == 0 { !has_more } else { decoded == info.total };
    if is_whole && info.md5 != [0; 16] && digest(&channels, bits) != info.md5 {
        return Err(Broken {
            byte: 26,
            part: "MD5 of the samples".into(),
            found: "another sum over all frames".into(),
            expected: "the sum that STREAMINFO states".into(),
        });
    }
    Ok(Stream { channels, has_more })
}

/// The metadata blocks; returns STREAMINFO and where the frames begin.
fn metadata(bytes: &[u8]) -> Result<(StreamInfo, usize), Broken> {
    let fault = |byte: usize, found: &str, expected: &str| Broken {
        byte,
        part: "metadata".into(),
        found: found.into(),
        expected: expected.into(),
    };
    if !bytes.starts_with(b"fLaC") {
        return Err(fault(0, "another signature", "\"fLaC\""));
    }
    let (mut at, mut info) = (4usize, None);
    loop {
        let Some(&[kind, a, b, c]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Err(fault(at, "end of file", "a metadata block"));
        };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(body) = bytes.get(at + 4..).and_then(|rest| rest.get(..len)) else {
            return Err(fault(at, &format!("a block of {len} bytes"), "a block that fits into the file"));
        };
        if info.is_none() {
            if kind & 0x7f != 0 {
                return Err(fault(at, "another block", "STREAMINFO first"));
            }
            info =
                Some(stream_info(body).ok_or_else(|| fault(at, "a short or empty block", "STREAMINFO of 34 bytes"))?);
        }
        at += 4 + len;
        if kind & 0x80 != 0 {
            break;
        }
    }
    // The first pass of the loop either set it or returned.
    info.map(|info| (info, at)).ok_or_else(|| fault(at, "no block", "STREAMINFO"))
}

/// The STREAMINFO block.
fn stream_info(body: &[u8]) -> Option<StreamInfo> {
    let mut bits = BitReader::new(body);
    bits.unsigned(16)?;
    let max_block = bits.unsigned(16)? as usize;
    bits.unsigned(24)?;
    bits.unsigned(24)?;
    bits.unsigned(20)?;
    let n_channels = bits.unsigned(3)? as usize + 1;
    let width = bits.unsigned(5)? + 1;
    let total = u64::from(bits.unsigned(4)?) << 32 | u64::from(bits.unsigned(32)?);
    let md5 = body.get(18..34)?.try_into().ok()?;
    Some(StreamInfo { n_channels, bits: width, max_block, total, md5 })
}

/// Byte offset in the frame, found, expected.
type FrameFault = (usize, String, String);

/// Decodes one frame onto the channels and returns its length in bytes.
fn frame(
    bytes: &[u8],
    info: &StreamInfo,
    index: usize,
    limit: u64,
    channels: &mut [Vec<i32>],
) -> Result<usize, FrameFault> {
    let end = |reader: &BitReader| (reader.byte_position(), "end of file".to_string(), "a whole frame".to_string());
    let fault =
        |reader: &BitReader, found: String, expected: &str| (reader.byte_position(), found, expected.to_string());
    let mut reader = BitReader::new(bytes);
    let (block, assignment) = frame_header(&mut reader, bytes, info, index)?;
    let before = channels[0].len();
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(before);
    let mut decoded: Vec<Vec<i64>> = Vec::with_capacity(channels.len());
    for channel in 0..channels.len() {
        // The difference of two channels needs one more bit.
        let is_side = matches!((assignment, channel), (8, 1) | (9, 0) | (10, 1));
        let width = info.bits + u32::from(is_side);
        match subframe(&mut reader, block, width) {
            Ok(points) => decoded.push(points),
            Err(None) => return Err(end(&reader)),
            Err(Some(found)) => return Err(fault(&reader, found, "a valid subframe")),
        }
    }
    if let [first, second] = &mut decoded[..] {
        decorrelate(assignment, first, second);
    }
    reader.align();
    let body = reader.byte_position();
    let stated = reader.unsigned(16).ok_or_else(|| end(&reader))?;
    let computed = crc16(&bytes[..body]);
    if stated != u32::from(computed) {
        return Err((body, format!("CRC-16 0x{computed:04x}"), format!("0x{stated:04x} as the frame states")));
    }
    let half = 1i64 << (info.bits - 1);
    for (channel, points) in channels.iter_mut().zip(&decoded) {
        if let Some(outside) = points.iter().find(|point| !(-half..half).contains(*point)) {
            return Err(fault(&reader, format!("value {outside}"), "values within the bits of the stream"));
        }
        channel.extend(points.iter().take(room).map(|&point| point as i32));
    }
    Ok(body + 2)
}

/// The header of a frame: block size and channel assignment.
fn frame_header(
    reader: &mut BitReader,
    bytes: &[u8],
    info: &StreamInfo,
    index: usize,
) -> Result<(usize, u32), FrameFault> {
    let mut read =
        |n: u32| reader.unsigned(n).ok_or_else(|| (0, "end of file".to_string(), "a frame header".to_string()));
    let fault = |found: String, expected: &str| (0, found, expected.to_string());
    let sync = read(15)?;
    if sync != 0x7ffc {
        return Err(fault(format!("0x{sync:04x}"), "the sync code of a frame"));
    }
    let variable = read(1)? == 1;
    let (block_code, rate_code, assignment, width_code) = (read(4)?, read(4)?, read(4)?, read(3)?);
    if read(1)? != 0 || rate_code == 15 || assignment > 10 || matches!(width_code, 3) {
        return Err(fault("a reserved code".into(), "a valid frame header"));
    }
    let lead = read(8)?;
    let extra = match lead {
        0..=0x7f => 0,
        0xc0..=0xfe => lead.leading_ones_in_byte() - 1,
        _ => return Err(fault("a broken frame number".into(), "a coded number")),
    };
    let mut number = u64::from(if extra == 0 { lead } else { lead & (0x3f >> extra) });
    for _ in 0..extra {
        let byte = read(8)?;
        if byte & 0xc0 != 0x80 {
            return Err(fault("a broken frame number".into(), "a coded number"));
        }
        number = number << 6 | u64::from(byte & 0x3f);
    }
    if !variable && number != index as u64 {
        return Err(fault(format!("frame number {number}"), &format!("{index}")));
    }
    let block = match block_code {
        1 => 192,
        2..=5 => 576 << (block_code - 2),
        6 => read(8)? + 1,
        7 => read(16)? + 1,
        8..=15 => 256 << (block_code - 8),
        _ => return Err(fault("a reserved block size".into(), "a block size")),
    } as usize;
    match rate_code {
        12 => read(8)?,
        13 | 14 => read(16)?,
        _ => 0,
    };
    let width = [info.bits, 8, 12, 0, 16, 20, 24, 32][width_code as usize];
    if width != info.bits {
        return Err(fault(format!("{width} bits per sample"), &format!("{} as STREAMINFO states", info.bits)));
    }
    let n_channels = if assignment < 8 { assignment as usize + 1 } else { 2 };
    if n_channels != info.n_channels {
        return Err(fault(format!("{n_channels} channels"), &format!("{} as STREAMINFO states", info.n_channels)));
    }
    let header_len = reader.byte_position();
    let stated = reader.unsigned(8).ok_or_else(|| (0, "end of file".to_string(), "a frame header".to_string()))?;
    let computed = crc8(&bytes[..header_len]);
    if stated != u32::from(computed) {
        return Err((
            header_len,
            format!("header CRC-8 0x{computed:02x}"),
            format!("0x{stated:02x} as the frame states"),
        ));
    }
    if block > info.max_block {
        return Err((
            0,
            format!("a block of {block} samples"),
            format!("at most {} as STREAMINFO states", info.max_block),
        ));
    }
    Ok((block, assignment))
}

/// Counts the leading ones of the low byte.
trait LeadingOnesInByte {
    fn leading_ones_in_byte(self) -> u32;
}

impl LeadingOnesInByte for u32 {
    fn leading_ones_in_byte(self) -> u32 {
        (self as u8).leading_ones()
    }
}

/// Undoes left/side (8), side/right (9) and mid/side (10).
fn decorrelate(assignment: u32, first: &mut [i64], second: &mut [i64]) {
    for (a, b) in first.iter_mut().zip(second) {
        match assignment {
            8 => *b = *a - *b,
            9 => *a += *b,
            10 => {
                let (mid, side) = ((*a * 2) | (*b & 1), *b);
                (*a, *b) = ((mid + side) >> 1, (mid - side) >> 1);
            }
            _ => return,
        }
    }
}

/// One channel of a frame. The error is `None` at the end of the file, else what was found.
fn subframe(reader: &mut BitReader, block: usize, width: u32) -> Result<Vec<i64>, Option<String>> {
    let head = reader.unsigned(8).ok_or(None)?;
    let (kind, has_wasted) = (head >> 1 & 0x3f, head & 1 == 1);
    if head & 0x80 != 0 {
        return Err(Some("a set padding bit".into()));
    }
    let wasted = if has_wasted { reader.unary().ok_or(None)?.saturating_add(1) } else { 0 };
    if wasted >= width {
        return Err(Some(format!("{wasted} wasted bits of {width}")));
    }
    let width = width - wasted;
    let mut points: Vec<i64> = Vec::new();
    match kind {
        0 => points.resize(block, i64::from(reader.signed(width).ok_or(None)?)),
        1 => warm_up(reader, block, width, &mut points)?,
        8..=12 => {
            const FIXED: [&[i64]; 5] = [&[], &[1], &[2, -1], &[3, -3, 1], &[4, -6, 4, -1]];
            let coefficients = FIXED[kind as usize - 8];
            warm_up(reader, coefficients.len(), width, &mut points)?;
            residual(reader, block, coefficients, 0, &mut points)?;
        }
        32..=63 => {
            let order = kind as usize - 31;
            warm_up(reader, order, width, &mut points)?;
            let precision = reader.unsigned(4).ok_or(None)? + 1;
            let shift = reader.signed(5).ok_or(None)?;
            if precision == 16 || shift < 0 {
                return Err(Some(format!("predictor precision {precision}, shift {shift}")));
            }
            let coefficients: Option<Vec<i64>> = (0..order).map(|_| reader.signed(precision).map(i64::from)).collect();
            residual(reader, block, &coefficients.ok_or(None)?, shift as u32, &mut points)?;
        }
        _ => return Err(Some(format!("reserved subframe type {kind}"))),
    }
    if points.len() != block {
        return Err(Some(format!("a predictor of more points than the block of {block}")));
    }
    if wasted > 0 {
        points.iter_mut().for_each(|point| *point <<= wasted);
    }
    Ok(points)
}

/// Points that are stored as they are.
fn warm_up(reader: &mut BitReader, n: usize, width: u32, points: &mut Vec<i64>) -> Result<(), Option<String>> {
    for _ in 0..n {
        points.push(i64::from(reader.signed(width).ok_or(None)?));
    }
    Ok(())
}

/// Rice-coded residuals, added to the prediction from the points before.
fn residual(
    reader: &mut BitReader,
    block: usize,
    coefficients: &[i64],
    shift: u32,
    points: &mut Vec<i64>,
) -> Result<(), Option<String>> {
    let order = coefficients.len();
    let method = reader.unsigned(2).ok_or(None)?;
    if method > 1 {
        return Err(Some(format!("reserved residual coding {method}")));
    }
    let parameter_bits = 4 + method;
    let escape = (1 << parameter_bits) - 1;
    let partition_order = reader.unsigned(4).ok_or(None)?;
    let partition = block >> partition_order;
    if partition << partition_order != block || partition < order {
        return Err(Some(format!("{} partitions of a block of {block}", 1 << partition_order)));
    }
    for index in 0..1usize << partition_order {
        let parameter = reader.unsigned(parameter_bits).ok_or(None)?;
        let raw_bits = if parameter == escape { Some(reader.unsigned(5).ok_or(None)?) } else { None };
        for _ in 0..partition - if index == 0 { order } else { 0 } {
            let delta = match raw_bits {
                Some(bits) => i64::from(reader.signed(bits).ok_or(None)?),
                None => {
                    let high = u64::from(reader.unary().ok_or(None)?);
                    let folded = high << parameter | u64::from(reader.unsigned(parameter).ok_or(None)?);
                    (folded >> 1) as i64 ^ -((folded & 1) as i64)
                }
            };
            let recent = points.iter().rev();
            let sum: i64 =
                coefficients.iter().zip(recent).map(|(c, point)| c.wrapping_mul(*point)).fold(0, i64::wrapping_add);
            let point = (sum >> shift).wrapping_add(delta);
            if i32::try_from(point).is_err() {
                return Err(Some(format!("a prediction of {point}")));
            }
            points.push(point);
        }
    }
    Ok(())
}
