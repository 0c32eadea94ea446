#![no_main]
//! Any text as a script of a tenant: it ends, soon, and never by a panic, an abort or a stack overflow.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| rhai_py::fuzz::run(source));
