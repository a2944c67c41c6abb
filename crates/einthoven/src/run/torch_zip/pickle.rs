//! A stack machine for the few operations that the pickle of a checkpoint needs.
//!
//! It makes what [`object`](super::object) describes, and knows no other names. Every operation and
//! every length is checked, so that no bytes can make it panic.
//!
//! # Reference
//! Python's `pickletools`, protocols 2 to 5.

use std::collections::BTreeMap;

use super::object::{Global, Node, Objects, Value};
use super::tree::Tree;
use super::{Fault, shown};

/// The field that faults of a program are about.
const FIELD: &str = "data.pkl";

/// Runs a program to its end.
///
/// # Errors
/// Rule `M01` for operations, names and calls beyond tensors and plain values; `M02` for a program that
/// breaks off, misuses its stack or takes more operations than given.
pub(super) fn run(program: &[u8], max_operations: u64) -> Result<Tree<'_>, Fault> {
    let mut machine = Machine {
        program,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        objects: Objects::default(),
    };
    for _ in 0..max_operations {
        let start = machine.at;
        let step = machine.step().map_err(|fault| {
            let found = format!("{} at byte {start}", fault.found);
            Fault { found, ..fault }
        })?;
        if let Some(root) = step {
            return Ok(Tree { objects: machine.objects, root });
        }
    }
    Err(broken("more operations", format!("at most {max_operations} in a file of this size")))
}

struct Machine<'a> {
    program: &'a [u8],
    /// Place of the next byte.
    at: usize,
    stack: Vec<Value<'a>>,
    /// Lengths that the stack had at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'a>>,
    objects: Objects<'a>,
}

impl<'a> Machine<'a> {
    /// One operation; the root when it was the last.
    fn step(&mut self) -> Result<Option<Value<'a>>, Fault> {
        let is_first = self.at == 0;
        let [operation] = self.array()?;
        if is_first && operation != 0x80 {
            return Err(broken("no protocol", "a pickle of protocol 2 to 5"));
        }
        let value = match operation {
            // NONE, NEWTRUE, NEWFALSE, BININT, BININT1, BININT2, LONG1, BINFLOAT
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Value::Int(u8::from_le_bytes(self.array()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            0x8a => self.long()?,
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
            0x8c => {
                let length = u8::from_le_bytes(self.array()?);
                Value::Text(self.text(length.into())?)
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                Value::Text(self.text(length.into())?)
            }
            0x8d => {
                let length = u64::from_le_bytes(self.array()?);
                Value::Text(self.text(length)?)
            }
            // EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, TUPLE1 to TUPLE3, TUPLE
            b')' => self.objects.add(Node::Tuple(Vec::new())),
            b']' => self.objects.add(Node::List(Vec::new())),
            b'}' => self.objects.add(Node::Dict(Vec::new())),
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(operation - 0x84))?;
                self.objects.add(Node::Tuple(items))
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.objects.add(Node::Tuple(items))
            }
            // BINGET, LONG_BINGET
            b'h' => {
                let key = u8::from_le_bytes(self.array()?);
                self.recall(key.into())?
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?
            }
            // GLOBAL, STACK_GLOBAL, BINPERSID, REDUCE, NEWOBJ
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                global(module, name)?
            }
            0x93 => match self.pop_many(2)?[..] {
                [Value::Text(module), Value::Text(name)] => global(module, name)?,
                _ => return Err(broken("a global that is no text", "module and name")),
            },
            b'Q' => {
                let identity = self.pop()?;
                self.objects.storage(identity)?
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.objects.call(callee, arguments)?
            }
            // STOP
            b'.' => return self.stop().map(Some),
            other => {
                self.act(other)?;
                return Ok(None);
            }
        };
        self.stack.push(value);
        Ok(None)
    }

    /// The operations that push nothing.
    fn act(&mut self, operation: u8) -> Result<(), Fault> {
        match operation {
            // PROTO, FRAME, MARK
            0x80 => match self.array()? {
                [2..=5] => {}
                [other] => return Err(refused(format!("protocol {other}"), "2 to 5")),
            },
            0x95 => {
                let length = u64::from_le_bytes(self.array()?);
                let left = self.program.len() - self.at;
                if length > left as u64 {
                    return Err(broken(format!("a frame of {length} bytes"), format!("at most {left}")));
                }
            }
            b'(' => self.marks.push(self.stack.len()),
            // BINPUT, LONG_BINPUT, MEMOIZE
            b'q' => {
                let key = u8::from_le_bytes(self.array()?);
                self.remember(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            // APPEND, APPENDS, SETITEM, SETITEMS
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            // BUILD: an ordered dictionary carries attributes, such as the versions of modules.
            b'b' => {
                self.pop()?;
                if !matches!(self.top_node()?, Node::Dict(_)) {
                    return Err(refused("an object with a state", "dictionaries alone have one"));
                }
            }
            other => {
                let found = format!("operation 0x{other:02x}");
                return Err(refused(found, "the operations of tensors and plain values"));
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<Value<'a>, Fault> {
        let root = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() {
            return Err(broken("an end with values left over", "one value"));
        }
        if self.at < self.program.len() {
            return Err(broken(format!("{} bytes after the end", self.program.len() - self.at), "none"));
        }
        Ok(root)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let rest = &self.program[self.at..];
        let bytes = rest.first_chunk().ok_or_else(|| broken("the end of the data", format!("{N} bytes more")))?;
        self.at += N;
        Ok(*bytes)
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let rest = &self.program[self.at..];
        if length > rest.len() as u64 {
            return Err(broken(format!("a length of {length}"), format!("at most {} bytes", rest.len())));
        }
        self.at += length as usize;
        Ok(&rest[..length as usize])
    }

    fn text(&mut self, length: u64) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes(length)?).map_err(|_| broken("text that is not UTF-8", "UTF-8"))
    }

    /// Text up to the end of the line.
    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.program[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| broken("a name without an end", "the end of the line"))?;
        let line = self.text(end as u64)?;
        self.at += 1;
        Ok(line)
    }

    /// A whole number of any length, in two's complement.
    fn long(&mut self) -> Result<Value<'a>, Fault> {
        let length = u8::from_le_bytes(self.array()?);
        let bytes = self.bytes(length.into())?;
        let is_negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = [if is_negative { 0xff } else { 0 }; 16];
        let Some(low) = wide.get_mut(..bytes.len()) else {
            return Err(refused(format!("a whole number of {length} bytes"), "at most 16"));
        };
        low.copy_from_slice(bytes);
        Ok(Value::Int(i128::from_le_bytes(wide)))
    }

    /// Values above the last mark; what lies below it is out of reach.
    fn pop_many(&mut self, n: usize) -> Result<Vec<Value<'a>>, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let left = self.stack.len() - floor;
        if left < n {
            return Err(broken(format!("{left} values on the stack"), format!("at least {n}")));
        }
        // Not split_off: from 0 on, that would hand over the spare room of the stack as well.
        Ok(self.stack.drain(self.stack.len() - n..).collect())
    }

    fn pop(&mut self) -> Result<Value<'a>, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| broken("no mark on the stack", "one"))?;
        Ok(self.stack.drain(mark..).collect())
    }

    fn top(&self) -> Result<Value<'a>, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack[floor..].last().copied();
        top.ok_or_else(|| broken("nothing on the stack", "a value"))
    }

    fn top_node(&mut self) -> Result<&mut Node<'a>, Fault> {
        let top = self.top()?;
        self.objects.node_mut(top).ok_or_else(|| broken(top.kind(), "a container"))
    }

    fn remember(&mut self, key: u32) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&self, key: u32) -> Result<Value<'a>, Fault> {
        self.memo.get(&key).copied().ok_or_else(|| broken(format!("memo {key}"), "one that was written before"))
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<(), Fault> {
        match self.top_node()? {
            Node::List(list) => list.extend(items),
            _ => return Err(broken("items for what is no list", "a list")),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Value<'a>]) -> Result<(), Fault> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top_node()? {
            Node::Dict(dict) if rest.is_empty() => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            Node::Dict(_) => return Err(broken("a key without a value", "pairs")),
            _ => return Err(broken("pairs for what is no dictionary", "a dictionary")),
        }
        Ok(())
    }
}

/// A name, if it is one that we know.
fn global<'a>(module: &str, name: &str) -> Result<Value<'a>, Fault> {
    Global::named(module, name).map(Value::Global).ok_or_else(|| {
        let found = format!("the global {}.{}", shown(module), shown(name));
        refused(found, "tensors, their storages and plain values alone")
    })
}

pub(super) fn refused(found: impl Into<String>, expected: impl Into<String>) -> Fault {
    Fault::refused(FIELD, found, expected)
}

pub(super) fn broken(found: impl Into<String>, expected: impl Into<String>) -> Fault {
    Fault::broken(FIELD, found, expected)
}
