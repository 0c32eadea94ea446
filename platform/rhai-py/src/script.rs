//! `Script`: one compiled source and the calls of its functions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rhai::{AST, CallFnOptions, Dynamic, FnPtr, Module, ParseError, ParseErrorType, Scope, Stmt};
use sha2::{Digest, Sha256};

use crate::capture::Findings;
use crate::convert::{self, Nested};
use crate::engine::{Parts, constants};
use crate::errors::{Fault, Kind};
use crate::explain;
use crate::guard::Guard;
use crate::limits::Limits;
use crate::lint::{self, Finding, World};
use crate::tokens::Words;
use crate::{panics, record};

/// Top-level constants are computed once, when a script is compiled.
const CONSTANTS_TIMEOUT: Duration = Duration::from_millis(20);

/// Checking recurses on the syntax tree, which is at most 400 levels deep.
pub const LINT_STACK: usize = 4 << 20;

const LONGEST_TIMEOUT_MS: f64 = 86_400_000.0;

/// A compiled source. Immutable and safe to call from any number of threads at once.
#[pyclass(frozen, module = "rhai_py")]
pub struct Script {
    source: String,
    #[pyo3(get)]
    sha256: String,
    #[pyo3(get)]
    pub functions: Vec<(String, usize)>,
    pub program: Arc<Program>,
}

pub struct Program {
    engine: rhai::Engine,
    ast: AST,
    parts: Arc<Parts>,
}

#[pymethods]
impl Script {
    #[getter]
    fn source(&self) -> &str {
        &self.source
    }

    fn has_function(&self, name: &str, arity: usize) -> bool {
        self.functions
            .iter()
            .any(|(known, parameters)| known == name && *parameters == arity)
    }

    /// Run one function. The GIL is released meanwhile; `timeout_ms` is wall-clock time, `cpu_ms` what the thread may
    /// compute of it.
    #[pyo3(signature = (r#fn, *args, variables=None, timeout_ms=20.0, cpu_ms=None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        r#fn: &str,
        args: &Bound<'py, PyTuple>,
        variables: Option<&Bound<'py, PyDict>>,
        timeout_ms: f64,
        cpu_ms: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let timeout = duration("timeout_ms", timeout_ms)?;
        let cpu = cpu_ms.map(|cpu_ms| duration("cpu_ms", cpu_ms)).transpose()?;
        let values = self.arguments(r#fn, args).map_err(|fault| fault.into_pyerr(py))?;
        let program = &*self.program;
        let declared = &program.parts.declared;
        let given = declared
            .convert(variables)
            .map_err(|fault| fault.into_pyerr(py))?;
        let outcome = py.detach(|| program.call(r#fn, values, given, timeout, cpu));
        let value = outcome.map_err(|fault| fault.into_pyerr(py))?;
        convert::to_python(py, &value)
    }

    /// What is certainly wrong when functions are called with records of these kinds.
    #[pyo3(signature = (entry_points, kinds, lists=None, variables=None))]
    fn lint(
        &self,
        py: Python<'_>,
        entry_points: BTreeMap<String, Vec<Option<String>>>,
        kinds: BTreeMap<String, BTreeMap<String, Option<String>>>,
        lists: Option<BTreeMap<String, String>>,
        variables: Option<BTreeMap<String, Option<String>>>,
    ) -> PyResult<Vec<Finding>> {
        let world = World::new(
            entry_points,
            kinds,
            lists.unwrap_or_default(),
            variables.unwrap_or_default(),
        )?;
        self.program.lint(&world).map_err(|fault| fault.into_pyerr(py))
    }

    fn __repr__(&self) -> String {
        let functions: Vec<String> = self
            .functions
            .iter()
            .map(|(name, arity)| format!("{name}/{arity}"))
            .collect();
        format!("Script({}, sha256={})", functions.join(", "), &self.sha256[..12])
    }
}

impl Script {
    pub fn compile(parts: &Arc<Parts>, source: &str) -> Result<Self, Fault> {
        let most = parts.limits.script_bytes;
        if source.len() > most {
            return Err(Fault::new(
                Kind::Limit,
                format!(
                    "the script has {} bytes; at most {most} are allowed",
                    source.len()
                ),
            ));
        }
        let program = panics::caught(|| on_own_stack(&parts.limits, || Program::compile(parts, source)))?;
        let mut functions: Vec<(String, usize)> = program
            .ast
            .iter_fn_def()
            .filter(|function| !function.name.starts_with("anon$"))
            .map(|function| (function.name.to_string(), function.params.len()))
            .collect();
        functions.sort();
        let mut sha256 = String::with_capacity(64);
        for byte in Sha256::digest(source.as_bytes()) {
            let _ = write!(sha256, "{byte:02x}");
        }
        Ok(Self {
            source: source.to_owned(),
            sha256,
            functions,
            program: Arc::new(program),
        })
    }

    fn arguments(&self, name: &str, arguments: &Bound<'_, PyTuple>) -> Result<Vec<Dynamic>, Fault> {
        if !self.has_function(name, arguments.len()) {
            return Err(explain::no_entry_point(name, arguments.len(), &self.functions));
        }
        let convert = |(index, value)| {
            convert::to_rhai(&value, Nested::Map)
                .map_err(|fault| fault.within(&format!("argument {}", index + 1)))
        };
        arguments.iter().enumerate().map(convert).collect()
    }
}

impl Program {
    fn compile(parts: &Arc<Parts>, source: &str) -> Result<Self, Fault> {
        let mut engine = parts.new_rhai();
        let mut scope = constants();
        for name in parts.declared.names() {
            scope.push_constant_dynamic(name, Dynamic::UNIT);
        }
        let ast = match parse(&mut engine, &scope, source, true) {
            Ok(ast) if ast.statements().is_empty() => ast,
            Ok(_) => with_constants(parts, &mut engine, &mut scope, source)?,
            Err((error, _)) if matches!(*error.0, ParseErrorType::VariableUndefined(_)) => {
                with_constants(parts, &mut engine, &mut scope, source)?
            }
            Err((error, words)) => return Err(explain::parse_error(error, &words, &parts.limits)),
        };
        let findings = Findings::of(&ast, &parts.declared)?;
        findings.resolve_variables(&mut engine, &scope, parts);
        let mut own = Module::new();
        findings
            .properties
            .iter()
            .for_each(|name| record::register_getter(&mut own, name));
        for (name, _, value) in scope.iter() {
            own.set_var(name, value);
        }
        engine.register_global_module(own.into());
        Ok(Self {
            engine,
            ast,
            parts: parts.clone(),
        })
    }

    pub fn lint(&self, world: &World) -> Result<Vec<Finding>, Fault> {
        panics::caught(|| stacker::grow(LINT_STACK, || self.findings(world)))
    }

    /// On the stack of the caller.
    pub fn findings(&self, world: &World) -> Result<Vec<Finding>, Fault> {
        lint::run(&self.ast, &self.parts.host_arities, world)
    }

    pub fn call(
        &self,
        name: &str,
        mut arguments: Vec<Dynamic>,
        mut given: Vec<Dynamic>,
        timeout: Duration,
        cpu: Option<Duration>,
    ) -> Result<Dynamic, Fault> {
        let limits = &self.parts.limits;
        let outcome = panics::caught(|| {
            on_own_stack(limits, || {
                let guard = Guard::enter(limits.budget(timeout, cpu), std::mem::take(&mut given));
                let options = CallFnOptions::new().eval_ast(false);
                let arguments = std::mem::take(&mut arguments);
                let outcome = self
                    .engine
                    .call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &self.ast, name, arguments)
                    .map_err(Fault::from);
                match guard.verdict(outcome) {
                    Ok(value) if convert::is_too_deep(&value) => Err(convert::too_deep()),
                    outcome => outcome,
                }
            })
        });
        outcome.map_err(|fault| explain::run_error(fault, &self.ast, name, &self.parts))
    }
}

fn duration(name: &str, milliseconds: f64) -> PyResult<Duration> {
    if milliseconds > 0.0 && milliseconds <= LONGEST_TIMEOUT_MS {
        return Ok(Duration::from_secs_f64(milliseconds / 1e3));
    }
    Err(PyValueError::new_err(format!(
        "{name} must be positive and at most a day, not {milliseconds}"
    )))
}

/// Values of the top-level `const`s join `scope`; the source is parsed again with their names known.
fn with_constants(
    parts: &Arc<Parts>,
    engine: &mut rhai::Engine,
    scope: &mut Scope<'static>,
    source: &str,
) -> Result<AST, Fault> {
    let draft = parse(engine, scope, source, false)
        .map_err(|(error, words)| explain::parse_error(error, &words, &parts.limits))?;
    for statement in draft.statements() {
        if !is_constant(statement) {
            let why = "only functions and constants may stand at the top level";
            return Err(Fault::new(Kind::Parse, why).at(statement.position()));
        }
        if let Stmt::Var(constant, ..) = statement
            && parts.declared.slot(&constant.0.name).is_some()
        {
            let why = format!(
                "'{}' is a variable of the host; give the constant another name",
                constant.0.name
            );
            return Err(Fault::new(Kind::Parse, why).at(statement.position()));
        }
    }
    {
        let guard = Guard::enter(parts.limits.budget(CONSTANTS_TIMEOUT, None), Vec::new());
        guard.verdict(engine.run_ast_with_scope(scope, &draft).map_err(Fault::from))?;
    }
    for (name, _, value) in scope.iter() {
        if value.is::<FnPtr>() {
            return Err(Fault::new(
                Kind::Parse,
                format!("constant '{name}' is a function; declare it with fn"),
            ));
        }
        if convert::is_too_deep(&value) {
            return Err(convert::too_deep().within(name));
        }
    }
    let ast = parse(engine, scope, source, true)
        .map_err(|(error, words)| explain::parse_error(error, &words, &parts.limits))?;
    Ok(AST::new([], ast.shared_lib().clone()))
}

fn is_constant(statement: &Stmt) -> bool {
    match statement {
        Stmt::Noop(_) => true,
        Stmt::Var(_, options, _) => options.contains(rhai::ASTFlags::CONSTANT),
        _ => false,
    }
}

/// `strict`: an unknown variable is an error here, not when it is read.
fn parse(
    engine: &mut rhai::Engine,
    scope: &Scope<'static>,
    source: &str,
    strict: bool,
) -> Result<AST, (ParseError, Words)> {
    engine.set_strict_variables(strict);
    Words::begin();
    let parsed = engine.compile_with_scope(scope, source);
    let words = Words::finish();
    parsed.map_err(|error| (error, words))
}

/// Evaluation recurses: calls times the depth of what each evaluates. Both are limited, so the stack that they can use
/// is known; where less is left (threads of asyncio, macOS or musl are small) a stack of that size is made first. A
/// check costs nanoseconds, a new stack about ten microseconds, handing the call to a thread of our own more than that.
fn on_own_stack<T>(limits: &Limits, run: impl FnOnce() -> T) -> T {
    let needed = limits.stack_bytes();
    stacker::maybe_grow(needed, needed + (64 << 10), run)
}
