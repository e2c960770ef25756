//! Matches a share of the clients, always the same ones.

use plugin_support::header_name;
use torana_plugin_sdk::prelude::*;

/// By what a client is known. The first one that a request has counts; without any, it is the address of the client.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Name of a cookie, as in `session`.
    cookie: Option<String>,
    /// Name of a request header, as in `x-user`.
    header: Option<String>,
}

struct AbTest {
    group: String,
    percent: f64,
    cookie: Option<String>,
    header: Option<String>,
}

impl Matcher for AbTest {
    type Config = Config;

    fn new(arguments: Vec<String>, config: Config) -> Result<Self, ConfigError> {
        let wrong = |what: String| Err(ConfigError::new("", what).hint("write the group and the percentage, as in AbTest(`b`, `10`)"));
        let [group, percent] = arguments.as_slice() else {
            return wrong(format!("takes two arguments, not {}", arguments.len()));
        };
        if group.is_empty() {
            return wrong("the first argument, the group, is empty".into());
        }
        let number = percent.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| percent.parse().ok()).flatten();
        let Some(percent) = number.filter(|number| (0.0..=100.0).contains(number)) else {
            return wrong(format!("the second argument, `{percent}`, is no percentage from 0 to 100"));
        };
        let cookie = config.cookie.map(|name| header_name("cookie", &name).map(|_| name)).transpose()?;
        let header = config.header.map(|name| header_name("header", &name)).transpose()?;
        Ok(AbTest { group: group.clone(), percent, cookie, header })
    }

    fn interest(&self) -> Interest {
        Interest::request().client_ip().headers(self.cookie.iter().map(|_| "cookie")).headers(&self.header)
    }

    fn matches(&self, request: &RequestHead) -> bool {
        let cookie = self.cookie.as_deref().and_then(|name| cookie(request.header("cookie")?, name));
        let header = || request.header(self.header.as_deref()?).filter(|value| !value.is_empty());
        let client = cookie.or_else(header).unwrap_or_else(|| request.client_ip());
        place(&self.group, client) < self.percent
    }
}

/// The value of a cookie. Lines of `Cookie` that the gateway joined with `, ` are told apart, too.
fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = header.split([';', ',']).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| value)
}

/// Where a client stands within a group, 0 to 100 percent: FNV-1a (64 bits) of group, a zero byte and client, mixed by the last step of
/// MurmurHash3 because FNV leaves the upper bits of similar texts alike.
fn place(group: &str, client: &str) -> f64 {
    let bytes = group.bytes().chain([0]).chain(client.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ hash >> 33).wrapping_mul(factor);
    }
    // 53 bits, the precision of the type, so that 100 percent is never reached.
    ((hash ^ hash >> 33) >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
}

export_matcher!(AbTest);

#[cfg(test)]
mod tests {
    use super::*;
    use torana_plugin_sdk::serde_json::{Value, json};
    use torana_plugin_sdk::testing::{self, Gateway};

    fn matcher(group: &str, percent: &str, config: Value) -> testing::Matcher<AbTest> {
        Gateway::new().matcher(&[group, percent], config).unwrap()
    }

    fn refused(arguments: &[&str], config: Value) -> (String, String) {
        let error = Gateway::new().matcher::<AbTest>(arguments, config).err().unwrap();
        (error.key, error.message)
    }

    fn matched(group: &str, percent: &str) -> Vec<bool> {
        let matcher = matcher(group, percent, json!({}));
        (0..10_000).map(|n| matcher.matches(&testing::get("/").with_client_ip(&format!("10.0.{}.{}", n / 256, n % 256)))).collect()
    }

    fn count(all: impl IntoIterator<Item = bool>) -> usize {
        all.into_iter().filter(|yes| *yes).count()
    }

    #[test]
    fn the_share_is_right_and_groups_are_independent() {
        let ten = matched("b", "10");
        assert!((900..1100).contains(&count(ten.clone())), "{}", count(ten));
        let other = matched("c", "10");
        let both = count(ten.iter().zip(&other).map(|(one, two)| *one && *two));
        assert!((60..140).contains(&both), "{both} of about 100");
        assert_eq!(count(matched("b", "0")), 0);
        assert_eq!(count(matched("b", "100")), 10_000);
        let half = count(matched("b", "0.5"));
        assert!((30..70).contains(&half), "{half}");
    }

    #[test]
    fn who_is_in_stays_in_when_the_share_grows() {
        assert!(matched("b", "10").iter().zip(matched("b", "20")).all(|(before, after)| !before || after));
    }

    /// The hash is documented: others may compute it, so it must not change.
    #[test]
    fn the_hash_stays() {
        assert_eq!(format!("{:.6} {:.6}", place("b", "192.0.2.1"), place("b", "alice")), "66.360325 87.153749");
    }

    #[test]
    fn a_client_is_known_by_cookie_then_header_then_address() {
        let matcher = matcher("b", "50", json!({"cookie": "sid", "header": "X-User"}));
        let names: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
        let by = |yes| names.iter().find(|name| (place("b", name) < 50.0) == yes).unwrap();
        let (inside, outside) = (by(true), by(false));
        for ip in ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"] {
            let request = testing::get("/").with_client_ip(ip);
            assert_eq!(matcher.matches(&request), place("b", ip) < 50.0);
            let empty = request.clone().with_header("x-user", "").with_header("cookie", "sid=");
            assert_eq!(matcher.matches(&empty), place("b", ip) < 50.0);
            assert!(matcher.matches(&request.clone().with_header("x-user", inside)));
            let cookies = request.with_header("cookie", &format!("a=b; sid={outside}")).with_header("x-user", inside);
            assert!(!matcher.matches(&cookies));
        }
    }

    #[test]
    fn wrong_arguments_are_told() {
        assert_eq!(refused(&[], json!({})), ("".into(), "takes two arguments, not 0".into()));
        assert_eq!(refused(&["b", "10", "x"], json!({})).1, "takes two arguments, not 3");
        assert_eq!(refused(&["", "10"], json!({})).1, "the first argument, the group, is empty");
        for percent in ["", "ten", "101", "-1", "NaN", "10%", "1e1", "."] {
            assert!(refused(&["b", percent], json!({})).1.contains("no percentage from 0 to 100"), "{percent}");
        }
        assert_eq!(refused(&["b", "10"], json!({"cookie": "a b"})).0, "cookie");
        assert_eq!(refused(&["b", "10"], json!({"cookies": "a"})).0, "cookies");
    }
}
