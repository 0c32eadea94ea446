//! Closures copy the outer variables that they use.
//!
//! Rhai shares such a variable between the closure and its function, behind a lock. That has three costs which a sandbox
//! must not pay: a closure kept in the variable that it captures is never freed; a variable used inside the method that
//! runs on it (`workers.filter(|w| workers.len() > 1)`) fails after 50 ms of waiting for its own lock; and data behind a
//! lock is not counted by the size limits. A copy has none of these, and differs only where a closure (or the function,
//! after it made the closure) assigns to the variable: the former is refused when the script is compiled.
//!
//! How: before a closure is made, Rhai runs a `Share` statement that names its outer variables, and then reads them as
//! the closure's arguments. A variable resolver is asked in both cases; what it answers is taken as the value and is not
//! shared. With string interning off these names are strings of their own, so the address of a name tells the two uses
//! from any other read of the variable, and those cost one look-up in a set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhai::{AST, ASTNode, Dynamic, Engine, Expr, FnPtr, Position, Scope, Stmt};

use crate::engine::Parts;
use crate::errors::{Fault, Kind};
use crate::given::{self, Declared};

/// Deeper syntax trees are refused, whatever the parser let through: evaluation recurses on them.
const DEEPEST_TREE: usize = 400;

/// Copies of a closure copy what it holds; few variables keep the copies of one operation small.
const MOST_CAPTURED: usize = 16;

/// Methods that change the value they are called on.
const CHANGING: [&str; 27] = [
    "push",
    "append",
    "insert",
    "pad",
    "pop",
    "shift",
    "remove",
    "clear",
    "truncate",
    "chop",
    "reverse",
    "splice",
    "drain",
    "retain",
    "dedup",
    "sort",
    "sort_by",
    "sort_desc",
    "set",
    "mixin",
    "fill_with",
    "make_upper",
    "make_lower",
    "trim",
    "crop",
    "replace",
    "add",
];

/// What the syntax tree of a script tells.
#[derive(Default)]
pub struct Findings {
    /// Names after a dot that are no methods.
    pub properties: BTreeSet<String>,
    /// Addresses of the names of captured variables, where they are captured.
    captured: BTreeSet<usize>,
    /// Addresses of the names of the host's variables, where they are read, and which of them each is.
    given: BTreeMap<usize, usize>,
    /// The captured variables of each closure, by the name of its function.
    closures: BTreeMap<String, BTreeSet<String>>,
    changes: Vec<Change>,
    /// Where a closure uses one outer variable more than it may.
    too_many: Option<Position>,
}

/// An assignment to a variable or a changing method called on it.
struct Change {
    variable: String,
    at: Position,
    /// Where the outermost statement around it begins: that of the body of its function.
    statement: Position,
}

impl Findings {
    pub fn of(ast: &AST, declared: &Declared) -> Result<Self, Fault> {
        let mut findings = Self::default();
        let mut deepest: Option<Position> = None;
        ast.walk(&mut |path: &[ASTNode]| {
            if path.len() > DEEPEST_TREE {
                deepest = path.last().map(ASTNode::position);
                return false;
            }
            findings.visit(path, declared);
            true
        });
        if let Some(position) = deepest {
            return Err(Fault::new(Kind::Limit, "the script is nested too deeply").at(position));
        }
        if let Some(position) = findings.too_many {
            let why = format!("a closure may use at most {MOST_CAPTURED} outer variables");
            return Err(Fault::new(Kind::Limit, why).at(position));
        }
        findings.refuse_changes(ast)?;
        Ok(findings)
    }

    /// Let the engine copy captured variables and read the host's. `constants` are those that live in no scope.
    pub fn resolve_variables(&self, engine: &mut Engine, constants: &Scope<'static>, parts: &Arc<Parts>) {
        if self.captured.is_empty() && self.given.is_empty() {
            return;
        }
        let (captured, given, parts) = (self.captured.clone(), self.given.clone(), parts.clone());
        let constants = constants.clone();
        #[allow(deprecated)] // marked so because it is volatile
        engine.on_var(move |name, _, context| {
            let address = name.as_ptr() as usize;
            if let Some(slot) = given.get(&address) {
                return Ok(given::get(*slot));
            }
            if !captured.contains(&address) {
                return Ok(None);
            }
            let value = match context.scope().get(name) {
                Some(value) => Some(value.clone()),
                None => parts.declared.slot(name).and_then(given::get),
            };
            let Some(value) = value.or_else(|| constants.get(name).cloned()) else {
                return Ok(None);
            };
            if holds_closure(&value) {
                let why = format!(
                    "a closure cannot use '{name}', which holds a closure with outer variables of its own"
                );
                return Err(Fault::new(Kind::Runtime, why).into_rhai());
            }
            Ok(Some(value))
        });
    }

    fn visit(&mut self, path: &[ASTNode], declared: &Declared) {
        match path.last() {
            Some(ASTNode::Expr(Expr::Variable(name, None, _))) if name.0.is_none() => {
                if let Some(slot) = declared.slot(&name.1) {
                    self.given.insert(name.1.as_ptr() as usize, slot);
                }
            }
            Some(ASTNode::Expr(Expr::Property(property, _))) => {
                self.properties.insert(property.2.to_string());
            }
            Some(ASTNode::Stmt(Stmt::Share(names))) => {
                if let Some((name, _)) = names.get(MOST_CAPTURED) {
                    self.too_many.get_or_insert(name.pos);
                }
                self.captured
                    .extend(names.iter().map(|(name, _)| name.name.as_ptr() as usize));
            }
            Some(ASTNode::Expr(Expr::FnCall(call, _))) if call.name == "curry" => {
                if let Some(Expr::DynamicConstant(function, _)) = call.args.first()
                    && let Some(function) = function.read_lock::<FnPtr>()
                {
                    let names = call.args[1..]
                        .iter()
                        .filter_map(variable)
                        .map(str::to_owned)
                        .collect();
                    self.closures.insert(function.fn_name().to_owned(), names);
                }
            }
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                self.change(path, root(&assignment.1.lhs), assignment.1.lhs.start_position());
            }
            Some(ASTNode::Expr(Expr::Dot(dot, ..))) if changes(&dot.rhs) => {
                self.change(path, root(&dot.lhs), dot.lhs.start_position());
            }
            _ => (),
        }
    }

    fn change(&mut self, path: &[ASTNode], variable: Option<&str>, at: Position) {
        if let (Some(variable), Some(statement)) = (variable, path.first()) {
            self.changes.push(Change {
                variable: variable.to_owned(),
                at,
                statement: statement.position(),
            });
        }
    }

    fn refuse_changes(&self, ast: &AST) -> Result<(), Fault> {
        for change in &self.changes {
            let function = ast
                .iter_fn_def()
                .filter(|function| contains(function, change.statement))
                .max_by_key(|function| function.body.start_position());
            let captured = function.and_then(|function| self.closures.get(function.name.as_str()));
            if captured.is_some_and(|names| names.contains(&change.variable)) {
                let why = format!(
                    "a closure holds a copy of '{}' and cannot change the outer variable; use a for loop",
                    change.variable
                );
                return Err(Fault::new(Kind::Parse, why).at(change.at));
            }
        }
        Ok(())
    }
}

/// A body without braces is one statement, whose end the parser does not note.
fn contains(function: &rhai::ScriptFuncDef, statement: Position) -> bool {
    let (start, end) = (function.body.start_position(), function.body.end_position());
    if end.is_none() {
        start == statement
    } else {
        start <= statement && statement <= end
    }
}

fn variable(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Variable(name, ..) => Some(name.1.as_str()),
        _ => None,
    }
}

/// `x` of `x`, `x.a.b`, `x[1].c`.
fn root(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Dot(chain, ..) | Expr::Index(chain, ..) => root(&chain.lhs),
        _ => variable(expr),
    }
}

fn changes(expr: &Expr) -> bool {
    match expr {
        Expr::MethodCall(call, _) => CHANGING.contains(&call.name.as_str()),
        Expr::Dot(chain, ..) | Expr::Index(chain, ..) => changes(&chain.lhs) || changes(&chain.rhs),
        _ => false,
    }
}

/// Closures that hold closures could grow with each copy and nest without end.
fn holds_closure(value: &Dynamic) -> bool {
    if let Some(function) = value.read_lock::<FnPtr>() {
        return function.is_curried();
    }
    if let Some(array) = value.read_lock::<rhai::Array>() {
        return array.iter().any(holds_closure);
    }
    value
        .read_lock::<rhai::Map>()
        .is_some_and(|map| map.values().any(holds_closure))
}
