//! EC2's answers, which are XML: of each instance its id, state and private address.

use std::borrow::Cow;
use xmlparser::{ElementEnd, Token, Tokenizer};

/// Elements inside each other, at most.
const DEPTH: usize = 64;

/// An instance of EC2.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) address: String,
}

/// Instances, and by which token there are more.
pub(super) fn instances(xml: &str) -> Result<(Vec<Instance>, Option<String>), String> {
    const INSTANCE: &str = "reservationSet/item/instancesSet/item";
    let (mut all, mut next, mut one) = (Vec::new(), None, Instance::default());
    walk(xml, |path, text| {
        let path = path.split_once('/').map_or("", |(_, rest)| rest);
        match (path, text) {
            (INSTANCE, None) => all.push(std::mem::take(&mut one)),
            ("nextToken", Some(text)) => next = Some(text.to_owned()).filter(|t| !t.is_empty()),
            (_, Some(text)) => match path.strip_prefix(INSTANCE) {
                Some("/instanceId") => one.id = text.to_owned(),
                Some("/instanceState/name") => one.state = text.to_owned(),
                Some("/privateIpAddress") => one.address = text.to_owned(),
                _ => {}
            },
            _ => {}
        }
    })?;
    Ok((all, next))
}

/// Code and message of an error.
pub(super) fn error(xml: &str) -> Option<(String, String)> {
    let (mut code, mut message) = (String::new(), String::new());
    walk(xml, |path, text| match (path.rsplit('/').next(), text) {
        (Some("Code"), Some(text)) => code = text.to_owned(),
        (Some("Message"), Some(text)) => message = text.to_owned(),
        _ => {}
    })
    .ok()?;
    (!code.is_empty()).then_some((code, message))
}

/// Calls `see` with the path of each text, and of each element that ends.
fn walk(xml: &str, mut see: impl FnMut(&str, Option<&str>)) -> Result<(), String> {
    let mut path = String::new();
    let mut starts = Vec::new();
    for token in Tokenizer::from(xml) {
        match token.map_err(|e| format!("EC2's answer is no XML: {e}"))? {
            Token::ElementStart { local, .. } => {
                if starts.len() == DEPTH {
                    return Err("EC2's answer is nested too deep".into());
                }
                starts.push(path.len());
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(local.as_str());
            }
            Token::ElementEnd { end: ElementEnd::Open, .. } => {}
            Token::ElementEnd { .. } => {
                let Some(start) = starts.pop() else { return Err("EC2's answer is no XML: an element ends twice".into()) };
                see(&path, None);
                path.truncate(start);
            }
            Token::Text { text } => see(&path, Some(&unescaped(text.as_str()))),
            Token::Cdata { text, .. } => see(&path, Some(text.as_str())),
            _ => {}
        }
    }
    if starts.is_empty() { Ok(()) } else { Err("EC2's answer is cut off".into()) }
}

fn unescaped(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    Cow::Owned(plain.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_an_answer() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r</requestId>
  <reservationSet><item><reservationId>x</reservationId><instancesSet>
    <item><instanceId>i-1</instanceId><instanceState><code>16</code><name>running</name></instanceState>
      <privateIpAddress>10.0.0.1</privateIpAddress><keyName/>
      <networkInterfaceSet><item><privateIpAddress>10.0.0.9</privateIpAddress></item></networkInterfaceSet></item>
    <item><instanceId>i-2</instanceId><instanceState><name>stopped</name></instanceState></item>
  </instancesSet></item></reservationSet>
  <nextToken>a&amp;b</nextToken>
</DescribeInstancesResponse>"#;
        let (all, next) = instances(xml).unwrap();
        let of = |id: &str, state: &str, address: &str| Instance { id: id.into(), state: state.into(), address: address.into() };
        assert_eq!(all, [of("i-1", "running", "10.0.0.1"), of("i-2", "stopped", "")]);
        assert_eq!(next.as_deref(), Some("a&b"));
        assert!(instances(&xml[..200]).is_err());
        assert!(instances("{}").is_err() || instances("{}").unwrap().0.is_empty());
    }
}
