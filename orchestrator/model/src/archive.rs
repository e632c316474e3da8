//! Files outside the database, named by what is kept in it. Implemented where the object store lives.

use async_trait::async_trait;

#[async_trait]
pub trait Archive: Send + Sync {
    /// Where the files are, for people.
    fn root(&self) -> &str;

    /// Stores or replaces a file; it is durable when this returns.
    async fn put(&self, name: &str, content: Vec<u8>) -> Result<(), String>;

    /// `None`: there is no such file.
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, String>;

    /// A file that is not there is fine.
    async fn delete(&self, name: &str) -> Result<(), String>;
}
