use super::TemplateError;
use super::functions::{self, Function};
use super::lexer::{Kind, Token, tokens};
use torana_base::closest;

/// Blocks and parentheses inside each other, at most.
const MAX_DEPTH: usize = 50;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
}

/// `$x := a b | c`.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    /// Two for `range $i, $x := ...`.
    pub(super) variables: Vec<String>,
    /// `:=` in place of `=`.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
    pub(super) column: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Command {
    Call(Function, Vec<Operand>, usize),
    One(Operand),
}

#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    /// `.a.b` behind it.
    pub(super) fields: Vec<String>,
    pub(super) column: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Literal(super::Value),
    Group(Box<Pipeline>),
    /// A function without arguments.
    Call(Function),
}

/// `find` knows the functions.
pub(super) fn parse(text: &str, find: fn(&str) -> Option<Function>) -> Result<Vec<Node>, TemplateError> {
    let tokens = tokens(text)?;
    let end = text.chars().count() + 1;
    let mut parser = Parser { find, tokens, at: 0, end, depth: 0, variables: vec![String::new()] };
    let (nodes, ended) = parser.nodes()?;
    match ended {
        None => Ok(nodes),
        Some((word, column)) => Err(TemplateError::at(column, format!("`{word}` has no beginning"))),
    }
}

/// The word that ends a block, and its column.
type Ended = (String, usize);

struct Parser {
    find: fn(&str) -> Option<Function>,
    tokens: Vec<Token>,
    at: usize,
    end: usize,
    depth: usize,
    /// Those in sight; the first is `$` itself.
    variables: Vec<String>,
}

impl Parser {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |t| t.column)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.tokens.get(self.at + ahead).map(|t| &t.kind) {
            Some(Kind::Word(w)) => Some(w),
            _ => None,
        }
    }

    fn take(&mut self, kind: &Kind, what: &str) -> Result<(), TemplateError> {
        if self.peek() == Some(kind) {
            self.at += 1;
            return Ok(());
        }
        Err(TemplateError::at(self.column(), format!("{what} belongs here")))
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::at(self.column(), "the template is nested too deeply"));
        }
        Ok(())
    }

    /// Nodes up to `end` or `else`, which are told but not taken.
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<Ended>), TemplateError> {
        let mut out = Vec::new();
        while let Some(kind) = self.peek() {
            if let Kind::Text(text) = kind {
                out.push(Node::Text(text.clone()));
                self.at += 1;
                continue;
            }
            let column = self.tokens.get(self.at + 1).map_or(self.end, |t| t.column);
            match self.word(1).map(str::to_owned) {
                Some(word) if word == "end" || word == "else" => return Ok((out, Some((word, column)))),
                Some(word) if matches!(word.as_str(), "if" | "with" | "range") => {
                    self.at += 2;
                    out.push(self.control(&word, column)?);
                }
                Some(word) if matches!(word.as_str(), "define" | "template" | "block" | "break" | "continue") => {
                    return Err(
                        TemplateError::at(column, format!("`{word}` is not built")).hint("write the rule with `if`, `with` and `range`")
                    );
                }
                _ => {
                    self.at += 1;
                    let pipeline = self.pipeline(false)?;
                    self.take(&Kind::Close, "`}}`")?;
                    out.push(Node::Print(pipeline));
                }
            }
        }
        Ok((out, None))
    }

    /// Behind the word `if`, `with` or `range`, up to its `end`.
    fn control(&mut self, word: &str, column: usize) -> Result<Node, TemplateError> {
        self.deeper()?;
        let in_sight = self.variables.len();
        let pipeline = self.pipeline(word == "range")?;
        self.take(&Kind::Close, "`}}`")?;
        let (body, ended) = self.nodes()?;
        let mut otherwise = Vec::new();
        let ended = match ended {
            Some((e, _)) if e == "else" => {
                self.at += 2;
                match self.word(0).map(str::to_owned) {
                    // `else if` has the same `end`
                    Some(next) if matches!(next.as_str(), "if" | "with") && word != "range" => {
                        let column = self.column();
                        self.at += 1;
                        otherwise.push(self.control(&next, column)?);
                        self.variables.truncate(in_sight);
                        self.depth -= 1;
                        return Ok(made(word, pipeline, body, otherwise));
                    }
                    _ => self.take(&Kind::Close, "`}}`")?,
                }
                let (nodes, ended) = self.nodes()?;
                otherwise = nodes;
                ended
            }
            other => other,
        };
        match ended {
            Some((e, _)) if e == "end" => self.at += 2,
            _ => return Err(TemplateError::at(column, format!("`{word}` has no end")).hint("write `{{ end }}` behind what belongs to it")),
        }
        self.take(&Kind::Close, "`}}`")?;
        self.variables.truncate(in_sight);
        self.depth -= 1;
        Ok(made(word, pipeline, body, otherwise))
    }

    fn pipeline(&mut self, range: bool) -> Result<Pipeline, TemplateError> {
        self.deeper()?;
        let column = self.column();
        let mut variables = Vec::new();
        let mut declares = false;
        if let Some(Kind::Variable(first)) = self.peek().cloned() {
            let kind = |i: usize| self.tokens.get(self.at + i).map(|t| &t.kind);
            let second = match (kind(1), kind(2), kind(3)) {
                (Some(Kind::Comma), Some(Kind::Variable(second)), Some(Kind::Declare | Kind::Assign)) if range => Some(second.clone()),
                _ => None,
            };
            let skip = if second.is_some() { 3 } else { 1 };
            if let Some(word @ (Kind::Declare | Kind::Assign)) = kind(skip) {
                declares = *word == Kind::Declare;
                variables = std::iter::once(first).chain(second).collect();
                self.at += skip + 1;
            }
        }
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(!commands.is_empty())?);
            match self.peek() {
                Some(Kind::Pipe) => self.at += 1,
                _ => break,
            }
        }
        for name in &variables {
            if declares {
                self.variables.push(name.clone());
            } else if !self.variables.contains(name) {
                return Err(
                    TemplateError::at(column, format!("the variable `${name}` is not there")).hint(format!("write `${name} := ...` first"))
                );
            }
        }
        self.depth -= 1;
        Ok(Pipeline { variables, declares, commands, column })
    }

    fn command(&mut self, piped: bool) -> Result<Command, TemplateError> {
        let column = self.column();
        if let Some(Kind::Word(name)) = self.peek().cloned()
            && !matches!(name.as_str(), "true" | "false" | "nil")
        {
            let function = self.function(&name, column)?;
            self.at += 1;
            let mut arguments = Vec::new();
            while self.at_operand() {
                arguments.push(self.operand()?);
            }
            let count = arguments.len() + usize::from(piped);
            if !function.takes(count) {
                return Err(TemplateError::at(column, format!("`{name}` takes {}, not {count}", function.wanted())));
            }
            return Ok(Command::Call(function, arguments, column));
        }
        let one = self.operand()?;
        if piped {
            return Err(TemplateError::at(column, "a function belongs behind `|`"));
        }
        if self.at_operand() {
            return Err(TemplateError::at(self.column(), "only functions take arguments").hint("write the name of the function first"));
        }
        Ok(Command::One(one))
    }

    fn function(&self, name: &str, column: usize) -> Result<Function, TemplateError> {
        (self.find)(name).ok_or_else(|| {
            let e = TemplateError::at(column, format!("unknown function `{name}`"));
            match closest(name, functions::names()) {
                Some(near) => e.hint(format!("did you mean `{near}`?")),
                None => e.hint(format!("known here: {}", functions::names().collect::<Vec<_>>().join(", "))),
            }
        })
    }

    fn at_operand(&self) -> bool {
        !matches!(
            self.peek(),
            None | Some(Kind::Pipe | Kind::Right | Kind::Close | Kind::Comma | Kind::Declare | Kind::Assign | Kind::Open | Kind::Text(_))
        )
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let column = self.column();
        let mut fields = Vec::new();
        let wrong = |what: &str| Err(TemplateError::at(column, format!("{what} cannot stand here")));
        let base = match self.peek().cloned() {
            Some(Kind::Field(name)) => {
                if !name.is_empty() {
                    fields.push(name);
                }
                Base::Dot
            }
            Some(Kind::Variable(name)) => {
                if !self.variables.contains(&name) {
                    return Err(TemplateError::at(column, format!("the variable `${name}` is not there"))
                        .hint(format!("write `${name} := ...` first")));
                }
                Base::Variable(name)
            }
            Some(Kind::Quoted(text)) => Base::Literal(text.into()),
            Some(Kind::Int(n)) => Base::Literal(super::Value::Int(n)),
            Some(Kind::Float(n)) => Base::Literal(super::Value::Float(n)),
            Some(Kind::Word(word)) => match word.as_str() {
                "true" | "false" => Base::Literal(super::Value::Bool(word == "true")),
                "nil" => Base::Literal(super::Value::None),
                name => {
                    let function = self.function(name, column)?;
                    if !function.takes(0) {
                        let e = TemplateError::at(column, format!("`{name}` takes {}, not 0", function.wanted()));
                        return Err(e.hint("put a function with its arguments in parentheses"));
                    }
                    Base::Call(function)
                }
            },
            Some(Kind::Left) => {
                self.at += 1;
                let inner = self.pipeline(false)?;
                if self.peek() != Some(&Kind::Right) {
                    return Err(TemplateError::at(self.column(), "`)` belongs here"));
                }
                Base::Group(Box::new(inner))
            }
            Some(Kind::Pipe) => return wrong("`|`"),
            Some(Kind::Right) => return wrong("`)`"),
            Some(Kind::Close) | None => return Err(TemplateError::at(column, "a value belongs here")),
            Some(_) => return wrong("this"),
        };
        self.at += 1;
        while let Some(Token { kind: Kind::Field(name), spaced: false, .. }) = self.tokens.get(self.at) {
            if name.is_empty() {
                return Err(TemplateError::at(self.column(), "a name belongs behind `.`"));
            }
            fields.push(name.clone());
            self.at += 1;
        }
        Ok(Operand { base, fields, column })
    }
}

fn made(word: &str, pipeline: Pipeline, body: Vec<Node>, otherwise: Vec<Node>) -> Node {
    match word {
        "if" => Node::If(pipeline, body, otherwise),
        "with" => Node::With(pipeline, body, otherwise),
        _ => Node::Range(pipeline, body, otherwise),
    }
}
