//! The budget of the script call that runs on this thread: operations, wall clock, memory.
//!
//! Rhai counts operations itself, but forgets those of a closure that a native function calls (it runs on a copy of the
//! counter). `on_progress` is called for each operation wherever it happens, so the count is kept here, per thread.
//! Rhai stays on the thread that called it, also on a stack of our own.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rhai::{Dynamic, EvalAltResult, Position};

use crate::errors::{Fault, Kind};
use crate::memory;

/// The clock is read once in this many operations (a power of two): it costs as much as an operation.
const CLOCK_EVERY: u64 = 64;

#[derive(Clone, Copy)]
pub struct Budget {
    pub operations: u64,
    pub memory_bytes: isize,
    pub timeout: Duration,
}

#[derive(Clone, Copy)]
struct Run {
    used: u64,
    operations: u64,
    memory_ceiling: isize,
    budget: Option<(Budget, Instant)>,
}

const IDLE: Run = Run { used: 0, operations: u64::MAX, memory_ceiling: isize::MAX, budget: None };

thread_local! {
    static RUN: Cell<Run> = const { Cell::new(IDLE) };
}

/// While it lives, operations on this thread are charged to its budget. Calls nest: a host function may call a script.
pub struct Guard(Run);

impl Guard {
    pub fn enter(budget: Budget) -> Self {
        let run = Run {
            used: 0,
            operations: budget.operations,
            memory_ceiling: memory::held().saturating_add(budget.memory_bytes),
            budget: Some((budget, Instant::now())),
        };
        Self(RUN.replace(run))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        RUN.set(self.0);
    }
}

/// Rhai's `on_progress`: a value ends the script with `ErrorTerminated`.
#[inline]
pub fn on_progress(_operations: u64) -> Option<Dynamic> {
    step(1, false)
}

/// Charge `operations` for work that a function of ours does in Rust.
#[inline]
pub fn charge(operations: usize) -> Result<(), Box<EvalAltResult>> {
    step(operations as u64, operations as u64 >= CLOCK_EVERY).map_or(Ok(()), terminated)
}

/// Look at the clock at once: after a host function, which may have taken any time.
pub fn check_clock() -> Result<(), Box<EvalAltResult>> {
    step(0, true).map_or(Ok(()), terminated)
}

fn terminated(token: Dynamic) -> Result<(), Box<EvalAltResult>> {
    Err(Box::new(EvalAltResult::ErrorTerminated(token, Position::NONE)))
}

#[inline]
fn step(operations: u64, look_at_clock: bool) -> Option<Dynamic> {
    RUN.with(|cell| {
        let mut run = cell.get();
        run.used += operations;
        cell.set(run);
        let quiet = run.used <= run.operations && memory::held() <= run.memory_ceiling;
        if quiet && !look_at_clock && run.used % CLOCK_EVERY != 0 { None } else { exhausted(&run) }
    })
}

#[cold]
#[inline(never)]
fn exhausted(run: &Run) -> Option<Dynamic> {
    let (budget, started) = run.budget?;
    let fault = if run.used > run.operations {
        Fault::new(Kind::Limit, format!("more than {} operations", budget.operations))
    } else if memory::held() > run.memory_ceiling {
        Fault::new(Kind::Limit, format!("more than {} bytes of memory", budget.memory_bytes))
    } else if started.elapsed() > budget.timeout {
        Fault::new(Kind::Timeout, format!("took longer than {} ms", budget.timeout.as_secs_f64() * 1e3))
    } else {
        return None;
    };
    Some(Dynamic::from(fault))
}
