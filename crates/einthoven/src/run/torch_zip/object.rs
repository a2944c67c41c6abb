//! Values that a pickle can speak of, and the few calls that make them.
//!
//! To call a name fills in a description; no code is looked up or run. Containers lie in one row and
//! refer to each other by place, because a program can make cycles and nests of any depth: neither
//! copying nor dropping them recurses. Texts borrow from the program.

use super::Fault;
use super::pickle::{broken, refused};
use super::view::{CLASSES, Storage, StorageClass, View};

/// Axes of a tensor; networks have five at most.
const MAX_RANK: usize = 16;
/// Arguments of the longest call that we know.
const MAX_ARGUMENTS: usize = 7;

/// What lies on the stack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    Global(Global),
    /// A container by its place.
    Node(usize),
}

/// What other values can refer to.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    /// Pairs in the order in which they came; whether a key is twice is asked later.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Storage(Storage<'a>),
    Tensor(Box<View<'a>>),
}

/// A name that a program may mention.
#[derive(Debug, Clone, Copy)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Storage(&'static StorageClass),
}

impl Global {
    /// The global of this name, if it is one that we know.
    pub(super) fn named(module: &str, name: &str) -> Option<Global> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch", "Size") => Some(Global::Size),
            ("torch", class) => CLASSES.iter().find(|known| known.name == class).map(Global::Storage),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Global::OrderedDict => "OrderedDict",
            Global::RebuildTensor => "_rebuild_tensor_v2",
            Global::RebuildParameter => "_rebuild_parameter",
            Global::Size => "Size",
            Global::Storage(class) => class.name,
        }
    }
}

impl Value<'_> {
    /// What it is, for messages.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::Global(global) => global.name(),
            Value::Node(_) => "a container or tensor",
        }
    }
}

/// All containers, storages and tensors of a program, by place.
#[derive(Debug, Default)]
pub(super) struct Objects<'a>(Vec<Node<'a>>);

impl<'a> Objects<'a> {
    pub(super) fn add(&mut self, node: Node<'a>) -> Value<'a> {
        self.0.push(node);
        Value::Node(self.0.len() - 1)
    }

    /// The container that a value refers to.
    pub(super) fn node(&self, value: Value) -> Option<&Node<'a>> {
        match value {
            Value::Node(place) => self.0.get(place),
            _ => None,
        }
    }

    /// As [`Objects::node`], to be filled.
    pub(super) fn node_mut(&mut self, value: Value) -> Option<&mut Node<'a>> {
        match value {
            Value::Node(place) => self.0.get_mut(place),
            _ => None,
        }
    }

    fn tuple(&self, value: Value) -> Option<&[Value<'a>]> {
        match self.node(value) {
            Some(Node::Tuple(items)) => Some(items),
            _ => None,
        }
    }

    /// The storage that a persistent identity names.
    ///
    /// # Errors
    /// Rule `M01` for other identities.
    pub(super) fn storage(&mut self, identity: Value<'a>) -> Result<Value<'a>, Fault> {
        let Some(
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(class)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(n_values),
            ],
        ) = self.tuple(identity)
        else {
            return Err(refused("an unknown identity", "storage, class, key, location and number of values"));
        };
        let storage = Storage { class, key, n_values: count(Value::Int(*n_values))? };
        Ok(self.add(Node::Storage(storage)))
    }

    /// What a call gives.
    ///
    /// # Errors
    /// Rule `M01` for calls that make neither a tensor nor a plain value; `M02` for tensors of what is
    /// no storage.
    pub(super) fn call(&mut self, callee: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>, Fault> {
        let Value::Global(global) = callee else {
            return Err(refused(format!("a call of {}", callee.kind()), "a call that makes a tensor"));
        };
        let Some(items) = self.tuple(arguments) else {
            return Err(broken(format!("a call of {} without a tuple", global.name()), "arguments"));
        };
        let made = match (global, items) {
            (Global::OrderedDict, []) => Node::Dict(Vec::new()),
            // A size is a tuple by another name, and a parameter a tensor.
            (Global::Size, [sides]) if self.tuple(*sides).is_some() => return Ok(*sides),
            (Global::RebuildParameter, [data, _, _]) if matches!(self.node(*data), Some(Node::Tensor(_))) => {
                return Ok(*data);
            }
            (Global::RebuildTensor, [storage, offset, size, stride, _, _, metadata @ ..])
                if items.len() <= MAX_ARGUMENTS && metadata.iter().all(|metadata| self.is_empty(*metadata)) =>
            {
                Node::Tensor(Box::new(self.view([*storage, *offset, *size, *stride])?))
            }
            _ => {
                let found = format!("a call of {} with {} arguments", global.name(), items.len());
                return Err(refused(found, "the arguments of a plain tensor"));
            }
        };
        Ok(self.add(made))
    }

    /// Whether metadata of a tensor say nothing; others mark it as conjugated or negated.
    fn is_empty(&self, metadata: Value) -> bool {
        match self.node(metadata) {
            Some(Node::Dict(pairs)) => pairs.is_empty(),
            _ => matches!(metadata, Value::None),
        }
    }

    fn view(&self, [storage, offset, size, stride]: [Value<'a>; 4]) -> Result<View<'a>, Fault> {
        let Some(Node::Storage(storage)) = self.node(storage) else {
            return Err(broken(format!("a tensor of {}", storage.kind()), "a tensor of a storage"));
        };
        let (size, stride) = (self.sides(size)?, self.sides(stride)?);
        if size.len() != stride.len() {
            return Err(broken(format!("{} sides and {} strides", size.len(), stride.len()), "as many of both"));
        }
        Ok(View { storage: *storage, offset: count(offset)?, size, stride })
    }

    fn sides(&self, value: Value) -> Result<Vec<usize>, Fault> {
        let sides = self.tuple(value).ok_or_else(|| broken(format!("{} as sides", value.kind()), "a tuple"))?;
        if sides.len() > MAX_RANK {
            return Err(broken(format!("{} axes", sides.len()), format!("at most {MAX_RANK}")));
        }
        sides.iter().map(|side| count(*side)).collect()
    }
}

fn count(value: Value) -> Result<usize, Fault> {
    match value {
        Value::Int(number) => usize::try_from(number).map_err(|_| broken(number.to_string(), "a count from 0")),
        other => Err(broken(other.kind(), "a count from 0")),
    }
}
