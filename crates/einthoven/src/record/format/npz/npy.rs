//! One NPY array: header and values, as numpy writes them.
//!
//! Reads versions 1 to 3, either byte order, and C or Fortran order; refuses objects. Writes version 1,
//! little endian, C order.
//!
//! # Reference
//! NEP 1, A simple file format for numpy arrays, and its later versions.

/// Values of an array, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats, `f4`.
    F32(Vec<f32>),
    /// 64-bit floats, `f8`.
    F64(Vec<f64>),
    /// Written as `i4`; what is read as `i4` becomes the next.
    I32(Vec<i32>),
    /// Signed integers, `i1` to `i8`; written as `i8`.
    I64(Vec<i64>),
    /// Bytes and booleans, `u1` and `b1`.
    U8(Vec<u8>),
    /// Fixed-width Unicode, `U`.
    Text(Vec<String>),
}

/// An array with its shape, in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Lengths of the axes; empty for a single value.
    pub shape: Vec<usize>,
    /// Values, contiguous.
    pub values: Values,
}

/// What is wrong with the bytes of an array, and where: the caller knows the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Offset in the array's bytes.
    pub at: usize,
    /// Field of the header, or `values`.
    pub field: &'static str,
    /// What was found.
    pub found: String,
    /// What is expected.
    pub expected: String,
}

const MAGIC: &[u8] = b"\x93NUMPY";
/// numpy pads headers to this, so that values are aligned.
const ALIGNMENT: usize = 64;

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::U8(values) => values.len(),
            Values::Text(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Kind in words, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Values::F32(_) => "f4",
            Values::F64(_) => "f8",
            Values::I32(_) | Values::I64(_) => "integers",
            Values::U8(_) => "u1",
            Values::Text(_) => "text",
        }
    }
}

/// The header of an array of these values.
pub fn header(shape: &[usize], values: &Values) -> Vec<u8> {
    let descr = match values {
        Values::F32(_) => "<f4".to_string(),
        Values::F64(_) => "<f8".to_string(),
        Values::I32(_) => "<i4".to_string(),
        Values::I64(_) => "<i8".to_string(),
        Values::U8(_) => "|u1".to_string(),
        Values::Text(values) => format!("<U{}", text_width(values)),
    };
    let axes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let shape = if axes.len() == 1 { format!("({},)", axes[0]) } else { format!("({})", axes.join(", ")) };
    let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // A header of version 1 has a length of two bytes; ours is far below that.
    let prefix = MAGIC.len() + 4;
    let length = (prefix + dictionary.len() + 1).next_multiple_of(ALIGNMENT) - prefix;
    let mut out = MAGIC.to_vec();
    out.extend([1, 0]);
    out.extend((length as u16).to_le_bytes());
    out.extend(dictionary.as_bytes());
    out.resize(prefix + length - 1, b' ');
    out.push(b'\n');
    out
}

/// Appends the bytes of the values in `range`.
pub fn encode(values: &Values, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    match values {
        Values::F32(values) => out.extend(values[range].iter().flat_map(|x| x.to_le_bytes())),
        Values::F64(values) => out.extend(values[range].iter().flat_map(|x| x.to_le_bytes())),
        Values::I32(values) => out.extend(values[range].iter().flat_map(|x| x.to_le_bytes())),
        Values::I64(values) => out.extend(values[range].iter().flat_map(|x| x.to_le_bytes())),
        Values::U8(values) => out.extend_from_slice(&values[range]),
        Values::Text(values) => {
            let width = text_width(values);
            for text in &values[range] {
                let start = out.len();
                out.extend(text.chars().flat_map(|c| u32::from(c).to_le_bytes()));
                out.resize(start + 4 * width, 0);
            }
        }
    }
}

/// Reads an array.
///
/// # Errors
/// A [`Fault`] that says what differs from the format.
pub fn decode(bytes: &[u8]) -> Result<Array, Fault> {
    let fault = |at: usize, field, found: String, expected: &str| Fault { at, field, found, expected: expected.into() };
    if !bytes.starts_with(MAGIC) {
        return Err(fault(0, "magic", format!("{:?}", bytes.get(..6).unwrap_or(bytes)), "\\x93NUMPY"));
    }
    let length_bytes = match bytes.get(6) {
        Some(1) => 2,
        Some(2 | 3) => 4,
        other => return Err(fault(6, "version", format!("{other:?}"), "1, 2 or 3")),
    };
    let start = 8 + length_bytes;
    let length = match (length_bytes, bytes.get(8..start)) {
        (_, None) => return Err(fault(8, "header length", "end of the array".into(), "a length")),
        (2, Some(field)) => usize::from(u16::from_le_bytes([field[0], field[1]])),
        (_, Some(field)) => u32::from_le_bytes([field[0], field[1], field[2], field[3]]) as usize,
    };
    let Some(text) = start.checked_add(length).and_then(|end| bytes.get(start..end)) else {
        return Err(fault(8, "header length", length.to_string(), &format!("at most {}", bytes.len() - start)));
    };
    let text =
        std::str::from_utf8(text).map_err(|_| fault(start, "header", "bytes that are not text".into(), "text"))?;
    let header = parse_header(text).map_err(|(field, found, expected)| fault(start, field, found, expected))?;

    let data = &bytes[start + length..];
    let n = header.shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
    let size = n.and_then(|n| n.checked_mul(header.item_size));
    let (Some(n), Some(size)) = (n, size) else {
        return Err(fault(start, "shape", format!("{:?}", header.shape), "a product that fits the address space"));
    };
    if data.len() != size {
        return Err(fault(
            start,
            "shape",
            format!("{:?}, which takes {size} bytes", header.shape),
            &format!("the {} bytes that follow the header", data.len()),
        ));
    }
    let values = read_values(&header, data, n)
        .map_err(|(at, found, expected)| fault(start + length + at, "values", found, expected))?;
    let values = if header.is_fortran { into_c_order(values, &header.shape) } else { values };
    Ok(Array { shape: header.shape, values })
}

/// Widest text in characters; numpy has no text of width 0.
fn text_width(values: &[String]) -> usize {
    values.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1)
}

struct Header {
    kind: u8,
    item_size: usize,
    is_big_endian: bool,
    is_fortran: bool,
    shape: Vec<usize>,
}

type HeaderFault = (&'static str, String, &'static str);

/// Reads the header's Python dictionary, of which only the form that numpy writes is accepted.
fn parse_header(text: &str) -> Result<Header, HeaderFault> {
    let value = |key: &'static str| -> Result<&str, HeaderFault> {
        let quoted = format!("'{key}':");
        match text.find(&quoted) {
            Some(at) => Ok(text[at + quoted.len()..].trim_start()),
            None => Err((key, "no such key in the header".into(), "descr, fortran_order and shape")),
        }
    };
    let descr = value("descr")?;
    const KINDS: &str = "f4, f8, i1 to i8, u1, b1 or U";
    let Some(descr) = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(descr, _)| descr) else {
        return Err(("descr", first_line(descr), KINDS));
    };
    if descr.contains('O') {
        return Err((
            "descr",
            format!("'{descr}', an object array that only Python can read"),
            "fixed-width values; save again without dtype=object",
        ));
    }
    let mut chars = descr.chars();
    let is_big_endian = match chars.next() {
        Some('<' | '|' | '=') => false,
        Some('>') => true,
        _ => return Err(("descr", format!("'{descr}'"), KINDS)),
    };
    let kind = chars.next().filter(char::is_ascii).map_or(0, |c| c as u8);
    let width = chars.as_str().parse::<usize>().ok();
    let item_size = match (kind, width) {
        (b'f', Some(size @ (4 | 8))) | (b'i', Some(size @ (1 | 2 | 4 | 8))) | (b'u' | b'b', Some(size @ 1)) => size,
        (b'U', Some(width)) if width <= usize::MAX / 8 => 4 * width,
        _ => return Err(("descr", format!("'{descr}'"), KINDS)),
    };
    let order = value("fortran_order")?;
    let is_fortran = match (order.starts_with("True"), order.starts_with("False")) {
        (true, _) => true,
        (_, true) => false,
        _ => return Err(("fortran_order", first_line(order), "True or False")),
    };
    let shape = value("shape")?;
    let Some((axes, _)) = shape.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
        return Err(("shape", first_line(shape), "a tuple"));
    };
    let shape: Option<Vec<usize>> =
        axes.split(',').map(str::trim).filter(|axis| !axis.is_empty()).map(|axis| axis.parse().ok()).collect();
    let shape = shape.ok_or_else(|| ("shape", format!("({axes})"), "non-negative integers"))?;
    if shape.len() > 32 {
        return Err(("shape", format!("{} axes", shape.len()), "at most 32"));
    }
    Ok(Header { kind, item_size, is_big_endian, is_fortran, shape })
}

fn first_line(text: &str) -> String {
    text.chars().take(40).take_while(|c| *c != '\n').collect()
}

fn read_values(header: &Header, data: &[u8], n: usize) -> Result<Values, (usize, String, &'static str)> {
    /// Converts fixed-size items, whose length `chunks_exact` guarantees.
    fn items<const N: usize, T>(data: &[u8], is_big_endian: bool, from: impl Fn([u8; N]) -> T) -> Vec<T> {
        let convert = |chunk: &[u8]| {
            let mut bytes = [0u8; N];
            bytes.copy_from_slice(chunk);
            if is_big_endian {
                bytes.reverse();
            }
            from(bytes)
        };
        data.chunks_exact(N).map(convert).collect()
    }
    let big = header.is_big_endian;
    Ok(match (header.kind, header.item_size) {
        (b'f', 4) => Values::F32(items(data, big, f32::from_le_bytes)),
        (b'f', _) => Values::F64(items(data, big, f64::from_le_bytes)),
        (b'i', 1) => Values::I64(items(data, big, |b| i64::from(i8::from_le_bytes(b)))),
        (b'i', 2) => Values::I64(items(data, big, |b| i64::from(i16::from_le_bytes(b)))),
        (b'i', 4) => Values::I64(items(data, big, |b| i64::from(i32::from_le_bytes(b)))),
        (b'i', _) => Values::I64(items(data, big, i64::from_le_bytes)),
        (b'U', 0) => Values::Text(vec![String::new(); n]),
        (b'U', width) => {
            let mut texts = Vec::with_capacity(n);
            for (k, item) in data.chunks_exact(width).enumerate() {
                let codes = items(item, big, u32::from_le_bytes);
                let end = codes.iter().rposition(|&code| code != 0).map_or(0, |last| last + 1);
                let text: Option<String> = codes[..end].iter().map(|&code| char::from_u32(code)).collect();
                texts.push(text.ok_or((k * width, "a number that is no character".to_string(), "Unicode"))?);
            }
            Values::Text(texts)
        }
        _ => Values::U8(data.to_vec()),
    })
}

/// Reorders values whose first axis runs fastest into C order.
fn into_c_order(values: Values, shape: &[usize]) -> Values {
    fn reorder<T: Clone>(values: &[T], shape: &[usize]) -> Vec<T> {
        let mut strides = Vec::with_capacity(shape.len());
        let mut stride = 1;
        for axis in shape {
            strides.push(stride);
            stride *= axis;
        }
        let mut position = vec![0usize; shape.len()];
        let mut out = Vec::with_capacity(values.len());
        for _ in 0..values.len() {
            let at: usize = position.iter().zip(&strides).map(|(p, s)| p * s).sum();
            out.push(values[at].clone());
            for axis in (0..shape.len()).rev() {
                position[axis] += 1;
                if position[axis] < shape[axis] {
                    break;
                }
                position[axis] = 0;
            }
        }
        out
    }
    match values {
        Values::F32(values) => Values::F32(reorder(&values, shape)),
        Values::F64(values) => Values::F64(reorder(&values, shape)),
        Values::I32(values) => Values::I32(reorder(&values, shape)),
        Values::I64(values) => Values::I64(reorder(&values, shape)),
        Values::U8(values) => Values::U8(reorder(&values, shape)),
        Values::Text(values) => Values::Text(reorder(&values, shape)),
    }
}
