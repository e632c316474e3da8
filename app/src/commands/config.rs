//! `streamify config`: what counts, and where it comes from.

use crate::config::Config;
use crate::output;
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

pub fn run(config: Config) -> Result<ExitCode> {
    let listing = config.listing();
    if config.json {
        let settings: Vec<_> = listing
            .iter()
            .map(|(setting, value, origin)| json!({"name": setting.name, "value": value, "origin": origin, "about": setting.about}))
            .collect();
        output::json(&settings)?;
    } else {
        let rows = listing.into_iter().map(|(setting, value, origin)| {
            vec![
                setting.name.to_string(),
                if value.is_empty() { "-".to_string() } else { value },
                origin,
                setting.about.to_string(),
            ]
        });
        println!("{}", output::table(&["setting", "value", "origin", "about"], rows));
    }
    Ok(ExitCode::SUCCESS)
}
