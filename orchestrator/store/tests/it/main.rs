//! The store against a real Postgres: one private server for all tests, one database each.

mod claims;
mod connecting;
mod dags;
mod ends;
mod ledger;
mod nodes;
mod promotion;
mod records;
mod runs;
mod states;
mod support;
