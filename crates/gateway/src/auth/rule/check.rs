//! What can be known of a rule before it is needed.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue,
};
use regex::Regex;

/// What a rule may speak of.
pub(super) const VARIABLES: [&str; 4] = ["claims", "method", "path", "headers"];
/// Loops inside one another: what is in a token is bounded by the size of a head, and its square bears a look at each
/// pair.
const MOST_LOOPS: usize = 2;
/// The functions, how many arguments each takes, before or behind the name, and what it comes to.
const FUNCTIONS: [(&str, Form, usize, Type); 17] = [
    ("bool", Form::Plain, 1, Type::Truth),
    ("bytes", Form::Plain, 1, Type::Other),
    ("contains", Form::Member, 2, Type::Truth),
    ("double", Form::Plain, 1, Type::Other),
    ("dyn", Form::Plain, 1, Type::Unknown),
    ("endsWith", Form::Member, 2, Type::Truth),
    ("hasValue", Form::Member, 1, Type::Truth),
    ("int", Form::Plain, 1, Type::Other),
    ("matches", Form::Any, 2, Type::Truth),
    ("or", Form::Member, 2, Type::Unknown),
    ("orValue", Form::Member, 2, Type::Unknown),
    ("size", Form::Any, 1, Type::Other),
    ("startsWith", Form::Member, 2, Type::Truth),
    ("string", Form::Plain, 1, Type::Other),
    ("type", Form::Plain, 1, Type::Other),
    ("uint", Form::Plain, 1, Type::Other),
    ("value", Form::Member, 1, Type::Unknown),
];

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `f(a)`.
    Plain,
    /// `a.f()`.
    Member,
    /// Either way.
    Any,
}

/// What an expression comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// True or false.
    Truth,
    /// Something else.
    Other,
    /// It depends on the request.
    Unknown,
}

/// Finds what is wrong with a rule whatever the request.
///
/// # Errors
/// What that is, as it follows the rule's text.
pub(super) fn check(rule: &IdedExpr) -> Result<(), String> {
    let truth = Check::default().type_of(rule)?;
    if truth == Type::Other {
        return Err("is never true: it does not come to true or false".to_owned());
    }
    Ok(())
}

/// The names and the loops around an expression.
#[derive(Debug, Default, Clone)]
struct Check<'a> {
    bound: Vec<&'a str>,
    loops: usize,
}

impl<'a> Check<'a> {
    fn type_of(&self, expression: &'a IdedExpr) -> Result<Type, String> {
        match &expression.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::Truth),
            Expr::Literal(_) | Expr::Unspecified => Ok(Type::Other),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                self.type_of(&select.operand)?;
                Ok(if select.test {
                    Type::Truth
                } else {
                    Type::Unknown
                })
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => self.entries(&map.entries),
            Expr::Struct(object) => self.entries(&object.entries),
            Expr::Comprehension(each) => self.each(each),
        }
    }

    fn name(&self, name: &'a str) -> Result<Type, String> {
        match name {
            _ if self.bound.contains(&name) => Ok(Type::Unknown),
            _ if VARIABLES.contains(&name) => Ok(Type::Other),
            _ => Err(format!(
                "speaks of \"{name}\"; there are {}",
                VARIABLES.join(", ")
            )),
        }
    }

    fn all(&self, expressions: &'a [IdedExpr]) -> Result<Type, String> {
        for expression in expressions {
            self.type_of(expression)?;
        }
        Ok(Type::Other)
    }

    fn entries(&self, entries: &'a [IdedEntryExpr]) -> Result<Type, String> {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.type_of(&field.value)?,
                EntryExpr::MapEntry(entry) => {
                    self.type_of(&entry.key)?;
                    self.type_of(&entry.value)?
                }
            };
        }
        Ok(Type::Other)
    }

    /// `exists`, `all`, `map` and their like, which the parser has written out.
    fn each(&self, each: &'a ComprehensionExpr) -> Result<Type, String> {
        let mut inner = self.clone();
        inner.loops += 1;
        if inner.loops > MOST_LOOPS {
            return Err(format!("has more than {MOST_LOOPS} loops in one another"));
        }
        let second = each.iter_var2.as_deref();
        inner.bound.extend([&*each.iter_var, &*each.accu_var]);
        inner.bound.extend(second);
        self.type_of(&each.iter_range)?;
        let initial = self.type_of(&each.accu_init)?;
        inner.type_of(&each.loop_cond)?;
        inner.type_of(&each.loop_step)?;
        let result = inner.type_of(&each.result)?;
        let is_accumulated =
            matches!(&each.result.expr, Expr::Ident(name) if *name == each.accu_var);
        Ok(if is_accumulated { initial } else { result })
    }

    fn call(&self, call: &'a CallExpr) -> Result<Type, String> {
        let arguments: Vec<&IdedExpr> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect();
        let types = arguments
            .iter()
            .map(|argument| self.type_of(argument))
            .collect::<Result<Vec<Type>, String>>()?;
        if call.func_name == "_[_]" {
            field_name(&arguments)?;
        }
        if let Some(result) = operator(&call.func_name, &types) {
            return result;
        }
        let name = &call.func_name;
        let Some((_, form, count, result)) = FUNCTIONS.iter().find(|(known, ..)| known == name)
        else {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
            return Err(format!(
                "calls \"{name}\"; there are {}, has, all, exists, exists_one, filter, map",
                known.join(", ")
            ));
        };
        match (form, &call.target) {
            (Form::Plain, Some(_)) => {
                return Err(format!(
                    "calls \"{name}\" with something before it; write {name}(…)"
                ));
            }
            (Form::Member, None) => {
                return Err(format!(
                    "calls \"{name}\" with nothing before it; write text.{name}(…)"
                ));
            }
            _ => {}
        }
        if arguments.len() != *count {
            let before = usize::from(call.target.is_some());
            return Err(format!(
                "calls \"{name}\" with {} arguments; it takes {}",
                call.args.len(),
                count - before
            ));
        }
        if name == "matches" {
            pattern(arguments[1])?;
        }
        Ok(*result)
    }
}

/// What an operator comes to; none where `name` is that of a function.
fn operator(name: &str, operands: &[Type]) -> Option<Result<Type, String>> {
    Some(Ok(match (name, operands) {
        ("_&&_" | "_||_" | "!_", _) => {
            if operands.contains(&Type::Other) {
                return Some(Err(
                    "joins by && or ||, or negates, what is neither true nor false".to_owned(),
                ));
            }
            Type::Truth
        }
        ("_?_:_", [condition, yes, no]) => match (condition, yes == no) {
            (Type::Other, _) => {
                return Some(Err("asks by ? what is neither true nor false".to_owned()));
            }
            (_, true) => *yes,
            (_, false) => Type::Unknown,
        },
        ("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "@in" | "@not_strictly_false", _) => {
            Type::Truth
        }
        ("_[_]" | "_[?_]" | "_?._", _) => Type::Unknown,
        ("_+_" | "_-_" | "_*_" | "_/_" | "_%_" | "-_", _) => Type::Other,
        _ => return None,
    }))
}

/// Fields are known by their lower-case names.
fn field_name(arguments: &[&IdedExpr]) -> Result<(), String> {
    if let [map, name] = arguments
        && matches!(&map.expr, Expr::Ident(map) if map == "headers")
        && let Expr::Literal(LiteralValue::String(name)) = &name.expr
        && name.inner() != name.inner().to_ascii_lowercase()
    {
        let lower = name.inner().to_ascii_lowercase();
        return Err(format!(
            "asks for the field \"{}\"; names are in lower case here: \"{lower}\"",
            name.inner()
        ));
    }
    Ok(())
}

/// A pattern that is written in the rule is one.
fn pattern(written: &IdedExpr) -> Result<(), String> {
    let Expr::Literal(LiteralValue::String(pattern)) = &written.expr else {
        return Ok(());
    };
    Regex::new(pattern.inner()).map(drop).map_err(|error| {
        let message = error.to_string();
        let reason = message.lines().last().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ");
        format!(
            "has a pattern that is none, \"{}\": {reason}",
            pattern.inner()
        )
    })
}
