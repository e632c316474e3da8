//! The Eventsim rewrite: users of a music service as a Markov chain, their events into Kafka (or files), exactly once.
//!
//! The output is a pure function of the [`Plan`] and the files it names; [`run`] adds the clock and Kafka, [`count`] makes the
//! same events again to count them. Not here: reading Kafka, the lake, the command line. Nothing else in Rust knows songs.

mod agenda;
mod catalogue;
mod chain;
mod clock;
mod config;
mod count;
mod error;
mod event;
mod files;
mod input;
mod kafka;
mod model;
mod murmur2;
mod options;
mod people;
mod plan;
mod plan_topic;
mod population;
mod random;
mod report;
mod run;
mod simulate;
#[cfg(test)]
mod simulation_tests;
mod sink;
mod synthetic;
mod timeline;
mod watermark;

pub use catalogue::COLUMNS;
pub use clock::{Clock, SystemClock};
pub use count::{count, count_for_brokers};
pub use error::Error;
pub use event::Topic;
pub use files::write_files;
pub use input::catalogue_csv;
pub use options::Options;
pub use plan::Plan;
pub use report::{Counts, Ending, Phase, Progress, Report, TopicCount};
pub use run::run;
