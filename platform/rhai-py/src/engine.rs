//! `Engine`: what every script that it compiles shares.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicBlobPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, FuncRegistration, ImmutableString, Module, OptimizationLevel, Scope, Shared};

use crate::given::Declared;
use crate::limits::Limits;
use crate::script::Script;
use crate::tokens::Aliases;
use crate::values::{NoneValue, Verdict};
use crate::{guard, host, lookup, natives, record, repairs, workers};

const BUILT_IN: [&str; 5] = ["admit", "reject", "none", "bucket", "distance"];

/// Shared by an engine and its scripts. Each script has a Rhai engine of its own, made of these parts: its getters and
/// its captured variables are known only once it is parsed.
pub struct Parts {
    pub limits: Limits,
    aliases: Arc<Aliases>,
    library: Shared<Module>,
    pub host_functions: Vec<String>,
    /// How many arguments each of them takes; one entry for each number.
    pub host_arities: Vec<(String, usize)>,
    pub declared: Declared,
}

/// Compiles scripts. Immutable and safe to use from any number of threads.
#[pyclass(frozen, module = "rhai_py")]
pub struct Engine {
    pub parts: Arc<Parts>,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, limits=None, aliases=default_aliases(), functions=None, variables=vec![]))]
    pub fn new(
        limits: Option<Limits>,
        aliases: Option<BTreeMap<String, String>>,
        functions: Option<&Bound<'_, PyDict>>,
        variables: Vec<String>,
    ) -> PyResult<Self> {
        let mut library = library();
        let (mut host_functions, mut host_arities) = (Vec::new(), Vec::new());
        for (name, callable) in functions.map(|functions| functions.iter()).into_iter().flatten() {
            let name: String = name
                .extract()
                .map_err(|_| PyTypeError::new_err("names of host functions must be strings"))?;
            let arities = host::register(&mut library, &name, &callable, &BUILT_IN)?;
            host_arities.extend(arities.map(|arity| (name.clone(), arity)));
            host_functions.push(name);
        }
        let parts = Parts {
            limits: limits.unwrap_or_default(),
            aliases: Arc::new(Aliases::new(aliases.unwrap_or_default())?),
            library: library.into(),
            host_functions,
            host_arities,
            declared: Declared::new(variables, &BUILT_IN)?,
        };
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    /// Raises `RhaiParseError` or, when the source itself is too large or too deep, `RhaiLimitError`.
    fn compile(&self, py: Python<'_>, source: &str) -> PyResult<Script> {
        let parts = &self.parts;
        py.detach(|| Script::compile(parts, source))
            .map_err(|fault| fault.into_pyerr(py))
    }

    #[getter]
    fn limits(&self) -> Limits {
        self.parts.limits.clone()
    }
}

pub fn default_aliases() -> Option<BTreeMap<String, String>> {
    Some(BTreeMap::from([("match".into(), "switch".into())]))
}

impl Parts {
    /// A Rhai engine that can do what scripts may do, and nothing else.
    pub fn new_rhai(&self) -> rhai::Engine {
        let mut engine = rhai::Engine::new_raw();
        // Names must not be interned: `capture` tells them apart by address, and the interner is a lock.
        engine.set_max_strings_interned(0);
        engine.set_optimization_level(OptimizationLevel::None);
        engine.set_fail_on_invalid_map_property(true);
        engine.on_progress(guard::on_progress);
        let aliases = self.aliases.clone();
        #[allow(deprecated)] // marked so because it is volatile
        engine.on_parse_token(move |token, _, _| aliases.read(token));
        engine.register_global_module(self.library.clone());
        self.limits.apply_to(&mut engine);
        engine
    }
}

/// Constants that every function sees.
pub fn constants() -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push_constant_dynamic("none", Dynamic::from(NoneValue));
    scope
}

/// One module, so that a function is looked for in one table. Rhai's core package is left out: it has `sleep`.
pub fn library() -> Module {
    let mut module = Module::new();
    ArithmeticPackage::init(&mut module);
    LogicPackage::init(&mut module);
    BasicMathPackage::init(&mut module);
    BasicStringPackage::init(&mut module);
    MoreStringPackage::init(&mut module);
    BasicArrayPackage::init(&mut module);
    BasicBlobPackage::init(&mut module);
    BasicMapPackage::init(&mut module);
    BasicIteratorPackage::init(&mut module);
    // Else each look-up would hash every function of these packages.
    module.register_lazy_functions();
    repairs::register(&mut module);
    record::register(&mut module);
    workers::register(&mut module);
    lookup::register(&mut module);
    natives::register(&mut module);
    register_verdicts(&mut module);
    register_none(&mut module);
    module
}

fn register_verdicts(module: &mut Module) {
    module.set_custom_type::<Verdict>("verdict");
    FuncRegistration::new("admit").set_into_module(module, Verdict::admit);
    FuncRegistration::new("reject")
        .set_into_module(module, |message: ImmutableString| Verdict::reject(message, None));
    FuncRegistration::new("reject")
        .set_into_module(module, |message: ImmutableString, code: ImmutableString| {
            Verdict::reject(message, Some(code))
        });
}

fn register_none(module: &mut Module) {
    module.set_custom_type::<NoneValue>("none");
    FuncRegistration::new("==").set_into_module(module, |_: NoneValue, _: NoneValue| true);
    FuncRegistration::new("!=").set_into_module(module, |_: NoneValue, _: NoneValue| false);
    FuncRegistration::new("==").set_into_module(module, |_: NoneValue, _: Dynamic| false);
    FuncRegistration::new("!=").set_into_module(module, |_: NoneValue, _: Dynamic| true);
    FuncRegistration::new("==").set_into_module(module, |_: Dynamic, _: NoneValue| false);
    FuncRegistration::new("!=").set_into_module(module, |_: Dynamic, _: NoneValue| true);
    FuncRegistration::new("to_string").set_into_module(module, |_: &mut NoneValue| "none");
}
