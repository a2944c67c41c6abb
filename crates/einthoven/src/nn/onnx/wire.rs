//! The few messages of the ONNX format that an export needs, in the wire format of protocol buffers.
//!
//! A field is a key (number and kind) and a value; numbers are varints, everything else has its length before it. Writing
//! these takes less than a code generator and its build step; field numbers are those of `onnx.proto` of ONNX 1.12.

/// Version of the intermediate representation, which ONNX 1.12 reads.
const IR_VERSION: u64 = 8;
/// Version of the operators.
pub const OPSET: u64 = 17;
/// Element types.
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// A message under construction.
#[derive(Debug, Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u64, value: &Message) {
        self.bytes(field, &value.0);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// Value of a node's attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// One whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// One number.
    Float(f32),
    /// A word.
    Text(&'static str),
}

/// An operator applied to named values.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Operator.
    pub op: &'static str,
    /// Names of what goes in.
    pub inputs: Vec<String>,
    /// Names of what comes out.
    pub outputs: Vec<String>,
    /// Settings by name.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// A stored array.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Numbers.
    Floats(Vec<usize>, Vec<f32>),
    /// Whole numbers on one axis.
    Ints(Vec<i64>),
}

/// Name and axes of an input or output; the first axis, the batch, is free.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Extents of the axes after the batch.
    pub item: Vec<usize>,
    /// Whether its values are whole numbers.
    pub is_whole: bool,
}

/// Everything of a model file.
pub struct Model<'a> {
    /// Name of the graph.
    pub name: &'a str,
    /// What goes in.
    pub inputs: &'a [Port],
    /// What comes out.
    pub outputs: &'a [Port],
    /// Operators, each after those whose outputs it takes.
    pub nodes: &'a [Node],
    /// Stored arrays by name.
    pub arrays: &'a [(String, Array)],
    /// Further facts by name.
    pub metadata: &'a [(&'a str, String)],
}

impl Model<'_> {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut graph = Message::default();
        self.nodes.iter().for_each(|node| graph.message(1, &node_message(node)));
        graph.text(2, self.name);
        self.arrays.iter().for_each(|(name, array)| graph.message(5, &array_message(name, array)));
        self.inputs.iter().for_each(|port| graph.message(11, &port_message(port)));
        self.outputs.iter().for_each(|port| graph.message(12, &port_message(port)));

        let mut opset = Message::default();
        opset.text(1, "");
        opset.number(2, OPSET);
        let mut model = Message::default();
        model.number(1, IR_VERSION);
        model.text(2, "einthoven");
        model.text(3, env!("CARGO_PKG_VERSION"));
        model.message(7, &graph);
        model.message(8, &opset);
        for (key, value) in self.metadata {
            let mut entry = Message::default();
            entry.text(1, key);
            entry.text(2, value);
            model.message(14, &entry);
        }
        model.0
    }
}

fn node_message(node: &Node) -> Message {
    let mut message = Message::default();
    node.inputs.iter().for_each(|name| message.text(1, name));
    node.outputs.iter().for_each(|name| message.text(2, name));
    message.text(4, node.op);
    for (name, value) in &node.attributes {
        let mut attribute = Message::default();
        attribute.text(1, name);
        let kind = match value {
            Attribute::Float(value) => {
                attribute.float(2, *value);
                1
            }
            Attribute::Int(value) => {
                attribute.number(3, *value as u64);
                2
            }
            Attribute::Text(value) => {
                attribute.text(4, value);
                3
            }
            Attribute::Ints(values) => {
                values.iter().for_each(|value| attribute.number(8, *value as u64));
                7
            }
        };
        attribute.number(20, kind);
        message.message(5, &attribute);
    }
    message
}

fn array_message(name: &str, array: &Array) -> Message {
    let mut message = Message::default();
    let (shape, kind, bytes): (Vec<usize>, u64, Vec<u8>) = match array {
        Array::Floats(shape, values) => {
            (shape.clone(), FLOAT, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Array::Ints(values) => {
            (vec![values.len()], INT64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    };
    shape.iter().for_each(|&extent| message.number(1, extent as u64));
    message.number(2, kind);
    message.text(8, name);
    message.bytes(9, &bytes);
    message
}

fn port_message(port: &Port) -> Message {
    let mut shape = Message::default();
    let mut batch = Message::default();
    batch.text(2, "batch");
    shape.message(1, &batch);
    for &extent in &port.item {
        let mut axis = Message::default();
        axis.number(1, extent as u64);
        shape.message(1, &axis);
    }
    let mut tensor = Message::default();
    tensor.number(1, if port.is_whole { INT64 } else { FLOAT });
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut message = Message::default();
    message.text(1, &port.name);
    message.message(2, &kind);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding's own description: 150 in field 1, "testing" in field 2.
    #[test]
    fn fields_are_as_the_wire_format_says() {
        let mut message = Message::default();
        message.number(1, 150);
        message.text(2, "testing");
        let expected = [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(message.0, expected);
        let mut negative = Message::default();
        negative.number(3, -1i64 as u64);
        assert_eq!(negative.0, [vec![0x18], vec![0xff; 9], vec![0x01]].concat());
    }
}
