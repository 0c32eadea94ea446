//! Python callables as functions of scripts.

use std::any::TypeId;
use std::ops::RangeInclusive;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rhai::{Dynamic, EvalAltResult, FuncRegistration, Module, RhaiFunc, is_valid_identifier};

use crate::convert::{self, Nested};
use crate::errors::{Fault, Kind};
use crate::guard;

const MOST_PARAMETERS: usize = 8;

/// Gives the numbers of arguments that it may be called with.
pub fn register(
    module: &mut Module,
    name: &str,
    callable: &Bound<'_, PyAny>,
    taken: &[&str],
) -> PyResult<RangeInclusive<usize>> {
    if !is_valid_identifier(name) || taken.contains(&name) {
        return Err(PyValueError::new_err(format!(
            "a host function cannot be called {name:?}"
        )));
    }
    if !callable.is_callable() {
        return Err(PyTypeError::new_err(format!(
            "host function {name} is not callable"
        )));
    }
    let shared = Arc::new((name.to_owned(), callable.clone().unbind()));
    let arities = arities(name, callable)?;
    for parameters in arities.clone() {
        let host = shared.clone();
        let func = RhaiFunc::Pure {
            func: rhai::Shared::new(move |_, arguments: &mut [&mut Dynamic]| {
                call(&host.0, &host.1, arguments)
            }),
            has_context: false,
            is_pure: true,
            is_volatile: true,
        };
        let types = vec![TypeId::of::<Dynamic>(); parameters];
        FuncRegistration::new(name).set_into_module_raw(module, types, func);
    }
    Ok(arities)
}

/// The numbers of positional arguments that it takes.
fn arities(name: &str, callable: &Bound<'_, PyAny>) -> PyResult<RangeInclusive<usize>> {
    let inspect = callable.py().import("inspect")?;
    let signature = inspect.call_method1("signature", (callable,)).map_err(|_| {
        PyTypeError::new_err(format!(
            "host function {name} has no signature that inspect can read"
        ))
    })?;
    let empty = inspect.getattr("Parameter")?.getattr("empty")?;
    let (mut required, mut total) = (0, 0);
    for parameter in signature
        .getattr("parameters")?
        .call_method0("values")?
        .try_iter()?
    {
        let parameter = parameter?;
        let kind: String = parameter.getattr("kind")?.getattr("name")?.extract()?;
        let has_default = !parameter.getattr("default")?.is(&empty);
        match kind.as_str() {
            "POSITIONAL_ONLY" | "POSITIONAL_OR_KEYWORD" => {
                total += 1;
                required += usize::from(!has_default);
            }
            "KEYWORD_ONLY" if has_default => (),
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "host function {name} must take fixed positional parameters"
                )));
            }
        }
    }
    if total > MOST_PARAMETERS {
        return Err(PyTypeError::new_err(format!(
            "host function {name} takes more than {MOST_PARAMETERS} parameters"
        )));
    }
    Ok(required..=total)
}

fn call(
    name: &str,
    callable: &Py<PyAny>,
    arguments: &mut [&mut Dynamic],
) -> Result<Dynamic, Box<EvalAltResult>> {
    let outcome = Python::attach(|py| {
        let arguments: PyResult<Vec<_>> = arguments
            .iter()
            .map(|value| convert::to_python(py, value))
            .collect();
        let returned = arguments
            .and_then(|arguments| PyTuple::new(py, arguments))
            .and_then(|arguments| callable.bind(py).call1(arguments))
            .map_err(|error| raised(py, name, error))?;
        convert::to_rhai(&returned, Nested::Map).map_err(|fault| {
            Fault::new(
                Kind::Runtime,
                format!("host function '{name}' returned {}", fault.message),
            )
            .into_rhai()
        })
    });
    guard::check_clock()?;
    outcome
}

fn raised(py: Python<'_>, name: &str, error: PyErr) -> Box<EvalAltResult> {
    let class = error
        .get_type(py)
        .name()
        .map_or_else(|_| "an exception".to_owned(), |class| class.to_string());
    let catchable = error.is_instance_of::<pyo3::exceptions::PyException>(py);
    let mut fault = Fault::new(
        Kind::Runtime,
        format!("host function '{name}' raised {class}: {}", error.value(py)),
    );
    fault.cause = Some(Arc::new(error));
    if catchable {
        fault.into_rhai()
    } else {
        guard::end(fault)
    }
}
