//! Signed requests to AWS: region and credentials from AWS's own chain, endpoints, and what is tried again.

use crate::web;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::{Duration, SystemTime};
use torana_config::install::{ClientTlsConfig, EcsConfig};

/// Of one request.
const LIMIT: Duration = Duration::from_secs(30);
/// Tries of a request that AWS has no room for.
const TRIES: u32 = 4;
/// The pause before the second try; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(300);
/// Credentials that end sooner are fetched anew.
const FRESH: Duration = Duration::from_secs(300);

/// Why AWS gives no answer that can be used.
#[derive(Clone, Debug)]
pub(super) enum AwsError {
    /// Nobody answers, or there are no credentials.
    Away(String),
    /// AWS says no: its code, and its words.
    Refused { code: String, words: String },
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AwsError::Away(e) => f.write_str(e),
            AwsError::Refused { code, words } if words.is_empty() => f.write_str(code),
            AwsError::Refused { code, words } => write!(f, "{code}: {words}"),
        }
    }
}

/// An account in a region.
pub(super) struct Aws {
    client: Client,
    provider: SharedCredentialsProvider,
    credentials: Option<Credentials>,
    region: String,
    endpoint: Option<String>,
}

/// A service of AWS.
#[derive(Clone, Copy)]
pub(super) enum Service {
    Ecs,
    Ec2,
    Ssm,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Ecs => "ecs",
            Service::Ec2 => "ec2",
            Service::Ssm => "ssm",
        }
    }

    /// Before the name of an operation.
    fn target(self) -> &'static str {
        match self {
            Service::Ecs => "AmazonEC2ContainerServiceV20141113",
            Service::Ec2 => "",
            Service::Ssm => "AmazonSSM",
        }
    }
}

impl Aws {
    pub(super) async fn new(config: &EcsConfig) -> Result<Aws, String> {
        let tls = ClientTlsConfig { ca: std::env::var("AWS_CA_BUNDLE").unwrap_or_default(), ..ClientTlsConfig::default() };
        let client = web::client(Some(&tls), true, None).await?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(Requests { client: client.clone() });
        if !config.region.is_empty() {
            loader = loader.region(Region::new(config.region.clone()));
        }
        if !config.access_key_id.is_empty() {
            let secret = config.secret_access_key.expose();
            loader = loader.credentials_provider(Credentials::new(&config.access_key_id, secret, None, None, "providers.ecs"));
        }
        let sdk: SdkConfig = loader.load().await;
        let region = sdk.region().map(ToString::to_string).ok_or("there is no region: set `region`, or AWS_REGION")?;
        let provider = sdk.credentials_provider().ok_or("there is no way to credentials")?;
        Ok(Aws { client, provider, credentials: None, region, endpoint: sdk.endpoint_url().map(str::to_owned) })
    }

    /// Credentials that hold for some time yet; asked for before a poll.
    pub(super) async fn refresh(&mut self) -> Result<(), AwsError> {
        let lasts = |c: &Credentials| c.expiry().is_some_and(|e| e > SystemTime::now() + FRESH);
        if !self.credentials.as_ref().is_some_and(lasts) {
            let found = self.provider.provide_credentials().await;
            self.credentials = Some(found.map_err(|e| AwsError::Away(format!("there are no credentials: {}", causes(&e))))?);
        }
        Ok(())
    }

    fn url(&self, service: Service) -> Result<Url, AwsError> {
        let own = std::env::var(format!("AWS_ENDPOINT_URL_{}", service.name().to_uppercase())).ok().filter(|u| !u.is_empty());
        let text = own.or_else(|| self.endpoint.clone()).unwrap_or_else(|| {
            format!("https://{}.{}.{}/", service.name(), self.region, suffix(&self.region))
        });
        text.parse().map_err(|e| AwsError::Away(format!("`{}` is no URL: {e}", torana_base::shown(&text))))
    }

    /// An operation of a service that speaks JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, service: Service, operation: &str, input: &serde_json::Value) -> Result<T, AwsError> {
        let target = format!("{}.{operation}", service.target());
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let body = self.call(service, &headers, input.to_string()).await?;
        serde_json::from_slice(&body).map_err(|e| AwsError::Away(format!("the answer to {operation} cannot be read: {e}")))
    }

    /// An operation of EC2, which speaks forms and XML.
    pub(super) async fn form(&self, form: &[(String, String)]) -> Result<Bytes, AwsError> {
        let mut encoded = Url::parse("form://x").map_err(|e| AwsError::Away(e.to_string()))?;
        encoded.query_pairs_mut().extend_pairs(form);
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.call(Service::Ec2, &headers, encoded.query().unwrap_or_default().to_owned()).await
    }

    /// With pauses between tries while AWS is busy.
    async fn call(&self, service: Service, headers: &[(&str, &str)], body: String) -> Result<Bytes, AwsError> {
        let (mut pause, mut tries) = (PAUSE, TRIES);
        loop {
            let (status, answer) = self.send(service, headers, &body).await?;
            if status.is_success() {
                return Ok(answer);
            }
            let (code, words) = refusal(status, &answer);
            let busy = status.as_u16() == 429 || status.is_server_error() || code.contains("Throttl") || code.contains("LimitExceeded");
            tries -= 1;
            if !busy || tries == 0 {
                return Err(AwsError::Refused { code, words });
            }
            tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            pause *= 2;
        }
    }

    async fn send(&self, service: Service, headers: &[(&str, &str)], body: &str) -> Result<(StatusCode, Bytes), AwsError> {
        let url = self.url(service)?;
        let away = |e: &dyn fmt::Display| AwsError::Away(format!("{} does not answer: {e}", service.name()));
        let mut request = self.client.request(Method::POST, url.clone()).body(body.to_owned()).timeout(LIMIT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in self.signature(service, &url, headers, body)? {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|e| away(&causes(&e.without_url())))?;
        let status = response.status();
        Ok((status, web::whole(response).await.map_err(|e| away(&e))?.body))
    }

    fn signature(&self, service: Service, url: &Url, headers: &[(&str, &str)], body: &str) -> Result<Vec<(HeaderName, HeaderValue)>, AwsError> {
        let unsigned = |e: &dyn fmt::Display| AwsError::Away(format!("a request cannot be signed: {e}"));
        let identity = self.credentials.clone().ok_or_else(|| AwsError::Away("there are no credentials".into()))?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service.name())
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| unsigned(&e))?
            .into();
        let host = url.authority();
        let signed = [("host", host)].into_iter().chain(headers.iter().copied());
        let request = SignableRequest::new("POST", url.as_str(), signed, SignableBody::Bytes(body.as_bytes())).map_err(|e| unsigned(&e))?;
        let (instructions, _) = sign(request, &params).map_err(|e| unsigned(&e))?.into_parts();
        let mut out = Vec::new();
        for (name, value) in instructions.headers() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| unsigned(&e))?;
            let mut value = HeaderValue::from_str(value).map_err(|e| unsigned(&e))?;
            value.set_sensitive(true);
            out.push((name, value));
        }
        Ok(out)
    }
}

/// Where a region's services are.
fn suffix(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "amazonaws.com.cn",
        r if r.starts_with("us-iso-") => "c2s.ic.gov",
        r if r.starts_with("us-isob-") => "sc2s.sgov.gov",
        r if r.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    }
}

/// Code and words of an error, in JSON or XML.
fn refusal(status: StatusCode, body: &[u8]) -> (String, String) {
    if let Ok(error) = serde_json::from_slice::<serde_json::Value>(body)
        && let Some(code) = error["__type"].as_str()
    {
        let words = error["message"].as_str().or(error["Message"].as_str()).unwrap_or_default();
        return (code.rsplit('#').next().unwrap_or_default().to_owned(), words.to_owned());
    }
    super::ec2::error(&String::from_utf8_lossy(body)).unwrap_or_else(|| (format!("HTTP {}", status.as_u16()), String::new()))
}

/// An error with what is behind it.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let said = e.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = e.source();
    }
    text
}

/// Sends the requests by which credentials and region are found out.
#[derive(Clone, Debug)]
struct Requests {
    client: Client,
}

impl HttpClient for Requests {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let limit = settings.read_timeout().unwrap_or(LIMIT) + settings.connect_timeout().unwrap_or_default();
        SharedHttpConnector::new(Connector { client: self.client.clone(), limit: limit.min(LIMIT) })
    }
}

#[derive(Debug)]
struct Connector {
    client: Client,
    limit: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, limit) = (self.client.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let method = request.method().parse::<Method>().map_err(|e| ConnectorError::user(e.into()))?;
            let mut out = client.request(method, request.uri()).timeout(limit);
            for (name, value) in request.headers() {
                out = out.header(name, value);
            }
            let body = request.body().bytes().map(<[u8]>::to_vec).unwrap_or_default();
            let response = out.body(body).send().await.map_err(|e| {
                if e.is_timeout() { ConnectorError::timeout(e.into()) } else { ConnectorError::io(e.into()) }
            })?;
            let status = response.status().as_u16().try_into().map_err(|_| ConnectorError::other("no status".into(), None))?;
            let answer = web::whole(response).await.map_err(|e| ConnectorError::io(e.to_string().into()))?;
            let mut made = HttpResponse::new(status, answer.body.to_vec().into());
            for (name, value) in &answer.headers {
                if let Ok(value) = value.to_str() {
                    made.headers_mut().append(name.as_str().to_owned(), value.to_owned());
                }
            }
            Ok(made)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_json_and_xml() {
        let of = |body: &str| refusal(StatusCode::BAD_REQUEST, body.as_bytes());
        let json = r#"{"__type":"com.amazonaws.ecs#ClusterNotFoundException","message":"Cluster not found.","Message":"x"}"#;
        assert_eq!(of(json), ("ClusterNotFoundException".into(), "Cluster not found.".into()));
        let xml = "<?xml version=\"1.0\"?><Response><Errors><Error><Code>AuthFailure</Code><Message>a &lt;b&gt;</Message></Error></Errors></Response>";
        assert_eq!(of(xml), ("AuthFailure".into(), "a <b>".into()));
        assert_eq!(of("<html>"), ("HTTP 400".into(), String::new()));
    }
}
