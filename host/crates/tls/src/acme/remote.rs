//! Stores that are asked by HTTP, for callers that block.

use super::AcmeError;
use super::http::{Answer, HttpClient, HttpOptions};
use bytes::Bytes;
use http::Method;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::mpsc;
use torana_config::install::ClientTlsConfig;
use torana_trust::client_config;

/// For one request at one endpoint.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer: all certificates of a resolver.
const LONGEST: usize = 256 << 20;

/// Endpoints that stand in for each other. Their connections live on a thread of their own, so that anybody may ask
/// and wait, on whatever thread he is.
pub(super) struct Remote {
    asks: mpsc::UnboundedSender<(Ask, SyncSender<Result<Answer, AcmeError>>)>,
}

struct Ask {
    method: Method,
    path: String,
    body: Option<Bytes>,
    headers: Vec<(&'static str, String)>,
}

impl Remote {
    /// `endpoints` are `host:port` or URLs, `tls` says how those with TLS are trusted. Reads the files that it names;
    /// does not connect.
    pub(super) fn new(endpoints: &[String], tls: Option<&ClientTlsConfig>) -> Result<Self, AcmeError> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = |e: &String| if e.contains("://") { e.trim_end_matches('/').to_owned() } else { format!("{scheme}://{e}") };
        let endpoints: Vec<String> = endpoints.iter().filter(|e| !e.is_empty()).map(url).collect();
        let tls = client_config(&tls.cloned().unwrap_or_default()).map_err(AcmeError::lasting)?;
        let options = HttpOptions { timeout: PATIENCE, header_timeout: PATIENCE, longest: Some(LONGEST), ..HttpOptions::default() };
        let client = HttpClient::over(options, tls);
        let failed = |e: std::io::Error| AcmeError::local(format!("cannot start a thread for the shared storage: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (asks, heard) = mpsc::unbounded_channel();
        let work = move || runtime.block_on(answer(endpoints, client, heard));
        std::thread::Builder::new().name("acme-storage".into()).spawn(work).map_err(failed)?;
        Ok(Remote { asks })
    }

    /// One request, at the first endpoint that answers anything at all. Blocks.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Answer, AcmeError> {
        let (reply, wait) = std::sync::mpsc::sync_channel(1);
        let ask = Ask { method, path: path.to_owned(), body, headers };
        let gone = || AcmeError::local("the shared storage: its thread has ended");
        self.asks.send((ask, reply)).map_err(|_| gone())?;
        wait.recv().map_err(|_| gone())?
    }
}

async fn answer(
    endpoints: Vec<String>,
    client: HttpClient,
    mut heard: mpsc::UnboundedReceiver<(Ask, SyncSender<Result<Answer, AcmeError>>)>,
) {
    let mut first = 0;
    while let Some((ask, reply)) = heard.recv().await {
        let headers: Vec<(&str, &str)> = ask.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let mut result = Err(AcmeError::lasting("the shared storage has no address"));
        for turn in 0..endpoints.len() {
            let at = (first + turn) % endpoints.len();
            let post = ask.body.clone().map(|b| ("application/json", b));
            let url = format!("{}{}", endpoints[at], ask.path);
            result = client.send_with(ask.method.clone(), &url, post, &headers).await;
            if result.is_ok() {
                first = at;
                break;
            }
        }
        let _ = reply.send(result.map_err(|e| e.during("the shared storage")));
    }
}

/// An answer that is an error of the store.
pub(super) fn refused(answer: &Answer) -> AcmeError {
    let said: String = String::from_utf8_lossy(&answer.body).trim().chars().take(200).collect();
    AcmeError::local(format!("the shared storage: it answers {}: {said}", answer.status))
}
