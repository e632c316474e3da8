//! How clients of ours reach Kafka: the addresses, TLS, and who logs in with what. One place, so that the producer, the consumers, the
//! questions about offsets and `doctor` are let in, or not, for the same reason.
//!
//! [`Security`] is read from settings and checked; [`Access`] adds the addresses and makes librdkafka's configuration; a [`Session`] is
//! what each client carries, for its log, its troubles and its tokens; an [`Asker`] asks the brokers and says why there is no answer. No
//! password and no token is ever part of an error, a log line or a debug text.
//!
//! Not here: what is written to topics (`generator`) and read from them (`stream`), nor where tokens come from (`google`).

mod access;
mod ask;
mod error;
mod login;
mod security;
#[cfg(test)]
mod security_tests;
mod session;
mod trouble;

pub use access::Access;
pub use ask::Asker;
pub use error::Error;
pub use security::{Mechanism, Protocol, Security};
pub use session::Session;
pub use trouble::{Cause, Trouble};
