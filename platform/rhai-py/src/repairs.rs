//! Functions of Rhai's packages that a hostile argument would keep running: nothing can stop them from outside.

use rhai::{EvalAltResult, FuncRegistration, Module, NativeCallContext, Position};

/// To be called after the packages, whose functions of the same name and types it replaces.
pub fn register(module: &mut Module) {
    FuncRegistration::new("pad").set_into_module(module, pad);
}

/// Rhai's own never ends when `padding` is empty.
fn pad(
    context: NativeCallContext,
    text: &mut rhai::ImmutableString,
    length: i64,
    padding: &str,
) -> Result<(), Box<EvalAltResult>> {
    let length = usize::try_from(length).unwrap_or(0);
    if length > context.engine().max_string_size() {
        return Err(Box::new(EvalAltResult::ErrorDataTooLarge(
            "Length of string".into(),
            Position::NONE,
        )));
    }
    let missing = length.saturating_sub(text.chars().count());
    if missing > 0 && !padding.is_empty() {
        text.make_mut().extend(padding.chars().cycle().take(missing));
    }
    Ok(())
}
