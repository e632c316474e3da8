//! Kinds as the worker calls them.

mod http;
mod process;
mod support;
mod wait;
