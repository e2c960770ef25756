//! Conditions as Traefik writes them: Go expressions of calls that are compared with constants, as in
//! `Attempts() < 3 && IsNetworkError()`. What calls there are is said by whoever asks.

mod lexer;
mod parser;

pub(crate) use parser::parse;

/// What a call gives, or a constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Truth(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Int(i64),
    Float(f64),
    Text(String),
}

/// What a call will give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A condition of its own.
    Truth,
    Int,
    Float,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A condition over calls `T`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression<T> {
    All(Vec<Expression<T>>),
    Any(Vec<Expression<T>>),
    Holds(T),
    Compare(T, Comparison, Literal),
}

impl<T> Expression<T> {
    /// `value` gives what a call gives now, of the kind that it was said to have.
    pub(crate) fn holds<'a>(&'a self, value: &impl Fn(&'a T) -> Value<'a>) -> bool {
        match self {
            Expression::All(list) => list.iter().all(|e| e.holds(value)),
            Expression::Any(list) => list.iter().any(|e| e.holds(value)),
            Expression::Holds(call) => value(call) == Value::Truth(true),
            Expression::Compare(call, comparison, constant) => {
                let order = match (value(call), constant) {
                    (Value::Int(a), Literal::Int(b)) => Some(a.cmp(b)),
                    (Value::Float(a), Literal::Float(b)) => a.partial_cmp(b),
                    (Value::Text(a), Literal::Text(b)) => Some(a.cmp(b)),
                    _ => None,
                };
                order.is_some_and(|order| match comparison {
                    Comparison::Equal => order.is_eq(),
                    Comparison::NotEqual => order.is_ne(),
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                })
            }
        }
    }
}

/// A constant argument as a whole number; `None` if it is none.
pub(crate) fn int(argument: &Literal) -> Option<i64> {
    if let Literal::Int(n) = argument { Some(*n) } else { None }
}

#[cfg(test)]
mod tests;
