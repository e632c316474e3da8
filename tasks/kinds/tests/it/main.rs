//! Kinds as the worker calls them.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod http;
mod outbound;
mod process;
mod smtp_server;
mod support;
mod wait;
