//! Directives that can run, and where each may stand.

use super::access::Rule;
use super::condition::{Condition, Path};
use super::headers::{ClearHeaders, Expires, SetHeaders};
use super::parse::{Directive, parse};
use super::rewrite::{Return, Rewrite};
use http::HeaderName;
use torana_http::variables::Template;

/// What a directive stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Server,
    Location,
    IfInServer,
    IfInLocation,
}

impl Context {
    fn name(self) -> &'static str {
        match self {
            Context::Server => "server",
            Context::Location => "location",
            Context::IfInServer => "if in server",
            Context::IfInLocation => "if in location",
        }
    }

    fn inside_if(self) -> Context {
        if self == Context::Server { Context::IfInServer } else { Context::IfInLocation }
    }

    /// Whether a directive may stand here; as in nginx. `None` for one that there is not.
    fn allows(self, name: &str) -> Option<bool> {
        Some(match name {
            "more_set_headers" | "more_clear_headers" | "more_set_input_headers" | "more_clear_input_headers" | "set" | "return"
            | "rewrite" | "allow" | "deny" => true,
            "add_header" | "expires" => self != Context::IfInServer,
            "proxy_set_header" | "proxy_hide_header" | "proxy_method" | "auth_request_set" | "if" => {
                matches!(self, Context::Server | Context::Location)
            }
            "location" => self == Context::Server,
            _ => return None,
        })
    }
}

/// Directives in their order.
#[derive(Debug)]
pub(super) struct Block(pub(super) Vec<Action>);

#[derive(Debug)]
pub(super) enum Action {
    Set { name: String, value: Template },
    Return(Return),
    Rewrite(Rewrite),
    If(Condition, Block),
    Location(Path, Block),
    Input(Input),
    Access(Rule),
    Content(Content),
    AddHeader(AddHeader),
    Output(Output),
}

/// Changes headers of the request.
#[derive(Debug)]
pub(super) enum Input {
    Set(SetHeaders),
    Clear(ClearHeaders),
}

/// Changes the request to the server.
#[derive(Debug)]
pub(super) enum Content {
    AuthRequestSet { name: String, value: Template },
    /// An empty value takes the header away.
    SetHeader { name: HeaderName, value: Template },
    Method(Template),
}

#[derive(Debug)]
pub(super) struct AddHeader {
    pub(super) name: HeaderName,
    pub(super) value: Template,
    /// Whatever the status is.
    pub(super) always: bool,
}

/// Changes headers of the response.
#[derive(Debug)]
pub(super) enum Output {
    Set(SetHeaders),
    Clear(ClearHeaders),
    Hide(HeaderName),
    Expires(Expires),
}

impl Block {
    pub(super) fn read(text: &str, context: Context) -> Result<Block, String> {
        Block::of(&parse(text)?, context)
    }

    fn of(directives: &[Directive], context: Context) -> Result<Block, String> {
        directives.iter().map(|d| action(d, context).map_err(|e| format!("{}: {e}", d.name))).collect::<Result<_, _>>().map(Block)
    }
}

fn action(directive: &Directive, context: Context) -> Result<Action, String> {
    let Directive { name, parameters, block } = directive;
    match context.allows(name) {
        None => return Err("this directive of nginx is not supported".into()),
        Some(false) => return Err(format!("this may not stand in `{}`", context.name())),
        Some(true) => {}
    }
    let blocky = matches!(name.as_str(), "if" | "location");
    let inner = match block {
        Some(_) if !blocky => return Err("this takes no block".into()),
        None if blocky => return Err("this needs a block".into()),
        Some(inner) => Block::of(inner, if name == "location" { Context::Location } else { context.inside_if() })?,
        None => Block(Vec::new()),
    };
    let one = || parameters.first().ok_or_else(|| "a parameter is missing".to_owned());
    let two = || match parameters.as_slice() {
        [a, b, ..] => Ok((a, b)),
        _ => Err("two parameters belong here".to_owned()),
    };
    Ok(match name.as_str() {
        "set" => {
            let (name, value) = two()?;
            Action::Set { name: variable(name)?, value: Template::new(value) }
        }
        "return" => Action::Return(Return::read(parameters)?),
        "rewrite" => Action::Rewrite(Rewrite::read(parameters)?),
        "if" => Action::If(Condition::read(parameters)?, inner),
        "location" => Action::Location(Path::read(parameters)?, inner),
        "more_set_input_headers" => Action::Input(Input::Set(SetHeaders::read(parameters, false)?)),
        "more_clear_input_headers" => Action::Input(Input::Clear(ClearHeaders::read(parameters, false)?)),
        "allow" | "deny" => Action::Access(Rule::read(name == "allow", one()?)?),
        "auth_request_set" => {
            let (name, value) = two()?;
            Action::Content(Content::AuthRequestSet { name: variable(name)?, value: Template::new(value) })
        }
        "proxy_set_header" => {
            let (name, value) = two()?;
            Action::Content(Content::SetHeader { name: header(name)?, value: Template::new(value) })
        }
        "proxy_method" => match parameters.as_slice() {
            [method] => Action::Content(Content::Method(Template::new(method))),
            _ => return Err("one parameter belongs here".into()),
        },
        "add_header" => {
            let (name, value) = two()?;
            let always = parameters.get(2).is_some_and(|p| p == "always");
            Action::AddHeader(AddHeader { name: header(name)?, value: Template::new(value), always })
        }
        "more_set_headers" => Action::Output(Output::Set(SetHeaders::read(parameters, true)?)),
        "more_clear_headers" => Action::Output(Output::Clear(ClearHeaders::read(parameters, true)?)),
        "proxy_hide_header" => Action::Output(Output::Hide(header(one()?)?)),
        _ => Action::Output(Output::Expires(Expires::read(one()?)?)),
    })
}

fn variable(name: &str) -> Result<String, String> {
    if name.starts_with('$') { Ok(name.to_owned()) } else { Err(format!("`{name}` is no variable: it begins with `$`")) }
}

pub(super) fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no name of a header"))
}
