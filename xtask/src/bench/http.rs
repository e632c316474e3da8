//! One HTTP request at a time to loopback.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub struct Answer {
    pub status: u16,
    pub body: String,
    pub seconds: f64,
}

/// `headers` are whole lines.
pub fn request(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    let began = Instant::now();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(120)))?;
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    socket.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let seconds = began.elapsed().as_secs_f64();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok(Answer { status, body: body.to_string(), seconds })
}

pub fn get(address: &str, path: &str) -> Result<Answer> {
    let answer = request(address, "GET", path, "", "")?;
    if answer.status != 200 {
        bail!("GET {path}: {}", answer.status);
    }
    Ok(answer)
}
