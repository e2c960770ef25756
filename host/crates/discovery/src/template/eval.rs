use super::functions::Function;
use super::parser::{Base, Command, Node, Operand, Pipeline};
use super::{Limits, TemplateError, Value};
use std::sync::Arc;

pub(super) fn render(nodes: &[Node], data: &Value, limits: Limits) -> Result<String, TemplateError> {
    let mut run = Run { out: String::new(), variables: vec![(String::new(), data.clone())], steps: 0, limits };
    run.nodes(nodes, data)?;
    Ok(run.out)
}

struct Run {
    out: String,
    /// The first is `$`.
    variables: Vec<(String, Value)>,
    steps: usize,
    limits: Limits,
}

impl Run {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        for node in nodes {
            self.steps += 1;
            if self.steps > self.limits.steps || self.out.len() > self.limits.output {
                return Err(TemplateError::at(0, "the template makes too much"));
            }
            let in_sight = self.variables.len();
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&value.to_string());
                    }
                    // a variable that was declared here stays in sight
                    continue;
                }
                Node::If(pipeline, body, otherwise) => {
                    let value = self.pipeline(pipeline, dot)?;
                    self.nodes(if value.truth() { body } else { otherwise }, dot)?;
                }
                Node::With(pipeline, body, otherwise) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if value.truth() { self.nodes(body, &value)? } else { self.nodes(otherwise, dot)? }
                }
                Node::Range(pipeline, body, otherwise) => self.range(pipeline, body, otherwise, dot)?,
            }
            self.variables.truncate(in_sight);
        }
        Ok(())
    }

    fn range(&mut self, pipeline: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let pairs: Vec<(Value, Value)> = match self.commands(pipeline, dot)? {
            Value::List(items) => items.into_iter().enumerate().map(|(i, v)| (Value::Int(i as i64), v)).collect(),
            Value::Map(entries) => entries.iter().map(|(k, v)| (k.as_str().into(), v.clone())).collect(),
            Value::Int(n) => (0..n.clamp(0, self.limits.steps as i64)).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            Value::None => Vec::new(),
            other => return Err(TemplateError::at(pipeline.column, format!("`range` cannot go over {}", other.kind()))),
        };
        if pairs.is_empty() {
            return self.nodes(otherwise, dot);
        }
        let in_sight = self.variables.len();
        for (key, value) in pairs {
            match pipeline.variables.as_slice() {
                [] => {}
                [only] => self.set(only, value.clone(), pipeline.declares),
                [first, second, ..] => {
                    self.set(first, key, pipeline.declares);
                    self.set(second, value.clone(), pipeline.declares);
                }
            }
            self.nodes(body, &value)?;
            self.variables.truncate(in_sight);
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) {
        match self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            Some(found) if !declares => found.1 = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(match command {
                Command::One(operand) => self.operand(operand, dot)?,
                Command::Call(function, arguments, column) => {
                    let mut values = Vec::with_capacity(arguments.len() + 1);
                    for argument in arguments {
                        values.push(self.operand(argument, dot)?);
                    }
                    values.extend(value.take());
                    self.call(*function, &values, *column)?
                }
            });
        }
        Ok(value.unwrap_or(Value::None))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => self.variables.iter().rev().find(|(n, _)| n == name).map_or(Value::None, |(_, v)| v.clone()),
            Base::Literal(value) => value.clone(),
            Base::Group(pipeline) => self.pipeline(pipeline, dot)?,
            Base::Call(function) => self.call(*function, &[], operand.column)?,
        };
        for field in &operand.fields {
            value = match &value {
                Value::Map(entries) => match entries.get(field) {
                    Some(found) => found.clone(),
                    // the data itself is a struct in Go
                    None if matches!(&self.variables[0].1, Value::Map(root) if Arc::ptr_eq(root, entries)) => {
                        let known: Vec<String> = entries.keys().map(|k| format!("`.{k}`")).collect();
                        return Err(TemplateError::at(operand.column, format!("there is no `.{field}`"))
                            .hint(format!("there are {}", known.join(", "))));
                    }
                    None => Value::None,
                },
                other => return Err(TemplateError::at(operand.column, format!("there is no `{field}` in {}", other.kind()))),
            };
        }
        Ok(value)
    }

    fn call(&self, function: Function, values: &[Value], column: usize) -> Result<Value, TemplateError> {
        // Lists in lists are copies: they double with each turn of a loop.
        if function.gathers() && !self.limits.hold(values) {
            return Err(TemplateError::at(column, format!("{}: the values are too many", function.name)));
        }
        let done = function.call(values).map_err(|message| TemplateError::at(column, format!("{}: {message}", function.name)))?;
        match &done {
            Value::Text(t) if t.len() > self.limits.output => {
                Err(TemplateError::at(column, format!("{}: the text is too long", function.name)))
            }
            _ => Ok(done),
        }
    }
}
