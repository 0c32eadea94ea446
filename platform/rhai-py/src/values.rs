//! Small host values: `none` (no worker), `Verdict` (the answer of `admit()` and `reject()`), `Frozen`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use rhai::{Dynamic, ImmutableString};

use crate::convert::{self, Nested};

/// What a choosing method returns when there is nothing to choose from.
#[derive(Clone, Copy, Debug)]
pub struct NoneValue;

/// The class of `none`, which is its only instance.
#[pyclass(frozen, module = "rhai_py")]
pub struct None_;

static NONE: PyOnceLock<Py<None_>> = PyOnceLock::new();

pub fn none(py: Python<'_>) -> PyResult<Py<None_>> {
    NONE.get_or_try_init(py, || Py::new(py, None_))
        .map(|none| none.clone_ref(py))
}

#[pymethods]
impl None_ {
    fn __repr__(&self) -> &'static str {
        "none"
    }

    fn __bool__(&self) -> bool {
        false
    }

    /// Copies and pickles are the same object: by its name in this module.
    fn __reduce__(&self) -> &'static str {
        "none"
    }
}

/// An admission decision.
#[pyclass(frozen, eq, module = "rhai_py", from_py_object)]
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    #[pyo3(get)]
    pub admitted: bool,
    message: Option<ImmutableString>,
    code: Option<ImmutableString>,
}

impl Verdict {
    pub fn admit() -> Self {
        Self {
            admitted: true,
            message: None,
            code: None,
        }
    }

    pub fn reject(message: ImmutableString, code: Option<ImmutableString>) -> Self {
        Self {
            admitted: false,
            message: Some(message),
            code,
        }
    }
}

#[pymethods]
impl Verdict {
    #[new]
    #[pyo3(signature = (admitted, message=None, code=None))]
    fn new(admitted: bool, message: Option<String>, code: Option<String>) -> Self {
        Self {
            admitted,
            message: message.map(Into::into),
            code: code.map(Into::into),
        }
    }

    #[getter]
    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    #[getter]
    fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    fn __repr__(&self) -> String {
        let quoted =
            |text: &Option<ImmutableString>| text.as_ref().map_or("None".into(), |text| format!("{text:?}"));
        let admitted = if self.admitted { "True" } else { "False" };
        format!(
            "Verdict(admitted={admitted}, message={}, code={})",
            quoted(&self.message),
            quoted(&self.code)
        )
    }
}

/// A value converted once, for any number of calls on any thread.
#[pyclass(frozen, module = "rhai_py")]
pub struct Frozen {
    pub value: Dynamic,
}

#[pymethods]
impl Frozen {
    fn __repr__(&self) -> String {
        format!("Frozen({})", self.value.type_name())
    }
}

/// Convert `obj` deeply, once. Dicts in it become read-only objects that scripts share instead of copying.
#[pyfunction]
pub fn freeze(obj: &Bound<'_, PyAny>) -> PyResult<Frozen> {
    let value =
        convert::to_rhai(obj, Nested::Record("object")).map_err(|fault| fault.into_pyerr(obj.py()))?;
    Ok(Frozen { value })
}
