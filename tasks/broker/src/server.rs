//! Connections: accepting them, reading frames, writing answers, closing. Not here: what a request means.

use crate::dispatch::{self, Client};
use crate::node::Node;
use crate::shape::Api;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

const MAX_CONNECTIONS: usize = 1_024;
/// The largest frame, that of a produce request: Kafka's `socket.request.max.bytes`.
const MAX_PRODUCE_FRAME: usize = 100 * 1024 * 1024;
/// The largest frame of any other request.
const MAX_FRAME: usize = 8 * 1024 * 1024;
/// API key, version and correlation id.
const PREFIX_BYTES: usize = 8;
const LENGTH_BYTES: usize = 4;
const KEY_BYTES: usize = 2;
/// A buffer grows by what has arrived, not by what a frame claims.
const READ_BYTES: usize = 64 * 1024;
/// Clients keep quiet connections, but not for ever: Kafka's `connections.max.idle.ms`.
const MAX_IDLE: Duration = Duration::from_secs(600);
/// A frame that has begun must go on to arrive; so must an answer be taken.
const MAX_STALL: Duration = Duration::from_secs(30);
/// Before the next accept when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn accept(listener: TcpListener, node: Arc<Node>, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = node.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                tasks.spawn(serve(socket, peer, Arc::clone(&node), place));
            }
            Err(_) => tracing::warn!(%peer, limit = MAX_CONNECTIONS, "connection refused: too many are open"),
        }
    }
}

/// Why a connection was closed by us.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a frame of {bytes} bytes is larger than the {limit} allowed")]
    FrameTooLarge { bytes: usize, limit: usize },
    #[error("a frame of {0} bytes is too short for a request")]
    FrameTooShort(usize),
    #[error("nothing came for {0:?} in the middle of a frame")]
    Stalled(Duration),
    #[error("{0}")]
    Request(#[from] dispatch::Error),
}

async fn serve(socket: TcpStream, peer: SocketAddr, node: Arc<Node>, _place: OwnedSemaphorePermit) {
    match answer_requests(socket, peer, &node).await {
        Ok(()) => tracing::debug!(%peer, "connection ended"),
        Err(Closed::Io(error)) => tracing::debug!(%peer, %error, "connection lost"),
        Err(reason) => tracing::warn!(%peer, %reason, "connection closed"),
    }
}

/// One request after the other, as the protocol wants its answers in order. A request that was read is answered
/// even if the broker is about to stop.
async fn answer_requests(mut socket: TcpStream, peer: SocketAddr, node: &Arc<Node>) -> Result<(), Closed> {
    socket.set_nodelay(true)?;
    let address = node.advertise.map_or_else(|| socket.local_addr(), Ok)?;
    let client = Client { address, host: peer.ip().to_string() };
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        let frame = tokio::select! {
            () = node.stop.cancelled() => return Ok(()),
            frame = read_frame(&mut socket, &mut buffer) => frame?,
        };
        let Some(frame) = frame else { return Ok(()) };
        if let Some(answer) = dispatch::answer(node, &client, frame).await? {
            let written = tokio::time::timeout(MAX_STALL, socket.write_all(&answer)).await;
            written.map_err(|_| Closed::Stalled(MAX_STALL))??;
        }
    }
}

/// The next frame without its length; `None` at the end of the stream or after a long silence.
async fn read_frame(socket: &mut TcpStream, buffer: &mut BytesMut) -> Result<Option<Bytes>, Closed> {
    if buffer.is_empty() {
        match tokio::time::timeout(MAX_IDLE, socket.read_buf(buffer)).await {
            Err(_) => return Ok(None),
            Ok(read) => {
                if read? == 0 {
                    return Ok(None);
                }
            }
        }
    }
    if !fill(socket, buffer, LENGTH_BYTES + KEY_BYTES).await? {
        return Ok(None);
    }
    let bytes = buffer.get_u32() as usize;
    if bytes < PREFIX_BYTES {
        return Err(Closed::FrameTooShort(bytes));
    }
    let key = i16::from_be_bytes([buffer[0], buffer[1]]);
    let is_produce = Api::of(key).is_some_and(|api| api.key == kafka_protocol::messages::ApiKey::Produce);
    let limit = if is_produce { MAX_PRODUCE_FRAME } else { MAX_FRAME };
    if bytes > limit {
        return Err(Closed::FrameTooLarge { bytes, limit });
    }
    if !fill(socket, buffer, bytes).await? {
        return Ok(None);
    }
    Ok(Some(buffer.split_to(bytes).freeze()))
}

/// Reads until the buffer holds so many bytes; false if the stream ends before.
async fn fill(socket: &mut TcpStream, buffer: &mut BytesMut, bytes: usize) -> Result<bool, Closed> {
    while buffer.len() < bytes {
        let missing = bytes - buffer.len();
        buffer.reserve(missing.clamp(READ_BYTES, READ_BYTES.max(buffer.len())));
        let read = tokio::time::timeout(MAX_STALL, socket.read_buf(buffer)).await;
        if read.map_err(|_| Closed::Stalled(MAX_STALL))?? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
