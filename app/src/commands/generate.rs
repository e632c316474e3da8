//! `streamify generate`: the generator as a process, by hand or under the engine.

use crate::cli::GenerateArgs;
use crate::config::Config;
use crate::{lifecycle, logins, node};
use anyhow::{Result, bail};
use chrono::Utc;
use generator::{Options, Phase, Progress, SystemClock};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;

pub async fn run(mut config: Config, arguments: GenerateArgs) -> Result<ExitCode> {
    let stop = lifecycle::stop_token()?;
    let options = Options {
        config: arguments.config,
        songs: arguments.songs.or_else(|| config.optional("songs").map(str::to_string)),
        users: arguments.users,
        seed: arguments.seed,
        from: arguments.from,
        history_hours: Some(arguments.history_hours),
        to: arguments.to,
        continuous: arguments.continuous,
        ..Options::default()
    };
    let shown = Shown::new(arguments.status_lines);
    let report = match arguments.files {
        Some(folder) => generator::write_files(&options, &folder, Utc::now(), stop).await?,
        None => {
            if arguments.brokers.is_none() {
                node::share_settings_if_connected(&mut config).await;
            }
            config.flag("kafka_bootstrap_servers", arguments.brokers);
            let Some(kafka) = logins::kafka(&config)? else {
                bail!(
                    "no Kafka: give --brokers, set KAFKA_BOOTSTRAP_SERVERS, or write files with --files FOLDER"
                );
            };
            generator::run(options, kafka, SystemClock, move |progress| shown.show(&progress), stop).await?
        }
    };
    if arguments.status_lines {
        println!("{}", serde_json::json!({ "status": report.progress }));
    } else {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Progress for people (a spinner with figures) or for the engine (status lines).
struct Shown {
    status_lines: bool,
    bar: ProgressBar,
}

impl Shown {
    fn new(status_lines: bool) -> Self {
        let bar = if status_lines { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Shown { status_lines, bar }
    }

    fn show(&self, progress: &Progress) {
        if self.status_lines {
            // Ready as soon as there are topics that can be read.
            let ready = progress.state != Phase::Replaying;
            println!("{}", serde_json::json!({ "status": progress, "ready": ready }));
            return;
        }
        let at = progress.event_time.map(|at| at.format("%F %T").to_string()).unwrap_or_default();
        self.bar
            .set_message(format!("{at}  {} events, {:.0}/s", progress.events, progress.events_per_second));
        self.bar.tick();
    }
}
