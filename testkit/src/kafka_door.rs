//! A guarded door in front of a Kafka-compatible broker that has none: TLS, then SASL by PLAIN or OAUTHBEARER, then everything is handed on.
//! Clients are real ones, and so is the protocol of the login; SCRAM is left to a real Kafka.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::Identity;

const API_VERSIONS: i16 = 18;
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
const UNSUPPORTED_VERSION: i16 = 35;
const UNSUPPORTED_MECHANISM: i16 = 33;
const AUTHENTICATION_FAILED: i16 = 58;
const FRAME_MAX: u32 = 100 << 20;

/// Who is let in: the mechanism and what it says (`user:password`, or the token). An error is told to the client.
pub type Guard = Arc<dyn Fn(&str, &str) -> Result<(), String> + Send + Sync>;

/// A try to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    pub mechanism: String,
    /// `user:password`, or the token.
    pub said: String,
    pub is_in: bool,
}

pub struct KafkaDoor {
    pub identity: Identity,
    address: SocketAddr,
    listener: Option<TcpListener>,
    knocks: watch::Sender<Vec<Knock>>,
    /// Rung to cut all connections.
    hang_up: watch::Sender<()>,
    task: Option<JoinHandle<()>>,
}

struct Inside {
    upstream: SocketAddr,
    guard: Guard,
    /// Clients must log in again after this long, on the same connection.
    session: Option<Duration>,
    knocks: watch::Sender<Vec<Knock>>,
}

impl KafkaDoor {
    /// Takes a port; the broker behind must tell clients to come here, so it is started after.
    pub async fn bind() -> io::Result<KafkaDoor> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (knocks, hang_up) = (watch::Sender::new(Vec::new()), watch::Sender::new(()));
        Ok(KafkaDoor {
            identity: Identity::new(),
            address,
            listener: Some(listener),
            knocks,
            hang_up,
            task: None,
        })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// # Panics
    /// When it is open already.
    pub fn open(&mut self, upstream: SocketAddr, guard: Guard, session: Option<Duration>) {
        let listener = self.listener.take().expect("a door is opened once");
        let inside = Arc::new(Inside { upstream, guard, session, knocks: self.knocks.clone() });
        let acceptor = TlsAcceptor::from(Arc::new(self.identity.server_config()));
        let hang_up = self.hang_up.subscribe();
        self.task = Some(tokio::spawn(accept(listener, acceptor, inside, hang_up)));
    }

    /// Who has tried to log in so far.
    #[must_use]
    pub fn knocks(&self) -> watch::Receiver<Vec<Knock>> {
        self.knocks.subscribe()
    }

    /// Cuts all connections; clients come again.
    pub fn hang_up(&self) {
        self.hang_up.send_replace(());
    }
}

impl Drop for KafkaDoor {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    inside: Arc<Inside>,
    hang_up: watch::Receiver<()>,
) {
    // Connections end with the door.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, inside, mut hang_up) = (acceptor.clone(), Arc::clone(&inside), hang_up.clone());
        hang_up.mark_unchanged();
        connections.spawn(async move {
            tokio::select! {
                _ = hang_up.changed() => {}
                // A client that breaks off ends its connection only.
                _ = serve(socket, acceptor, &inside) => {}
            }
        });
    }
}

type Out = Arc<Mutex<WriteHalf<TlsStream<TcpStream>>>>;

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, inside: &Inside) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (mut read, write) = tokio::io::split(acceptor.accept(socket).await?);
    let out: Out = Arc::new(Mutex::new(write));
    let upstream = TcpStream::connect(inside.upstream).await?;
    upstream.set_nodelay(true)?;
    let (mut answers, mut broker) = upstream.into_split();
    let versions = versions(&mut answers, &mut broker).await?;
    let back = Arc::clone(&out);
    let mut answering = JoinSet::new();
    answering.spawn(async move {
        while let Ok(Some(frame)) = read_frame(&mut answers).await {
            if write_frame(&mut *back.lock().await, &frame).await.is_err() {
                return;
            }
        }
    });
    let mut visitor = Visitor { inside, mechanism: None, is_in: false };
    while let Some(frame) = read_frame(&mut read).await? {
        let mut request = Fields(&frame);
        let (key, version, correlation) = (request.i16()?, request.i16()?, request.i32()?);
        let answer = match key {
            API_VERSIONS => {
                let error = if version == 0 { 0 } else { UNSUPPORTED_VERSION };
                [&error.to_be_bytes()[..], &versions].concat()
            }
            SASL_HANDSHAKE => visitor.handshake(&mut request)?,
            SASL_AUTHENTICATE => visitor.authenticate(&mut request, version)?,
            _ if visitor.is_in => {
                write_frame(&mut broker, &frame).await?;
                continue;
            }
            _ => return Ok(()),
        };
        let answer = [&correlation.to_be_bytes()[..], &answer].concat();
        write_frame(&mut *out.lock().await, &answer).await?;
        if key == SASL_AUTHENTICATE && !visitor.is_in {
            return Ok(());
        }
    }
    Ok(())
}

/// What the broker offers, with logins; of this request itself only the oldest form.
async fn versions(
    answers: &mut (impl AsyncRead + Unpin),
    broker: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Vec<u8>> {
    let mut ask = Vec::new();
    for number in [API_VERSIONS, 0, 0, 0, -1] {
        ask.extend(number.to_be_bytes());
    }
    write_frame(broker, &ask).await?;
    let frame = read_frame(answers).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut answer = Fields(&frame);
    answer.i32()?;
    answer.i16()?;
    let mut known = Vec::new();
    for _ in 0..answer.i32()? {
        let (key, min, max) = (answer.i16()?, answer.i16()?, answer.i16()?);
        known.push(if key == API_VERSIONS { (key, 0, 0) } else { (key, min, max) });
    }
    known.extend([(SASL_HANDSHAKE, 1, 1), (SASL_AUTHENTICATE, 0, 1)]);
    let mut list = (known.len() as i32).to_be_bytes().to_vec();
    for (key, min, max) in known {
        list.extend([key, min, max].into_iter().flat_map(i16::to_be_bytes));
    }
    Ok(list)
}

struct Visitor<'a> {
    inside: &'a Inside,
    mechanism: Option<String>,
    is_in: bool,
}

impl Visitor<'_> {
    fn handshake(&mut self, request: &mut Fields<'_>) -> io::Result<Vec<u8>> {
        request.text()?;
        let mechanism = request.text()?;
        let known = ["PLAIN", "OAUTHBEARER"];
        let error: i16 = if known.contains(&mechanism.as_str()) { 0 } else { UNSUPPORTED_MECHANISM };
        self.mechanism = Some(mechanism);
        let mut answer = error.to_be_bytes().to_vec();
        answer.extend((known.len() as i32).to_be_bytes());
        known.into_iter().for_each(|name| put_text(&mut answer, name));
        Ok(answer)
    }

    fn authenticate(&mut self, request: &mut Fields<'_>, version: i16) -> io::Result<Vec<u8>> {
        request.text()?;
        let length = usize::try_from(request.i32()?).unwrap_or_default();
        let message = String::from_utf8_lossy(request.bytes(length)?).into_owned();
        let mechanism = self.mechanism.clone().unwrap_or_default();
        let said = match mechanism.as_str() {
            "PLAIN" => message.trim_start_matches('\0').replacen('\0', ":", 1),
            _ => message
                .split('\u{1}')
                .find_map(|part| part.strip_prefix("auth=Bearer "))
                .unwrap_or_default()
                .to_owned(),
        };
        let judged = (self.inside.guard)(&mechanism, &said);
        self.is_in = judged.is_ok();
        self.inside
            .knocks
            .send_modify(|knocks| knocks.push(Knock { mechanism, said, is_in: judged.is_ok() }));
        let mut answer = Vec::new();
        match judged {
            Ok(()) => answer.extend([0, -1].into_iter().flat_map(i16::to_be_bytes)),
            Err(problem) => {
                answer.extend(AUTHENTICATION_FAILED.to_be_bytes());
                put_text(&mut answer, &problem);
            }
        }
        answer.extend(0i32.to_be_bytes());
        if version >= 1 {
            let lives = self.inside.session.map_or(0, |session| session.as_millis() as i64);
            answer.extend(lives.to_be_bytes());
        }
        Ok(answer)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// Of a request, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(first)
    }

    fn i16(&mut self) -> io::Result<i16> {
        let bytes = self.bytes(2)?;
        Ok(i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn i32(&mut self) -> io::Result<i32> {
        let bytes = self.bytes(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Empty where there is none.
    fn text(&mut self) -> io::Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or_default();
        Ok(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }
}

async fn read_frame(read: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match read.read_u32().await {
        Ok(length) if length <= FRAME_MAX => length,
        Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut frame = vec![0; length as usize];
    read.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

async fn write_frame(write: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    write.write_all(&[&length.to_be_bytes()[..], frame].concat()).await?;
    write.flush().await
}
