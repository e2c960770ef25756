//! A client of HTTP/2 without TLS.

use super::PATIENCE;
use super::backend::headers_of;
use super::message::Headers;
use bytes::Bytes;
use http::{HeaderMap, Request};
use std::net::SocketAddr;

pub(crate) struct H2Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
}

/// One request by prior knowledge on a connection of its own; the body goes out piece by piece.
#[track_caller]
pub(crate) fn h2_request(address: SocketAddr, request: Request<()>, body: Vec<Bytes>, trailers: Option<HeaderMap>) -> H2Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async { tokio::time::timeout(PATIENCE, exchange(address, request, body, trailers)).await };
    runtime.block_on(work).expect("no answer over HTTP/2 in time").unwrap()
}

async fn exchange(
    address: SocketAddr,
    request: Request<()>,
    body: Vec<Bytes>,
    trailers: Option<HeaderMap>,
) -> Result<H2Answer, Box<dyn std::error::Error>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (client, connection) = h2::client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await?;
    let empty = body.is_empty() && trailers.is_none();
    let (answer, mut out) = client.send_request(request, empty)?;
    let last = body.len().saturating_sub(1);
    for (i, piece) in body.into_iter().enumerate() {
        out.send_data(piece, i == last && trailers.is_none())?;
    }
    if let Some(t) = trailers {
        out.send_trailers(t)?;
    }
    let (parts, mut body) = answer.await?.into_parts();
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend(data);
    }
    let trailers = body.trailers().await?.as_ref().map(headers_of).unwrap_or_default();
    driver.abort();
    Ok(H2Answer { status: parts.status.as_u16(), headers: headers_of(&parts.headers), body: all, trailers })
}
