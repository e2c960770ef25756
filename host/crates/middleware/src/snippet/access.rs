//! `allow` and `deny`: the first rule that fits decides.

use http::StatusCode;
use ipnet::IpNet;
use std::net::IpAddr;
use torana_http::{Body, Response};

#[derive(Debug)]
pub(super) struct Rule {
    allow: bool,
    /// `None` for all.
    net: Option<IpNet>,
}

impl Rule {
    pub(super) fn read(allow: bool, text: &str) -> Result<Rule, String> {
        if text == "all" {
            return Ok(Rule { allow, net: None });
        }
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net = net.map_err(|_| format!("`{text}` is neither an address nor a network nor `all`"))?;
        Ok(Rule { allow, net: Some(net.trunc()) })
    }
}

/// Whom no rule fits is allowed.
pub(super) fn is_allowed(rules: &[&Rule], client: IpAddr) -> bool {
    rules.iter().find(|r| r.net.is_none_or(|n| n.contains(&client))).is_none_or(|r| r.allow)
}

pub(super) fn refusal() -> Response {
    let mut response = Response::new(Body::from("403 Forbidden"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}
