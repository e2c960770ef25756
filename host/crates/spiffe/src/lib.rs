//! The SPIFFE Workload API: a local agent gives the gateway an identity (an X.509 SVID), the authorities of its trust
//! domain and of those that it is federated with, and new ones before they end.
//!
//! Spoken as gRPC over a Unix socket or TCP (SPIFFE Workload API, 4 to 6); the messages are written by hand.

mod message;

pub use message::Svid;
pub use tonic::transport::Endpoint;

use message::{X509SvidRequest, X509SvidResponse};
use std::time::Duration;
use tonic::Request;
use tonic::transport::Channel;
use torana_extend::Stop;

const METHOD: &str = "/SpiffeWorkloadAPI/FetchX509SVID";
/// What keeps web pages from asking (SPIFFE Workload API, 5.1).
const HEADER: (&str, &str) = ("workload.spiffe.io", "true");
/// Between two tries, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const CONNECT: Duration = Duration::from_secs(5);

/// Where an agent is, from `unix:///path`, `unix:/path` or `tcp://127.0.0.1:port`.
pub fn endpoint(address: &str) -> Result<Endpoint, String> {
    let wrong = || format!("`{address}` is no address: write `unix:///run/spire/agent.sock` or `tcp://127.0.0.1:8081`");
    let uri = if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') {
            return Err(wrong());
        }
        format!("unix:{path}")
    } else {
        let socket = address.strip_prefix("tcp://").and_then(|a| a.parse::<std::net::SocketAddr>().ok()).ok_or_else(wrong)?;
        format!("http://{socket}")
    };
    Ok(Endpoint::from_shared(uri).map_err(|_| wrong())?.connect_timeout(CONNECT))
}

/// Follows the agent until `stop`, and tells every identity that it gives. Never ends on its own: what fails is told
/// in the log, once, and tried again.
pub async fn follow(endpoint: Endpoint, mut tell: impl FnMut(Svid) -> Result<(), String>, mut stop: Stop) {
    let mut pause = PAUSE.0;
    let mut told = String::new();
    loop {
        let outcome = tokio::select! {
            _ = stop.wait_for(|s| *s) => return,
            outcome = listen(&endpoint, &mut tell, &mut pause, &mut told) => outcome,
        };
        let why = outcome.err().unwrap_or_else(|| "the agent ended the stream".to_owned());
        if told != why {
            tracing::error!(error = why, "the SPIFFE Workload API gives no identity; what it gave before stays in use");
            told = why;
        }
        tokio::select! {
            _ = stop.wait_for(|s| *s) => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
        }
    }
}

async fn listen(
    endpoint: &Endpoint,
    tell: &mut impl FnMut(Svid) -> Result<(), String>,
    pause: &mut Duration,
    told: &mut String,
) -> Result<(), String> {
    let channel: Channel = endpoint.connect().await.map_err(|e| format!("cannot connect: {}", deepest(&e)))?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|e| format!("cannot connect: {}", deepest(&e)))?;
    let mut request = Request::new(X509SvidRequest {});
    request.metadata_mut().insert(HEADER.0, tonic::metadata::MetadataValue::from_static(HEADER.1));
    let codec = tonic_prost::ProstCodec::<X509SvidRequest, X509SvidResponse>::default();
    let refused = |s: tonic::Status| format!("it says {:?}: {}", s.code(), s.message());
    let path = http::uri::PathAndQuery::from_static(METHOD);
    let mut answers = grpc.server_streaming(request, path, codec).await.map_err(refused)?.into_inner();
    while let Some(answer) = answers.message().await.map_err(refused)? {
        let svid = Svid::try_from(answer)?;
        let id = svid.id.clone();
        tell(svid)?;
        tracing::info!(id, "the SPIFFE Workload API gave an identity");
        (*pause, *told) = (PAUSE.0, String::new());
    }
    Ok(())
}

/// The last cause says most.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_agents() {
        for good in ["unix:///run/agent.sock", "unix:/run/agent.sock", "tcp://127.0.0.1:8081", "tcp://[::1]:8081"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["", "/run/agent.sock", "unix:run/agent.sock", "unix://", "tcp://agent:8081", "tcp://127.0.0.1", "http://127.0.0.1:1"] {
            assert!(endpoint(bad).unwrap_err().contains("is no address"), "{bad}");
        }
    }
}
