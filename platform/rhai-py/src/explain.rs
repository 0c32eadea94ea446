//! Error messages for the authors of scripts: their words, the nearest name, no Rust types.

use rhai::{AST, ParseError, ParseErrorType};

use crate::engine::Parts;
use crate::errors::{Fault, Kind};
use crate::limits::Limits;
use crate::names;
use crate::tokens::Words;

/// Functions and methods worth suggesting.
pub const KNOWN: [&str; 64] = [
    "sticky",
    "exclude",
    "online",
    "available",
    "sort_by",
    "bucket",
    "distance",
    "filter",
    "first",
    "least_loaded",
    "most_vram_free",
    "round_robin",
    "min_by",
    "max_by",
    "idle",
    "with_model",
    "with_capacity",
    "is_empty",
    "len",
    "contains",
    "admit",
    "reject",
    "keys",
    "values",
    "get",
    "map",
    "reduce",
    "reduce_rev",
    "for_each",
    "find",
    "find_map",
    "some",
    "all",
    "sort",
    "push",
    "pop",
    "shift",
    "insert",
    "remove",
    "append",
    "reverse",
    "index_of",
    "extract",
    "split",
    "trim",
    "replace",
    "starts_with",
    "ends_with",
    "to_upper",
    "to_lower",
    "sub_string",
    "crop",
    "to_string",
    "to_float",
    "to_int",
    "parse_int",
    "parse_float",
    "abs",
    "min",
    "max",
    "floor",
    "ceiling",
    "round",
    "range",
];

pub fn parse_error(error: ParseError, words: &Words, limits: &Limits) -> Fault {
    let near = match &*error.0 {
        ParseErrorType::VariableUndefined(name) => {
            names::suggestion(name, words.names.iter().map(String::as_str))
        }
        _ => String::new(),
    };
    let mut fault = Fault::from(error);
    if fault.kind == Kind::Limit {
        fault.message = limit(&fault.message, limits);
    }
    fault.message = format!("{}{near}", words.in_words_of_author(&fault.message));
    fault
}

pub fn no_entry_point(name: &str, arity: usize, functions: &[(String, usize)]) -> Fault {
    let others: Vec<String> = functions
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, arity)| arity.to_string())
        .collect();
    let message = if others.is_empty() {
        let near = names::suggestion(name, functions.iter().map(|(known, _)| known.as_str()));
        format!("the script has no function '{name}'{near}")
    } else {
        format!(
            "function '{name}' takes {} arguments, not {arity}",
            others.join(" or ")
        )
    };
    Fault::new(Kind::MissingFunction, message)
}

/// `entry` is the function that Python called: Rhai forgets where a limit was passed, so the error is put there.
pub fn run_error(mut fault: Fault, ast: &AST, entry: &str, parts: &Parts) -> Fault {
    if fault.position.is_none() {
        let function = ast.iter_fn_def().find(|function| function.name == entry);
        fault.position = function.map_or(rhai::Position::NONE, |function| function.body.start_position());
    }
    match fault.kind {
        Kind::Limit => fault.message = limit(&fault.message, &parts.limits),
        Kind::MissingFunction => fault.message = missing_function(&fault.message, ast, &parts.host_functions),
        Kind::MissingField => {
            if let Some(message) = read_only(&fault.message) {
                fault.kind = Kind::Runtime;
                fault.message = message;
            } else if let Some(message) = no_field(&fault.message) {
                fault.message = message;
            } else if let Some(name) = fault.message.strip_prefix("Property not found: ") {
                fault.message = format!("the map has no field '{name}'");
            }
        }
        _ => (),
    }
    fault
}

/// Rhai names the limit but not its size.
fn limit(message: &str, limits: &Limits) -> String {
    match message {
        "Length of string too large" => format!("a string of more than {} bytes", limits.string_bytes),
        "Size of array/BLOB too large" => format!("an array of more than {} items", limits.array_items),
        "Size of object map too large" => format!("a map of more than {} items", limits.map_items),
        "Too many variables defined" => format!("more than {} variables", limits.variables),
        "Stack overflow" => format!("more than {} calls inside each other", limits.call_levels),
        "Expression exceeds maximum complexity" => format!(
            "an expression nested more than {} levels deep, {} in a function",
            limits.expr_depth, limits.function_expr_depth
        ),
        "Number of functions defined exceeds maximum limit" => {
            format!("more than {} functions", limits.functions)
        }
        other => other.to_owned(),
    }
}

/// From `Function not found: filtr (workers, Fn)`.
fn missing_function(message: &str, ast: &AST, host_functions: &[String]) -> String {
    let Some(signature) = message.strip_prefix("Function not found: ") else {
        return message.to_owned();
    };
    let name = signature.split([' ', '(']).next().unwrap_or(signature);
    let signature = names::in_words_of_book(signature).replacen(" (", "(", 1);
    let own: Vec<_> = ast.iter_fn_def().map(|function| function.name.clone()).collect();
    let known = || {
        own.iter()
            .map(|name| name.as_str())
            .chain(host_functions.iter().map(String::as_str))
            .chain(KNOWN)
    };
    if known().any(|candidate| candidate == name) {
        format!("there is no {signature}: '{name}' takes other arguments")
    } else {
        format!(
            "there is no function {signature}{}",
            names::suggestion(name, known())
        )
    }
}

/// From `Unknown property 'x' - a getter is not registered for type 'i64'`.
fn no_field(message: &str) -> Option<String> {
    let (name, rest) = message.strip_prefix("Unknown property '")?.split_once('\'')?;
    let kind = rest.split('\'').nth(1)?;
    Some(format!(
        "{} has no field '{name}'{}",
        names::in_words_of_book(kind),
        names::suggestion(name, KNOWN)
    ))
}

/// From `No writable property 'x' - a setter is not registered for type 'record' to handle 'i64'`.
fn read_only(message: &str) -> Option<String> {
    let (name, _) = message.strip_prefix("No writable property '")?.split_once('\'')?;
    Some(format!("field '{name}' is read-only"))
}
