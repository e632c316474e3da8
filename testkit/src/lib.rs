//! What tests share: a real Postgres, fresh for each test, fakes and emulators of cloud services, and mutated inputs for parsers. A dev-dependency only.

mod apache_kafka;
mod bigquery;
mod database;
pub mod fuzz;
mod gcs;
pub mod http;
mod kafka_door;
mod metadata;
mod skip;
mod tls;

pub use apache_kafka::ApacheKafka;
pub use bigquery::BigQueryEmulator;
pub use database::Database;
pub use gcs::FakeGcs;
pub use kafka_door::{Guard, KafkaDoor, Knock};
pub use metadata::FakeMetadata;
pub use skip::skip;
pub use tls::Identity;
