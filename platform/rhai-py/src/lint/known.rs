//! Which functions and methods there are, by name and number of arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use rhai::{AST, is_valid_identifier};

use crate::explain::KNOWN;
use crate::names;

/// Every function of the library. Rhai tells them only to builds that carry their documentation, so they are written
/// down, and a test compares.
const LIBRARY: &str = include_str!("../library.txt");

static ARITIES: LazyLock<BTreeMap<&str, BTreeSet<usize>>> = LazyLock::new(|| {
    LIBRARY
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, arities)| {
            (
                name,
                arities
                    .split(' ')
                    .filter_map(|arity| arity.parse().ok())
                    .collect(),
            )
        })
        .collect()
});

/// What Rhai looks at before it looks for a function.
const BUILT_IN: [&str; 10] = [
    "call",
    "curry",
    "debug",
    "eval",
    "Fn",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "print",
    "type_of",
];

pub struct Known<'a> {
    own: BTreeMap<String, BTreeSet<usize>>,
    host: &'a [(String, usize)],
}

impl<'a> Known<'a> {
    pub fn new(ast: &AST, host: &'a [(String, usize)]) -> Self {
        let mut own: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for function in ast.iter_fn_def() {
            own.entry(function.name.to_string())
                .or_default()
                .insert(function.params.len());
        }
        Self { own, host }
    }

    pub fn is_own(&self, name: &str, arity: usize) -> bool {
        self.own.get(name).is_some_and(|arities| arities.contains(&arity))
    }

    /// Why `name(…)` cannot work.
    pub fn refuse_function(&self, name: &str, arguments: usize) -> Option<String> {
        let arities = self.arities(name, 0);
        self.refuse("function", name, arguments, &arities)
    }

    /// Why `x.name(…)` cannot work, whatever `x` is, unless it is a map that holds a closure of that name.
    pub fn refuse_method(&self, name: &str, arguments: usize) -> Option<String> {
        let arities = self.arities(name, 1);
        self.refuse("method", name, arguments, &arities)
    }

    /// `receivers`: 1 where the first parameter of a native function is what stands before the dot.
    fn arities(&self, name: &str, receivers: usize) -> BTreeSet<usize> {
        let native = ARITIES.get(name).into_iter().flatten().copied();
        let host = self
            .host
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, arity)| *arity);
        let own = self.own.get(name).into_iter().flatten().copied();
        native
            .chain(host)
            .filter_map(|arity| arity.checked_sub(receivers))
            .chain(own)
            .collect()
    }

    fn refuse(&self, what: &str, name: &str, arguments: usize, arities: &BTreeSet<usize>) -> Option<String> {
        if !is_valid_identifier(name) || BUILT_IN.contains(&name) || arities.contains(&arguments) {
            return None;
        }
        if !arities.is_empty() {
            let arities: Vec<String> = arities.iter().map(usize::to_string).collect();
            let takes = arities.join(" or ");
            return Some(format!(
                "{what} '{name}' takes {takes} arguments, not {arguments}"
            ));
        }
        let own = self
            .own
            .keys()
            .filter(|known| !known.starts_with("anon$"))
            .map(String::as_str);
        let host = self.host.iter().map(|(known, _)| known.as_str());
        let near = names::suggestion(name, own.chain(host).chain(KNOWN));
        Some(format!("there is no {what} '{name}'{near}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered() -> BTreeMap<String, BTreeSet<usize>> {
        let mut engine = rhai::Engine::new_raw();
        engine.register_global_module(crate::engine::library().into());
        let mut all: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for signature in engine.gen_fn_signatures(true) {
            let (name, rest) = signature.split_once('(').expect("a signature");
            if is_valid_identifier(name) {
                all.entry(name.to_owned()).or_default().insert(parameters(rest));
            }
        }
        all
    }

    /// Commas outside of brackets, up to the bracket that closes.
    fn parameters(rest: &str) -> usize {
        let (mut depth, mut commas) = (0, 0);
        for letter in rest.chars() {
            match letter {
                ')' if depth == 0 => break,
                '(' | '<' | '[' => depth += 1,
                ')' | '>' | ']' => depth -= 1,
                ',' if depth == 0 => commas += 1,
                _ => (),
            }
        }
        if rest.starts_with(')') { 0 } else { commas + 1 }
    }

    #[test]
    fn suggestions_exist() {
        let missing: Vec<_> = KNOWN.iter().filter(|name| !ARITIES.contains_key(*name)).collect();
        assert_eq!(missing, Vec::<&&str>::new());
    }

    /// On failure the message is what the table should be.
    #[test]
    fn table_is_what_the_library_has() {
        let lines = registered().into_iter().map(|(name, arities)| {
            let arities: Vec<String> = arities.iter().map(usize::to_string).collect();
            format!("{name} {}\n", arities.join(" "))
        });
        assert_eq!(lines.collect::<String>(), LIBRARY);
    }
}
