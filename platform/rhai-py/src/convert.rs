//! Values between Python and Rhai.
//!
//! | Python                 | Rhai            | back                    |
//! | None                   | ()              | None                    |
//! | bool, float, str       | the same        | the same                |
//! | int                    | 64-bit integer  | int; larger is an error |
//! | bytes                  | blob            | bytes                   |
//! | list, tuple            | array           | list                    |
//! | dict with str keys     | map             | dict                    |
//! | dict in a Record or in a Frozen | read-only record | dict          |
//! | Record, Workers, Verdict, none  | host value       | the same object, an equal Workers, Verdict, `none` |

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use rhai::{Array, Blob, Dynamic, FnPtr, ImmutableString, Map};

use crate::errors::{Fault, Kind};
use crate::record::{Record, RecordRef, Snapshot};
use crate::values::{Frozen, None_, NoneValue, Verdict, none};
use crate::workers::{Workers, WorkersRef};

/// Deeper values are refused: a list may contain itself.
const DEEPEST: usize = 48;

/// What a dict becomes.
#[derive(Clone, Copy)]
pub enum Nested<'a> {
    /// A map of the script's own, which it may change.
    Map,
    /// A shared read-only record, called this in messages.
    Record(&'a str),
}

pub fn to_rhai(value: &Bound<'_, PyAny>, nested: Nested<'_>) -> Result<Dynamic, Fault> {
    convert(value, nested, 0)
}

/// The fields of a record of this kind.
pub fn to_fields(dict: &Bound<'_, PyDict>, kind: &str) -> Result<Vec<(ImmutableString, Dynamic)>, Fault> {
    fields_of(dict, kind, 0)
}

fn convert(value: &Bound<'_, PyAny>, nested: Nested<'_>, depth: usize) -> Result<Dynamic, Fault> {
    if depth > DEEPEST {
        return Err(Fault::new(
            Kind::Argument,
            format!("nested deeper than {DEEPEST} levels"),
        ));
    }
    if value.is_none() {
        return Ok(Dynamic::UNIT);
    }
    if let Ok(text) = value.cast::<PyString>() {
        let text = text
            .to_str()
            .map_err(|_| Fault::new(Kind::Argument, "a string with a lone surrogate"))?;
        return Ok(Dynamic::from(ImmutableString::from(text)));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Dynamic::from(flag.is_true()));
    }
    if let Ok(number) = value.cast::<PyInt>() {
        let number: i64 = number.extract().map_err(|_| {
            Fault::new(
                Kind::Argument,
                format!("{number} does not fit in a 64-bit integer"),
            )
        })?;
        return Ok(Dynamic::from(number));
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Ok(Dynamic::from(number.value()));
    }
    if let Some(host) = host_value(value)? {
        return Ok(host);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return match nested {
            Nested::Map => map_of(dict, depth),
            Nested::Record(kind) => Ok(Dynamic::from(RecordRef(
                Snapshot::new(kind, fields_of(dict, kind, depth)?).into(),
            ))),
        };
    }
    if let Ok(list) = value.cast::<PyList>() {
        return array_of(list.iter(), nested, depth);
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return array_of(tuple.iter(), nested, depth);
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Dynamic::from_blob(bytes.as_bytes().to_vec()));
    }
    let name = value
        .get_type()
        .name()
        .map_or_else(|_| "object".to_owned(), |name| name.to_string());
    Err(Fault::new(
        Kind::Argument,
        format!("a value of type {name} cannot be passed to a script"),
    ))
}

fn host_value(value: &Bound<'_, PyAny>) -> Result<Option<Dynamic>, Fault> {
    let python = |error: PyErr| Fault::new(Kind::Argument, error.to_string());
    Ok(if let Ok(record) = value.cast::<Record>() {
        Some(Dynamic::from(Record::reference(record).map_err(python)?))
    } else if let Ok(workers) = value.cast::<Workers>() {
        Some(Dynamic::from(workers.get().reference()))
    } else if let Ok(frozen) = value.cast::<Frozen>() {
        Some(frozen.get().value.clone())
    } else if let Ok(verdict) = value.cast::<Verdict>() {
        Some(Dynamic::from(verdict.get().clone()))
    } else if value.cast::<None_>().is_ok() {
        Some(Dynamic::from(NoneValue))
    } else {
        None
    })
}

fn array_of<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    nested: Nested<'_>,
    depth: usize,
) -> Result<Dynamic, Fault> {
    let mut array = Array::with_capacity(items.size_hint().0);
    for (index, item) in items.enumerate() {
        array.push(convert(&item, nested, depth + 1).map_err(|fault| fault.within(&format!("[{index}]")))?);
    }
    Ok(Dynamic::from_array(array))
}

fn map_of(dict: &Bound<'_, PyDict>, depth: usize) -> Result<Dynamic, Fault> {
    let mut map = Map::new();
    for (key, value) in dict.iter() {
        let name = name_of(&key)?;
        let value = convert(&value, Nested::Map, depth + 1).map_err(|fault| fault.within(&name))?;
        map.insert(name.as_str().into(), value);
    }
    Ok(Dynamic::from_map(map))
}

fn fields_of(
    dict: &Bound<'_, PyDict>,
    kind: &str,
    depth: usize,
) -> Result<Vec<(ImmutableString, Dynamic)>, Fault> {
    let mut fields = Vec::with_capacity(dict.len());
    for (key, value) in dict.iter() {
        let name = name_of(&key)?;
        let nested = format!("{kind}.{name}");
        let value =
            convert(&value, Nested::Record(&nested), depth + 1).map_err(|fault| fault.within(&name))?;
        fields.push((name, value));
    }
    Ok(fields)
}

fn name_of(key: &Bound<'_, PyAny>) -> Result<ImmutableString, Fault> {
    let text = key.cast::<PyString>().ok().and_then(|text| text.to_str().ok());
    text.map(ImmutableString::from).ok_or_else(|| {
        Fault::new(
            Kind::Argument,
            format!("the keys of a dict must be strings, not {key}"),
        )
    })
}

/// Whether it is too deep for Python. Also dropping it recurses, so what is must not leave the stack of its call.
pub fn is_too_deep(value: &Dynamic) -> bool {
    is_deeper(value, DEEPEST)
}

fn is_deeper(value: &Dynamic, levels: usize) -> bool {
    let deeper = |item: &Dynamic| levels == 0 || is_deeper(item, levels - 1);
    if let Some(array) = value.read_lock::<Array>() {
        array.iter().any(deeper)
    } else if let Some(map) = value.read_lock::<Map>() {
        map.values().any(deeper)
    } else if let Some(function) = value.read_lock::<FnPtr>() {
        function.curry().iter().any(deeper)
    } else {
        false
    }
}

pub fn to_python<'py>(py: Python<'py>, value: &Dynamic) -> PyResult<Bound<'py, PyAny>> {
    back(py, value, 0)
}

pub fn to_dict<'py>(py: Python<'py>, record: &Snapshot) -> PyResult<Bound<'py, PyDict>> {
    dict_of(py, record, 0)
}

fn back<'py>(py: Python<'py>, value: &Dynamic, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    if depth > DEEPEST {
        return Err(too_deep().into_pyerr(py));
    }
    if value.is_unit() {
        return Ok(py.None().into_bound(py));
    }
    if let Some(record) = value.read_lock::<RecordRef>() {
        return if record.is_record() {
            Ok(record.to_object(py)?.into_any())
        } else {
            Ok(dict_of(py, &record.0, depth)?.into_any())
        };
    }
    if let Ok(flag) = value.as_bool() {
        return Ok(PyBool::new(py, flag).to_owned().into_any());
    }
    if let Ok(number) = value.as_int() {
        return Ok(number.into_pyobject(py)?.into_any());
    }
    if let Ok(number) = value.as_float() {
        return Ok(PyFloat::new(py, number).into_any());
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(PyString::new(py, &text).into_any());
    }
    if let Ok(letter) = value.as_char() {
        return Ok(letter.into_pyobject(py)?.into_any());
    }
    if let Some(array) = value.read_lock::<Array>() {
        let items: Vec<_> = array
            .iter()
            .map(|item| back(py, item, depth + 1))
            .collect::<PyResult<_>>()?;
        return Ok(PyList::new(py, items)?.into_any());
    }
    if let Some(map) = value.read_lock::<Map>() {
        let dict = PyDict::new(py);
        for (name, item) in map.iter() {
            dict.set_item(name.as_str(), back(py, item, depth + 1)?)?;
        }
        return Ok(dict.into_any());
    }
    if value.is::<NoneValue>() {
        return Ok(none(py)?.into_bound(py).into_any());
    }
    if let Some(verdict) = value.read_lock::<Verdict>() {
        return Ok(Bound::new(py, verdict.clone())?.into_any());
    }
    if let Some(workers) = value.read_lock::<WorkersRef>() {
        return Ok(Workers::from_reference(py, &workers)?.into_any());
    }
    if let Some(blob) = value.read_lock::<Blob>() {
        return Ok(PyBytes::new(py, &blob).into_any());
    }
    let what = if value.is::<FnPtr>() {
        "a function"
    } else {
        value.type_name()
    };
    Err(Fault::new(Kind::Argument, format!("{what} cannot be returned to Python")).into_pyerr(py))
}

fn dict_of<'py>(py: Python<'py>, record: &Snapshot, depth: usize) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in record.fields() {
        dict.set_item(name.as_str(), back(py, value, depth + 1)?)?;
    }
    Ok(dict)
}

pub fn too_deep() -> Fault {
    Fault::new(Kind::Argument, format!("nested deeper than {DEEPEST} levels"))
}
