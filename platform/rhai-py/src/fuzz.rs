//! A script as a tenant's would run, without Python: what the fuzz target feeds.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};

use crate::engine::{Engine, Parts, default_aliases};
use crate::errors::{Fault, Kind};
use crate::lint::World;
use crate::record::{RecordRef, Snapshot};
use crate::script::Script;
use crate::workers::WorkersRef;

const TIMEOUT: Duration = Duration::from_millis(20);
const MOST_ARGUMENTS: usize = 3;

static PARTS: LazyLock<Arc<Parts>> = LazyLock::new(|| {
    let engine = Engine::new(None, default_aliases(), None, vec!["hives".into()]);
    engine.expect("an engine of defaults").parts
});

/// Compiles the source, checks it, and calls each of its functions, with records first and then with other values. Panics
/// where the engine did.
pub fn run(source: &str) {
    let script = match Script::compile(&PARTS, source) {
        Ok(script) => script,
        Err(fault) => return assert_no_panic(&fault),
    };
    if let Err(fault) = script.program.lint(&world(&script)) {
        assert_no_panic(&fault);
    }
    let (records, others) = (vec![task(), workers(), workers()], edges());
    for (name, arity) in script
        .functions
        .iter()
        .filter(|(_, arity)| *arity <= MOST_ARGUMENTS)
    {
        for values in [&records, &others] {
            let arguments = values[..*arity].to_vec();
            if let Err(fault) = script
                .program
                .call(name, arguments, vec![workers()], TIMEOUT, None)
            {
                assert_no_panic(&fault);
            }
        }
    }
}

fn assert_no_panic(fault: &Fault) {
    assert!(fault.kind != Kind::Panic, "{}", fault.message);
}

fn world(script: &Script) -> World {
    let kinds = ["task", "workers", "workers"].map(|kind| Some(kind.to_owned()));
    let entry_points = script
        .functions
        .iter()
        .filter(|(_, arity)| *arity <= MOST_ARGUMENTS)
        .map(|(name, arity)| (name.clone(), kinds[..*arity].to_vec()))
        .collect();
    let fields = |names: [&str; 2]| names.map(|name| (name.to_owned(), None)).into();
    World::new(
        entry_points,
        BTreeMap::from([
            ("task".to_owned(), fields(["model", "priority"])),
            ("worker".to_owned(), fields(["id", "load"])),
        ]),
        BTreeMap::from([("workers".to_owned(), "worker".to_owned())]),
        BTreeMap::from([("hives".to_owned(), Some("workers".to_owned()))]),
    )
    .expect("kinds that are described")
}

fn record(kind: &str, fields: &[(&str, Dynamic)]) -> RecordRef {
    let fields = fields
        .iter()
        .map(|(name, value)| (ImmutableString::from(*name), value.clone()))
        .collect();
    RecordRef(Arc::new(Snapshot::new(kind, fields)))
}

fn task() -> Dynamic {
    Dynamic::from(record("task", &[("model", "m".into()), ("priority", 3.into())]))
}

fn workers() -> Dynamic {
    let worker = |number: i64| {
        let fields = [
            ("id", Dynamic::from(format!("w-{number}"))),
            ("load", Dynamic::from(number as f64 / 7.0)),
            ("in_flight", Dynamic::from(number % 3)),
            ("vram_free_mb", Dynamic::from(number * 100)),
            ("model", Dynamic::from("m")),
            ("online", Dynamic::from(true)),
            ("available", Dynamic::from(number % 2 == 0)),
        ];
        record("worker", &fields)
    };
    Dynamic::from(WorkersRef::new((0..20).map(worker).collect(), 3))
}

fn edges() -> Vec<Dynamic> {
    vec![
        Dynamic::from(i64::MIN),
        Dynamic::from_array(vec![
            Dynamic::from(f64::NAN),
            Dynamic::UNIT,
            Dynamic::from("日本"),
        ]),
        Dynamic::from("x".repeat(1000)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is fed reaches the evaluator: a script that is wrong in each call ends, one with a known end gives it.
    #[test]
    fn scripts_are_compiled_checked_and_called() {
        run("fn route_task(task, workers) { workers.filter(|w| w.load < 1.0).least_loaded() }");
        run("fn f(a, b, c) { loop { b.push(a); c += c; } } fn g() { g() }");
        run("fn f(");
        let script = Script::compile(&PARTS, "fn f(a, b) { [a.model, b.len(), hives.len()] }").ok();
        let program = script.expect("it compiles").program;
        let given = program.call("f", vec![task(), workers()], vec![workers()], TIMEOUT, None);
        let array = given
            .ok()
            .and_then(|value| value.into_array().ok())
            .expect("a list");
        assert_eq!(array[1].as_int(), Ok(20));
    }

    #[test]
    #[should_panic(expected = "the script engine panicked: by hand")]
    fn a_panic_is_found() {
        let fault = crate::panics::caught::<()>(|| panic!("by hand")).expect_err("it panicked");
        assert_no_panic(&fault);
    }
}
