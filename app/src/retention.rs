//! How long history is kept, and where old log lines go, out of the settings.

use crate::config::Config;
use crate::node;
use anyhow::Result;
use kinds::log_archive::LogArchive;
use std::sync::Arc;
use store::Store;
use store::retention::Policy;

/// Below the lake, where nothing else says where old log lines go.
const FOLDER: &str = "_logs";
const NONE: &str = "none";

/// # Errors
/// Names the setting that is not a number.
pub fn policy(config: &Config) -> Result<Policy> {
    Ok(Policy {
        runs_days: config.parsed("keep_runs_days")?,
        runs_per_dag: config.parsed("keep_runs_per_dag")?,
        ticks_days: config.parsed("keep_ticks_days")?,
        notifications_days: config.parsed("keep_notices_days")?,
        asset_events_days: config.parsed("keep_asset_events_days")?,
        audit_days: config.parsed("keep_audit_days")?,
        logs_days: config.parsed("keep_logs_days")?,
        log_archive_days: config.parsed("keep_log_archive_days")?,
    })
}

/// `None`: old log lines are forgotten.
pub fn archive_url(config: &Config) -> Option<String> {
    match config.text("log_archive") {
        NONE => None,
        "" => Some(format!("{}/{FOLDER}", node::lake_url(config).trim_end_matches('/'))),
        url => Some(url.to_string()),
    }
}

/// The store, with its old log lines.
pub fn with_archive(config: &Config, store: Store) -> Store {
    match archive_url(config) {
        Some(url) => store.with_archive(Arc::new(LogArchive::at(url))),
        None => store,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;

    fn config(settings: &[(&'static str, &str)]) -> Config {
        let mut config = Config::load(&Global::default()).expect("defaults");
        for (name, value) in settings {
            config.flag(name, Some((*value).to_string()));
        }
        config
    }

    #[test]
    fn the_settings_default_to_the_policy_of_the_store() {
        assert_eq!(policy(&config(&[])).unwrap(), Policy::default());
        let said = policy(&config(&[("keep_runs_days", "90 days")])).unwrap_err().to_string();
        assert!(said.contains("keep_runs_days"), "{said}");
    }

    #[test]
    fn old_lines_go_below_the_lake_unless_another_place_is_named() {
        let lake = ("lake_url", "gs://b/lake/");
        assert_eq!(archive_url(&config(&[lake])).as_deref(), Some("gs://b/lake/_logs"));
        assert_eq!(archive_url(&config(&[lake, ("log_archive", "s3://x/y")])).as_deref(), Some("s3://x/y"));
        assert_eq!(archive_url(&config(&[lake, ("log_archive", "none")])), None);
    }
}
