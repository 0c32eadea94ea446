//! Closures given to the methods of `Workers`, and the keys by which `min_by` and `max_by` order.

use std::cmp::Ordering;

use rhai::{
    Caches, Dynamic, Engine, EvalAltResult, EvalContext, FnPtr, GlobalRuntimeState, NativeCallContext, Scope,
};
use smallvec::SmallVec;

use crate::errors::{Fault, Kind};
use crate::names;
use crate::record::{Field, RecordRef};

type Outcome<T> = Result<T, Box<EvalAltResult>>;

pub fn type_error(message: String) -> Box<EvalAltResult> {
    Fault::new(Kind::Runtime, names::in_words_of_book(&message)).into_rhai()
}

/// Calls one closure many times. `FnPtr::call_raw` copies the run-time state and starts with empty caches each time;
/// here both live as long as the loop, which makes a call about three times as fast.
pub struct Caller<'a> {
    engine: &'a Engine,
    function: &'a FnPtr,
    global: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
    /// The captured variables of one call: a call takes its arguments away.
    captured: Vec<Dynamic>,
}

impl<'a> Caller<'a> {
    pub fn new(context: &'a NativeCallContext<'_>, function: &'a FnPtr) -> Self {
        Self {
            engine: context.engine(),
            function,
            global: context.global_runtime_state().clone(),
            caches: Caches::new(),
            scope: Scope::new(),
            captured: Vec::with_capacity(function.curry().len()),
        }
    }

    #[inline]
    pub fn call(&mut self, mut item: Dynamic) -> Outcome<Dynamic> {
        let mut context = EvalContext::new(
            self.engine,
            &mut self.global,
            &mut self.caches,
            &mut self.scope,
            None,
        );
        let name = self.function.fn_name();
        if !self.function.is_curried() {
            return context.call_fn_raw(name, false, false, &mut [&mut item]);
        }
        self.captured.clear();
        self.captured.extend_from_slice(self.function.curry());
        let mut arguments: SmallVec<[&mut Dynamic; 4]> = self.captured.iter_mut().collect();
        arguments.push(&mut item);
        context.call_fn_raw(name, false, false, &mut arguments)
    }
}

/// What records are ordered by. Numbers compare with numbers, text with text; a number that is not one comes last.
#[derive(PartialEq)]
pub enum Key {
    Number(f64),
    Text(String),
    Reversed(Box<Key>),
}

impl Key {
    pub fn as_number(value: &Dynamic) -> Option<f64> {
        value
            .as_float()
            .ok()
            .or_else(|| value.as_int().ok().map(|number| number as f64))
    }

    /// A numeric field; NaN counts as the largest number, so a worker with a broken reading is chosen last.
    pub fn number(record: &RecordRef, field: &Field) -> Outcome<f64> {
        let value = field
            .find(&record.0)
            .ok_or_else(|| record.0.missing(&field.name).into_rhai())?;
        let number = Self::as_number(value).ok_or_else(|| {
            type_error(format!(
                "{} field '{}' must be a number, not {}",
                record.0.kind(),
                field.name,
                value.type_name()
            ))
        })?;
        Ok(if number.is_nan() { f64::INFINITY } else { number })
    }

    pub fn number_or(record: &RecordRef, field: &Field, default: f64) -> f64 {
        field.find(&record.0).and_then(Self::as_number).unwrap_or(default)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Reversed(a), Self::Reversed(b)) => b.partial_cmp(a),
            _ => None,
        }
    }
}

/// Makes keys of one type out of the values of one `min_by` or `max_by`.
pub struct ByKey {
    method: &'static str,
    reverse: bool,
    textual: Option<bool>,
}

impl ByKey {
    pub fn new(method: &'static str, reverse: bool) -> Self {
        Self {
            method,
            reverse,
            textual: None,
        }
    }

    pub fn next(&mut self, value: Dynamic) -> Outcome<Key> {
        let key = match Key::as_number(&value) {
            Some(number) if number.is_nan() => Key::Number(if self.reverse {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }),
            Some(number) => Key::Number(number),
            None => Key::Text(
                value
                    .as_immutable_string_ref()
                    .map(|text| text.to_string())
                    .map_err(|found| {
                        type_error(format!(
                            "{} orders by numbers or strings, not {found}",
                            self.method
                        ))
                    })?,
            ),
        };
        let textual = matches!(key, Key::Text(_));
        if *self.textual.get_or_insert(textual) != textual {
            return Err(type_error(format!(
                "{} was given numbers and strings",
                self.method
            )));
        }
        Ok(if self.reverse {
            Key::Reversed(Box::new(key))
        } else {
            key
        })
    }
}
