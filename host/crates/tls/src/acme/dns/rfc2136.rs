//! `rfc2136`: dynamic updates, signed with a shared key, as BIND, Knot and PowerDNS take them.

use super::super::AcmeError;
use super::Settings;
use super::ask::{Resolvers, send, with_port};
use super::wire::{self, TsigKey};
use base64::Engine;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use torana_extend::{DnsChallenge, SendFuture};

struct Rfc2136 {
    /// `host:port`
    server: Resolvers,
    key: Option<TsigKey>,
    ttl: u32,
    patience: Duration,
    timing: (Duration, Duration),
}

pub(super) fn build(s: &Settings) -> Result<Arc<dyn DnsChallenge>, AcmeError> {
    let server = s.required("RFC2136_NAMESERVER")?;
    let server = with_port(&server).ok_or_else(|| AcmeError::lasting(format!("`RFC2136_NAMESERVER`: `{server}` is no address")))?;
    s.refuse("RFC2136_TSIG_FILE", "is not built: write RFC2136_TSIG_KEY, RFC2136_TSIG_SECRET and RFC2136_TSIG_ALGORITHM")?;
    let key = match (s.value("RFC2136_TSIG_KEY")?, s.value("RFC2136_TSIG_SECRET")?) {
        (Some(name), Some(secret)) => {
            let algorithm = s.value("RFC2136_TSIG_ALGORITHM")?.unwrap_or_else(|| "hmac-sha1".to_owned());
            let secret = base64::prelude::BASE64_STANDARD.decode(secret.trim());
            let secret = secret.map_err(|_| AcmeError::lasting("`RFC2136_TSIG_SECRET` is no base64"))?;
            Some(TsigKey::new(&name, &algorithm, &secret).map_err(AcmeError::lasting)?)
        }
        (None, None) => None,
        _ => return Err(AcmeError::lasting("`RFC2136_TSIG_KEY` and `RFC2136_TSIG_SECRET` belong together")),
    };
    let ttl = s.time("RFC2136_TTL", 120)?.as_secs();
    Ok(Arc::new(Rfc2136 {
        server: Resolvers { servers: vec![server], port: 53 },
        key,
        ttl: u32::try_from(ttl).map_err(|_| AcmeError::lasting("`RFC2136_TTL` is too large"))?,
        patience: s.time("RFC2136_DNS_TIMEOUT", 10)?,
        timing: (s.time("RFC2136_PROPAGATION_TIMEOUT", 60)?, s.time("RFC2136_POLLING_INTERVAL", 2)?),
    }))
}

impl Rfc2136 {
    async fn update(&self, fqdn: &str, value: &str, add: bool) -> Result<(), String> {
        let zone = self.server.zone(fqdn).await?;
        let id = fastrand::u16(..);
        let message = wire::update(id, &zone, fqdn, value, self.ttl, add);
        let mut message = message.ok_or_else(|| format!("`{fqdn}` is no name"))?;
        let seconds = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mac = self.key.as_ref().map(|k| k.sign(&mut message, seconds()));
        let server = &self.server.servers[0];
        let bytes = send(server, &message, self.patience).await.map_err(|e| format!("{server}: {e}"))?;
        let answer = wire::parse(&bytes).filter(|a| a.id == id).ok_or_else(|| format!("{server}: the answer is no DNS"))?;
        let signed = match (&self.key, &mac) {
            (Some(key), Some(mac)) => key.verify(&bytes, &answer, mac, seconds()),
            _ => Ok(()),
        };
        match (answer.code, signed) {
            (0, Ok(())) => Ok(()),
            (0, Err(e)) => Err(format!("{server}: {e}")),
            (9, Err(e)) => Err(format!("{server} refuses the update of {zone}: NOTAUTH, {e}")),
            (code, _) => Err(format!("{server} refuses the update of {zone}: {}", wire::code_name(code))),
        }
    }
}

impl DnsChallenge for Rfc2136 {
    fn timing(&self) -> (Duration, Duration) {
        self.timing
    }

    fn present<'a>(&'a self, _: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>> {
        Box::pin(self.update(fqdn, value, true))
    }

    fn clean_up<'a>(&'a self, _: &'a str, fqdn: &'a str, value: &'a str) -> SendFuture<'a, Result<(), String>> {
        Box::pin(self.update(fqdn, value, false))
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings;
    use super::*;

    #[test]
    fn settings_are_checked() {
        let with = |pairs: &[(&str, &str)]| {
            build(&settings(&[&[("RFC2136_NAMESERVER", "127.0.0.1")], pairs].concat())).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(
            with(&[("RFC2136_TSIG_KEY", "k."), ("RFC2136_TSIG_SECRET", "c2VjcmV0"), ("RFC2136_TSIG_ALGORITHM", "hmac-sha512.")]),
            Ok(())
        );
        for (pairs, told) in [
            (&[("RFC2136_TSIG_KEY", "k.")][..], "belong together"),
            (&[("RFC2136_TSIG_KEY", "k."), ("RFC2136_TSIG_SECRET", "*")], "no base64"),
            (&[("RFC2136_TSIG_KEY", "k."), ("RFC2136_TSIG_SECRET", "YQ=="), ("RFC2136_TSIG_ALGORITHM", "md5")], "`md5` is not known here"),
            (&[("RFC2136_TTL", "x")], "is no time"),
            (&[("RFC2136_TSIG_FILE", "/x")], "is not built"),
        ] {
            let said = with(pairs).unwrap_err();
            assert!(said.contains(told), "{told}: {said}");
        }
        assert!(build(&settings(&[])).map(|_| ()).unwrap_err().to_string().contains("`RFC2136_NAMESERVER` is missing"));
    }
}
