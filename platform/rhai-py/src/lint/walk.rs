//! Goes through the functions of a script with what is known about each variable.
//!
//! A variable, a parameter and the answer of a function each hold the join of everything that is put into them, wherever
//! that happens. So the functions are gone through until nothing more is learnt, and then once more to tell what is
//! wrong. Only what is certain is told: see `Type`.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{
    AST, ASTFlags, ASTNode, Expr, FnCallExpr, FnPtr, ImmutableString, Module, Position, Stmt, StmtBlock,
};

use super::escape::Escape;
use super::known::Known;
use super::{Finding, Type, World};

/// Each round learns something about one place at least; scripts that need more rounds are not written by people.
const MOST_ROUNDS: usize = 200;

const LISTS: [&str; 8] = [
    "filter",
    "idle",
    "with_model",
    "with_capacity",
    "online",
    "available",
    "exclude",
    "sort_by",
];
const ELEMENTS: [&str; 8] = [
    "first",
    "least_loaded",
    "most_vram_free",
    "round_robin",
    "min_by",
    "max_by",
    "get",
    "sticky",
];
/// Methods of lists that take a closure over an element, or the name of one of its fields.
const OVER_ELEMENTS: [&str; 4] = ["filter", "min_by", "max_by", "sort_by"];

/// Where values are put.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Parameter(usize, usize),
    Answer(usize),
    Variable(Position),
}

struct Function {
    name: String,
    parameters: Vec<ImmutableString>,
    /// This function alone.
    ast: AST,
}

struct Walk<'a> {
    known: &'a Known<'a>,
    world: &'a World,
    escape: Escape,
    functions: Vec<Function>,
    held: BTreeMap<Place, Type>,
    /// Functions that may run inside a `try`, where a missing field may be meant.
    guarded: BTreeSet<usize>,
    learnt: bool,
    findings: Option<BTreeSet<Finding>>,
    /// The function that is gone through, its variables, and how many `try` are around.
    function: usize,
    scope: Vec<(ImmutableString, Option<Place>)>,
    trying: usize,
}

/// None when there is no end of learning.
pub fn findings(ast: &AST, known: &Known<'_>, world: &World) -> Option<BTreeSet<Finding>> {
    let functions = ast.iter_fn_def().map(|function| Function {
        name: function.name.to_string(),
        parameters: function.params.to_vec(),
        ast: AST::new([], Module::from([function.clone()])),
    });
    let mut walk = Walk {
        known,
        world,
        escape: Escape::of(ast),
        functions: functions.collect(),
        held: BTreeMap::new(),
        guarded: BTreeSet::new(),
        learnt: false,
        findings: None,
        function: 0,
        scope: Vec::new(),
        trying: 0,
    };
    walk.enter();
    for _ in 0..MOST_ROUNDS {
        walk.learnt = false;
        walk.round();
        if !walk.learnt {
            walk.findings = Some(BTreeSet::new());
            walk.round();
            return walk.findings;
        }
    }
    None
}

impl Walk<'_> {
    /// What the host calls functions with.
    fn enter(&mut self) {
        for index in 0..self.functions.len() {
            let arity = self.functions[index].parameters.len();
            if let Some(types) = self.world.entry_points.get(&self.functions[index].name)
                && types.len() == arity
            {
                for (at, held) in types.iter().enumerate() {
                    self.put(Place::Parameter(index, at), held.clone());
                }
            }
            if self.escape.any_function {
                self.give_anything(index, 0);
            }
        }
    }

    fn round(&mut self) {
        for index in 0..self.functions.len() {
            self.function = index;
            self.trying = usize::from(self.guarded.contains(&index));
            let parameters = self.functions[index].parameters.iter().enumerate();
            self.scope = parameters
                .map(|(at, name)| (name.clone(), Some(Place::Parameter(index, at))))
                .collect();
            let ast = self.functions[index].ast.clone();
            let mut last = Type::Nothing;
            ast.walk(&mut |path: &[ASTNode]| {
                if let [ASTNode::Stmt(stmt)] = path {
                    last = self.stmt(stmt);
                }
                true
            });
            self.put(Place::Answer(index), last);
        }
    }

    fn put(&mut self, place: Place, value: Type) {
        let held = self.held.entry(place).or_insert(Type::Nothing);
        let joined = held.clone().join(value);
        if joined != *held {
            *held = joined;
            self.learnt = true;
        }
    }

    fn find(&self, name: &str, arity: usize) -> Option<usize> {
        self.functions
            .iter()
            .position(|function| function.name == name && function.parameters.len() == arity)
    }

    fn guard(&mut self, function: usize) {
        if self.trying > 0 && self.guarded.insert(function) {
            self.learnt = true;
        }
    }

    /// Someone out of sight may call it.
    fn give_anything(&mut self, function: usize, from: usize) {
        for at in from..self.functions[function].parameters.len() {
            self.put(Place::Parameter(function, at), Type::Unknown);
        }
    }

    fn tell(&mut self, kind: &'static str, message: String, at: Position) {
        if let Some(findings) = &mut self.findings {
            findings.insert(Finding::new(kind, message, at));
        }
    }

    // Statements: the type of what each gives as the last of its block.

    fn block(&mut self, block: &StmtBlock) -> Type {
        let variables = self.scope.len();
        let mut last = Type::Nothing;
        for stmt in block {
            last = self.stmt(stmt);
        }
        self.scope.truncate(variables);
        last
    }

    fn stmt(&mut self, stmt: &Stmt) -> Type {
        match stmt {
            Stmt::Expr(expr) => return self.expr(expr),
            Stmt::FnCall(call, at) => return self.function_call(call, *at),
            Stmt::Block(block) => return self.block(block),
            Stmt::If(flow, _) => {
                self.expr(&flow.expr);
                let then = self.block(&flow.body);
                return then.join(self.block(&flow.branch));
            }
            Stmt::Switch(switch, _) => {
                self.expr(&switch.0);
                let mut answer = Type::Nothing;
                for case in &switch.1.expressions {
                    self.expr(&case.lhs);
                    answer = answer.join(self.expr(&case.rhs));
                }
                return answer;
            }
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                self.expr(&flow.expr);
                self.block(&flow.body);
            }
            Stmt::For(parts, _) => {
                let (variable, counter, flow) = &**parts;
                let element = match self.expr(&flow.expr) {
                    Type::List(list) => self.world.kinds.element(&list),
                    Type::Nothing => Type::Nothing,
                    _ => Type::Unknown,
                };
                let variables = self.scope.len();
                if let Some(counter) = counter {
                    self.declare(&counter.name, counter.pos, Type::Scalar);
                }
                self.declare(&variable.name, variable.pos, element);
                self.block(&flow.body);
                self.scope.truncate(variables);
            }
            Stmt::Var(parts, ..) => {
                let value = self.expr(&parts.1);
                self.declare(&parts.0.name, parts.0.pos, value);
                return Type::Nothing;
            }
            Stmt::Assignment(assignment) => {
                let (operator, sides) = &**assignment;
                let value = self.expr(&sides.rhs);
                let value = if operator.is_op_assignment() {
                    Type::Unknown
                } else {
                    value
                };
                self.assign(&sides.lhs, value);
            }
            Stmt::TryCatch(flow, _) => {
                self.trying += 1;
                self.block(&flow.body);
                self.trying -= 1;
                let variables = self.scope.len();
                if let Expr::Variable(name, ..) = &flow.expr {
                    self.scope.push((name.1.clone(), None));
                }
                self.block(&flow.branch);
                self.scope.truncate(variables);
            }
            Stmt::Return(value, flags, _) => {
                let value = value.as_ref().map_or(Type::Nothing, |value| self.expr(value));
                if !flags.contains(ASTFlags::BREAK) {
                    self.put(Place::Answer(self.function), value);
                }
                return Type::Nothing;
            }
            Stmt::BreakLoop(Some(value), ..) => {
                self.expr(value);
            }
            _ => (),
        }
        Type::Unknown
    }

    fn declare(&mut self, name: &ImmutableString, at: Position, value: Type) {
        self.put(Place::Variable(at), value);
        self.scope.push((name.clone(), Some(Place::Variable(at))));
    }

    fn assign(&mut self, target: &Expr, value: Type) {
        if let Expr::Variable(name, ..) = target {
            if let Some(Some(place)) = self.lookup(&name.1) {
                self.put(place, value);
            }
            return;
        }
        // Assigning to a field of a record fails in words of its own.
        self.trying += 1;
        self.expr(target);
        self.trying -= 1;
    }

    fn lookup(&self, name: &str) -> Option<Option<Place>> {
        let found = self.scope.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, place)| place.clone())
    }

    // Expressions.

    fn expr(&mut self, expr: &Expr) -> Type {
        match expr {
            Expr::Variable(name, ..) => self.variable(&name.1),
            Expr::BoolConstant(..)
            | Expr::IntegerConstant(..)
            | Expr::FloatConstant(..)
            | Expr::CharConstant(..)
            | Expr::StringConstant(..) => Type::Scalar,
            Expr::Unit(_) => Type::Nothing,
            Expr::InterpolatedString(parts, _) => {
                parts.iter().for_each(|part| {
                    self.expr(part);
                });
                Type::Scalar
            }
            Expr::Array(items, _) => {
                items.iter().for_each(|item| {
                    self.expr(item);
                });
                Type::Unknown
            }
            Expr::Map(map, _) => {
                map.0.iter().for_each(|(_, value)| {
                    self.expr(value);
                });
                Type::Unknown
            }
            Expr::And(parts, _) | Expr::Or(parts, _) => {
                parts.iter().for_each(|part| {
                    self.expr(part);
                });
                Type::Scalar
            }
            Expr::Coalesce(parts, _) => parts
                .iter()
                .map(|part| self.expr(part))
                .collect::<Vec<_>>()
                .into_iter()
                .fold(Type::Nothing, Type::join),
            Expr::Stmt(block) if closure(expr).is_none() => self.block(block),
            Expr::Dot(chain, flags, _) => {
                let subject = self.expr(&chain.lhs);
                if method_changes_subject(self.known, &chain.rhs, *flags) {
                    self.assign(&chain.lhs, Type::Unknown);
                }
                self.chain(subject, false, *flags, &chain.rhs)
            }
            Expr::Index(chain, flags, _) => {
                let subject = self.expr(&chain.lhs);
                self.chain(subject, true, *flags, &chain.rhs)
            }
            Expr::FnCall(call, at) if closure(expr).is_none() => self.function_call(call, *at),
            _ => {
                self.argument(expr, Type::Unknown);
                Type::Unknown
            }
        }
    }

    fn variable(&mut self, name: &str) -> Type {
        match self.lookup(name) {
            Some(Some(place)) => self.held.get(&place).cloned().unwrap_or(Type::Nothing),
            Some(None) => Type::Unknown,
            None if name == "none" => Type::Nothing,
            None => {
                for index in 0..self.functions.len() {
                    if self.functions[index].name == name {
                        self.guard_always(index);
                        self.give_anything(index, 0);
                    }
                }
                self.world.variables.get(name).cloned().unwrap_or(Type::Unknown)
            }
        }
    }

    /// A function whose name is passed on may be called inside any `try`.
    fn guard_always(&mut self, function: usize) {
        self.trying += 1;
        self.guard(function);
        self.trying -= 1;
    }

    /// `subject.rest` or `subject[rest]`: where the chain goes on, `rest` holds its next part and all after that.
    fn chain(&mut self, subject: Type, by_index: bool, flags: ASTFlags, rest: &Expr) -> Type {
        let (part, further) = match rest {
            Expr::Dot(next, more, _) if !flags.contains(ASTFlags::BREAK) => {
                (&next.lhs, Some((false, *more, &next.rhs)))
            }
            Expr::Index(next, more, _) if !flags.contains(ASTFlags::BREAK) => {
                (&next.lhs, Some((true, *more, &next.rhs)))
            }
            _ => (rest, None),
        };
        let optional = flags.contains(ASTFlags::NEGATED);
        let value = match part {
            Expr::Property(property, at) if !by_index => self.field(subject, &property.2, *at, optional),
            Expr::MethodCall(call, at) if !by_index => self.method(subject, call, *at),
            _ if by_index => self.indexed(subject, part, optional),
            _ => Type::Unknown,
        };
        match further {
            Some((by_index, flags, rest)) => self.chain(value, by_index, flags, rest),
            None => value,
        }
    }

    fn field(&mut self, subject: Type, name: &str, at: Position, optional: bool) -> Type {
        let message = match subject {
            Type::Record(kind, shown) => match self.world.kinds.field(&kind, &shown, name) {
                Ok(held) => return held,
                Err(message) => message,
            },
            Type::List(_) if !matches!(name, "len" | "is_empty") => {
                let near = crate::names::suggestion(name, crate::explain::KNOWN);
                format!("workers has no field '{name}'{near}")
            }
            Type::Nothing => return Type::Nothing,
            _ => return Type::Unknown,
        };
        if !optional && self.trying == 0 && !self.escape.asked.contains(name) {
            self.tell("missing_field", message, at);
        }
        Type::Unknown
    }

    fn indexed(&mut self, subject: Type, index: &Expr, optional: bool) -> Type {
        self.expr(index);
        match (&subject, index) {
            (Type::Record(..), Expr::StringConstant(name, at)) => self.field(subject, name, *at, optional),
            (Type::List(list), _) => self.world.kinds.element(list),
            (Type::Nothing, _) => Type::Nothing,
            _ => Type::Unknown,
        }
    }

    // Calls.

    fn function_call(&mut self, call: &FnCallExpr, at: Position) -> Type {
        if call.op_token.is_some() {
            self.arguments(&call.args, 0);
            return Type::Unknown;
        }
        if let Some(message) = self.known.refuse_function(&call.name, call.args.len()) {
            self.tell("missing_function", message, at);
        }
        if let Some(function) = self.find(&call.name, call.args.len()) {
            self.guard(function);
            for (at, argument) in call.args.iter().enumerate() {
                let value = self.argument(argument, Type::Unknown);
                self.put(Place::Parameter(function, at), value);
            }
            let answer = self.held.get(&Place::Answer(function));
            return answer.cloned().unwrap_or(Type::Nothing);
        }
        match call.args.split_first() {
            Some((subject, others)) => {
                let subject = self.argument(subject, Type::Unknown);
                self.of_library(subject, &call.name, others)
            }
            None => Type::Unknown,
        }
    }

    fn method(&mut self, subject: Type, call: &FnCallExpr, at: Position) -> Type {
        let certain = matches!(subject, Type::Record(..) | Type::List(_) | Type::Scalar);
        if (certain || !self.escape.map_may_have(&call.name))
            && let Some(message) = self.known.refuse_method(&call.name, call.args.len())
        {
            self.tell("missing_method", message, at);
        }
        if let Some(function) = self.find(&call.name, call.args.len()) {
            self.guard(function);
            for (at, argument) in call.args.iter().enumerate() {
                let value = self.argument(argument, Type::Unknown);
                self.put(Place::Parameter(function, at), value);
            }
            return Type::Unknown;
        }
        self.of_library(subject, &call.name, &call.args)
    }

    fn of_library(&mut self, subject: Type, name: &str, arguments: &[Expr]) -> Type {
        let element = match &subject {
            Type::List(list) => self.world.kinds.element(list),
            Type::Nothing => Type::Nothing,
            _ => Type::Unknown,
        };
        let over = OVER_ELEMENTS.contains(&name) && arguments.len() == 1;
        for argument in arguments {
            let held = if over { element.clone() } else { Type::Unknown };
            self.argument(argument, held);
        }
        match (&subject, arguments.first()) {
            (Type::List(_), Some(Expr::StringConstant(field, at))) if over && name != "filter" => {
                self.field(element.clone(), field, *at, false);
            }
            (Type::Record(kind, shown), Some(Expr::StringConstant(field, _))) if name == "get" => {
                let held = self.world.kinds.field(kind, shown, field);
                return match (held, arguments.get(1)) {
                    (Ok(held), None) => held,
                    _ => Type::Unknown,
                };
            }
            _ => (),
        }
        match subject {
            Type::Nothing => Type::Nothing,
            Type::List(_) if LISTS.contains(&name) => subject,
            Type::List(_) if ELEMENTS.contains(&name) => element,
            _ => Type::Unknown,
        }
    }

    fn arguments(&mut self, arguments: &[Expr], from: usize) {
        for argument in &arguments[from..] {
            self.argument(argument, Type::Unknown);
        }
    }

    /// A value that is passed on. Where it is a closure, `element` is what it will be called with.
    fn argument(&mut self, argument: &Expr, element: Type) -> Type {
        let Some((name, captured)) = closure(argument) else {
            return match argument {
                Expr::DynamicConstant(..) | Expr::ThisPtr(_) | Expr::Property(..) | Expr::MethodCall(..) => {
                    Type::Unknown
                }
                _ => self.expr(argument),
            };
        };
        let values: Vec<Type> = captured.iter().map(|variable| self.expr(variable)).collect();
        for index in 0..self.functions.len() {
            if self.functions[index].name != name {
                continue;
            }
            self.guard(index);
            for (at, value) in values.iter().enumerate() {
                self.put(Place::Parameter(index, at), value.clone());
            }
            if self.functions[index].parameters.len() == values.len() + 1 {
                self.put(Place::Parameter(index, values.len()), element.clone());
            } else {
                self.give_anything(index, values.len());
            }
        }
        Type::Unknown
    }
}

/// The function of a closure and the variables that it captures.
fn closure(expr: &Expr) -> Option<(String, &[Expr])> {
    match expr {
        Expr::DynamicConstant(value, _) => {
            let function = value.read_lock::<FnPtr>()?;
            let name = function.fn_name();
            name.starts_with("anon$")
                .then(|| (name.to_owned(), &[] as &[Expr]))
        }
        Expr::FnCall(call, _) if call.name == "curry" => {
            let (function, captured) = call.args.split_first()?;
            closure(function).map(|(name, _)| (name, captured))
        }
        Expr::Stmt(block) => match block.statements() {
            [Stmt::Share(_), Stmt::Expr(inner)] => closure(inner),
            [Stmt::Share(_), Stmt::FnCall(call, _)] if call.name == "curry" => {
                let (function, captured) = call.args.split_first()?;
                closure(function).map(|(name, _)| (name, captured))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Functions of the script and those given to `call` may assign to `this`.
fn method_changes_subject(known: &Known<'_>, rest: &Expr, flags: ASTFlags) -> bool {
    match rest {
        Expr::MethodCall(call, _) => call.name == "call" || known.is_own(&call.name, call.args.len()),
        Expr::Dot(chain, ..) if !flags.contains(ASTFlags::BREAK) => {
            method_changes_subject(known, &chain.lhs, ASTFlags::BREAK)
        }
        _ => false,
    }
}
