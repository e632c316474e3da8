//! Everything about a simulation that does not change while it runs, made from the plan and its inputs.

use chrono::{DateTime, Utc};

use crate::catalogue::Catalogue;
use crate::chain::Chain;
use crate::error::Error;
use crate::event::Pieces;
use crate::input::Inputs;
use crate::people::People;
use crate::plan::Plan;
use crate::timeline::Timeline;

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) seed: u64,
    /// Seconds since 1970.
    pub(crate) from: u32,
    pub(crate) users: u32,
    pub(crate) first_user_id: u64,
    /// Users that join in a year, as a share of those there.
    pub(crate) growth: f64,
    /// Rate at which users leave for good, a year.
    pub(crate) attrition: f64,
    pub(crate) event_gap: f64,
    pub(crate) session_gap: f64,
    pub(crate) chain: Chain,
    pub(crate) timeline: Timeline,
    pub(crate) people: People,
    pub(crate) catalogue: Catalogue,
    pub(crate) pieces: Pieces,
}

impl Model {
    /// # Errors
    /// What in the configuration makes no chain, or cannot go with the plan.
    pub(crate) fn new(plan: &Plan, inputs: Inputs) -> Result<Self, Error> {
        let chain = Chain::new(&inputs.config, &inputs.config_name)?;
        if plan.growth > 0.0 && !chain.takes_newcomers() {
            return Err(Error::Config {
                file: inputs.config_name,
                problem: format!(
                    "with growth, new users begin as \"{}\", \"{}\", but new-session has no entry for that",
                    inputs.config.new_user_auth, inputs.config.new_user_level
                ),
            });
        }
        Ok(Self {
            seed: plan.seed,
            from: seconds(plan.from),
            users: plan.users,
            first_user_id: plan.first_user_id,
            growth: plan.growth,
            attrition: plan.attrition,
            event_gap: inputs.config.alpha,
            session_gap: inputs.config.beta,
            timeline: Timeline::new(&inputs.config),
            people: People::new(),
            pieces: Pieces::new(&chain, plan.tag.as_deref()),
            catalogue: inputs.catalogue,
            chain,
        })
    }
}

/// An instant as the simulation counts; instants outside its range become the nearest end of it.
pub(crate) fn seconds(at: DateTime<Utc>) -> u32 {
    at.timestamp().clamp(0, i64::from(u32::MAX)) as u32
}

/// The instant of a second of the simulation.
pub(crate) fn instant(seconds: u32) -> DateTime<Utc> {
    DateTime::from_timestamp(i64::from(seconds), 0)
        .expect("thirty-two bits of seconds are within chrono's range")
}
