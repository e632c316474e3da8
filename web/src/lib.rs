//! Pages and the REST API, over the store's read models.
//!
//! What people see is a page under `/`; what programs call is under `/api/v2`. Both read rows and write request rows; neither decides
//! anything. Not here: SQL on our Postgres (`store::views`), the engine, and what the pipeline's figures mean (the panels of the dashboard
//! are SQL files of the pipeline).

mod ansi;
mod api;
mod app;
mod assets;
mod auth;
mod bells;
mod clearing;
mod dashboard;
mod error;
mod fold;
mod headers;
pub mod health;
mod metrics;
mod pages;
mod schedule_words;
mod server;
mod svg;
mod trigger;
mod ui;

pub use app::{StatsSource, WarehouseSource, Web, WebConfig};
pub use auth::{cli_token, hash_password, login_link};
pub use error::Error;
