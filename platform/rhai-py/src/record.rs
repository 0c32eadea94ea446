//! `Record`: a host object with named fields, read-only to scripts.
//!
//! Its fields live in a `Snapshot` behind an `Arc`. A call holds the snapshots that it began with, so a script sees each
//! record in one state; `update` changes the snapshot in place when no call holds it and copies it otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};
use rhai::{Dynamic, FuncRegistration, ImmutableString, Module};

use crate::convert;
use crate::errors::{Fault, Kind};
use crate::names;
use crate::values::NoneValue;

/// What a record is for the whole of its life.
pub struct Identity {
    /// Used in messages: "worker", "task", "worker.geo".
    kind: ImmutableString,
    /// The Python object, so that a script that returns the record returns that object. Weak, or it would own itself.
    /// Unset for the nested dict of a record, which goes back to Python as a dict.
    object: OnceLock<Py<PyWeakrefReference>>,
}

#[derive(Clone)]
pub struct Snapshot {
    identity: Arc<Identity>,
    /// Sorted by name.
    fields: Vec<(ImmutableString, Dynamic)>,
}

/// A record as scripts hold it.
#[derive(Clone)]
pub struct RecordRef(pub Arc<Snapshot>);

impl Snapshot {
    pub fn new(kind: &str, mut fields: Vec<(ImmutableString, Dynamic)>) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            identity: Arc::new(Identity {
                kind: kind.into(),
                object: OnceLock::new(),
            }),
            fields,
        }
    }

    pub fn kind(&self) -> &str {
        &self.identity.kind
    }

    pub fn fields(&self) -> &[(ImmutableString, Dynamic)] {
        &self.fields
    }

    pub fn find(&self, name: &str) -> Option<&Dynamic> {
        self.fields
            .binary_search_by(|(field, _)| field.as_str().cmp(name))
            .ok()
            .map(|at| &self.fields[at].1)
    }

    fn set(&mut self, name: ImmutableString, value: Dynamic) {
        match self.fields.binary_search_by(|(field, _)| field.cmp(&name)) {
            Ok(at) => self.fields[at].1 = value,
            Err(at) => self.fields.insert(at, (name, value)),
        }
    }

    pub fn missing(&self, name: &str) -> Fault {
        let near = names::suggestion(name, self.fields.iter().map(|(field, _)| field.as_str()));
        Fault::new(
            Kind::MissingField,
            format!("{} has no field '{name}'{near}", self.kind()),
        )
    }
}

impl RecordRef {
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.identity, &other.0.identity)
    }

    /// Whether this is a `Record` of Python's, not a dict inside one.
    pub fn is_record(&self) -> bool {
        self.0.identity.object.get().is_some()
    }

    /// The Python object it came from; a new one when that has been collected meanwhile.
    pub fn to_object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Record>> {
        let known = self
            .0
            .identity
            .object
            .get()
            .and_then(|object| object.bind(py).upgrade());
        match known {
            Some(object) => Ok(object.cast_into::<Record>()?),
            None => Bound::new(
                py,
                Record {
                    current: RwLock::new(self.0.clone()),
                },
            ),
        }
    }
}

/// Finds one name in many records: those of a kind have the same shape, so where it was last is where it is.
pub struct Field {
    pub name: ImmutableString,
    last: AtomicUsize,
}

impl Field {
    pub fn new(name: impl Into<ImmutableString>) -> Self {
        Self {
            name: name.into(),
            last: AtomicUsize::new(0),
        }
    }

    #[inline]
    pub fn find<'a>(&self, record: &'a Snapshot) -> Option<&'a Dynamic> {
        let last = self.last.load(Ordering::Relaxed);
        if let Some((name, value)) = record.fields.get(last)
            && *name == self.name
        {
            return Some(value);
        }
        let at = record
            .fields
            .binary_search_by(|(field, _)| field.cmp(&self.name))
            .ok()?;
        self.last.store(at, Ordering::Relaxed);
        Some(&record.fields[at].1)
    }
}

/// A host object with named fields. `kind` is what messages call it.
#[pyclass(frozen, weakref, module = "rhai_py")]
pub struct Record {
    current: RwLock<Arc<Snapshot>>,
}

#[pymethods]
impl Record {
    #[new]
    fn new(kind: &str, fields: &Bound<'_, PyDict>) -> PyResult<Self> {
        if kind.is_empty() {
            return Err(PyValueError::new_err("kind must not be empty"));
        }
        let fields = convert::to_fields(fields, kind).map_err(|fault| fault.into_pyerr(fields.py()))?;
        Ok(Self {
            current: RwLock::new(Arc::new(Snapshot::new(kind, fields))),
        })
    }

    /// Set the given fields, all at once for any reader; the others are not converted again.
    #[pyo3(signature = (**fields))]
    fn update(&self, fields: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let Some(fields) = fields else { return Ok(()) };
        let kind = self.snapshot().identity.kind.clone();
        let fields = convert::to_fields(fields, &kind).map_err(|fault| fault.into_pyerr(fields.py()))?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let snapshot = Arc::make_mut(&mut current);
        fields
            .into_iter()
            .for_each(|(name, value)| snapshot.set(name, value));
        Ok(())
    }

    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let snapshot = self.snapshot();
        let value = snapshot
            .find(name)
            .ok_or_else(|| PyKeyError::new_err(snapshot.missing(name).message))?;
        convert::to_python(py, value)
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::to_dict(py, &self.snapshot())
    }

    #[getter]
    fn kind(&self) -> String {
        self.snapshot().kind().to_owned()
    }

    fn __repr__(&self) -> String {
        let snapshot = self.snapshot();
        let names: Vec<&str> = snapshot.fields.iter().map(|(name, _)| name.as_str()).collect();
        format!("Record({:?}, {})", snapshot.kind(), names.join(", "))
    }
}

impl Record {
    /// The present state, for a call to hold.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn reference(object: &Bound<'_, Self>) -> PyResult<RecordRef> {
        let snapshot = object.get().snapshot();
        if snapshot.identity.object.get().is_none() {
            let weak = PyWeakrefReference::new(object.as_any())?.unbind();
            let _ = snapshot.identity.object.set(weak);
        }
        Ok(RecordRef(snapshot))
    }
}

/// `record.name` for one name that a script uses. Rhai finds a registered getter faster than an indexer, which it only
/// tries after it has built the error of a missing getter.
pub fn register_getter(module: &mut Module, name: &str) {
    let field = Field::new(name);
    FuncRegistration::new_getter(name).set_into_module(module, move |record: &mut RecordRef| {
        field
            .find(&record.0)
            .cloned()
            .ok_or_else(|| record.0.missing(&field.name).into_rhai())
    });
    let name = name.to_owned();
    FuncRegistration::new_getter(&name).set_into_module(module, move |_: &mut NoneValue| {
        Err::<Dynamic, _>(
            Fault::new(
                Kind::MissingField,
                format!("none has no field '{name}': there was nothing to choose"),
            )
            .into_rhai(),
        )
    });
}

pub fn register(module: &mut Module) {
    module.set_custom_type::<RecordRef>("record");
    FuncRegistration::new_index_getter().set_into_module(
        module,
        |record: &mut RecordRef, name: ImmutableString| {
            record
                .0
                .find(&name)
                .cloned()
                .ok_or_else(|| record.0.missing(&name).into_rhai())
        },
    );
    FuncRegistration::new("get").set_into_module(module, |record: &mut RecordRef, name: ImmutableString| {
        record.0.find(&name).cloned().unwrap_or(Dynamic::UNIT)
    });
    FuncRegistration::new("get").set_into_module(
        module,
        |record: &mut RecordRef, name: ImmutableString, default: Dynamic| {
            record.0.find(&name).cloned().unwrap_or(default)
        },
    );
    FuncRegistration::new("contains")
        .set_into_module(module, |record: &mut RecordRef, name: ImmutableString| {
            record.0.find(&name).is_some()
        });
    FuncRegistration::new("keys").set_into_module(module, |record: &mut RecordRef| {
        record
            .0
            .fields
            .iter()
            .map(|(name, _)| Dynamic::from(name.clone()))
            .collect::<rhai::Array>()
    });
    FuncRegistration::new("len")
        .set_into_module(module, |record: &mut RecordRef| record.0.fields.len() as i64);
    FuncRegistration::new("==").set_into_module(module, |a: RecordRef, b: RecordRef| a.same(&b));
    FuncRegistration::new("!=").set_into_module(module, |a: RecordRef, b: RecordRef| !a.same(&b));
    FuncRegistration::new("to_string")
        .set_into_module(module, |record: &mut RecordRef| record.0.kind().to_owned());
    FuncRegistration::new("to_debug")
        .set_into_module(module, |record: &mut RecordRef| record.0.kind().to_owned());
}
