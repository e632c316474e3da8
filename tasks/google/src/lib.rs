//! Access tokens of Google Cloud by application default credentials: a key file, a person's login, workload identity
//! federation, or the metadata server of the machine.
//!
//! One place, so that the warehouse, the lake, Kafka and Cloud SQL are who they are for the same reason. Not here: what a token is
//! used for. No token or key is ever part of an error or a debug text.

mod credentials;
mod error;
mod federation;
mod kafka;
mod service_account;
mod source;

pub use credentials::{Credentials, Token};
pub use error::Error;
pub use kafka::kafka_token;

/// The scope that covers BigQuery, Cloud Storage, Managed Kafka; roles decide what is allowed within it.
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// What a Cloud SQL login by IAM needs, and no more.
pub const SQL_LOGIN: &str = "https://www.googleapis.com/auth/sqlservice.login";
