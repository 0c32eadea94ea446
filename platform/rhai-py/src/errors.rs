//! RhaiError
//!   RhaiParseError     kind parse
//!   RhaiLimitError     kind limit
//!   RhaiTimeoutError   kind timeout
//!   RhaiRuntimeError   kind runtime, missing_field, missing_function, argument
//!   (RhaiError itself) kind panic

use std::ffi::CStr;
use std::sync::Arc;

use crate::names;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use rhai::{Dynamic, EvalAltResult, ParseError, ParseErrorType, Position};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Parse,
    Runtime,
    Limit,
    Timeout,
    MissingField,
    MissingFunction,
    Argument,
    Panic,
}

/// What went wrong, where, and the Python exception behind it, if any. Travels through Rhai as a `Dynamic`.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    pub position: Position,
    pub cause: Option<Arc<PyErr>>,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Runtime => "runtime",
            Self::Limit => "limit",
            Self::Timeout => "timeout",
            Self::MissingField => "missing_field",
            Self::MissingFunction => "missing_function",
            Self::Argument => "argument",
            Self::Panic => "panic",
        }
    }
}

impl Fault {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            position: Position::NONE,
            cause: None,
        }
    }

    pub fn at(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    /// The same fault, its message led by where in a value it was found.
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    pub fn into_rhai(self) -> Box<EvalAltResult> {
        let position = self.position;
        Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(self), position))
    }

    pub fn into_pyerr(self, py: Python<'_>) -> PyErr {
        if let Some(cause) = &self.cause
            && !cause.is_instance_of::<PyException>(py)
        {
            return cause.clone_ref(py);
        }
        match self.build(py) {
            Ok(error) | Err(error) => error,
        }
    }

    fn build(self, py: Python<'_>) -> PyResult<PyErr> {
        let types = TYPES
            .get(py)
            .ok_or_else(|| PyException::new_err(self.message.clone()))?;
        let class = match self.kind {
            Kind::Parse => &types.parse,
            Kind::Limit => &types.limit,
            Kind::Timeout => &types.timeout,
            Kind::Panic => &types.base,
            Kind::Runtime | Kind::MissingField | Kind::MissingFunction | Kind::Argument => &types.runtime,
        };
        let (line, column) = (self.position.line(), self.position.position());
        let text = match (line, column) {
            (Some(line), Some(column)) => format!("{} (line {line}, column {column})", self.message),
            (Some(line), None) => format!("{} (line {line})", self.message),
            _ => self.message.clone(),
        };
        let error = PyErr::from_type(class.bind(py).clone(), text);
        let value = error.value(py);
        value.setattr("message", self.message)?;
        value.setattr("line", line)?;
        value.setattr("column", column)?;
        value.setattr("kind", self.kind.name())?;
        if let Some(cause) = self.cause {
            error.set_cause(py, Some(cause.clone_ref(py)));
        }
        Ok(error)
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        let ParseError(what, position) = error;
        let kind = match *what {
            ParseErrorType::ExprTooDeep
            | ParseErrorType::TooManyFunctions
            | ParseErrorType::LiteralTooLarge(..)
            | ParseErrorType::BadInput(rhai::LexError::StringTooLong(..)) => Kind::Limit,
            _ => Kind::Parse,
        };
        Self::new(kind, what.to_string()).at(position)
    }
}

impl From<Box<EvalAltResult>> for Fault {
    fn from(error: Box<EvalAltResult>) -> Self {
        let position = error.position();
        let mut fault = match *error {
            EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => Self::from(inner),
            EvalAltResult::ErrorTerminated(value, _) | EvalAltResult::ErrorRuntime(value, _) => thrown(value),
            other => {
                let kind = kind_of(&other);
                let mut other = other;
                other.clear_position();
                Self::new(kind, names::in_words_of_book(&other.to_string()))
            }
        };
        if fault.position.is_none() {
            fault.position = position;
        }
        fault
    }
}

fn kind_of(error: &EvalAltResult) -> Kind {
    use EvalAltResult as E;
    match error {
        E::ErrorParsing(..) => Kind::Parse,
        E::ErrorTooManyOperations(..)
        | E::ErrorTooManyVariables(..)
        | E::ErrorTooManyModules(..)
        | E::ErrorStackOverflow(..)
        | E::ErrorDataTooLarge(..) => Kind::Limit,
        E::ErrorPropertyNotFound(..) | E::ErrorDotExpr(..) => Kind::MissingField,
        E::ErrorFunctionNotFound(..) => Kind::MissingFunction,
        _ => Kind::Runtime,
    }
}

/// What `throw` or a function of ours gave.
fn thrown(value: Dynamic) -> Fault {
    match value.try_cast_result::<Fault>() {
        Ok(fault) => fault,
        Err(value) if value.is_unit() => Fault::new(Kind::Runtime, "the script threw an error"),
        Err(value) if value.is_string() => Fault::new(Kind::Runtime, value.to_string()),
        Err(value) => Fault::new(Kind::Runtime, names::in_words_of_book(&value.to_string())),
    }
}

struct Types {
    base: Py<PyType>,
    parse: Py<PyType>,
    runtime: Py<PyType>,
    limit: Py<PyType>,
    timeout: Py<PyType>,
}

static TYPES: PyOnceLock<Types> = PyOnceLock::new();

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let types = TYPES.get_or_try_init(py, || -> PyResult<Types> {
        let exception = py.get_type::<PyException>();
        let base = new_type(
            &exception,
            c"rhai_py.RhaiError",
            c"A script could not be compiled or called. `kind` says why; `line` and `column` count from 1.",
            "panic",
        )?;
        let parent = base.bind(py);
        let parse = new_type(
            parent,
            c"rhai_py.RhaiParseError",
            c"The source is not a valid script.",
            "parse",
        )?;
        let runtime = new_type(
            parent,
            c"rhai_py.RhaiRuntimeError",
            c"The script failed while running.",
            "runtime",
        )?;
        let limit = new_type(
            parent,
            c"rhai_py.RhaiLimitError",
            c"The script passed one of its limits.",
            "limit",
        )?;
        let timeout = new_type(
            parent,
            c"rhai_py.RhaiTimeoutError",
            c"The call passed its deadline.",
            "timeout",
        )?;
        Ok(Types {
            parse,
            runtime,
            limit,
            timeout,
            base,
        })
    })?;
    module.add("RhaiError", &types.base)?;
    module.add("RhaiParseError", &types.parse)?;
    module.add("RhaiRuntimeError", &types.runtime)?;
    module.add("RhaiLimitError", &types.limit)?;
    module.add("RhaiTimeoutError", &types.timeout)
}

/// The class attributes stand in where an error was raised by hand, without the attributes of a real one.
fn new_type(base: &Bound<'_, PyType>, name: &CStr, doc: &CStr, kind: &str) -> PyResult<Py<PyType>> {
    let py = base.py();
    let attributes = PyDict::new(py);
    attributes.set_item("message", "")?;
    attributes.set_item("line", py.None())?;
    attributes.set_item("column", py.None())?;
    attributes.set_item("kind", kind)?;
    // `new_type` lets go of the dict before it uses it; `attributes` keeps it alive.
    let held = attributes.clone().into_any().unbind();
    PyErr::new_type(py, name, Some(doc), Some(base), Some(held))
}
