//! From a frame to its answer: version check, shape check, decoding, the right handler, encoding.

use crate::api;
use crate::node::Node;
use crate::shape::{APIS, Api};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, RequestHeader, RequestKind};
use kafka_protocol::protocol::{Decodable, Encodable};
use std::net::SocketAddr;
use std::sync::Arc;

/// Who asks, as far as a connection tells.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Our end of the connection: an address at which this client surely reaches us.
    pub address: SocketAddr,
    pub host: String,
}

/// A request, decoded.
pub(crate) struct Request {
    pub kind: RequestKind,
    pub version: i16,
    pub client_id: String,
    pub client: Client,
}

/// Why a request has no answer and its connection must be closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "request {key} version {version} is not offered by this broker; the client must ask ApiVersions first"
    )]
    NotOffered { key: i16, version: i16 },
    #[error("malformed {key:?} request, version {version}: {reason}")]
    Malformed { key: ApiKey, version: i16, reason: String },
    #[error("the answer to a {key:?} request, version {version}, cannot be encoded: {reason}")]
    Answer { key: ApiKey, version: i16, reason: String },
    #[error("handling a request panicked: {0}")]
    Panicked(String),
}

/// Answers a frame of at least API key, version and correlation id. `None` if the client wants no answer.
pub(crate) async fn answer(node: &Arc<Node>, client: &Client, frame: Bytes) -> Result<Option<Bytes>, Error> {
    let mut prefix = &frame[..];
    let (key, version, correlation) = (prefix.get_i16(), prefix.get_i16(), prefix.get_i32());
    let api = Api::of(key).ok_or(Error::NotOffered { key, version })?;
    if api.key == ApiKey::ApiVersions {
        return api_versions(api, version, correlation).map(Some);
    }
    if !api.takes(version) {
        return Err(Error::NotOffered { key, version });
    }
    let malformed = |reason: String| Error::Malformed { key: api.key, version, reason };
    if !api.fits(version, prefix) {
        return Err(malformed("a length or a list does not fit the frame".to_owned()));
    }
    let mut bytes = frame.clone();
    let header = RequestHeader::decode(&mut bytes, api.key.request_header_version(version));
    let header = header.map_err(|error| malformed(format!("{error:#}")))?;
    let kind =
        RequestKind::decode(api.key, &mut bytes, version).map_err(|error| malformed(format!("{error:#}")))?;
    let client_id = header.client_id.map(|id| id.to_string()).unwrap_or_default();
    let request = Request { kind, version, client_id, client: client.clone() };
    match api::handle(node, request).await? {
        Some(response) => {
            encode(api.key, version, correlation, |out| response.encode(out, version)).map(Some)
        }
        None => Ok(None),
    }
}

/// A client that knows newer versions learns in the oldest form which ones we know.
fn api_versions(api: &Api, version: i16, correlation: i32) -> Result<Bytes, Error> {
    let known = api.takes(version);
    let offered = |api: &Api| {
        ApiVersion::default().with_api_key(api.key as i16).with_min_version(api.min).with_max_version(api.max)
    };
    let response = ApiVersionsResponse::default()
        .with_error_code(if known { 0 } else { ResponseError::UnsupportedVersion.code() })
        .with_api_keys(APIS.iter().map(offered).collect());
    let version = if known { version } else { 0 };
    encode(api.key, version, correlation, |out| response.encode(out, version))
}

fn encode<E: std::fmt::Display>(
    key: ApiKey,
    version: i16,
    correlation: i32,
    body: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<Bytes, Error> {
    let failed = |reason: String| Error::Answer { key, version, reason };
    let mut out = BytesMut::new();
    out.put_u32(0);
    out.put_i32(correlation);
    if key.response_header_version(version) >= 1 {
        out.put_u8(0); // no tags
    }
    body(&mut out).map_err(|error| failed(format!("{error:#}")))?;
    let length = u32::try_from(out.len() - 4).map_err(|_| failed("it is too long".to_owned()))?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out.freeze())
}

/// Runs work that may wait for the disk or a lock.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Panicked(error.to_string()))
}
