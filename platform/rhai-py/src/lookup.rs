//! Methods of `workers` that go by what a record is: `get`, `exclude`, `sticky`, `online`, `available`, `sort_by`.

use std::cmp::Ordering;

use rhai::{Dynamic, EvalAltResult, FnPtr, FuncRegistration, ImmutableString, Module, NativeCallContext};

use crate::calls::{ByKey, Caller, Key, type_error};
use crate::guard;
use crate::hash::Stable;
use crate::record::{Field, RecordRef};
use crate::values::NoneValue;
use crate::workers::{WorkersRef, record_or_none};

type Outcome<T> = Result<T, Box<EvalAltResult>>;

pub fn register(module: &mut Module) {
    register_identity(module);
    register_flags(module);
    register_order(module);
}

fn register_identity(module: &mut Module) {
    let names = ["id", "name", "hive"].map(Field::new);
    FuncRegistration::new("get").set_into_module(
        module,
        move |workers: &mut WorkersRef, id: ImmutableString| -> Outcome<Dynamic> {
            let records = workers.records();
            guard::charge(records.len())?;
            let found = records
                .iter()
                .find(|record| named(record, &names[0], &id))
                .or_else(|| {
                    records.iter().find(|record| {
                        names[0].find(&record.0).is_none()
                            && names[1..].iter().any(|name| named(record, name, &id))
                    })
                });
            Ok(record_or_none(found))
        },
    );
    FuncRegistration::new("exclude").set_into_module(
        module,
        |workers: &mut WorkersRef, record: RecordRef| -> Outcome<WorkersRef> {
            guard::charge(workers.records().len())?;
            workers.keep(|known| Ok(!known.same(&record)))
        },
    );
    FuncRegistration::new("exclude")
        .set_into_module(module, |workers: &mut WorkersRef, _: NoneValue| workers.clone());
    let id = std::sync::Arc::new(Field::new("id"));
    let of_number = id.clone();
    FuncRegistration::new("sticky")
        .set_into_module(module, move |workers: &mut WorkersRef, key: ImmutableString| {
            sticky(workers, &id, &key)
        });
    FuncRegistration::new("sticky").set_into_module(module, move |workers: &mut WorkersRef, key: i64| {
        sticky(workers, &of_number, &key.to_string())
    });
}

fn named(record: &RecordRef, field: &Field, name: &ImmutableString) -> bool {
    field
        .find(&record.0)
        .is_some_and(|value| value.as_immutable_string_ref().is_ok_and(|value| *value == *name))
}

/// Rendezvous hashing: every worker gets a weight from the key and its own id, and the heaviest wins. A worker that
/// leaves takes only its own keys with it, and one that comes takes only those that it wins.
fn sticky(workers: &WorkersRef, field: &Field, key: &str) -> Outcome<Dynamic> {
    guard::charge(workers.records().len() + key.len() / 64)?;
    let start = Stable::new().with(key.as_bytes()).with(&[0xff]); // no byte of UTF-8: no key runs into an id
    let mut best: Option<(u64, ImmutableString, &RecordRef)> = None;
    for record in workers.records() {
        let id = id_of(record, field)?;
        let weight = start.with(id.as_bytes()).finish();
        // Equal weights go by id, so that the order of the list never matters.
        if best
            .as_ref()
            .is_none_or(|(most, other, _)| (weight, &id) > (*most, other))
        {
            best = Some((weight, id, record));
        }
    }
    Ok(record_or_none(best.map(|(_, _, record)| record)))
}

fn id_of(record: &RecordRef, field: &Field) -> Outcome<ImmutableString> {
    let value = field
        .find(&record.0)
        .ok_or_else(|| record.0.missing(&field.name).into_rhai())?;
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(text.clone());
    }
    value
        .as_int()
        .map(|number| number.to_string().into())
        .map_err(|found| {
            type_error(format!(
                "{} field 'id' must be a string or an integer, not {found}",
                record.0.kind()
            ))
        })
}

fn register_flags(module: &mut Module) {
    for name in ["online", "available"] {
        let field = Field::new(name);
        FuncRegistration::new(name).set_into_module(
            module,
            move |workers: &mut WorkersRef| -> Outcome<WorkersRef> {
                guard::charge(workers.records().len())?;
                workers.keep(|record| {
                    let value = field
                        .find(&record.0)
                        .ok_or_else(|| record.0.missing(name).into_rhai())?;
                    value.as_bool().map_err(|found| {
                        type_error(format!(
                            "{} field '{name}' must be true or false, not {found}",
                            record.0.kind()
                        ))
                    })
                })
            },
        );
    }
}

fn register_order(module: &mut Module) {
    FuncRegistration::new("sort_by").set_into_module(
        module,
        |context: NativeCallContext, workers: &mut WorkersRef, key: FnPtr| -> Outcome<WorkersRef> {
            let mut caller = Caller::new(&context, &key);
            sorted(workers, |record| caller.call(Dynamic::from(record.clone())))
        },
    );
    FuncRegistration::new("sort_by").set_into_module(
        module,
        |workers: &mut WorkersRef, field: ImmutableString| -> Outcome<WorkersRef> {
            let field = Field::new(field);
            sorted(workers, |record| {
                field
                    .find(&record.0)
                    .cloned()
                    .ok_or_else(|| record.0.missing(&field.name).into_rhai())
            })
        },
    );
}

/// From the smallest key to the largest; equal ones stay in order. Each key is asked for once, before the sorting, so a
/// closure cannot contradict itself.
fn sorted(workers: &WorkersRef, mut key: impl FnMut(&RecordRef) -> Outcome<Dynamic>) -> Outcome<WorkersRef> {
    let count = workers.records().len();
    guard::charge(count * count.checked_ilog2().map_or(1, |log| log as usize + 1))?;
    let mut keys = ByKey::new("sort_by", false);
    let mut keyed: Vec<(Key, &RecordRef)> = Vec::with_capacity(count);
    for record in workers.records() {
        keyed.push((keys.next(key(record)?)?, record));
    }
    keyed.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    Ok(workers.with(keyed.into_iter().map(|(_, record)| record.clone()).collect()))
}
