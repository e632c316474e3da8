//! What tests share: a real Postgres, fresh for each test. A dev-dependency only.

mod database;

pub use database::Database;
