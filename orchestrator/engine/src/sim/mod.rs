//! A seeded simulator of the whole engine.

pub(crate) mod realm;
