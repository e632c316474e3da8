//! Rules of the loops on a real Postgres, under a fixed clock, by hand-driven ticks.

mod fake;
mod world;

mod dags;
mod leases;
mod nodes;
mod orphans;
mod runs;
mod schedules;
mod services;
mod wire;
