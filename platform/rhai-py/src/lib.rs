//! Rhai for Python: `Engine` compiles a source into a `Script`, `Script.call` runs one of its functions.
//!
//! engine    what every script of an engine shares: limits, aliases, built-in and host functions
//! script    one compiled source: its checks, its calls
//! guard     the budget of the call that runs on this thread: operations, time, memory
//! capture   closures copy what they use of their surroundings, so nothing is shared and nothing can leak
//! lint      what is certainly wrong, told before a script runs
//! record    host objects with named fields; workers: a list of them
//! convert   values between Python and Rhai
//! fuzz      a script as a tenant's would run, without Python: what the fuzz target feeds

mod calls;
mod capture;
mod convert;
mod engine;
mod errors;
mod explain;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod given;
mod guard;
mod hash;
mod host;
mod limits;
mod lint;
mod lookup;
mod memory;
mod names;
mod natives;
mod panics;
mod record;
mod repairs;
mod script;
mod tokens;
mod values;
mod workers;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::limits::Limits;
    #[pymodule_export]
    use crate::lint::Finding;
    #[pymodule_export]
    use crate::record::Record;
    #[pymodule_export]
    use crate::script::Script;
    #[pymodule_export]
    use crate::values::{Frozen, None_, Verdict, freeze};
    #[pymodule_export]
    use crate::workers::Workers;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::panics::keep_silent();
        crate::errors::add_to(module)?;
        module.add("none", crate::values::none(py)?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
