//! What the machine made, as leaves by the dotted path of their keys.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{Node, Objects, Value};
use super::view::View;
use super::{Budget, Fault, shown};

/// Dictionaries and lists inside of each other; a program can make cycles.
const MAX_DEPTH: usize = 64;
/// What a visit costs besides its path, so that shared branches cannot multiply without end.
const VISIT_BYTES: u64 = 64;

/// The root, and everything that it refers to.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) objects: Objects<'a>,
    pub(super) root: Value<'a>,
}

/// The end of a path.
pub(super) enum Leaf<'t> {
    Tensor(&'t View<'t>),
    Plain(String),
}

impl Tree<'_> {
    /// Every tensor, number, truth value and text.
    ///
    /// # Errors
    /// Rule `M02` for two leaves of one path, keys that no path can hold, nesting beyond the limit, and
    /// branches that multiply beyond the budget.
    pub(super) fn leaves(&self, budget: &mut Budget) -> Result<BTreeMap<String, Leaf<'_>>, Fault> {
        let mut walk = Walk { tree: self, path: String::new(), leaves: BTreeMap::new(), budget };
        walk.visit(self.root, 0)?;
        Ok(walk.leaves)
    }

    /// The keys of the outermost dictionary, sorted.
    pub(super) fn keys(&self) -> Vec<String> {
        let Some(Node::Dict(pairs)) = self.objects.node(self.root) else { return Vec::new() };
        pairs.iter().filter_map(|(key, _)| segment(*key)).collect::<BTreeSet<String>>().into_iter().collect()
    }
}

struct Walk<'t, 'b> {
    tree: &'t Tree<'t>,
    path: String,
    leaves: BTreeMap<String, Leaf<'t>>,
    budget: &'b mut Budget,
}

impl<'t> Walk<'t, '_> {
    fn visit(&mut self, value: Value<'t>, depth: usize) -> Result<(), Fault> {
        self.budget.charge(VISIT_BYTES + self.path.len() as u64)?;
        let tree = self.tree;
        let leaf = match value {
            Value::None | Value::Global(_) => return Ok(()),
            Value::Bool(value) => Leaf::Plain(value.to_string()),
            Value::Int(value) => Leaf::Plain(value.to_string()),
            Value::Float(value) => Leaf::Plain(value.to_string()),
            Value::Text(text) => {
                self.budget.charge(text.len() as u64)?;
                Leaf::Plain(text.to_owned())
            }
            Value::Node(_) => match tree.objects.node(value) {
                None | Some(Node::Storage(_)) => return Ok(()),
                Some(Node::Tensor(view)) => Leaf::Tensor(view),
                Some(Node::Tuple(items) | Node::List(items)) => {
                    return (0..items.len()).try_for_each(|k| self.descend(&k.to_string(), items[k], depth));
                }
                Some(Node::Dict(pairs)) => {
                    let mut keys = BTreeSet::new();
                    for (key, value) in pairs {
                        let Some(key) = segment(*key) else {
                            let found = format!("a key that is {}", key.kind());
                            return Err(Fault::broken(self.field(), found, "text or a whole number"));
                        };
                        self.descend(&key, *value, depth)?;
                        if let Some(key) = keys.replace(key) {
                            return Err(Fault::broken(self.field(), format!("key {} twice", shown(&key)), "each once"));
                        }
                    }
                    return Ok(());
                }
            },
        };
        if self.leaves.insert(self.path.clone(), leaf).is_some() {
            return Err(Fault::broken(self.field(), "a path twice", "each path once"));
        }
        Ok(())
    }

    fn descend(&mut self, key: &str, value: Value<'t>, depth: usize) -> Result<(), Fault> {
        if depth == MAX_DEPTH {
            return Err(Fault::broken("data.pkl", "deeper nesting", format!("at most {MAX_DEPTH} levels")));
        }
        let length = self.path.len();
        if depth > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        self.visit(value, depth + 1)?;
        self.path.truncate(length);
        Ok(())
    }

    fn field(&self) -> String {
        if self.path.is_empty() { "data.pkl".into() } else { shown(&self.path) }
    }
}

/// A key as a part of a path.
fn segment(key: Value) -> Option<String> {
    match key {
        Value::Text(text) => Some(text.to_owned()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}
