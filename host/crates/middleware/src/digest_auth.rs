//! `digestAuth`: name and password, of which only a digest goes over the wire (RFC 7616 with MD5, as Traefik has it).

mod nonces;
mod params;

use crate::{go_url, omit, random_key, users};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use md5::{Digest, Md5};
use nonces::{Nonces, Turn};
use params::Params;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;
use torana_base::Secret;
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::{Around, Body, Exchange, LocalFuture, Next, Request, Response, Step, exchange};

pub struct DigestAuth;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// `name:realm:hash` each, as `htdigest` writes them.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "users::show")]
    pub users: Vec<Secret>,
    /// A file of such entries, one a line; read when the configuration is. `users` win over it.
    #[serde(skip_serializing_if = "omit::empty")]
    pub users_file: String,
    /// Whether `Authorization` is taken off requests that pass.
    #[serde(skip_serializing_if = "omit::empty")]
    pub remove_header: bool,
    /// What clients are told that the password is for; `traefik`. Users of other realms do not pass.
    #[serde(skip_serializing_if = "omit::empty")]
    pub realm: String,
    /// A request header that tells the server the user's name.
    #[serde(skip_serializing_if = "omit::empty")]
    pub header_field: String,
}

impl MiddlewareSpec for DigestAuth {
    const NAME: &'static str = "digestAuth";
    const EXAMPLE: &'static str = "users:\n  - test:traefik:a2688e031edb4be6a3797f3882655c05\nremoveHeader: true\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let realm = if config.realm.is_empty() { "traefik" } else { &config.realm };
        if HeaderValue::from_str(realm).is_err() {
            return Err(BuildError::new("realm", "the realm holds a control character"));
        }
        let suffix = format!(":{realm}");
        let of_realm = |(key, hash): (String, Secret)| Some((key.strip_suffix(&suffix)?.to_owned(), hash));
        let users = users::read(&config.users, &config.users_file, 3)?.into_iter().filter_map(of_realm).collect();
        let user_header = match config.header_field.trim() {
            "" => None,
            name => Some(HeaderName::from_bytes(name.as_bytes()).map_err(|_| BuildError::new("headerField", "this is not a header name"))?),
        };
        Ok(vec![Step::around(Runtime {
            users,
            realm: realm.to_owned(),
            opaque: STANDARD.encode(&random_key::new()[..12]),
            nonces: Nonces::default(),
            // `Host` is no header in Traefik's map of them, and does not go out.
            user_header: user_header.filter(|n| *n != HOST),
            remove_header: config.remove_header,
        })])
    }
}

struct Runtime {
    /// The digest of name, realm and password, by name.
    users: BTreeMap<String, Secret>,
    realm: String,
    /// Comes back with what is ours.
    opaque: String,
    nonces: Nonces,
    user_header: Option<HeaderName>,
    remove_header: bool,
}

/// Why a request does not pass.
enum Refusal {
    Unknown,
    /// Name and password are right, but the nonce has been used: nobody needs to be asked for them again.
    Stale,
}

impl Around for Runtime {
    fn call<'a>(&'a self, exchange: &'a mut Exchange, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let user = match self.check(&exchange.request) {
                Ok(user) => user,
                Err(refusal) => {
                    exchange.trace_error("Digest authentication failed");
                    return self.refuse(&refusal);
                }
            };
            let headers = &mut exchange.request.headers;
            if let Some(header) = &self.user_header {
                match HeaderValue::from_bytes(user.as_bytes()) {
                    Ok(value) => headers.insert(header, value),
                    Err(_) => headers.remove(header),
                };
            }
            if self.remove_header {
                headers.remove(AUTHORIZATION);
            }
            exchange.user = Some(user);
            next.run(exchange).await
        })
    }
}

impl Runtime {
    /// The user's name, if all is right.
    fn check(&self, request: &Request) -> Result<String, Refusal> {
        let given = authorization(&request.headers).ok_or(Refusal::Unknown)?;
        let about_us = given.opaque == self.opaque && given.algorithm.is_none_or_md5() && given.qop == "auth";
        if !about_us || !concerns(&given.uri, request) {
            return Err(Refusal::Unknown);
        }
        let known = self.users.get(&given.username);
        // Of strangers too, so that the time tells nothing.
        let ha1 = known.map_or("", Secret::expose);
        let ha2 = hex_of(&[request.method.as_str(), &given.uri]);
        let expected = hex_of(&[ha1, &given.nonce, &given.nc, &given.cnonce, &given.qop, &ha2]);
        let right = bool::from(expected.as_bytes().ct_eq(given.response.as_bytes()));
        if !right || known.is_none() {
            return Err(Refusal::Unknown);
        }
        // Zero would be no step beyond what has been.
        let count = u64::from_str_radix(&given.nc, 16).ok().filter(|n| *n > 0).ok_or(Refusal::Unknown)?;
        match self.nonces.take(&given.nonce, count) {
            Turn::Next => Ok(given.username),
            Turn::Again | Turn::Foreign => Err(Refusal::Unknown),
            Turn::Past => Err(Refusal::Stale),
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let mut r = exchange::status(StatusCode::UNAUTHORIZED);
        let stale = if matches!(refusal, Refusal::Stale) { ", stale=\"true\"" } else { "" };
        let challenge = format!(
            "Digest realm=\"{}\", nonce=\"{}\", opaque=\"{}\"{stale}, algorithm=\"MD5\", qop=\"auth\"",
            self.realm,
            self.nonces.issue(),
            self.opaque
        );
        r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        r.headers_mut().extend(HeaderValue::try_from(challenge).ok().map(|c| (WWW_AUTHENTICATE, c)));
        *r.body_mut() = Body::from("401 Unauthorized\n");
        r
    }
}

/// What the first `Authorization` line says, if it is one for us. The scheme counts as it is written, as in Traefik.
fn authorization(headers: &HeaderMap) -> Option<Params> {
    let value = std::str::from_utf8(headers.get(AUTHORIZATION)?.as_bytes()).ok()?;
    value.strip_prefix("Digest ").map(Params::parse)
}

/// Whether `uri` names what is asked for, or its path a folder of it: some clients leave the query out.
fn concerns(uri: &str, request: &Request) -> bool {
    if request.target() == uri {
        return true;
    }
    let Some(printed) = go_url::reprint(uri) else { return false };
    let printed = printed.split(['?', '#']).next().unwrap_or_default();
    let path = match printed.split_once("://").filter(|(scheme, _)| !scheme.contains('/')) {
        Some((_, rest)) => rest.find('/').map_or("", |i| &rest[i..]),
        None => printed,
    };
    go_url::decode(&request.path).starts_with(&go_url::decode(path))
}

/// MD5 of the parts with colons between them, in hex.
fn hex_of(parts: &[&str]) -> String {
    let mut digest = Md5::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            digest.update(b":");
        }
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
