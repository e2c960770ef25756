//! Comparisons bind before `&&`, `&&` before `||`, as in Go.

use super::lexer::{Lexer, Token};
use super::{Comparison, Expression, Kind, Literal};

/// How deep parentheses may nest.
const MAX_DEPTH: usize = 100;

/// What a call by this name with these arguments is, and what it will give.
type Calls<'c, T> = &'c mut dyn FnMut(&str, &[Literal]) -> Result<(T, Kind), String>;

/// Reads an expression. `call` says what a call by this name with these arguments is, and what it will give.
/// Total: any text gives an expression or the reason why it is none.
pub(crate) fn parse<T>(text: &str, call: Calls<'_, T>) -> Result<Expression<T>, String> {
    let mut parser = Parser { lexer: Lexer::new(text), token: Token::End, call, depth: 0 };
    parser.advance()?;
    let node = parser.any()?;
    if parser.token == Token::Newline {
        parser.advance()?;
    }
    if parser.token != Token::End {
        return Err(format!("{} where the expression should end", parser.token.describe()));
    }
    condition(node)
}

/// What a part of an expression turned out to be.
enum Node<T> {
    Condition(Expression<T>),
    Call(T, Kind),
    Constant(Literal),
}

fn condition<T>(node: Node<T>) -> Result<Expression<T>, String> {
    match node {
        Node::Condition(e) => Ok(e),
        Node::Call(..) => Err("a call that gives a number or a text must be compared with one".into()),
        Node::Constant(_) => Err("a constant is no condition".into()),
    }
}

struct Parser<'a, 'c, T> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    call: Calls<'c, T>,
    depth: usize,
}

impl<'a, T> Parser<'a, '_, T> {
    fn advance(&mut self) -> Result<Token<'a>, String> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn any(&mut self) -> Result<Node<T>, String> {
        self.list("||", Self::all, Expression::Any)
    }

    fn all(&mut self) -> Result<Node<T>, String> {
        self.list("&&", Self::comparison, Expression::All)
    }

    fn list(
        &mut self,
        between: &'static str,
        part: fn(&mut Self) -> Result<Node<T>, String>,
        join: fn(Vec<Expression<T>>) -> Expression<T>,
    ) -> Result<Node<T>, String> {
        let first = part(self)?;
        if self.token != Token::Mark(between) {
            return Ok(first);
        }
        let mut list = vec![condition(first)?];
        while self.token == Token::Mark(between) {
            self.advance()?;
            list.push(condition(part(self)?)?);
        }
        Ok(Node::Condition(join(list)))
    }

    fn comparison(&mut self) -> Result<Node<T>, String> {
        let mut left = self.operand()?;
        while let Token::Mark(mark) = self.token
            && let Some(comparison) = comparison_of(mark)
        {
            self.advance()?;
            let right = self.operand()?;
            left = Node::Condition(compare(left, comparison, right)?);
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Node<T>, String> {
        match self.advance()? {
            Token::Constant(constant) => Ok(Node::Constant(constant)),
            Token::Name(name) => self.call(name),
            Token::Mark("(") => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err("too many parentheses within each other".into());
                }
                let inner = self.any()?;
                self.depth -= 1;
                self.close()?;
                Ok(inner)
            }
            Token::Mark("!") => Err("`!` is not known here: turn the comparison round, as in `ResponseCode() != 502`".into()),
            Token::Mark("-") => Err("negative numbers are not known here".into()),
            other => Err(format!("{} where a call or a constant should stand", other.describe())),
        }
    }

    /// What follows the name of a call.
    fn call(&mut self, name: &str) -> Result<Node<T>, String> {
        if self.token != Token::Mark("(") {
            return Err(format!("`{name}` is not known; a call is written with `()`"));
        }
        self.advance()?;
        let mut arguments = Vec::new();
        while self.token != Token::Mark(")") {
            match self.advance()? {
                Token::Constant(constant) => arguments.push(constant),
                other => return Err(format!("{} among the arguments of `{name}`: only constants can stand there", other.describe())),
            }
            if self.token != Token::Mark(",") {
                break;
            }
            self.advance()?;
        }
        self.close()?;
        let (call, kind) = (self.call)(name, &arguments)?;
        Ok(if kind == Kind::Truth { Node::Condition(Expression::Holds(call)) } else { Node::Call(call, kind) })
    }

    fn close(&mut self) -> Result<(), String> {
        if self.token != Token::Mark(")") {
            return Err(format!("{} where `)` should stand", self.token.describe()));
        }
        self.advance().map(|_| ())
    }
}

fn comparison_of(mark: &str) -> Option<Comparison> {
    Some(match mark {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn compare<T>(left: Node<T>, comparison: Comparison, right: Node<T>) -> Result<Expression<T>, String> {
    let (call, kind) = match left {
        Node::Call(call, kind) => (call, kind),
        Node::Condition(_) => return Err("a condition cannot be compared".into()),
        Node::Constant(_) => return Err("the call stands left of the comparison, the constant right".into()),
    };
    let Node::Constant(constant) = right else { return Err("a call can only be compared with a constant".into()) };
    match (kind, &constant) {
        (Kind::Int, Literal::Int(_)) | (Kind::Float, Literal::Float(_)) => {}
        (Kind::Text, Literal::Text(_)) if matches!(comparison, Comparison::Equal | Comparison::NotEqual) => {}
        (Kind::Text, Literal::Text(_)) => return Err("texts can only be compared by `==` and `!=`".into()),
        (Kind::Int, _) => return Err("a whole number is compared with a whole number: `2`, not `2.0`".into()),
        (Kind::Float, _) => return Err("a ratio is compared with a number with a point: `1.0`, not `1`".into()),
        (Kind::Text, _) => return Err("a text is compared with a text between quotes".into()),
        (Kind::Truth, _) => return Err("a condition cannot be compared".into()),
    }
    Ok(Expression::Compare(call, comparison, constant))
}
