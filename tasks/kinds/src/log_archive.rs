//! Where old log lines go: a folder or bucket by URL, opened when it is first needed, so that a command that needs none touches none.

use async_trait::async_trait;
use lake::{Error, Lake};
use model::archive::Archive;
use tokio::sync::OnceCell;

pub struct LogArchive {
    url: String,
    lake: OnceCell<Lake>,
}

impl LogArchive {
    /// `url`: a folder, `file://`, `gs://` or `s3://`. A URL that cannot be used is told at its first use.
    pub fn at(url: impl Into<String>) -> Self {
        LogArchive { url: url.into(), lake: OnceCell::new() }
    }

    async fn lake(&self) -> Result<&Lake, String> {
        let opened = self.lake.get_or_try_init(async || {
            let url = self.url.clone();
            // A folder is made and tried out.
            let opened = tokio::task::spawn_blocking(move || Lake::open(&url)).await;
            opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        });
        opened.await
    }
}

#[async_trait]
impl Archive for LogArchive {
    fn root(&self) -> &str {
        &self.url
    }

    async fn put(&self, name: &str, content: Vec<u8>) -> Result<(), String> {
        self.lake().await?.put_file_durably(name, content.into()).await.map_err(|error| error.to_string())
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        match self.lake().await?.get_file(name).await {
            Ok(content) => Ok(Some(content.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), String> {
        self.lake().await?.delete_file(name).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_kept_replaced_read_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("logs");
        let archive = LogArchive::at(place.display().to_string());
        assert!(!place.exists(), "nothing is made before it is needed");
        assert_eq!(archive.get("2026/01/01/1.gz").await, Ok(None));
        archive.put("2026/01/01/1.gz", b"one".to_vec()).await.unwrap();
        archive.put("2026/01/01/1.gz", b"two".to_vec()).await.unwrap();
        assert_eq!(archive.get("2026/01/01/1.gz").await, Ok(Some(b"two".to_vec())));
        assert!(place.join("2026/01/01/1.gz").is_file());
        archive.delete("2026/01/01/1.gz").await.unwrap();
        archive.delete("2026/01/01/1.gz").await.unwrap();
        assert_eq!(archive.get("2026/01/01/1.gz").await, Ok(None));
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_used_is_named() {
        let said = LogArchive::at("ftp://somewhere/logs").get("x").await.unwrap_err();
        assert!(said.contains("ftp"), "{said}");
    }
}
