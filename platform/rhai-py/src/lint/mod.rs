//! What is certainly wrong in a script, told before it runs: fields that a kind of record does not have, functions and
//! methods that exist nowhere.
//!
//! kinds   what the host says about its records
//! known   which functions there are
//! escape  which functions and map entries may be called in ways that nobody sees
//! walk    goes through the syntax tree with the types that it knows

mod escape;
mod kinds;
mod known;
mod walk;

use std::collections::BTreeMap;

use pyo3::prelude::*;
use rhai::{AST, Position};

use crate::errors::{Fault, Kind};
use kinds::Described;
pub use kinds::{Kinds, Type};
use known::Known;

/// Something that is certainly wrong, and where.
#[pyclass(frozen, eq, hash, get_all, module = "rhai_py")]
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    line: Option<usize>,
    column: Option<usize>,
    kind: &'static str,
    message: String,
}

#[pymethods]
impl Finding {
    fn __repr__(&self) -> String {
        let place = |number: Option<usize>| number.map_or("None".to_owned(), |number| number.to_string());
        format!(
            "Finding(message={:?}, line={}, column={}, kind={:?})",
            self.message,
            place(self.line),
            place(self.column),
            self.kind
        )
    }
}

impl Finding {
    fn new(kind: &'static str, message: String, at: Position) -> Self {
        Self {
            line: at.line(),
            column: at.position(),
            kind,
            message,
        }
    }
}

/// What the host gives to a script.
pub struct World {
    pub kinds: Kinds,
    /// Function, kinds of its parameters.
    pub entry_points: BTreeMap<String, Vec<Type>>,
    pub variables: BTreeMap<String, Type>,
}

impl World {
    pub fn new(
        entry_points: BTreeMap<String, Vec<Option<String>>>,
        kinds: Described,
        lists: BTreeMap<String, String>,
        variables: BTreeMap<String, Option<String>>,
    ) -> PyResult<Self> {
        let kinds = Kinds::new(kinds, lists)?;
        let mut points = BTreeMap::new();
        for (function, parameters) in entry_points {
            let types = parameters.iter().map(|name| kinds.named(name.as_deref()));
            points.insert(function, types.collect::<PyResult<_>>()?);
        }
        let mut given = BTreeMap::new();
        for (variable, name) in variables {
            given.insert(variable, kinds.named(name.as_deref())?);
        }
        Ok(Self {
            kinds,
            entry_points: points,
            variables: given,
        })
    }
}

/// Sorted by place.
pub fn run(ast: &AST, host: &[(String, usize)], world: &World) -> Result<Vec<Finding>, Fault> {
    let known = Known::new(ast, host);
    let mut findings: Vec<Finding> = walk::findings(ast, &known, world)
        .ok_or_else(|| Fault::new(Kind::Limit, "the script is too tangled to be checked"))?
        .into_iter()
        .collect();
    findings.extend(wrong_entry_points(ast, world));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Functions that the host will call with more or fewer arguments than they take.
fn wrong_entry_points(ast: &AST, world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, parameters) in &world.entry_points {
        let takes = |function: &rhai::Shared<rhai::ScriptFuncDef>| function.params.len();
        let all: Vec<_> = ast
            .iter_fn_def()
            .filter(|function| function.name == name.as_str())
            .collect();
        if let Some(first) = all.first()
            && !all.iter().any(|function| takes(function) == parameters.len())
        {
            let message = format!(
                "function '{name}' takes {} arguments, not {}",
                takes(first),
                parameters.len()
            );
            findings.push(Finding::new(
                "missing_function",
                message,
                first.body.start_position(),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::engine::{Engine, default_aliases};
    use crate::limits::Limits;
    use crate::script::{LINT_STACK, Script};

    const AROUND: [(&str, &str); 9] = [
        ("(", ")"),
        ("[", "]"),
        ("if t == 1 { ", " }"),
        ("w.filter(|x| ", ")"),
        ("match 1 { _ => ", " }"),
        ("`${", "}`"),
        ("#{a: ", "}"),
        ("try { ", " } catch { 1 }"),
        ("if t == 1 {} else ", ""),
    ];

    fn deepest(parts: &Arc<crate::engine::Parts>, around: (&str, &str)) -> Script {
        let (opening, closing) = around;
        let nested = |depth: usize| {
            let inner = if closing.is_empty() { "{ 1 }" } else { "1" };
            format!(
                "fn f(t, w) {{ {}{inner}{} }}",
                opening.repeat(depth),
                closing.repeat(depth)
            )
        };
        let compile = |depth| Script::compile(parts, &nested(depth)).ok();
        (1..400).rev().find_map(compile).expect("one of them compiles")
    }

    fn world() -> World {
        World::new(
            BTreeMap::from([("f".to_owned(), vec![None, None])]),
            BTreeMap::new(),
            BTreeMap::new(),
            BTreeMap::new(),
        )
        .expect("a world")
    }

    /// A test runs without optimization, where a frame is several times as large as one of a release.
    #[test]
    fn the_deepest_script_fits_half_of_the_stack() {
        let most = Limits {
            expr_depth: 128,
            function_expr_depth: 128,
            ..Limits::default()
        };
        let parts = Engine::new(Some(most), default_aliases(), None, vec![])
            .expect("an engine")
            .parts;
        for around in AROUND {
            let script = deepest(&parts, around);
            thread::scope(|scope| {
                let checked = thread::Builder::new()
                    .stack_size(LINT_STACK / 2)
                    .spawn_scoped(scope, || {
                        script.program.findings(&world()).map(|found| found.len())
                    });
                let found = checked.expect("a thread").join().expect("it did not panic");
                assert!(found.is_ok(), "{around:?}");
            });
        }
    }
}
