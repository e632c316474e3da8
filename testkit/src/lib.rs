//! What tests share: a real Postgres, fresh for each test, and mutated inputs for parsers. A dev-dependency only.

mod database;
pub mod fuzz;

pub use database::Database;
