//! Kinds as the worker calls them.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod approve;
mod branch;
mod http;
mod kafka_login;
mod outbound;
mod process;
mod python;
mod smtp_server;
mod support;
mod trigger;
mod wait;
mod wait_http;
mod waits;
