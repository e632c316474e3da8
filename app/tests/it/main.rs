//! The binary as people use it.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod bad_start;
mod control;
mod dag_files;
mod dag_test;
mod degraded;
mod full_database;
mod kinds;
mod log_lines;
mod logins;
mod node;
mod platform;
mod prune;
mod signals;
mod split_nodes;
mod support;
mod traces;
