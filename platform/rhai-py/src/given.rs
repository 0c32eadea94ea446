//! Variables that the host gives to one call, `Engine(variables=…)` and `script.call(…, variables=…)`.
//!
//! Their values belong to the call that runs on this thread, so no two calls share them and no lock is taken. A script
//! that reads none of them has no variable resolver at all.

use std::cell::RefCell;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rhai::{Dynamic, ImmutableString, Token, is_valid_identifier};

use crate::convert::{self, Nested};
use crate::errors::{Fault, Kind};
use crate::names;

thread_local! {
    /// In the order of their declaration; empty where nothing is given.
    static GIVEN: RefCell<Vec<Dynamic>> = const { RefCell::new(Vec::new()) };
}

/// The values of this call instead of those of the call that it happens in; gives those back.
pub fn exchange(values: Vec<Dynamic>) -> Vec<Dynamic> {
    GIVEN.replace(values)
}

pub fn get(slot: usize) -> Option<Dynamic> {
    GIVEN.with_borrow(|values| values.get(slot).cloned())
}

/// Names in the order of their slots.
#[derive(Default)]
pub struct Declared(Vec<ImmutableString>);

impl Declared {
    pub fn new(names: Vec<String>, taken: &[&str]) -> PyResult<Self> {
        let mut declared = Self::default();
        for name in names {
            let is_word = is_valid_identifier(&name) && Token::lookup_symbol_from_syntax(&name).is_none();
            if !is_word || taken.contains(&name.as_str()) || declared.slot(&name).is_some() {
                return Err(PyValueError::new_err(format!(
                    "a variable cannot be called {name:?}"
                )));
            }
            declared.0.push(name.into());
        }
        Ok(declared)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(ImmutableString::as_str)
    }

    pub fn slot(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    /// Dicts become read-only records: reading a variable copies its value, and a record's copy is one pointer.
    pub fn convert(&self, values: Option<&Bound<'_, PyDict>>) -> Result<Vec<Dynamic>, Fault> {
        let Some(values) = values.filter(|values| !values.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut slots = vec![Dynamic::UNIT; self.0.len()];
        for (name, value) in values.iter() {
            let name = name.to_string();
            let slot = self.slot(&name).ok_or_else(|| {
                let near = names::suggestion(&name, self.names());
                let why = format!("the engine was made without a variable '{name}'{near}");
                Fault::new(Kind::Argument, why)
            })?;
            slots[slot] = convert::to_rhai(&value, Nested::Record(&name))
                .map_err(|fault| fault.within(&format!("variable {name}")))?;
        }
        Ok(slots)
    }
}
