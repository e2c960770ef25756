//! Snippets of nginx, as ingress-nginx takes them, and the server that is asked between their phases. Only providers
//! use this kind.
//!
//! [`parse`] takes a text apart, [`directive`] makes of it what can run, [`phases`] runs what acts at once and collects
//! what acts later, [`question`] asks.

mod access;
mod condition;
mod directive;
mod headers;
mod parse;
mod phases;
mod question;
mod rewrite;

use crate::omit;
use directive::{Block, Context};
use phases::{Collected, State};
use question::Question;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec, Scope};
use torana_http::{Around, Exchange, LocalFuture, Next, Response, Step};

/// Runs directives of nginx.
pub struct Snippet;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Directives of a `server`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub server_snippet: String,
    /// Directives of a `location`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub configuration_snippet: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
}

/// Whom to ask whether a request may pass.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthConfig {
    /// URL with variables; required.
    pub address: String,
    /// Of the question; empty for GET.
    #[serde(skip_serializing_if = "omit::empty")]
    pub method: String,
    /// Directives that change the question.
    #[serde(skip_serializing_if = "omit::empty")]
    pub snippet: String,
    /// Headers of the answer that replace those of the request.
    #[serde(skip_serializing_if = "omit::empty")]
    pub auth_response_headers: Vec<String>,
    /// Where clients are sent when the answer is 401, with variables.
    #[serde(rename = "authSigninURL", skip_serializing_if = "omit::empty")]
    pub auth_signin_url: String,
}

impl MiddlewareSpec for Snippet {
    const NAME: &'static str = "snippet";
    const EXAMPLE: &'static str = "configurationSnippet: 'more_set_headers \"X-From: $host\";'\n";
    const SCOPE: Scope = Scope::Router;
    type Config = Config;

    fn build(config: Config, cx: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let block = |key: &str, text: &str, context| match text {
            "" => Ok(None),
            text => Block::read(text, context).map(Some).map_err(|why| BuildError::new(key, why)),
        };
        let server = block("serverSnippet", &config.server_snippet, Context::Server)?;
        let location = block("configurationSnippet", &config.configuration_snippet, Context::Location)?;
        let question = match &config.auth {
            Some(auth) => {
                let snippet = block("auth.snippet", &auth.snippet, Context::Location)?;
                Some(Question::new(auth, snippet, cx)?)
            }
            None => None,
        };
        if server.is_none() && location.is_none() && question.is_none() {
            return Err(BuildError::new("", "there is neither a snippet nor `auth`"));
        }
        Ok(vec![Step::around(Runtime { server, location, question })])
    }
}

struct Runtime {
    server: Option<Block>,
    location: Option<Block>,
    question: Option<Question>,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(self.run(exchange, next))
    }
}

impl Runtime {
    async fn run(&self, exchange: &mut Exchange, next: Next<'_>) -> Response {
        let mut state = State::default();
        let (mut server, mut location) = (Collected::default(), Collected::default());
        let mut ended = self.server.as_ref().is_some_and(|b| b.collect(exchange, &mut state, &mut server));
        // `break` of the server leaves the location out.
        if let Some(block) = self.location.as_ref().filter(|_| !ended && !state.has_ended()) {
            state.begin();
            ended = block.collect(exchange, &mut state, &mut location);
        }
        if ended {
            let mut response = state.answer();
            phases::finish(exchange, &state, &mut response, &server, &location);
            return response;
        }
        for action in server.input.iter().chain(&location.input) {
            action.apply(exchange, &state);
        }
        let access = if location.access.is_empty() { &server.access } else { &location.access };
        if !access::is_allowed(access, exchange.peer.ip()) {
            return access::refusal();
        }
        if let Some(question) = &self.question
            && let Some(response) = question.ask(exchange, &mut state).await
        {
            return response;
        }
        let content = if location.content.is_empty() { &server.content } else { &location.content };
        phases::prepare(content, exchange, &mut state);
        let mut response = next.run(exchange).await;
        phases::finish(exchange, &state, &mut response, &server, &location);
        response
    }
}

#[cfg(test)]
mod tests;
