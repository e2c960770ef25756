//! Requests that a component of `wasi:http` sends.

use super::body::Whole;
use super::call::Asked;
use super::turn::Turn;
use crate::state::{Environment, State, log_line};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use torana_extend::EgressError;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// What the gateway does for a component of `wasi:http`.
pub(crate) struct Hooks {
    ctx: WasiHttpCtx,
    outgoing: Outgoing,
    pub(crate) turn: Arc<Turn>,
    /// Where a middleware finds the rest of its chain.
    pub(super) chain: Option<mpsc::Sender<Asked>>,
}

impl Hooks {
    pub(crate) fn new(environment: &Arc<Environment>) -> Hooks {
        Hooks { ctx: WasiHttpCtx::new(), outgoing: Outgoing { environment: environment.clone() }, turn: Arc::default(), chain: None }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.hooks.ctx, table: &mut self.table, hooks: &mut self.hooks.outgoing }
    }
}

struct Outgoing {
    environment: Arc<Environment>,
}

type Pending<T> = Box<dyn Future<Output = Result<T, Error>> + Send>;

/// Headers that a component may not set are those of the connection and `Host`, as wasmtime has it: a host
/// other than that of the URL could get around the grants.
impl WasiHttpHooks for Outgoing {
    /// It is made from the URL when the request is sent.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Pending<()>,
    ) -> Pending<(http::Response<WasiBody>, Pending<()>)> {
        let environment = self.environment.clone();
        Box::new(async move {
            let answer = send(&environment, request, options.unwrap_or_default()).await?;
            let io: Pending<()> = Box::new(std::future::ready(Ok(())));
            Ok((answer.map(|b| WasiBody::new(Whole::new(b))), io))
        })
    }
}

pub(super) async fn send(
    environment: &Environment,
    request: http::Request<WasiBody>,
    options: RequestOptions,
) -> Result<http::Response<Bytes>, Error> {
    let (mut parts, body) = request.into_parts();
    if let Err(host) = environment.grants.may_ask(&parts.uri) {
        let plugin = torana_base::unqualified(&environment.plugin);
        let line = format!("requests to {host} are not granted: add it to plugins.{plugin}.permissions.http");
        log_line(&environment.plugin, tracing::Level::WARN, &line);
        return Err(Error::HttpRequestDenied);
    }
    let limits = &environment.limits;
    let body = collect(body, limits.body).await?;
    // Its length is known now, whatever the component said.
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let timeout = options.first_byte_timeout.map_or(limits.timeout, |t| t.min(limits.timeout));
    environment.egress.send(http::Request::from_parts(parts, body), timeout, limits.body).await.map_err(|e| match e {
        EgressError::Timeout => Error::HttpResponseTimeout,
        EgressError::TooLarge => Error::HttpResponseBodySize(None),
        EgressError::Failed(e) => Error::InternalError(Some(e)),
    })
}

async fn collect(mut body: WasiBody, limit: usize) -> Result<Bytes, Error> {
    let mut all = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if all.len() + data.len() > limit {
            return Err(Error::HttpRequestBodySize(Some(limit as u64)));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}
