//! TLS: certificates of ingresses, of their clients, and towards their servers.

use super::annotations::Annotations;
use super::options::Options;
use crate::cluster::{Cluster, Key, secret_text};
use crate::secrets;
use torana_base::{GoDuration, Secret};
use torana_config::routing::{CertificateConfig, ClientAuthConfig, ForwardingTimeoutsConfig, ServersTransportConfig, TlsOptionsConfig};

/// How the clients of a host are verified.
#[derive(Clone, Debug)]
pub(super) struct ClientAuth {
    /// Of the TLS options.
    pub(super) name: String,
    pub(super) kind: &'static str,
    ca: String,
}

/// `auth-tls-verify-client`, in the words of TLS options; and as part of their name.
fn client_auth_type(annotations: &Annotations) -> (&'static str, &'static str) {
    match annotations.text("auth-tls-verify-client") {
        Some("off") => (NO_CERTIFICATE, "no-client-cert"),
        Some("optional") => (IF_GIVEN, "verify-client-cert-if-given"),
        Some("optional_no_ca") => (ONLY_REQUESTED, "request-client-cert"),
        _ => ("RequireAndVerifyClientCert", "require-and-verify-client-cert"),
    }
}

const NO_CERTIFICATE: &str = "NoClientCert";
const IF_GIVEN: &str = "VerifyClientCertIfGiven";
/// A certificate is asked for and not verified in the handshake.
pub(super) const ONLY_REQUESTED: &str = "RequestClientCert";

impl ClientAuth {
    /// What `auth-tls-secret` says, if it is there.
    pub(super) fn read(
        cluster: &Cluster,
        options: &Options,
        namespace: &str,
        annotations: &Annotations,
    ) -> Result<Option<ClientAuth>, String> {
        let Some(reference) = annotations.text("auth-tls-secret") else { return Ok(None) };
        let (secret_namespace, name) = options.qualified(namespace, reference)?;
        let authorities = certificates(cluster, secret_namespace, name)?.authorities;
        let ca = authorities.ok_or_else(|| format!("secret {reference} has no authorities under `ca.crt`"))?;
        let (kind, spelled) = client_auth_type(annotations);
        let name = format!("{secret_namespace}-{}-{name}-{}-{spelled}", secret_namespace.len(), name.len());
        Ok(Some(ClientAuth { name, kind, ca }))
    }

    /// Whether clients that passed this are what `wanted` asks for: verified at least as strictly, by the same
    /// authorities.
    pub(super) fn satisfies(&self, wanted: &ClientAuth) -> bool {
        wanted.strictness() == 0 || (self.strictness() >= wanted.strictness() && self.ca == wanted.ca)
    }

    /// 0 for no certificates at all.
    fn strictness(&self) -> u8 {
        match self.kind {
            NO_CERTIFICATE => 0,
            ONLY_REQUESTED => 1,
            IF_GIVEN => 2,
            _ => 3,
        }
    }

    /// Authorities by which `Ssl-Client-Verify` is found, where the handshake does not.
    pub(super) fn authorities(&self) -> Option<&str> {
        (self.kind == ONLY_REQUESTED).then_some(self.ca.as_str())
    }

    pub(super) fn options(&self) -> TlsOptionsConfig {
        let client_auth = ClientAuthConfig { ca_files: vec![self.ca.clone()], client_auth_type: self.kind.to_owned() };
        TlsOptionsConfig { client_auth, ..TlsOptionsConfig::default() }
    }
}

/// What a secret of certificates has.
struct Certificates {
    authorities: Option<String>,
    pair: Option<(String, String)>,
}

fn certificates(cluster: &Cluster, namespace: &str, name: &str) -> Result<Certificates, String> {
    let secret = cluster.secret(namespace, name)?;
    let text = |key: &str| match secret.data.as_ref().is_some_and(|d| d.contains_key(key)) {
        false => Ok(None),
        true => match secret_text(secret, key) {
            Some(t) if !t.is_empty() => Ok(Some(t)),
            _ => Err(format!("secret {namespace}/{name} has nothing that can be read under `{key}`")),
        },
    };
    let (authorities, cert, key) = (text("ca.crt")?, text("tls.crt")?, text("tls.key")?);
    if authorities.is_none() && cert.is_none() && key.is_none() {
        return Err(format!("secret {namespace}/{name} has neither `tls.crt` and `tls.key` nor `ca.crt`"));
    }
    Ok(Certificates { authorities, pair: cert.zip(key) })
}

/// Certificate and key of a secret, as PEM.
pub(super) fn pair(cluster: &Cluster, key: &Key) -> Result<(String, String), String> {
    let found = secrets::certificate(cluster, &key.0, &key.1)?;
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Ok((text("certFile"), text("keyFile")))
}

/// How the servers of an ingress are spoken to, and what is said of it.
pub(super) fn transport(
    cluster: &Cluster,
    options: &Options,
    namespace: &str,
    annotations: &Annotations,
) -> Result<(ServersTransportConfig, Option<String>), String> {
    let config = &options.config;
    let seconds = |name: &str, default: i64| seconds(annotations.number(name).unwrap_or(default));
    let timeouts = ForwardingTimeoutsConfig {
        dial_timeout: seconds("proxy-connect-timeout", config.proxy_connect_timeout),
        idle_conn_timeout: self::seconds(config.upstream_keepalive_timeout),
        read_timeout: seconds("proxy-read-timeout", config.proxy_read_timeout),
        write_timeout: seconds("proxy-send-timeout", config.proxy_send_timeout),
        ..ForwardingTimeoutsConfig::default()
    };
    let mut transport = ServersTransportConfig { forwarding_timeouts: timeouts, ..ServersTransportConfig::default() };
    let mut warning = None;
    match annotations.text("proxy-http-version") {
        None | Some("") => {}
        Some("1.1") => transport.disable_http2 = true,
        Some(other) => warning = Some(format!("`{other}` cannot be chosen and means nothing: write 1.1, or leave it out")),
    }
    if scheme(annotations) != "https" {
        return Ok((transport, warning));
    }
    transport.server_name = annotations.text("proxy-ssl-name").or(annotations.text("proxy-ssl-server-name")).unwrap_or_default().to_owned();
    transport.insecure_skip_verify = !annotations.text("proxy-ssl-verify").is_some_and(|v| v.eq_ignore_ascii_case("on"));
    if let Some(reference) = annotations.filled("proxy-ssl-secret") {
        let (secret_namespace, name) = options.qualified(namespace, reference).map_err(|e| format!("proxy-ssl-secret: {e}"))?;
        let found = certificates(cluster, secret_namespace, name).map_err(|e| format!("proxy-ssl-secret: {e}"))?;
        transport.root_cas = found.authorities.into_iter().collect();
        let pair = found.pair.map(|(cert_file, key)| CertificateConfig { cert_file, key_file: Secret::new(key) });
        transport.certificates = pair.into_iter().collect();
    }
    Ok((transport, warning))
}

fn seconds(n: i64) -> GoDuration {
    GoDuration::from_secs(n.clamp(0, i64::from(i32::MAX)))
}

/// `backend-protocol` as the scheme of servers.
pub(super) fn scheme(annotations: &Annotations) -> &'static str {
    match annotations.text("backend-protocol").map(str::to_ascii_uppercase).as_deref() {
        Some("HTTPS" | "GRPCS") => "https",
        Some("GRPC") => "h2c",
        _ => "http",
    }
}
