//! The private Postgres of a laptop: found among the system's binaries, initialised once, run as a child process.
//!
//! It listens on loopback only, with a password that lies in the data folder. It ends with the process that started it, by a fast shutdown, even
//! when that process is killed. As root it runs as the system's `postgres` user, since Postgres refuses to be root.
//!
//! Not here: any SQL on our tables (that is `store`).

mod account;
mod binaries;
mod cluster;
mod error;
mod server;

pub use error::Error;
pub use server::{Options, Postgres};
