//! A small HTTP server on loopback for fakes of services: a function answers, keep-alive connections ask.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// As sent, without its query.
    pub path: String,
    pub query: HashMap<String, String>,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Response {
    #[must_use]
    pub fn new(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    #[must_use]
    pub fn text(status: u16, kind: &str, body: impl Into<String>) -> Response {
        let headers = vec![("Content-Type", kind.to_owned())];
        Response { status, headers, body: body.into().into_bytes() }
    }
}

pub type Answer = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

pub struct Server {
    /// `http://127.0.0.1:port`
    pub url: String,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(answer: Answer) -> std::io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    // A client that hangs up ends its connection only.
                    let _ = serve(stream, &answer).await;
                });
            }
        });
        Ok(Server { url, task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(request) = receive(&mut read).await? {
        let response = answer(&request);
        let mut head = format!("HTTP/1.1 {} Fake\r\n", response.status);
        for (name, value) in &response.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if response.status != 204 {
            head.push_str(&format!("Content-Length: {}\r\n", response.body.len()));
        }
        write.write_all(format!("{head}\r\n").as_bytes()).await?;
        if request.method != "HEAD" {
            write.write_all(&response.body).await?;
        }
        write.flush().await?;
    }
    Ok(())
}

async fn receive(read: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if read.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace();
    let method = parts.next().unwrap_or_default().to_owned();
    let target = parts.next().unwrap_or("/").to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    read.read_exact(&mut body).await?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(&value.replace('+', " ")))
    });
    Ok(Some(Request { method, path: path.to_owned(), query: query.collect(), headers, body }))
}

/// Without percent signs.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
