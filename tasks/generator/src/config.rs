//! Eventsim's configuration file: its keys, its defaults, and what is refused. The chain built from it is in `chain`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::Deserialize;

use crate::error::Error;

const EMBEDDED: &str = include_str!("../data/default-config.json");
const EMBEDDED_NAME: &str = "(built-in default)";

/// One configuration file, with Eventsim's own defaults for what it leaves out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    pub seed: Option<u64>,
    /// Mean seconds between two events of a session.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// Mean seconds between two sessions of a user.
    #[serde(default = "default_beta")]
    pub beta: f64,
    /// Amplitude of the daily wave, as a fraction of a day.
    #[serde(default = "default_damping")]
    pub damping: f64,
    #[serde(default = "default_weekend_damping")]
    pub weekend_damping: f64,
    /// Minutes around midnight.
    #[serde(default = "default_minutes")]
    pub weekend_damping_offset: u32,
    /// Minutes that the tapering takes.
    #[serde(default = "default_minutes")]
    pub weekend_damping_scale: u32,
    /// Least seconds between two sessions.
    #[serde(default = "default_session_gap")]
    pub session_gap: u32,
    pub start_date: Option<String>,
    pub end_date: Option<String>,
    pub n_users: Option<u32>,
    pub first_user_id: Option<u64>,
    pub growth_rate: Option<f64>,
    pub tag: Option<String>,
    pub churned_state: Option<String>,
    #[serde(default)]
    pub show_user_details: Vec<ShowUser>,
    pub levels: Vec<LevelWeight>,
    pub auths: Vec<AuthWeight>,
    pub new_session: Vec<Entry>,
    #[serde(default = "default_new_user_auth")]
    pub new_user_auth: String,
    #[serde(default = "default_new_user_level")]
    pub new_user_level: String,
    pub transitions: Vec<Transition>,
    /// Listen counts by track; may also be given as an option.
    pub listen_counts: Option<String>,
    /// Present in Eventsim's example file and read by nobody; anything but an empty list is refused.
    #[serde(default)]
    pub upgrades: Vec<serde_json::Value>,
    #[serde(default)]
    pub downgrades: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowUser {
    pub auth: String,
    pub show: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelWeight {
    pub level: String,
    pub weight: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthWeight {
    pub auth: String,
    pub weight: f64,
}

/// A state of the chain: what page a user sees, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub page: String,
    pub auth: String,
    pub method: String,
    pub status: u16,
    pub level: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub page: String,
    pub auth: String,
    pub method: String,
    pub status: u16,
    pub level: String,
    pub weight: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    pub source: State,
    pub dest: State,
    pub p: f64,
}

fn default_alpha() -> f64 {
    60.0
}
fn default_beta() -> f64 {
    3.0 * 86_400.0
}
fn default_damping() -> f64 {
    0.0625
}
fn default_weekend_damping() -> f64 {
    0.5
}
fn default_minutes() -> u32 {
    6
}
fn default_session_gap() -> u32 {
    1_800
}
fn default_new_user_auth() -> String {
    "Guest".to_owned()
}
fn default_new_user_level() -> String {
    "free".to_owned()
}

/// The bytes of the built-in configuration and the name it goes by in messages.
pub(crate) fn embedded() -> (&'static str, &'static str) {
    (EMBEDDED, EMBEDDED_NAME)
}

impl Config {
    /// Reads and checks a configuration; every number out of bounds is named by its key.
    ///
    /// # Errors
    /// `Error::Config` with the file, and the line and column or the key.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let refuse = |problem: String| Error::Config { file: file.to_owned(), problem };
        let config: Self = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        let problems = config.problems();
        if problems.is_empty() { Ok(config) } else { Err(refuse(problems.join("; "))) }
    }

    /// The instant in `start-date`, if any.
    ///
    /// # Errors
    /// `Error::Config` when it is not a date.
    pub(crate) fn start(&self, file: &str) -> Result<Option<DateTime<Utc>>, Error> {
        instant("start-date", self.start_date.as_deref(), file)
    }

    /// The instant in `end-date`, if any.
    ///
    /// # Errors
    /// `Error::Config` when it is not a date.
    pub(crate) fn end(&self, file: &str) -> Result<Option<DateTime<Utc>>, Error> {
        instant("end-date", self.end_date.as_deref(), file)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut bounds = |key: &str, value: f64, low: f64, high: f64| {
            if !(low..=high).contains(&value) {
                problems.push(format!("{key} is {value}, but must lie between {low} and {high}"));
            }
        };
        // Events come in whole seconds: a shorter mean would pile up endlessly within one of them.
        bounds("alpha", self.alpha, 1.0, 1e7);
        bounds("beta", self.beta, 1.0, 1e9);
        bounds("damping", self.damping, 0.0, 1.0);
        bounds("weekend-damping", self.weekend_damping, 0.0, 1.0);
        bounds("weekend-damping-offset", f64::from(self.weekend_damping_offset), 0.0, 1440.0);
        bounds("weekend-damping-scale", f64::from(self.weekend_damping_scale), 1.0, 1440.0);
        bounds("session-gap", f64::from(self.session_gap), 1.0, 1e9);
        if let Some(rate) = self.growth_rate {
            bounds("growth-rate", rate, 0.0, 1000.0);
        }
        for (i, level) in self.levels.iter().enumerate() {
            bounds(&format!("levels[{i}].weight"), level.weight, 0.0, 1e12);
        }
        for (i, auth) in self.auths.iter().enumerate() {
            bounds(&format!("auths[{i}].weight"), auth.weight, 0.0, 1e12);
        }
        for (i, entry) in self.new_session.iter().enumerate() {
            bounds(&format!("new-session[{i}].weight"), entry.weight, 0.0, 1e12);
        }
        for (i, transition) in self.transitions.iter().enumerate() {
            bounds(&format!("transitions[{i}].p"), transition.p, 0.0, 1.0);
        }
        for (key, list) in [("upgrades", &self.upgrades), ("downgrades", &self.downgrades)] {
            if !list.is_empty() {
                problems
                    .push(format!("{key} must be empty: changes of level are transitions between states"));
            }
        }
        problems
    }
}

fn instant(key: &str, text: Option<&str>, file: &str) -> Result<Option<DateTime<Utc>>, Error> {
    let Some(text) = text else { return Ok(None) };
    let naive = |format| NaiveDateTime::parse_from_str(text, format).map(|time| time.and_utc());
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .or_else(|_| naive("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| naive("%Y-%m-%dT%H:%M"))
        .or_else(|_| text.parse::<NaiveDate>().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc()))
        .map(Some)
        .map_err(|_| Error::Config {
            file: file.to_owned(),
            problem: format!(
                "{key} is \"{text}\", which is no date; write it as 2026-11-01 or 2026-11-01T00:00:00Z"
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(from: &str, to: &str) -> String {
        let text = EMBEDDED.replacen(from, to, 1);
        assert_ne!(text, EMBEDDED, "{from} occurs in the built-in configuration");
        Config::parse(&text, "my.json").unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        let message = with("\"alpha\"", "\"alhpa\"");
        assert!(
            message.contains("my.json") && message.contains("`alhpa`") && message.contains("line 3"),
            "{message}"
        );
    }

    #[test]
    fn numbers_out_of_bounds_are_named_by_their_key() {
        let message = with("\"alpha\": 90.0", "\"alpha\": 0");
        assert!(message.contains("alpha is 0, but must lie between 1"), "{message}");
        let message = with("\"p\":0.05", "\"p\":1.05");
        assert!(message.contains("transitions[0].p is 1.05"), "{message}");
    }

    #[test]
    fn dates_are_read_as_eventsim_and_people_write_them() {
        for (text, expected) in [
            ("2026-11-01", "2026-11-01T00:00:00+00:00"),
            ("2026-11-01T10:30", "2026-11-01T10:30:00+00:00"),
            ("2026-11-01T10:30:05", "2026-11-01T10:30:05+00:00"),
            ("2026-11-01T10:30:05+02:00", "2026-11-01T08:30:05+00:00"),
        ] {
            assert_eq!(instant("start-date", Some(text), "f").unwrap().unwrap().to_rfc3339(), expected);
        }
        let message = instant("end-date", Some("tomorrow"), "f").unwrap_err().to_string();
        assert!(message.contains("end-date is \"tomorrow\""), "{message}");
    }
}
