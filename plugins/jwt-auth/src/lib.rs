//! Checks JSON Web Tokens (RFC 7519, RFC 6750, RFC 8725) and forwards their claims.

mod keys;
mod source;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use plugin_support::{header_name, parameters, quotable, without_parameter};
use torana_plugin_sdk::prelude::*;
use torana_plugin_sdk::serde_json::{self, Value};

use keys::Algorithm;
use source::{Keys, Remote, Source};

/// How many tokens an instance remembers whose signature it has checked.
const REMEMBERED: usize = 256;
const LONGEST: usize = 16 << 10;

/// Which tokens are accepted, and what becomes of their claims. One of `jwksUrl`, `jwks` and `publicKey` is needed.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Where the JWK set is fetched; its host needs `permissions.http`, and `permissions.kv: [jwks]` shares it between instances.
    jwks_url: Option<String>,
    /// How long a fetched set is good, as in `10m`. Old keys serve on while a fetch fails.
    #[serde(default = "default_ttl")]
    jwks_ttl: String,
    /// The least time between two fetches, as in `30s`, whatever keys tokens name.
    #[serde(default = "default_pause")]
    jwks_pause: String,
    /// The JWK set itself.
    jwks: Option<serde_json::Map<String, Value>>,
    /// One key as PEM, `BEGIN PUBLIC KEY`.
    public_key: Option<String>,
    /// The accepted algorithms; all that are supported unless set.
    #[serde(default)]
    algorithms: Vec<Algorithm>,
    /// The header with the token. In `authorization`, it stands behind `Bearer`; in others, that may be left out.
    #[serde(default = "default_header")]
    header: String,
    /// A cookie that may hold the token, where the header does not.
    cookie: Option<String>,
    /// A parameter of the query that may hold the token, where header and cookie do not.
    query: Option<String>,
    /// Accepted `iss`; any unless set.
    #[serde(default)]
    issuers: Vec<String>,
    /// Accepted `aud`, one of which the token must name; any unless set.
    #[serde(default)]
    audiences: Vec<String>,
    /// Claims that must be there.
    #[serde(default = "default_required")]
    required_claims: Vec<String>,
    /// By claim, the accepted values; where the claim is a list, one of them must be in it. Others are answered 403. Claims within claims
    /// are written with dots.
    #[serde(default)]
    claim_values: BTreeMap<String, Vec<String>>,
    /// Scopes that the token must have, all of them (`scope` or `scp`); 403 without.
    #[serde(default)]
    scopes: Vec<String>,
    /// How far the clocks may be apart, as in `30s`.
    #[serde(default = "default_leeway")]
    leeway: String,
    /// By claim, the header in which the service is told it. Such headers of the client are removed.
    #[serde(default)]
    claim_headers: BTreeMap<String, String>,
    /// Whether the token is removed before the request goes on.
    #[serde(default)]
    remove: bool,
    /// Whether requests without a token pass.
    #[serde(default)]
    optional: bool,
    /// The realm that a refused client is told.
    realm: Option<String>,
}

fn default_ttl() -> String {
    "10m".into()
}

fn default_pause() -> String {
    "30s".into()
}

fn default_leeway() -> String {
    "30s".into()
}

fn default_header() -> String {
    "authorization".into()
}

fn default_required() -> Vec<String> {
    vec!["exp".into()]
}

/// Why a request is refused.
#[derive(Debug, PartialEq)]
enum Refusal {
    /// No token.
    Missing,
    /// The token cannot be accepted.
    Invalid(String),
    /// The token is good, but not for this.
    Insufficient(String),
    /// There are no keys to check it with.
    NoKeys,
}

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::Invalid(why.into())
}

struct JwtAuth {
    source: Source,
    algorithms: Vec<Algorithm>,
    header: String,
    cookie: Option<String>,
    query: Option<String>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    required_claims: Vec<String>,
    claim_values: BTreeMap<String, Vec<String>>,
    scopes: Vec<String>,
    leeway: Duration,
    claim_headers: BTreeMap<String, String>,
    remove: bool,
    optional: bool,
    realm: Option<String>,
    verified: RefCell<Verified>,
}

/// Claims by token, of tokens whose signature was checked with these keys.
#[derive(Default)]
struct Verified {
    keys: Option<Keys>,
    claims: BTreeMap<String, Rc<Value>>,
}

impl Middleware for JwtAuth {
    type Config = Config;

    const CAPABILITIES: Capabilities = Capabilities::NONE.http().kv(&["jwks"]);

    fn new(config: Config) -> Result<Self, ConfigError> {
        let source = source(&config)?;
        let mut claim_headers = BTreeMap::new();
        for (claim, header) in config.claim_headers {
            let header = header_name(&format!("claimHeaders.{claim}"), &header)?;
            claim_headers.insert(claim, header);
        }
        let names: BTreeSet<&String> = claim_headers.values().collect();
        if names.len() < claim_headers.len() {
            return Err(ConfigError::new("claimHeaders", "has one header for two claims").hint("give each claim a header of its own"));
        }
        for (index, scope) in config.scopes.iter().enumerate() {
            let key = format!("scopes[{index}]");
            if scope.is_empty() || scope.contains(' ') {
                return Err(ConfigError::new(key, "is no scope").hint("write one scope in each line"));
            }
            quotable(&key, scope.clone())?;
        }
        Ok(JwtAuth {
            source,
            algorithms: if config.algorithms.is_empty() { Algorithm::ALL.to_vec() } else { config.algorithms },
            header: header_name("header", &config.header)?,
            cookie: config.cookie,
            query: config.query,
            issuers: config.issuers,
            audiences: config.audiences,
            required_claims: config.required_claims,
            claim_values: config.claim_values,
            scopes: config.scopes,
            leeway: duration("leeway", &config.leeway)?,
            claim_headers,
            remove: config.remove,
            optional: config.optional,
            realm: config.realm.map(|realm| quotable("realm", realm)).transpose()?,
            verified: RefCell::default(),
        })
    }

    fn interest(&self) -> Interest {
        let interest = Interest::request().header(&self.header);
        if self.query.is_some() { interest.path() } else { interest }
    }

    fn on_request(&self, request: &mut Request) -> Flow {
        let claims = match self.token(request).map(|token| self.accept(&token)).transpose() {
            Ok(None) if !self.optional => return self.refuse(Refusal::Missing),
            Ok(claims) => claims,
            Err(refusal) => return self.refuse(refusal),
        };
        if self.remove {
            self.remove_token(request);
        }
        for header in self.claim_headers.values() {
            request.remove_header(header);
        }
        if let Some(claims) = claims {
            for (name, header) in &self.claim_headers {
                match claim(&claims, name).map(shown) {
                    Some(value) if value.chars().any(char::is_control) => {
                        return self.refuse(invalid(format!("the claim {name} cannot stand in a header")));
                    }
                    Some(value) => request.set_header(header, value),
                    None => {}
                }
            }
            if let Some(subject) = claims["sub"].as_str() {
                request.set_user(subject);
            }
        }
        Flow::Next
    }
}

impl JwtAuth {
    /// The token of a request: of the header, the cookie, the query, whichever has one first.
    fn token(&self, request: &Request) -> Option<String> {
        let header = request.header(&self.header).and_then(|value| match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
            _ if self.header == "authorization" => None,
            _ => Some(value.trim()),
        });
        if let Some(token) = header {
            return Some(token.to_owned());
        }
        if let Some(name) = &self.cookie {
            let lines = request.header_lines("cookie");
            let pairs = lines.iter().flat_map(|line| line.split(|byte| *byte == b';'));
            for pair in pairs.filter_map(|pair| std::str::from_utf8(pair).ok()) {
                if let Some((found, value)) = pair.trim().split_once('=')
                    && found == name
                {
                    return Some(value.trim_matches('"').to_owned());
                }
            }
        }
        let name = self.query.as_ref()?;
        parameters(request.query()?).find(|(parameter, _)| parameter == name).map(|(_, value)| value)
    }

    fn remove_token(&self, request: &Request) {
        request.remove_header(&self.header);
        if let Some(name) = &self.cookie {
            let lines = request.header_lines("cookie");
            let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
            let pairs = lines.iter().flat_map(|line| line.split(';')).map(str::trim).filter(|pair| !pair.is_empty());
            let kept: Vec<&str> = pairs.filter(|pair| pair.split('=').next() != Some(name)).collect();
            if kept.is_empty() {
                request.remove_header("cookie");
            } else {
                request.set_header("cookie", kept.join("; "));
            }
        }
        if let Some(name) = &self.query
            && request.query().is_some()
        {
            request.set_path(without_parameter(request.path_and_query(), name));
        }
    }

    /// The claims of a token that may pass.
    fn accept(&self, token: &str) -> Result<Rc<Value>, Refusal> {
        let claims = self.verify(token)?;
        self.check(&claims)?;
        Ok(claims)
    }

    /// The claims of a token, its signature checked.
    fn verify(&self, token: &str) -> Result<Rc<Value>, Refusal> {
        let keys = self.source.keys().ok_or(Refusal::NoKeys)?;
        let mut verified = self.verified.borrow_mut();
        // Keys that are gone take what they signed with them.
        if !verified.keys.as_ref().is_some_and(|old| Rc::ptr_eq(old, &keys)) || verified.claims.len() >= REMEMBERED {
            *verified = Verified { keys: Some(Rc::clone(&keys)), claims: BTreeMap::new() };
        }
        if let Some(claims) = verified.claims.get(token) {
            return Ok(Rc::clone(claims));
        }
        let claims = Rc::new(self.verify_with(keys, token)?);
        verified.claims.insert(token.to_owned(), Rc::clone(&claims));
        Ok(claims)
    }

    fn verify_with(&self, keys: Keys, token: &str) -> Result<Value, Refusal> {
        let malformed = || invalid("the token is malformed");
        if token.len() > LONGEST {
            return Err(malformed());
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
        let bytes = |part: &str| Base64UrlUnpadded::decode_vec(part).map_err(|_| malformed());
        let json = |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|_| malformed());
        let (header, signature) = (json(header)?, bytes(signature)?);

        let algorithm = header["alg"].as_str().and_then(Algorithm::named);
        let algorithm = algorithm.filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| invalid("the algorithm of the token is not accepted"))?;
        // RFC 7515: extensions that are not understood make a token invalid, and none is understood here.
        if header.get("crit").is_some() {
            return Err(invalid("the token has critical extensions"));
        }
        let id = header.get("kid").map(|id| id.as_str().ok_or_else(malformed)).transpose()?;

        let keys = if keys.iter().any(|key| key.fits(id, algorithm)) { Some(keys) } else { self.source.newer() };
        let keys = keys.unwrap_or_default();
        let mut fitting = keys.iter().filter(|key| key.fits(id, algorithm)).peekable();
        if fitting.peek().is_none() {
            return Err(invalid("the key of the token is not known"));
        }
        if !fitting.any(|key| key.signed(algorithm, signed.as_bytes(), &signature)) {
            return Err(invalid("the signature is wrong"));
        }
        let claims = json(payload)?;
        if claims.is_object() { Ok(claims) } else { Err(malformed()) }
    }

    fn check(&self, claims: &Value) -> Result<(), Refusal> {
        let (now, leeway) = (clock::unix().as_secs_f64(), self.leeway.as_secs_f64());
        let time = |name: &str| match claims.get(name) {
            Some(value) => value.as_f64().map(Some).ok_or_else(|| invalid(format!("the claim {name} is no time"))),
            None => Ok(None),
        };
        if time("exp")?.is_some_and(|until| now >= until + leeway) {
            return Err(invalid("the token has expired"));
        }
        if time("nbf")?.is_some_and(|from| now < from - leeway) {
            return Err(invalid("the token is not valid yet"));
        }
        if let Some(name) = self.required_claims.iter().find(|name| claim(claims, name).is_none()) {
            return Err(invalid(format!("the claim {name} is missing")));
        }
        if !self.issuers.is_empty() && !holds(&claims["iss"], &self.issuers, false) {
            return Err(invalid("the issuer is not accepted"));
        }
        if !self.audiences.is_empty() && !holds(&claims["aud"], &self.audiences, true) {
            return Err(invalid("the token is for another audience"));
        }
        let had: Vec<&str> = ["scope", "scp"].into_iter().flat_map(|name| texts(&claims[name])).flat_map(|all| all.split(' ')).collect();
        if !self.scopes.iter().all(|scope| had.contains(&scope.as_str())) {
            return Err(Refusal::Insufficient("the token lacks a scope".into()));
        }
        for (name, accepted) in &self.claim_values {
            if !claim(claims, name).is_some_and(|value| holds(value, accepted, true)) {
                return Err(Refusal::Insufficient(format!("the claim {name} does not permit this")));
            }
        }
        Ok(())
    }

    fn refuse(&self, refusal: Refusal) -> Flow {
        metrics::add("refused", 1);
        let mut parts: Vec<String> = self.realm.iter().map(|realm| format!("realm=\"{realm}\"")).collect();
        let (status, why) = match refusal {
            Refusal::NoKeys => {
                let answer = Answer::new(503).with_header("retry-after", "5");
                return Flow::Respond(answer.with_text("tokens cannot be checked at present\n"));
            }
            // RFC 6750, 3.1: a client that sent no token is told no error.
            Refusal::Missing => (401, "a token is required".to_owned()),
            Refusal::Invalid(why) => {
                parts.push("error=\"invalid_token\"".into());
                (401, why)
            }
            Refusal::Insufficient(why) => {
                parts.push("error=\"insufficient_scope\"".into());
                (403, why)
            }
        };
        if let Some(error) = parts.last()
            && error.starts_with("error")
        {
            // Claims are the operator's words and may hold what cannot stand between quotes.
            let safe: String = why.chars().filter(|char| (' '..='~').contains(char) && !"\"\\".contains(*char)).collect();
            parts.push(format!("error_description=\"{safe}\""));
        }
        if status == 403 && !self.scopes.is_empty() {
            parts.push(format!("scope=\"{}\"", self.scopes.join(" ")));
        }
        let challenge = format!("Bearer {}", parts.join(", "));
        Flow::Respond(Answer::new(status).with_header("www-authenticate", challenge.trim_end()).with_text(format!("{why}\n")))
    }
}

/// A claim by its name, or by the names on the way to it.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    // Names may have dots of their own, as in `https://example.com/role`.
    claims.get(name).or_else(|| name.split('.').try_fold(claims, |value, part| value.get(part)))
}

/// A claim as the value of a header: text as it is, everything else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The texts of a claim: itself, or those in its list.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter().filter_map(Value::as_str)
}

/// Whether a claim is one of the accepted values, or, if it may be a list, has one of them in it.
fn holds(value: &Value, accepted: &[String], list: bool) -> bool {
    let one = |value: &Value| !value.is_null() && accepted.contains(&shown(value));
    match value {
        Value::Array(all) => list && all.iter().any(one),
        value => one(value),
    }
}

fn source(config: &Config) -> Result<Source, ConfigError> {
    let fixed = match (&config.jwks_url, &config.jwks, &config.public_key) {
        (Some(url), None, None) => {
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                return Err(ConfigError::new("jwksUrl", "is no URL").hint("begin it with `https://`"));
            }
            let (ttl, pause) = (duration("jwksTtl", &config.jwks_ttl)?, duration("jwksPause", &config.jwks_pause)?);
            if pause.is_zero() {
                return Err(ConfigError::new("jwksPause", "must be longer than 0").hint("write a time, as in `30s`"));
            }
            return Ok(Source::Remote(Remote::new(url.clone(), ttl, pause)));
        }
        (None, Some(set), None) => keys::from_jwks(&Value::Object(set.clone())).map_err(|why| ConfigError::new("jwks", why))?,
        (None, None, Some(pem)) => vec![keys::from_pem(pem).map_err(|why| ConfigError::new("publicKey", why))?],
        _ => return Err(ConfigError::new("", "has not exactly one source of keys").hint("set `jwksUrl`, `jwks` or `publicKey`")),
    };
    Ok(Source::Fixed(fixed.into()))
}

/// A time as in `500ms`, `30s`, `10m` or `1h`.
fn duration(key: &str, text: &str) -> Result<Duration, ConfigError> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let millis = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    let error = || ConfigError::new(key, format!("`{text}` is no time")).hint("write a number with `ms`, `s`, `m` or `h`");
    millis.map(Duration::from_millis).ok_or_else(error)
}

export_middleware!(JwtAuth);
