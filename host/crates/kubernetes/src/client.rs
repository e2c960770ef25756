//! A client for the API server, from where the gateway runs and what the options say.

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::Path;
use std::time::Duration;
use torana_base::Secret;
use torana_config::install::KubernetesConnectionConfig;

/// How long a connection to the API server may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Where a pod finds the name of its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A client, and the namespace that the gateway itself is in.
#[derive(Clone)]
pub struct Connected {
    pub client: Client,
    pub namespace: String,
}

/// Inside a cluster its own API server and service account; else what `KUBECONFIG` says; else `endpoint`, `token`
/// and `certAuthFilePath`. The three options win over what the first two say.
///
/// `KUBECONFIG` and the files are read each time: a rotated token or a new authority needs no restart.
pub async fn connect(options: &KubernetesConnectionConfig) -> Result<Connected, String> {
    let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let mut config = if set("KUBERNETES_SERVICE_HOST").is_some() && set("KUBERNETES_SERVICE_PORT").is_some() {
        Config::incluster_env().map_err(|e| format!("the service account of this pod cannot be used: {e}"))?
    } else if let Some(path) = set("KUBECONFIG") {
        let wrong = |e: kube::config::KubeconfigError| format!("KUBECONFIG ({path}): {}", chain(&e));
        let read = Kubeconfig::from_env().map_err(wrong)?.unwrap_or_default();
        Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.map_err(wrong)?
    } else if options.endpoint.is_empty() {
        return Err("there is no cluster: outside of one set `endpoint`, or the environment variable KUBECONFIG".into());
    } else {
        Config::new(uri(&options.endpoint)?)
    };
    if !options.endpoint.is_empty() {
        config.cluster_url = uri(&options.endpoint)?;
    }
    if !options.token.expose().is_empty() {
        config.auth_info = token(&options.token);
    }
    if !options.cert_auth_file_path.is_empty() {
        let path = &options.cert_auth_file_path;
        std::fs::read(path).map_err(|e| format!("`certAuthFilePath` ({path}): {e}"))?;
        config.root_cert = None;
        config.root_cert_file = Some(path.into());
    }
    config.connect_timeout = Some(CONNECT);
    let client = Client::try_from(config).map_err(|e| format!("no client for the API server: {}", chain(&e)))?;
    Ok(Connected { client, namespace: own_namespace() })
}

fn uri(endpoint: &str) -> Result<http::Uri, String> {
    let parsed = endpoint.parse::<http::Uri>().ok().filter(|u| u.scheme().is_some() && u.host().is_some());
    parsed.ok_or_else(|| "`endpoint` is no URL: write it as `https://host:6443`".to_owned())
}

fn token(written: &Secret) -> AuthInfo {
    let text = written.expose();
    if Path::new(text).is_file() {
        // Read again when it is a minute old: such tokens are replaced before they expire.
        return AuthInfo { token_file: Some(text.to_owned()), ..AuthInfo::default() };
    }
    AuthInfo { token: Some(text.to_owned().into()), ..AuthInfo::default() }
}

fn own_namespace() -> String {
    let written = std::env::var("POD_NAMESPACE").ok().or_else(|| std::fs::read_to_string(NAMESPACE_FILE).ok());
    written.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).unwrap_or_else(|| "default".into())
}

/// An error with all that is behind it: the cause is what one wants to know.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        at = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_be_a_file() {
        assert!(token(&Secret::new("abc")).token.is_some());
        assert!(token(&Secret::new("/proc/self/status")).token_file.is_some());
    }

    #[test]
    fn an_endpoint_is_a_url() {
        assert!(uri("https://10.0.0.1:6443").is_ok());
        assert!(uri("10.0.0.1").unwrap_err().contains("https://"));
    }
}
