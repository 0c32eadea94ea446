//! What a script may do in ways that its syntax does not show, gathered before anything is judged.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Dynamic, Expr, FnCallExpr, FnPtr, Stmt};

#[derive(Default)]
pub struct Escape {
    /// `Fn(…)` may call any function with anything.
    pub any_function: bool,
    /// Names that a map may have: a closure there is called like a method.
    names: BTreeSet<String>,
    computed_names: bool,
    /// Fields that the script asks for before it reads them, `"x" in record`.
    pub asked: BTreeSet<String>,
}

impl Escape {
    pub fn of(ast: &AST) -> Self {
        let mut escape = Self::default();
        ast.walk(&mut |path: &[ASTNode]| {
            match path.last() {
                Some(ASTNode::Expr(expr)) => escape.expr(expr),
                Some(ASTNode::Stmt(Stmt::FnCall(call, _))) => escape.call(call),
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => escape.assigned(&assignment.1.lhs),
                _ => (),
            }
            true
        });
        escape
    }

    pub fn map_may_have(&self, name: &str) -> bool {
        self.computed_names || self.names.contains(name)
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Property(property, _) => {
                self.names.insert(property.2.to_string());
            }
            Expr::StringConstant(text, _) => {
                self.names.insert(text.to_string());
            }
            Expr::Map(map, _) => {
                self.names.extend(map.1.keys().map(ToString::to_string));
            }
            Expr::DynamicConstant(value, _) => self.constant(value),
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) => self.call(call),
            _ => (),
        }
    }

    /// A literal that the parser has made into its value.
    fn constant(&mut self, value: &Dynamic) {
        if let Some(map) = value.read_lock::<rhai::Map>() {
            self.names.extend(map.keys().map(ToString::to_string));
            map.values().for_each(|value| self.constant(value));
        } else if let Some(array) = value.read_lock::<rhai::Array>() {
            array.iter().for_each(|value| self.constant(value));
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            self.any_function |= !function.fn_name().starts_with("anon$");
        }
    }

    fn call(&mut self, call: &FnCallExpr) {
        match call.name.as_str() {
            "Fn" => self.any_function = true,
            "set" => self.computed_names |= !matches!(call.args.first(), Some(Expr::StringConstant(..))),
            "contains" => self.asked.extend(call.args.iter().filter_map(text)),
            _ => (),
        }
    }

    fn assigned(&mut self, place: &Expr) {
        if let Expr::Index(part, ..) | Expr::Dot(part, ..) = place {
            let literal = matches!(part.rhs, Expr::StringConstant(..) | Expr::IntegerConstant(..));
            self.computed_names |= matches!(place, Expr::Index(..)) && !literal;
            self.assigned(&part.lhs);
            self.assigned(&part.rhs);
        }
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::StringConstant(text, _) => Some(text.to_string()),
        _ => None,
    }
}
