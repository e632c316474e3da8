//! The server's side of SMTP (RFC 5321), as far as one mail needs it.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Default)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// As it came: headers, an empty line, the body.
    pub data: String,
}

impl Mail {
    pub fn has_line(&self, line: &str) -> bool {
        self.data.lines().any(|found| found == line)
    }

    /// Decoded from quoted-printable, base64 or as it is.
    pub fn body(&self) -> String {
        let (headers, body) = self.data.split_once("\r\n\r\n").unwrap();
        if headers.contains("Content-Transfer-Encoding: quoted-printable") {
            return quoted_printable(body);
        }
        assert!(!headers.contains("base64"), "no test has such a body: {headers}");
        body.to_string()
    }
}

fn quoted_printable(body: &str) -> String {
    let joined = body.replace("=\r\n", "");
    let mut pieces = joined.split('=');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

pub struct SmtpServer {
    pub url: String,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl SmtpServer {
    pub async fn start(refused: &[&str]) -> SmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let mails = Arc::<Mutex<Vec<Mail>>>::default();
        let (kept, refused) = (mails.clone(), refused.iter().map(ToString::to_string).collect::<Vec<_>>());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                converse(socket, &refused, &kept).await;
            }
        });
        SmtpServer { url, mails }
    }

    /// The one that came: it was kept before the sender was told so.
    pub fn mail(&self) -> Mail {
        self.mails.lock().unwrap().pop().unwrap()
    }
}

/// Until the end of the connection.
async fn converse(mut socket: TcpStream, refused: &[String], kept: &Mutex<Vec<Mail>>) -> Option<()> {
    let (reading, mut writing) = socket.split();
    let mut lines = BufReader::new(reading);
    let mut mail = Mail::default();
    writing.write_all(b"220 test ESMTP\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_string();
        let answer = match line.split([' ', ':', '\r']).next().unwrap_or_default() {
            "EHLO" => "250-test\r\n250 8BITMIME",
            "MAIL" => {
                mail.from = address();
                "250 fine"
            }
            "RCPT" if refused.contains(&address()) => "550 no such user",
            "RCPT" => {
                mail.to.push(address());
                "250 fine"
            }
            "DATA" => {
                writing.write_all(b"354 go on\r\n").await.ok()?;
                mail.data = data(&mut lines).await?;
                kept.lock().unwrap().push(std::mem::take(&mut mail));
                "250 kept"
            }
            "QUIT" => "221 bye",
            _ => "500 what?",
        };
        writing.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}

/// Up to the line with a single dot; leading dots are doubled by the sender.
async fn data(lines: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
