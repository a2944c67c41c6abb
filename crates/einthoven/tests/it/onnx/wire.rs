//! A reader of the fields of an ONNX file that the tests look at, written apart from the writer.

use std::collections::BTreeSet;

/// What a file says.
#[derive(Default)]
pub struct Model {
    pub ir_version: u64,
    pub opset: u64,
    pub inputs: Vec<String>,
    outputs: Vec<String>,
    /// Inputs and outputs of each operator.
    nodes: Vec<(Vec<String>, Vec<String>)>,
    /// Name, number of values by shape, bytes for each value, bytes.
    arrays: Vec<(String, u64, usize, usize)>,
}

/// A field's number and its value.
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
    Float,
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        out.push(match key & 7 {
            0 => Field::Number(key >> 3, varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(key >> 3, value)
            }
            5 => {
                bytes = &bytes[4..];
                Field::Float
            }
            other => panic!("wire type {other}"),
        });
    }
    out
}

/// Texts of a field.
fn texts(bytes: &[u8], wanted: u64) -> Vec<String> {
    let text = |field| match field {
        Field::Bytes(number, value) if number == wanted => Some(String::from_utf8(value.to_vec()).unwrap()),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(text).collect()
}

pub fn model(bytes: &[u8]) -> Model {
    let mut model = Model::default();
    for field in fields(bytes) {
        match field {
            Field::Number(1, version) => model.ir_version = version,
            Field::Bytes(8, opset) => {
                for field in fields(opset) {
                    if let Field::Number(2, version) = field {
                        model.opset = version;
                    }
                }
            }
            Field::Bytes(7, graph) => {
                for field in fields(graph) {
                    match field {
                        Field::Bytes(1, node) => model.nodes.push((texts(node, 1), texts(node, 2))),
                        Field::Bytes(5, array) => model.arrays.push(read_array(array)),
                        Field::Bytes(11, port) => model.inputs.extend(texts(port, 1)),
                        Field::Bytes(12, port) => model.outputs.extend(texts(port, 1)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    model
}

fn read_array(bytes: &[u8]) -> (String, u64, usize, usize) {
    let (mut n, mut width, mut size) = (1, 0, 0);
    for field in fields(bytes) {
        match field {
            Field::Number(1, extent) => n *= extent,
            Field::Number(2, kind) => width = if kind == 1 { 4 } else { 8 },
            Field::Bytes(9, raw) => size = raw.len(),
            _ => {}
        }
    }
    (texts(bytes, 8).remove(0), n, width, size)
}

impl Model {
    /// The first thing that is wrong with the graph.
    pub fn check(&self) -> Result<(), String> {
        let mut known: BTreeSet<&str> = self.inputs.iter().map(String::as_str).collect();
        for (name, n, width, size) in &self.arrays {
            if *size as u64 != n * *width as u64 {
                return Err(format!("{name} has {size} bytes for {n} values"));
            }
            if !known.insert(name) {
                return Err(format!("{name} is there twice"));
            }
        }
        let mut used = BTreeSet::new();
        for (inputs, outputs) in &self.nodes {
            for name in inputs {
                if !known.contains(name.as_str()) {
                    return Err(format!("{name} is used before it is made"));
                }
                used.insert(name.as_str());
            }
            for name in outputs {
                if !known.insert(name) {
                    return Err(format!("{name} is made twice"));
                }
            }
        }
        let idle =
            self.arrays.iter().map(|(name, ..)| name).chain(&self.inputs).find(|name| !used.contains(name.as_str()));
        if let Some(name) = idle {
            return Err(format!("{name} is not used"));
        }
        match self.outputs.iter().find(|name| !known.contains(name.as_str())) {
            Some(name) => Err(format!("{name} is never made")),
            None => Ok(()),
        }
    }
}
