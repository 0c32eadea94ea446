//! A panic inside an evaluation becomes an error of kind `panic`; it writes nothing to stderr.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use crate::errors::{Fault, Kind};

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// This library has a Rust runtime of its own, so the hook that is replaced is no other extension's.
pub fn keep_silent() {
    let loud = take_hook();
    set_hook(Box::new(move |info| {
        if !SILENT.get() {
            loud(info);
        }
    }));
}

pub fn caught<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let before = SILENT.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    SILENT.set(before);
    outcome.unwrap_or_else(|payload| {
        Err(Fault::new(
            Kind::Panic,
            format!("the script engine panicked: {}", text(payload.as_ref())),
        ))
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_fault() {
        let fault = caught::<()>(|| panic!("no {}", "way")).expect_err("it panicked");
        assert_eq!(
            (fault.kind, fault.message.as_str()),
            (Kind::Panic, "the script engine panicked: no way")
        );
        assert!(!SILENT.get());
    }
}
