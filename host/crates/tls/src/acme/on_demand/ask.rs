//! `onDemand.ask`: a service of one's own that says which names may have a certificate.

use super::super::AcmeError;
use super::super::http::{HttpClient, HttpOptions, without_credentials};
use super::super::resolver::Env;
use super::Refusal;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use torana_base::Secret;
use torana_config::install::OnDemandConfig;

/// Questions under way at the same time.
const AT_ONCE: usize = 8;

pub(super) struct Ask {
    client: HttpClient,
    /// Up to the name; may have a password in it.
    url: Secret,
    permits: Semaphore,
    /// So that a service that is away is told once.
    away: AtomicBool,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask").finish_non_exhaustive()
    }
}

impl Ask {
    pub(super) fn new(config: &OnDemandConfig, env: &Env) -> Result<Option<Ask>, AcmeError> {
        let url = config.ask.expose();
        if url.is_empty() {
            return Ok(None);
        }
        let parsed: Option<http::Uri> = url.parse().ok();
        if !parsed.is_some_and(|u| matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some()) {
            return Err(AcmeError::lasting("onDemand.ask: this is no URL"));
        }
        let limit = config.ask_timeout.as_duration();
        let options = HttpOptions { timeout: limit, header_timeout: limit, ..HttpOptions::default() }.with_proxy(&|name| env(name))?;
        let (bare, _) = url.split_once('#').unwrap_or((url, ""));
        let url = Secret::new(format!("{bare}{}domain=", if bare.contains('?') { '&' } else { '?' }));
        Ok(Some(Ask { client: HttpClient::new(options)?, url, permits: Semaphore::new(AT_ONCE), away: AtomicBool::new(false) }))
    }

    /// 200 allows; another answer that is not an error of the service does not.
    pub(super) async fn about(&self, name: &str) -> Result<(), Refusal> {
        let _permit = self.permits.acquire().await;
        // names that come here need no escapes
        let url = format!("{}{name}", self.url.expose());
        let why = match self.client.send(http::Method::GET, &url, None).await.map(|a| a.status) {
            Ok(200) => {
                self.away.store(false, Ordering::Relaxed);
                return Ok(());
            }
            Ok(status) if status < 500 && status != 429 => {
                self.away.store(false, Ordering::Relaxed);
                return Err(Refusal::Ask);
            }
            Ok(status) => format!("it answered with status {status}"),
            // what is left may have a token in it
            Err(e) => e.message.replace(&without_credentials(&url).0, "it"),
        };
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::error!(error = why, "`onDemand.ask` gives no clear answer: no new name gets a certificate meanwhile");
        }
        Err(Refusal::Unclear)
    }
}
