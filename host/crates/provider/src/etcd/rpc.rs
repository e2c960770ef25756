//! The calls of etcd's API (v3) that Torana makes, with messages written by hand from its protocol files
//! (`rpc.proto`, `kv.proto`, `auth.proto`): generated ones want `protoc` wherever Torana is built.

use prost::{Enumeration, Message};
use std::time::Duration;
use tonic::client::Grpc;
use http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// Bytes of one message, at most: pages of keys are much smaller.
const LARGEST: usize = 256 << 20;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(int64, tag = "3")]
    pub(crate) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(crate) mod_revision: i64,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(crate) limit: i64,
    #[prost(int64, tag = "4")]
    pub(crate) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    pub(crate) more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) create: Option<WatchCreate>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchCreate {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(crate) start_revision: i64,
    #[prost(bool, tag = "8")]
    pub(crate) fragment: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchResponse {
    #[prost(bool, tag = "3")]
    pub(crate) created: bool,
    #[prost(bool, tag = "4")]
    pub(crate) canceled: bool,
    #[prost(int64, tag = "5")]
    pub(crate) compact_revision: i64,
    #[prost(string, tag = "6")]
    pub(crate) cancel_reason: String,
    #[prost(message, repeated, tag = "11")]
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub(crate) enum EventKind {
    Put = 0,
    Delete = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    #[prost(enumeration = "EventKind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AuthenticateRequest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    password: String,
}

#[derive(Clone, PartialEq, Message)]
struct AuthenticateResponse {
    #[prost(string, tag = "2")]
    token: String,
}

/// The keys that begin with `prefix` end before this one.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    vec![0]
}

/// One member of a cluster.
#[derive(Clone)]
pub(crate) struct Member {
    grpc: Grpc<Channel>,
    token: Option<MetadataValue<Ascii>>,
}

impl Member {
    pub(crate) fn new(channel: Channel) -> Self {
        Member { grpc: Grpc::new(channel).max_decoding_message_size(LARGEST), token: None }
    }

    /// Logs in: what follows is done as that user.
    pub(crate) async fn authenticate(&mut self, name: &str, password: &str, patience: Duration) -> Result<(), Status> {
        let request = AuthenticateRequest { name: name.into(), password: password.into() };
        let answer: AuthenticateResponse = self.call("/etcdserverpb.Auth/Authenticate", request, patience).await?;
        self.token = Some(answer.token.parse().map_err(|_| Status::internal("the token is no text"))?);
        Ok(())
    }

    pub(crate) async fn range(&mut self, request: RangeRequest, patience: Duration) -> Result<RangeResponse, Status> {
        self.call("/etcdserverpb.KV/Range", request, patience).await
    }

    /// One watch on a stream of its own; ends when `hold` is dropped.
    pub(crate) async fn watch(&mut self, create: WatchCreate) -> Result<(Streaming<WatchResponse>, Hold), Status> {
        self.ready().await?;
        let (hold, wait) = tokio::sync::oneshot::channel::<()>();
        // The server ends the watch when it has heard the last request, so there is no last one.
        let first = WatchRequest { create: Some(create) };
        let requests = futures_util::stream::unfold((Some(first), Some(wait)), |(first, wait)| async move {
            if let Some(first) = first {
                return Some((first, (None, wait)));
            }
            if let Some(wait) = wait {
                let _ = wait.await;
            }
            None
        });
        let mut request = Request::new(requests);
        self.sign(&mut request);
        // A member that has lost the others ends the watch, where it would be silent otherwise.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let stream = self.grpc.streaming(request, path, codec).await?.into_inner();
        Ok((stream, Hold(hold)))
    }

    async fn call<Q, A>(&mut self, path: &'static str, request: Q, patience: Duration) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.ready().await?;
        let mut request = Request::new(request);
        request.set_timeout(patience);
        self.sign(&mut request);
        let answer = self.grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default());
        let answer = tokio::time::timeout(patience, answer).await.map_err(|_| Status::deadline_exceeded("no answer in time"))?;
        Ok(answer?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.grpc.ready().await.map_err(|e| Status::unavailable(super::chain(&e)))
    }

    fn sign<T>(&self, request: &mut Request<T>) {
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
    }
}

/// Keeps a watch alive.
pub(crate) struct Hold(#[allow(dead_code, reason = "what counts is when it is dropped")] tokio::sync::oneshot::Sender<()>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(end_of(b"traefik/"), b"traefik0");
        assert_eq!(end_of(b"a\xff\xff"), b"b");
        assert_eq!(end_of(b"\xff"), [0]);
    }

    #[test]
    fn messages_are_as_the_protocol_writes_them() {
        let range = RangeRequest { key: b"a".into(), range_end: b"b".into(), limit: 5, revision: 7 };
        assert_eq!(range.encode_to_vec(), b"\x0a\x01a\x12\x01b\x18\x05\x20\x07");
        let watch = WatchCreate { key: b"a".into(), range_end: b"b".into(), start_revision: 3, fragment: true };
        assert_eq!(WatchRequest { create: Some(watch) }.encode_to_vec(), b"\x0a\x0a\x0a\x01a\x12\x01b\x18\x03\x40\x01");
        let event = Event::decode(&b"\x08\x01\x12\x03\x0a\x01k"[..]).unwrap();
        assert_eq!((event.kind(), event.kv.unwrap().key), (EventKind::Delete, b"k".to_vec()));
    }
}
