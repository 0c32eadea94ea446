//! `Limits`: how much one call of a script may use.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::guard::Budget;

/// Measured on x86-64 with recursion through every kind of expression: 0.9 KiB for each level of a call and an expression
/// in it, 1.5 KiB for each level of a nested value that is compared or printed. Here both are at least twice that.
const STACK_PER_EXPRESSION: usize = 3 << 10;
const STACK_PER_NESTED_VALUE: usize = 3 << 10;
const STACK_BASE: usize = 256 << 10;

/// The defaults are chosen by their product: `variables` values in each of `call_levels` scopes, each of at most
/// `array_items` items and `string_bytes` of text, stay under `memory_bytes`, which is counted besides.
#[pyclass(frozen, eq, get_all, module = "rhai_py", from_py_object)]
#[derive(Clone, PartialEq, Eq)]
pub struct Limits {
    pub operations: u64,
    pub call_levels: usize,
    pub expr_depth: usize,
    pub function_expr_depth: usize,
    pub string_bytes: usize,
    pub array_items: usize,
    pub map_items: usize,
    pub variables: usize,
    pub functions: usize,
    pub script_bytes: usize,
    pub memory_bytes: usize,
}

#[pymethods]
impl Limits {
    #[new]
    #[pyo3(signature = (*, operations=50_000, call_levels=16, expr_depth=32, function_expr_depth=32, string_bytes=1024,
                        array_items=256, map_items=64, variables=64, functions=32, script_bytes=16_384,
                        memory_bytes=8_388_608))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        operations: u64,
        call_levels: usize,
        expr_depth: usize,
        function_expr_depth: usize,
        string_bytes: usize,
        array_items: usize,
        map_items: usize,
        variables: usize,
        functions: usize,
        script_bytes: usize,
        memory_bytes: usize,
    ) -> PyResult<Self> {
        let limits = Self {
            operations,
            call_levels,
            expr_depth,
            function_expr_depth,
            string_bytes,
            array_items,
            map_items,
            variables,
            functions,
            script_bytes,
            memory_bytes,
        };
        limits.check()?;
        Ok(limits)
    }

    /// What the deepest evaluation that these limits allow can use of the stack: a call on a thread that has less left
    /// makes a stack of its own.
    #[getter]
    pub fn stack_bytes(&self) -> usize {
        let depth = self.expr_depth.max(self.function_expr_depth);
        let calls = (self.call_levels + 2) * depth * STACK_PER_EXPRESSION;
        STACK_BASE + calls + (self.array_items + self.map_items) * STACK_PER_NESTED_VALUE
    }

    fn __repr__(&self) -> String {
        let fields: Vec<String> = self
            .fields()
            .iter()
            .map(|(name, value, _)| format!("{name}={value}"))
            .collect();
        format!("Limits({})", fields.join(", "))
    }

    fn __hash__(&self) -> u64 {
        self.fields().iter().fold(0, |hash, (_, value, _)| {
            hash.wrapping_mul(31).wrapping_add(*value)
        })
    }
}

impl Limits {
    pub fn budget(&self, timeout: Duration, cpu: Option<Duration>) -> Budget {
        Budget {
            operations: self.operations,
            memory_bytes: self.memory_bytes as isize,
            timeout,
            cpu,
        }
    }

    pub fn apply_to(&self, engine: &mut rhai::Engine) {
        engine
            .set_max_call_levels(self.call_levels)
            .set_max_expr_depths(self.expr_depth, self.function_expr_depth)
            .set_max_string_size(self.string_bytes)
            .set_max_array_size(self.array_items)
            .set_max_map_size(self.map_items)
            .set_max_variables(self.variables)
            .set_max_functions(self.functions);
    }

    /// To Rhai 0 means "no limit"; the ceilings keep the deepest evaluation within the stack that a call runs on.
    fn check(&self) -> PyResult<()> {
        for (name, value, most) in self.fields() {
            if value == 0 || value > most {
                return Err(PyValueError::new_err(format!(
                    "{name} must be between 1 and {most}, not {value}"
                )));
            }
        }
        Ok(())
    }

    /// Name, value, ceiling.
    fn fields(&self) -> [(&'static str, u64, u64); 11] {
        [
            ("operations", self.operations, 1_000_000_000),
            ("call_levels", self.call_levels as u64, 64),
            ("expr_depth", self.expr_depth as u64, 128),
            ("function_expr_depth", self.function_expr_depth as u64, 128),
            ("string_bytes", self.string_bytes as u64, 1 << 24),
            ("array_items", self.array_items as u64, 4096),
            ("map_items", self.map_items as u64, 4096),
            ("variables", self.variables as u64, 4096),
            ("functions", self.functions as u64, 4096),
            ("script_bytes", self.script_bytes as u64, 1 << 24),
            ("memory_bytes", self.memory_bytes as u64, 1 << 32),
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 50_000,
            call_levels: 16,
            expr_depth: 32,
            function_expr_depth: 32,
            string_bytes: 1024,
            array_items: 256,
            map_items: 64,
            variables: 64,
            functions: 32,
            script_bytes: 16_384,
            memory_bytes: 8_388_608,
        }
    }
}
