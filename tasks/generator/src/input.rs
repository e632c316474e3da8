//! What a run reads from outside: the configuration, the songs and the listen counts, from files or URLs, with their hashes.

use std::io::{Read as _, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::catalogue::{self, Catalogue};
use crate::config::{self, Config};
use crate::error::Error;
use crate::synthetic;

/// A songs file is two megabytes; the whole Million Song Dataset's table would be three hundred.
const BYTES_MAX: u64 = 512 << 20;
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Where the inputs come from; what is not named is built in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) config: Option<String>,
    pub(crate) songs: Option<String>,
    pub(crate) listen_counts: Option<String>,
}

/// The inputs, read and checked.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) config: Config,
    pub(crate) config_name: String,
    pub(crate) config_hash: String,
    pub(crate) catalogue: Catalogue,
    pub(crate) catalogue_hash: String,
    /// With paths made absolute, so that another working directory finds them again.
    pub(crate) sources: Sources,
}

impl Inputs {
    /// # Errors
    /// What cannot be read, downloaded or understood.
    pub(crate) async fn load(sources: &Sources) -> Result<Self, Error> {
        let (config_text, config_name) = match &sources.config {
            Some(path) => (utf8(read(path).await?, path)?, path.clone()),
            None => (config::embedded().0.to_owned(), config::embedded().1.to_owned()),
        };
        let config = Config::parse(&config_text, &config_name)?;
        let counts_source = sources.listen_counts.clone().or_else(|| config.listen_counts.clone());
        let songs = match &sources.songs {
            Some(source) => Some((read(source).await?, source.clone())),
            None => None,
        };
        let counts = match &counts_source {
            Some(source) => Some((read(source).await?, source.clone())),
            None => None,
        };
        let sources = Sources {
            config: sources.config.as_deref().map(absolute),
            songs: sources.songs.as_deref().map(absolute),
            listen_counts: counts_source.as_deref().map(absolute),
        };
        tokio::task::spawn_blocking(move || {
            let (songs, songs_name) = songs.unwrap_or_else(|| (synthetic::csv(), "(synthetic)".to_owned()));
            let mut hash = Sha256::new();
            hash.update(&songs);
            let counts = match counts {
                Some((bytes, name)) => {
                    hash.update(&bytes);
                    Some(catalogue::listen_counts(&utf8(plain(bytes, &name)?, &name)?, &name)?)
                }
                None => None,
            };
            Ok(Self {
                catalogue: Catalogue::read(&songs, &songs_name, counts.as_ref())?,
                catalogue_hash: hex(&hash.finalize()),
                config_hash: hex(&Sha256::digest(config_text.as_bytes())),
                config,
                config_name,
                sources,
            })
        })
        .await?
    }
}

/// Writes the catalogue in the Million Song Dataset subset's 20 columns: the file as it is, or the synthetic one.
///
/// # Errors
/// What is wrong with the songs, or the writer's failure.
pub async fn catalogue_csv(songs: Option<&str>, mut out: impl Write) -> Result<(), Error> {
    let bytes = match songs {
        Some(source) => {
            let bytes = read(source).await?;
            Catalogue::read(&bytes, source, None)?;
            bytes
        }
        None => synthetic::csv(),
    };
    out.write_all(&bytes).and_then(|()| out.flush()).map_err(Error::Output)
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

fn absolute(source: &str) -> String {
    if is_url(source) {
        return source.to_owned();
    }
    std::path::absolute(source).map_or_else(|_| source.to_owned(), |path| path.to_string_lossy().into_owned())
}

async fn read(source: &str) -> Result<Vec<u8>, Error> {
    if is_url(source) {
        return download(source).await;
    }
    let failed = |source: &str, error| Error::File { action: "read", path: source.into(), source: error };
    let size = tokio::fs::metadata(source).await.map_err(|error| failed(source, error))?.len();
    if size > BYTES_MAX {
        return Err(Error::Options(format!("{source} has {size} bytes, more than the limit of {BYTES_MAX}")));
    }
    tokio::fs::read(Path::new(source)).await.map_err(|error| failed(source, error))
}

async fn download(url: &str) -> Result<Vec<u8>, Error> {
    let failed = |problem: String| Error::Download { url: url.to_owned(), problem };
    let client = reqwest::Client::builder()
        .timeout(DOWNLOAD_TIMEOUT)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let response = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut response = response.map_err(|error| failed(causes(&error)))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(causes(&error)))? {
        if (bytes.len() + chunk.len()) as u64 > BYTES_MAX {
            return Err(failed(format!("it has more than {BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An error with what caused it: reqwest's first words alone do not say why.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Unpacks gzip, which Eventsim's listen counts come in; other bytes pass.
fn plain(bytes: Vec<u8>, file: &str) -> Result<Vec<u8>, Error> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut text = Vec::new();
    let refuse = |problem: String| Error::ListenCounts { file: file.to_owned(), problem };
    flate2::read::MultiGzDecoder::new(bytes.as_slice())
        .take(BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|error| refuse(format!("is not whole gzip: {error}")))?;
    Ok(text)
}

fn utf8(bytes: Vec<u8>, file: &str) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        Error::Options(format!("{file}, line {line}: is not UTF-8; convert the file to UTF-8"))
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with this.
    async fn serve(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/songs.csv", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4_096]).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
        });
        url
    }

    #[tokio::test]
    async fn the_catalogue_is_given_out_as_it_is_from_a_file_a_url_or_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("songs.csv");
        let (mut synthetic, mut file, mut web) = (Vec::new(), Vec::new(), Vec::new());
        catalogue_csv(None, &mut synthetic).await.unwrap();
        std::fs::write(&path, &synthetic).unwrap();
        catalogue_csv(path.to_str(), &mut file).await.unwrap();
        let body = String::from_utf8(synthetic.clone()).unwrap();
        let url = serve(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
        catalogue_csv(Some(&url), &mut web).await.unwrap();
        assert!(synthetic == file && synthetic == web);
    }

    #[tokio::test]
    async fn songs_that_cannot_be_had_are_named() {
        let refused = |source: String| async move {
            catalogue_csv(Some(&source), Vec::new()).await.unwrap_err().to_string()
        };
        let message = refused("/nowhere/songs.csv".to_owned()).await;
        assert!(message.starts_with("cannot read /nowhere/songs.csv: "), "{message}");
        let url =
            serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned())
                .await;
        let message = refused(url.clone()).await;
        assert!(message.contains(&url) && message.contains("404"), "{message}");
        let url =
            serve("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\na,b\n1,".to_owned())
                .await;
        let message = refused(url).await;
        assert!(message.contains("lacks the columns artist_id"), "{message}");
    }

    #[test]
    fn counts_may_be_packed_and_a_torn_file_is_named() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(b"TR1\tA\tB\t10.0\t82\n").unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(plain(packed.clone(), "counts.gz").unwrap(), b"TR1\tA\tB\t10.0\t82\n");
        let message = plain(packed[..packed.len() - 6].to_vec(), "counts.gz").unwrap_err().to_string();
        assert!(message.contains("counts.gz: is not whole gzip"), "{message}");
    }
}
