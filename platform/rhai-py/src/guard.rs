//! The budget of the script call that runs on this thread: operations, wall clock, memory.
//!
//! Rhai counts operations itself, but forgets those of a closure that a native function calls (it runs on a copy of the
//! counter). `on_progress` is called for each operation wherever it happens, so the count is kept here, per thread.
//! Rhai stays on the thread that called it, also on a stack of our own.
//!
//! A call that must end says so at each of its operations from then on: what ended one of its functions reaches the
//! `catch` around that function as any other error does.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use rhai::{Dynamic, EvalAltResult, Position};

use crate::errors::{Fault, Kind};
use crate::given;
use crate::memory;

/// The clock is read once in this many operations (a power of two): it costs as much as an operation.
const CLOCK_EVERY: u64 = 64;

#[derive(Clone, Copy)]
pub struct Budget {
    pub operations: u64,
    pub memory_bytes: isize,
    /// Wall clock.
    pub timeout: Duration,
    /// What this thread may spend of it; the rest is that of a busy machine, or of a host function that waits.
    pub cpu: Option<Duration>,
}

/// Fields apart, so that an operation touches only what it needs.
struct Run {
    used: Cell<u64>,
    operations: Cell<u64>,
    memory_ceiling: Cell<isize>,
    budget: Cell<Option<(Budget, Instant)>>,
    /// From the first look at the clock: most calls end before it, and need not ask the system.
    cpu_since: Cell<Option<ThreadTime>>,
}

thread_local! {
    static RUN: Run = const {
        Run {
            used: Cell::new(0),
            operations: Cell::new(u64::MAX),
            memory_ceiling: Cell::new(isize::MAX),
            budget: Cell::new(None),
            cpu_since: Cell::new(None),
        }
    };
    /// Why the call must end. Apart, because it is dropped with its thread, which makes it slower to reach.
    static ENDED: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// While it lives, operations on this thread are charged to its budget. Calls nest: a host function may call a script.
pub struct Guard {
    used: u64,
    operations: u64,
    memory_ceiling: isize,
    budget: Option<(Budget, Instant)>,
    cpu_since: Option<ThreadTime>,
    ended: Option<Fault>,
    given: Vec<Dynamic>,
}

impl Guard {
    /// `given` are the values of the host's variables.
    pub fn enter(budget: Budget, given: Vec<Dynamic>) -> Self {
        RUN.with(|run| Self {
            used: run.used.replace(0),
            operations: run.operations.replace(budget.operations),
            memory_ceiling: run
                .memory_ceiling
                .replace(memory::held().saturating_add(budget.memory_bytes)),
            budget: run.budget.replace(Some((budget, Instant::now()))),
            cpu_since: run.cpu_since.take(),
            ended: ENDED.take(),
            given: given::exchange(given),
        })
    }

    /// Why the call had to end, whatever its script made of that.
    pub fn verdict<T>(&self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        match ENDED.with_borrow(Option::clone) {
            Some(ended) => Err(match outcome {
                Err(fault) if fault.kind == ended.kind => fault,
                Err(fault) => ended.at(fault.position),
                Ok(_) => ended,
            }),
            None => outcome,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        RUN.with(|run| {
            run.used.set(self.used);
            run.operations.set(self.operations);
            run.memory_ceiling.set(self.memory_ceiling);
            run.budget.set(self.budget);
            run.cpu_since.set(self.cpu_since);
        });
        ENDED.set(self.ended.take());
        given::exchange(std::mem::take(&mut self.given));
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

/// End the call for another reason than its budget, past every `catch` of its script.
pub fn end(fault: Fault) -> Box<EvalAltResult> {
    let token = RUN.with(|run| ended(run, fault));
    Box::new(EvalAltResult::ErrorTerminated(token, Position::NONE))
}

fn terminated(token: Dynamic) -> Result<(), Box<EvalAltResult>> {
    Err(Box::new(EvalAltResult::ErrorTerminated(token, Position::NONE)))
}

#[inline]
fn step(operations: u64, look_at_clock: bool) -> Option<Dynamic> {
    RUN.with(|run| {
        let used = run.used.get() + operations;
        run.used.set(used);
        let within = used <= run.operations.get() && memory::held() <= run.memory_ceiling.get();
        if within && !look_at_clock && !used.is_multiple_of(CLOCK_EVERY) {
            None
        } else {
            exhausted(run)
        }
    })
}

#[cold]
#[inline(never)]
fn exhausted(run: &Run) -> Option<Dynamic> {
    let (budget, started) = run.budget.get()?;
    if let Some(fault) = ENDED.with_borrow(Option::clone) {
        return Some(Dynamic::from(fault));
    }
    let fault = if run.used.get() > budget.operations {
        Fault::new(Kind::Limit, format!("more than {} operations", budget.operations))
    } else if memory::held() > run.memory_ceiling.get() {
        Fault::new(
            Kind::Limit,
            format!("more than {} bytes of memory", budget.memory_bytes),
        )
    } else if let Some(why) = out_of_time(run, &budget, started.elapsed()) {
        Fault::new(Kind::Timeout, why)
    } else {
        return None;
    };
    Some(ended(run, fault))
}

fn out_of_time(run: &Run, budget: &Budget, elapsed: Duration) -> Option<String> {
    if elapsed > budget.timeout {
        return Some(format!("took longer than {} ms", milliseconds(budget.timeout)));
    }
    let cpu = budget.cpu?;
    let Some(since) = run.cpu_since.get() else {
        run.cpu_since.set(ThreadTime::try_now().ok());
        return None;
    };
    // No thread computes for longer than the wall clock runs.
    let over = elapsed > cpu && since.try_elapsed().is_ok_and(|used| used > cpu);
    over.then(|| format!("computed for longer than {} ms", milliseconds(cpu)))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ended(run: &Run, fault: Fault) -> Dynamic {
    run.operations.set(0); // none is within that
    ENDED.set(Some(fault.clone()));
    Dynamic::from(fault)
}
