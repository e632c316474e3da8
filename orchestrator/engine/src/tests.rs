//! Rules of the loops on a real Postgres, under a fixed clock, by hand-driven ticks.

mod fake;
pub(crate) mod outbound;
pub(crate) mod world;

mod answers;
mod conditions;
mod dags;
mod leases;
mod nodes;
mod notices;
mod orphans;
mod platform;
mod probes;
mod runs;
mod schedules;
mod services;
mod skew;
mod triggers;
mod wire;
