//! `Workers`: the list of records that a routing script chooses from.
//!
//! It is no Rhai array: a thousand workers pass the array limit, filtering one copies pointers only, and the choosing
//! methods give `none` on an empty list instead of failing.

use std::any::TypeId;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PySequence, PyTuple};
use rhai::{Dynamic, EvalAltResult, FnPtr, FuncRegistration, ImmutableString, Module, NativeCallContext};

use crate::calls::{ByKey, Caller, Key, type_error};
use crate::convert;
use crate::guard;
use crate::record::{Field, Record, RecordRef};
use crate::values::NoneValue;

type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// The list as scripts hold it.
#[derive(Clone)]
pub struct WorkersRef {
    records: Arc<Vec<RecordRef>>,
    round_robin: u64,
}

/// A list of records as scripts see it; `round_robin` is the counter that `workers.round_robin()` goes by.
#[pyclass(frozen, module = "rhai_py")]
pub struct Workers {
    records: Vec<Py<Record>>,
    round_robin: u64,
}

#[pymethods]
impl Workers {
    #[new]
    #[pyo3(signature = (records, *, round_robin=0))]
    fn new(records: &Bound<'_, PySequence>, round_robin: i64) -> PyResult<Self> {
        let records = records.try_iter()?.map(|item| {
            let item = item?;
            let record = item.cast::<Record>().map_err(|_| {
                PyTypeError::new_err(format!(
                    "Workers takes Records, not {}",
                    item.get_type()
                        .name()
                        .map_or_else(|_| "objects".into(), |name| name.to_string())
                ))
            })?;
            Record::reference(record)?;
            Ok(record.clone().unbind())
        });
        Ok(Self {
            records: records.collect::<PyResult<_>>()?,
            round_robin: round_robin.rem_euclid(1 << 62) as u64,
        })
    }

    fn __len__(&self) -> usize {
        self.records.len()
    }

    fn to_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.records)
    }

    /// These fields of each record: a tuple a record. Raises KeyError, naming the nearest field.
    #[pyo3(signature = (*names))]
    fn rows<'py>(&self, py: Python<'py>, names: Vec<String>) -> PyResult<Bound<'py, PyList>> {
        let fields: Vec<Field> = names.into_iter().map(Field::new).collect();
        let row = |record: &Py<Record>| {
            let snapshot = record.get().snapshot();
            let values = fields.iter().map(|field| match field.find(&snapshot) {
                Some(value) => convert::to_python(py, value),
                None => Err(PyKeyError::new_err(snapshot.missing(&field.name).message)),
            });
            PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)
        };
        PyList::new(py, self.records.iter().map(row).collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self) -> String {
        format!("Workers({} records)", self.records.len())
    }
}

impl Workers {
    /// The records as they are at this moment.
    pub fn reference(&self) -> WorkersRef {
        let records = self
            .records
            .iter()
            .map(|record| RecordRef(record.get().snapshot()))
            .collect();
        WorkersRef::new(records, self.round_robin)
    }

    pub fn from_reference<'py>(py: Python<'py>, workers: &WorkersRef) -> PyResult<Bound<'py, Self>> {
        let records = workers
            .records
            .iter()
            .map(|record| Ok(record.to_object(py)?.unbind()));
        let records = records.collect::<PyResult<_>>()?;
        Bound::new(
            py,
            Self {
                records,
                round_robin: workers.round_robin,
            },
        )
    }
}

impl WorkersRef {
    pub fn new(records: Vec<RecordRef>, round_robin: u64) -> Self {
        Self {
            records: Arc::new(records),
            round_robin,
        }
    }

    pub fn records(&self) -> &[RecordRef] {
        &self.records
    }

    /// A list of these records, at the same count of `round_robin`.
    pub fn with(&self, records: Vec<RecordRef>) -> Self {
        Self::new(records, self.round_robin)
    }

    pub fn keep(&self, mut test: impl FnMut(&RecordRef) -> Outcome<bool>) -> Outcome<Self> {
        let mut kept = Vec::new();
        for record in self.records.iter() {
            if test(record)? {
                kept.push(record.clone());
            }
        }
        Ok(self.with(kept))
    }

    /// The record with the smallest key; of equal ones the first.
    fn least<K: PartialOrd>(&self, mut key: impl FnMut(&RecordRef) -> Outcome<K>) -> Outcome<Dynamic> {
        guard::charge(self.records.len())?;
        let mut best: Option<(K, &RecordRef)> = None;
        for record in self.records.iter() {
            let key = key(record)?;
            if best.as_ref().is_none_or(|(least, _)| key < *least) {
                best = Some((key, record));
            }
        }
        Ok(record_or_none(best.map(|(_, record)| record)))
    }

    fn at(&self, index: i64) -> Dynamic {
        let length = self.records.len() as i64;
        let at = if index < 0 {
            index.saturating_add(length)
        } else {
            index
        };
        record_or_none(usize::try_from(at).ok().and_then(|at| self.records.get(at)))
    }
}

pub fn record_or_none(record: Option<&RecordRef>) -> Dynamic {
    record.map_or_else(
        || Dynamic::from(NoneValue),
        |record| Dynamic::from(record.clone()),
    )
}

pub fn register(module: &mut Module) {
    module.set_custom_type::<WorkersRef>("workers");
    module.set_iter(TypeId::of::<WorkersRef>(), |workers| {
        let workers = workers.cast::<WorkersRef>();
        Box::new((0..workers.records.len()).map(move |at| Dynamic::from(workers.records[at].clone())))
    });
    register_list(module);
    register_filters(module);
    register_choices(module);
}

fn register_list(module: &mut Module) {
    for name in ["len", "is_empty"] {
        let value = move |workers: &mut WorkersRef| match name {
            "len" => Dynamic::from(workers.records.len() as i64),
            _ => Dynamic::from(workers.records.is_empty()),
        };
        FuncRegistration::new(name).set_into_module(module, value);
        FuncRegistration::new_getter(name).set_into_module(module, value);
    }
    FuncRegistration::new_index_getter()
        .set_into_module(module, |workers: &mut WorkersRef, at: i64| workers.at(at));
    FuncRegistration::new("contains").set_into_module(
        module,
        |workers: &mut WorkersRef, record: RecordRef| -> Outcome<bool> {
            guard::charge(workers.records.len())?;
            Ok(workers.records.iter().any(|known| known.same(&record)))
        },
    );
    FuncRegistration::new("contains").set_into_module(module, |_: &mut WorkersRef, _: NoneValue| false);
    FuncRegistration::new("to_string").set_into_module(module, |workers: &mut WorkersRef| {
        format!("{} workers", workers.records.len())
    });
}

fn register_filters(module: &mut Module) {
    FuncRegistration::new("filter").set_into_module(
        module,
        |context: NativeCallContext, workers: &mut WorkersRef, test: FnPtr| -> Outcome<WorkersRef> {
            let mut caller = Caller::new(&context, &test);
            workers.keep(|record| {
                let answer = caller.call(Dynamic::from(record.clone()))?;
                answer.as_bool().map_err(|found| {
                    type_error(format!(
                        "the function given to filter must return true or false, not {found}"
                    ))
                })
            })
        },
    );
    let in_flight = Field::new("in_flight");
    FuncRegistration::new("idle").set_into_module(
        module,
        move |workers: &mut WorkersRef| -> Outcome<WorkersRef> {
            guard::charge(workers.records.len())?;
            workers.keep(|record| Ok(Key::number(record, &in_flight)? == 0.0))
        },
    );
    let model = Field::new("model");
    FuncRegistration::new("with_model").set_into_module(
        module,
        move |workers: &mut WorkersRef, name: ImmutableString| -> Outcome<WorkersRef> {
            guard::charge(workers.records.len())?;
            workers.keep(|record| {
                let value = model
                    .find(&record.0)
                    .ok_or_else(|| record.0.missing(&model.name).into_rhai())?;
                Ok(value.as_immutable_string_ref().is_ok_and(|value| *value == name))
            })
        },
    );
    let vram = FreeVram::new();
    let with_capacity = move |workers: &mut WorkersRef, needed: f64| -> Outcome<WorkersRef> {
        guard::charge(workers.records.len())?;
        workers.keep(|record| Ok(vram.of(record)? >= needed))
    };
    let with_whole = with_capacity.clone();
    FuncRegistration::new("with_capacity").set_into_module(module, with_capacity);
    FuncRegistration::new("with_capacity")
        .set_into_module(module, move |workers: &mut WorkersRef, needed: i64| {
            with_whole(workers, needed as f64)
        });
}

fn register_choices(module: &mut Module) {
    FuncRegistration::new("first").set_into_module(module, |workers: &mut WorkersRef| {
        record_or_none(workers.records.first())
    });
    FuncRegistration::new("round_robin").set_into_module(module, |workers: &mut WorkersRef| {
        let length = workers.records.len() as u64;
        record_or_none(
            workers
                .round_robin
                .checked_rem(length)
                .map(|at| &workers.records[at as usize]),
        )
    });
    let (load, in_flight, vram) = (Field::new("load"), Field::new("in_flight"), FreeVram::new());
    FuncRegistration::new("least_loaded").set_into_module(module, move |workers: &mut WorkersRef| {
        workers.least(|record| {
            let busy = Key::number_or(record, &in_flight, 0.0);
            Ok((
                Key::number(record, &load)?,
                busy,
                -vram.find(record).unwrap_or(0.0),
            ))
        })
    });
    let vram = FreeVram::new();
    FuncRegistration::new("most_vram_free").set_into_module(module, move |workers: &mut WorkersRef| {
        workers.least(|record| Ok(-vram.of(record)?))
    });
    for (name, reverse) in [("min_by", false), ("max_by", true)] {
        FuncRegistration::new(name).set_into_module(
            module,
            move |context: NativeCallContext, workers: &mut WorkersRef, key: FnPtr| -> Outcome<Dynamic> {
                let mut caller = Caller::new(&context, &key);
                let mut keys = ByKey::new(name, reverse);
                workers.least(|record| keys.next(caller.call(Dynamic::from(record.clone()))?))
            },
        );
        FuncRegistration::new(name).set_into_module(
            module,
            move |workers: &mut WorkersRef, field: ImmutableString| -> Outcome<Dynamic> {
                let field = Field::new(field);
                let mut keys = ByKey::new(name, reverse);
                workers.least(|record| {
                    let value = field
                        .find(&record.0)
                        .ok_or_else(|| record.0.missing(&field.name).into_rhai())?;
                    keys.next(value.clone())
                })
            },
        );
    }
}

/// Free memory by either of its names; both count mebibytes.
struct FreeVram {
    mib: Field,
    mb: Field,
}

impl Clone for FreeVram {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl FreeVram {
    fn new() -> Self {
        Self {
            mib: Field::new("vram_free_mib"),
            mb: Field::new("vram_free_mb"),
        }
    }

    fn find(&self, record: &RecordRef) -> Option<f64> {
        let value = self.mb.find(&record.0).or_else(|| self.mib.find(&record.0))?;
        Key::as_number(value)
    }

    fn of(&self, record: &RecordRef) -> Outcome<f64> {
        self.find(record)
            .ok_or_else(|| record.0.missing("vram_free_mb").into_rhai())
    }
}
