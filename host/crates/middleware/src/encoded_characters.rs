use crate::omit;
use serde::{Deserialize, Serialize};
use torana_extend::{BuildCx, BuildError, MiddlewareSpec};
use torana_http::path::encoded;
use torana_http::{Exchange, Filter, Flow, Step, exchange};

/// Refuses paths with characters in escaped form that servers take for something else than their escapes.
pub struct EncodedCharacters;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// `%2F`
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_encoded_slash: bool,
    /// `%5C`
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_encoded_back_slash: bool,
    /// `%00`
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_encoded_null_character: bool,
    /// `%3B`
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_encoded_semicolon: bool,
    /// `%25`
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_encoded_percent: bool,
    /// `%3F`
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_encoded_question_mark: bool,
    /// `%23`
    #[serde(skip_serializing_if = "omit::empty")]
    pub allow_encoded_hash: bool,
}

impl MiddlewareSpec for EncodedCharacters {
    const NAME: &'static str = "encodedCharacters";
    const EXAMPLE: &'static str = "allowEncodedSlash: true\n";
    type Config = Config;

    fn build(config: Config, _: &dyn BuildCx) -> Result<Vec<Step>, BuildError> {
        let denied = [
            (config.allow_encoded_slash, encoded::SLASH),
            (config.allow_encoded_back_slash, encoded::BACK_SLASH),
            (config.allow_encoded_null_character, encoded::NULL),
            (config.allow_encoded_semicolon, encoded::SEMICOLON),
            (config.allow_encoded_percent, encoded::PERCENT),
            (config.allow_encoded_question_mark, encoded::QUESTION_MARK),
            (config.allow_encoded_hash, encoded::HASH),
        ]
        .iter()
        .filter(|(allowed, _)| !allowed)
        .fold(0, |all, (_, bit)| all | bit);
        Ok(vec![Step::filter(Runtime { denied })])
    }
}

struct Runtime {
    denied: u8,
}

impl Filter for Runtime {
    fn on_request(&self, exchange: &mut Exchange) -> Flow {
        match encoded::denied(&exchange.request.path, self.denied) {
            true => Flow::respond(exchange::status(http::StatusCode::BAD_REQUEST)),
            false => Flow::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{build, run};

    /// Observed with Traefik 3.7.15.
    #[test]
    fn denies_all_but_what_is_allowed() {
        let all = ["%2F", "%5c", "%00", "%3b", "%25", "%3F", "%23"];
        let names = ["Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash"];
        for (i, name) in names.iter().enumerate() {
            let steps = build::<EncodedCharacters>(&format!("allowEncoded{name}: true"));
            for (j, escape) in all.iter().enumerate() {
                let ran = run(&steps, "GET", &format!("/a{escape}b?%2F"));
                assert_eq!((ran.reached, ran.status(), ran.headers().len()), (i == j, if i == j { 200 } else { 400 }, 0), "{name} {escape}");
            }
            assert!(run(&steps, "GET", "/a%20b%C3%A9;?%00").reached);
        }
    }
}
