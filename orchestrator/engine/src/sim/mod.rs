//! A seeded simulator of the whole engine: N real nodes, one store in memory, a bad wire between them, virtual time.
//!
//! ```text
//! seed -> scenario -> machine (the real loops in a realm) -> wire (delays, losses, cuts, crashes) -> store -> rules after each transaction
//! ```
//!
//! What is real and what is modelled: docs/adr/0005-simulator.md.

mod dags;
mod dice;
mod errands;
mod events;
mod kind;
mod machine;
mod people;
pub(crate) mod realm;
mod rules;
mod scenario;
mod store;
mod tests;
mod tests_leaving;
mod wire;
mod world;
