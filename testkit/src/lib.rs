//! What tests share: a real Postgres, fresh for each test, fakes and emulators of cloud services, and mutated inputs for parsers. A dev-dependency only.

mod bigquery;
mod database;
pub mod fuzz;
mod gcs;
pub mod http;
mod skip;

pub use bigquery::BigQueryEmulator;
pub use database::Database;
pub use gcs::FakeGcs;
pub use skip::skip;
