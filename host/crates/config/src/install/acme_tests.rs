use super::*;
use crate::install::{Loaded, Sources, load};

fn try_load(text: &str) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.yml");
    std::fs::write(&path, format!("entryPoints: {{web: {{address: ':80'}}}}\n{text}")).unwrap();
    let sources = Sources { args: vec![format!("--configFile={}", path.display())], ..Sources::default() };
    let shown = |d: &[Diagnostic]| {
        d.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").replace(&format!("{}/", dir.path().display()), "")
    };
    load(&sources).map_err(|d| shown(&d))
}

fn acme(options: &str) -> Result<Loaded, String> {
    try_load(&format!("certificatesResolvers: {{le: {{acme: {{{options}}}}}}}\n"))
}

#[test]
fn a_resolver_as_traefik_writes_it() {
    let loaded = acme(
        "email: a@b.c, storage: /x/acme.json, eab: {kid: k, hmacEncoded: c2VjcmV0}, dnsChallenge: {provider: rfc2136, \
         config: {RFC2136_TSIG_SECRET: hidden, RFC2136_TTL: 60, none: ~}, delayBeforeCheck: 5, disablePropagationCheck: true, resolvers: ['1.1.1.1:53']}",
    )
    .unwrap();
    assert_eq!(loaded.warnings, []);
    let acme = loaded.config.certificates_resolvers["le"].acme.clone().unwrap();
    assert_eq!((acme.key_type.as_str(), acme.certificates_duration), ("RSA4096", 2160));
    assert_eq!(acme.client_timeout, GoDuration::from_secs(120));
    let dns = acme.dns_challenge.clone().unwrap();
    let checks = dns.checks();
    assert!(checks.disable_checks && checks.delay_before_checks == GoDuration::from_secs(5));
    let texts = dns.config.texts().unwrap();
    let texts: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.expose())).collect();
    assert_eq!(texts, [("RFC2136_TSIG_SECRET", "hidden"), ("RFC2136_TTL", "60")]);
    let shown = format!("{acme:?} {}", serde_json::to_string(&loaded.config).unwrap());
    assert!(!shown.contains("hidden") && !shown.contains("c2VjcmV0"), "{shown}");
}

/// Its form is the plugin's business.
#[test]
fn the_configuration_of_a_plugin_may_have_any_form() {
    let loaded = acme(
        "dnsChallenge: {provider: 'plugin:web', config: {headers: {X-Key: hidden}, body: [1, '2'], url: 'https://a.test'}}, email: a@b.c",
    )
    .unwrap();
    assert_eq!(loaded.warnings, []);
    let acme = loaded.config.certificates_resolvers["le"].acme.clone().unwrap();
    let config = acme.dns_challenge.as_ref().unwrap().config.clone();
    let wanted = serde_json::json!({"body": [1, "2"], "headers": {"X-Key": "hidden"}, "url": "https://a.test"});
    assert_eq!(config.node().to_json(), wanted);
    assert_eq!(config.texts().unwrap_err(), "headers");
    let shown = format!("{acme:?} {}", serde_json::to_string(&loaded.config).unwrap());
    assert!(!shown.contains("hidden") && !shown.contains("a.test"), "{shown}");
}

#[test]
fn what_keeps_torana_from_starting() {
    for (options, told) in [
        (
            "acme: {storage: '', tlsChallenge: {}}",
            "error: there is no place for the certificates\n  at  certificatesResolvers.le.acme.storage  (t.yml:2:46)\n  hint: name a file",
        ),
        ("acme: {tlsChallenge: {}}, tailscale: {}", "has both `acme` and `tailscale`"),
        ("tailscale: {}", "error: `tailscale` is not built yet (ACM-07)"),
        ("acme: {tlsChallenge: {}, certificateTimeout: 0}", "error: `0s` is no time to wait"),
        ("acme: {tlsChallenge: {}, cluster: {}}", "error: there is no shared place for the certificates"),
        ("acme: {tlsChallange: {}}", "did you mean `tlsChallenge`?"),
    ] {
        let wrong = try_load(&format!("certificatesResolvers: {{le: {{{options}}}}}\n")).unwrap_err();
        assert!(wrong.contains(told), "{told}\n--- not in\n{wrong}");
    }
}

#[test]
fn what_only_leaves_the_resolver_out() {
    for (options, told) in [
        ("tlsChallenge: {}, certificatesDuration: 0", "cannot manage certificates with duration lower than 1 hour"),
        ("tlsChallenge: {}, clientTimeout: 1", "clientTimeout must be at least clientResponseHeaderTimeout"),
        ("tlsChallenge: {}, keyType: nope", "unknown key type `nope`: RSA4096 is used"),
        ("email: a@b.c", "without a challenge no certificate can be ordered"),
        ("httpChallenge: {}", "without an entry point the challenge cannot be answered"),
        ("httpChallenge: {entryPoint: wbe}", "unknown entry point `wbe`"),
        ("dnsChallenge: {}", "without a provider no record can be made"),
    ] {
        let loaded = acme(options).unwrap();
        let shown: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(shown.len() == 1 && shown[0].contains(told), "{told}\n--- not in\n{shown:?}");
    }
}
