//! What the host says about its records, and the types that `walk` reckons with.

use std::collections::BTreeMap;
use std::rc::Rc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::names;

/// Kind, field, what the field holds: nothing for a scalar, "?" for anything, else a kind or a list kind.
pub type Described = BTreeMap<String, BTreeMap<String, Option<String>>>;

/// What is certain about a value. `none` and `()` have no fields either, so a value that may be one of them counts as
/// what it is otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// No value has been seen.
    Nothing,
    Scalar,
    /// Of this kind; messages call it by the second.
    Record(Rc<str>, Rc<str>),
    List(Rc<str>),
    Unknown,
}

impl Type {
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, known) | (known, Self::Nothing) => known,
            (Self::Record(kind, shown), Self::Record(other, otherwise)) if kind == other => {
                let shown = if shown == otherwise { shown } else { kind.clone() };
                Self::Record(kind, shown)
            }
            (one, other) if one == other => one,
            _ => Self::Unknown,
        }
    }
}

pub struct Kinds {
    records: Described,
    /// List kind, kind of its elements.
    lists: BTreeMap<String, String>,
}

impl Kinds {
    pub fn new(records: Described, lists: BTreeMap<String, String>) -> PyResult<Self> {
        let kinds = Self { records, lists };
        for described in kinds.records.values().flat_map(BTreeMap::values) {
            kinds.named(described.as_deref())?;
        }
        for element in kinds.lists.values() {
            kinds.named(Some(element))?;
        }
        Ok(kinds)
    }

    /// The type that a host calls this; `ValueError` for a name that it has not described.
    pub fn named(&self, name: Option<&str>) -> PyResult<Type> {
        self.find(name).ok_or_else(|| {
            let name = name.unwrap_or_default();
            let known = self.records.keys().chain(self.lists.keys()).map(String::as_str);
            PyValueError::new_err(format!(
                "there is no kind '{name}'{}",
                names::suggestion(name, known)
            ))
        })
    }

    fn find(&self, name: Option<&str>) -> Option<Type> {
        match name {
            None => Some(Type::Scalar),
            Some("?") => Some(Type::Unknown),
            Some(name) if self.records.contains_key(name) => Some(Type::Record(name.into(), name.into())),
            Some(name) if self.lists.contains_key(name) => Some(Type::List(name.into())),
            Some(_) => None,
        }
    }

    /// The type of a field, or why there is none.
    pub fn field(&self, kind: &str, shown: &str, name: &str) -> Result<Type, String> {
        let Some(fields) = self.records.get(kind) else {
            return Ok(Type::Unknown);
        };
        let Some(held) = fields.get(name) else {
            let near = names::suggestion(name, fields.keys().map(String::as_str));
            return Err(format!("{shown} has no field '{name}'{near}"));
        };
        Ok(match self.find(held.as_deref()) {
            // A dict in a record is called by its place, as at run time.
            Some(Type::Record(inner, _)) => Type::Record(inner, format!("{shown}.{name}").into()),
            Some(held) => held,
            None => Type::Unknown,
        })
    }

    pub fn element(&self, list: &str) -> Type {
        let element = self.lists.get(list).map(String::as_str);
        element
            .and_then(|name| self.find(Some(name)))
            .unwrap_or(Type::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, shown: &str) -> Type {
        Type::Record(kind.into(), shown.into())
    }

    #[test]
    fn join_knows_only_what_both_know() {
        assert_eq!(Type::Nothing.join(Type::Scalar), Type::Scalar);
        assert_eq!(record("a", "x").join(Type::Nothing), record("a", "x"));
        assert_eq!(record("a", "x").join(record("a", "y")), record("a", "a"));
        assert_eq!(record("a", "a").join(record("b", "b")), Type::Unknown);
        assert_eq!(Type::Unknown.join(Type::Scalar), Type::Unknown);
    }
}
