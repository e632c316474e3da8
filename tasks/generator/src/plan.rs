//! The plan: all that decides the output, written once to a topic, so that a restart continues the same history.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::input::{Inputs, Sources};
use crate::options::Options;

/// Changes whenever the same plan would give other bytes.
const VERSION: u32 = 1;
/// Enough for 100,000 page views in any day, the quietest Sunday included.
const USERS: u32 = 85_000;
const USERS_MAX: u32 = 50_000_000;
const PARTITIONS: i32 = 3;
const PARTITIONS_MAX: i32 = 1_000;
const SEED: u64 = 1;
/// 2000-01-01 and 2100-01-01: within thirty-two bits of seconds, with room for the years before.
const FROM: std::ops::Range<i64> = 946_684_800..4_102_444_800;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    pub seed: u64,
    pub from: DateTime<Utc>,
    pub users: u32,
    pub first_user_id: u64,
    pub growth: f64,
    pub attrition: f64,
    pub tag: Option<String>,
    pub partitions: i32,
    /// Where the configuration was; none = the built-in one.
    pub config: Option<String>,
    pub config_hash: String,
    /// Where the songs were; none = the synthetic catalogue.
    pub songs: Option<String>,
    pub listen_counts: Option<String>,
    pub catalogue_hash: String,
}

impl Plan {
    /// A new plan from the options, the configuration and defaults; `partitions` is what the topics already have.
    ///
    /// # Errors
    /// Options out of bounds, each with its bounds.
    pub(crate) fn new(
        options: &Options,
        inputs: &Inputs,
        partitions: Option<i32>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let config = &inputs.config;
        let from = match options.from {
            Some(from) => from,
            None => config
                .start(&inputs.config_name)?
                .unwrap_or_else(|| history_before(now, options.history_hours)),
        };
        let plan = Self {
            version: VERSION,
            seed: options.seed.or(config.seed).unwrap_or(SEED),
            from: DateTime::from_timestamp(from.timestamp(), 0).unwrap_or(from),
            users: options.users.or(config.n_users).unwrap_or(USERS),
            first_user_id: options.first_user_id.or(config.first_user_id).unwrap_or(1),
            growth: options.growth.or(config.growth_rate).unwrap_or(0.0),
            attrition: options.attrition.unwrap_or(0.0),
            tag: options.tag.clone().or_else(|| config.tag.clone()),
            partitions: options.partitions.or(partitions).unwrap_or(PARTITIONS),
            config: inputs.sources.config.clone(),
            config_hash: inputs.config_hash.clone(),
            songs: inputs.sources.songs.clone(),
            listen_counts: inputs.sources.listen_counts.clone(),
            catalogue_hash: inputs.catalogue_hash.clone(),
        };
        let problems = plan.problems();
        if problems.is_empty() { Ok(plan) } else { Err(Error::Options(problems.join("; "))) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        let (users, growth, attrition) = (self.users, self.growth, self.attrition);
        demand((1..=USERS_MAX).contains(&users), format!("--users is {users}, but must be 1 to {USERS_MAX}"));
        demand(
            (0.0..=1000.0).contains(&growth),
            format!("--growth is {growth}, but must be 0 to 1000 a year"),
        );
        demand(
            (0.0..=1000.0).contains(&attrition),
            format!("--attrition is {attrition}, but must be 0 to 1000 a year"),
        );
        let partitions = self.partitions;
        demand(
            (1..=PARTITIONS_MAX).contains(&partitions),
            format!("--partitions is {partitions}, but must be 1 to {PARTITIONS_MAX}"),
        );
        demand(
            FROM.contains(&self.from.timestamp()),
            format!("--from is {}, but must be a date from 2000 to 2099", self.from),
        );
        demand(
            self.first_user_id < 1 << 53,
            "--first-user-id must be below 2^53, or JSON readers round it".to_owned(),
        );
        problems
    }

    /// The stored plan's sources, with those that the caller names in their place (to be compared by their hashes).
    pub(crate) fn sources(&self, options: &Options) -> Sources {
        let asked = options.sources();
        Sources {
            config: asked.config.or_else(|| self.config.clone()),
            songs: asked.songs.or_else(|| self.songs.clone()),
            listen_counts: asked.listen_counts.or_else(|| self.listen_counts.clone()),
        }
    }

    /// Checks that a stored plan is what the caller asks for, and that its inputs are still what they were.
    ///
    /// # Errors
    /// `Error::PlanConflict` naming both values of each disagreement.
    pub(crate) fn agree(&self, options: &Options, inputs: &Inputs, topic: &str) -> Result<(), Error> {
        let mut conflicts = Vec::new();
        conflicts.extend(differs("seed", &self.seed, options.seed.as_ref()));
        let from = options.from.and_then(|from| DateTime::from_timestamp(from.timestamp(), 0));
        conflicts.extend(differs("from", &self.from, from.as_ref()));
        conflicts.extend(differs("users", &self.users, options.users.as_ref()));
        conflicts.extend(differs("first-user-id", &self.first_user_id, options.first_user_id.as_ref()));
        conflicts.extend(differs("growth", &self.growth, options.growth.as_ref()));
        conflicts.extend(differs("attrition", &self.attrition, options.attrition.as_ref()));
        conflicts.extend(differs("tag", self.tag.as_ref().unwrap_or(&String::new()), options.tag.as_ref()));
        conflicts.extend(differs("partitions", &self.partitions, options.partitions.as_ref()));
        let named = |source: &Option<String>| source.clone().unwrap_or_else(|| "the built-in one".to_owned());
        if self.config_hash != inputs.config_hash {
            conflicts.push(format!(
                "config: the plan was made with {} (sha256 {}), but {} now has sha256 {}",
                named(&self.config),
                self.config_hash,
                named(&inputs.sources.config),
                inputs.config_hash
            ));
        }
        if self.catalogue_hash != inputs.catalogue_hash {
            conflicts.push(format!(
                "songs: the plan was made with {} (sha256 {}), but {} now has sha256 {}",
                named(&self.songs),
                self.catalogue_hash,
                named(&inputs.sources.songs),
                inputs.catalogue_hash
            ));
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(Error::PlanConflict { topic: topic.to_owned(), conflicts: conflicts.join("; ") })
    }

    pub(crate) fn parse(json: &[u8], topic: &str) -> Result<Self, Error> {
        let refuse = |problem: String| Error::Topic { topic: topic.to_owned(), problem };
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| {
            refuse(format!(
                "its first record is no plan of a generator ({error}); use another --topic-prefix"
            ))
        })?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            return Err(refuse(format!(
                "its plan has version {}, this program makes version {VERSION}, whose events differ. Continue with the \
                 program that began it, start anew with `streamify up --fresh`, or use another --topic-prefix",
                version.map_or("none".to_owned(), |version| version.to_string())
            )));
        }
        serde_json::from_value(value).map_err(|error| refuse(format!("its plan cannot be read: {error}")))
    }
}

fn differs<T: PartialEq + std::fmt::Display>(name: &str, planned: &T, asked: Option<&T>) -> Option<String> {
    asked
        .filter(|asked| *asked != planned)
        .map(|asked| format!("{name} is {planned} in the plan, but --{name} {asked} was given"))
}

/// Hourly runs come at minute 5, so that many full hours are there for them.
fn history_before(now: DateTime<Utc>, hours: Option<u32>) -> DateTime<Utc> {
    let tick = now - TimeDelta::minutes(5);
    tick.duration_trunc(TimeDelta::hours(1)).unwrap_or(tick)
        - TimeDelta::hours(i64::from(hours.unwrap_or(24)))
}

/// Where a run ends: what the caller says, then the configuration; a run that is not continuous ends now at the latest word.
pub(crate) fn end(
    options: &Options,
    inputs: &Inputs,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let to = match options.to {
        Some(to) => Some(to),
        None => inputs.config.end(&inputs.config_name)?,
    };
    let to = to.or((!options.continuous).then_some(now));
    match to {
        Some(to) if to <= plan.from => Err(Error::Options(format!(
            "the end {to} is not after the beginning {}; give a later --to",
            plan.from
        ))),
        _ => Ok(to),
    }
}
