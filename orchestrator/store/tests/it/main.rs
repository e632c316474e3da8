//! The store against a real Postgres: one private server for all tests, one database each.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod backfills;
mod backup;
mod bloat;
mod claims;
mod connecting;
mod control;
mod dags;
mod direct;
mod ends;
mod growth;
mod hot;
mod ledger;
mod many_dags;
mod nodes;
mod notices;
mod people;
mod pools;
mod promotion;
mod records;
mod retention;
mod retention_logs;
mod runs;
mod states;
mod statistics;
mod support;
mod triggers;
mod trips;
mod versions;
