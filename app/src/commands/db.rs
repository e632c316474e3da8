//! `streamify db`: what is old is removed, or counted.

use super::request;
use crate::cli::DbCommand;
use crate::config::Config;
use crate::{node, output, retention};
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::time::Duration;
use store::Store;
use store::retention::{DUTY, Holder, Mode, Policy, Position, Pruned, Step};

/// Longer than any step.
const HOLD: Duration = Duration::from_secs(60);
/// A node's pass is over in seconds, or goes on for long.
const WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub async fn run(mut config: Config, command: DbCommand) -> Result<ExitCode> {
    let DbCommand::Prune { dry_run } = command;
    let policy = retention::policy(&config)?;
    let store = node::connect(&config).await?;
    node::share_settings(&mut config, &store).await?;
    let store = retention::with_archive(&config, store);
    let (pruned, left) = match dry_run {
        true => pass(&store, &policy, Mode::Count, None).await?,
        false => alone(&store, &policy).await?,
    };
    if config.json {
        output::json(
            &serde_json::json!({ "dry_run": dry_run, "policy": policy, "rows": pruned, "left": left }),
        )?;
        return Ok(output::status(left.is_empty()));
    }
    let verb = if dry_run { "would go" } else { "gone" };
    if pruned.is_empty() {
        println!("nothing is older than the settings keep_* allow");
    } else {
        let rows = pruned.iter().map(|(what, rows)| vec![(*what).to_string(), rows.to_string()]);
        println!("{}", output::table(&["what", verb], rows));
    }
    for why in &left {
        eprintln!("left: {why}");
    }
    Ok(output::status(left.is_empty()))
}

/// Two at once would do no harm, but the same work twice.
async fn alone(store: &Store, policy: &Policy) -> Result<(Pruned, Vec<String>)> {
    let me = store::retention::new_holder();
    let mut waited = Duration::ZERO;
    while store.hold_duty(DUTY, me, store.clock().await?, HOLD).await?.is_none() {
        if waited >= WAIT {
            bail!("a node is pruning just now, and has been for {} s: try again later", WAIT.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
    let done = pass(store, policy, Mode::Remove, Some(me)).await;
    store.release_duty(DUTY, me).await?;
    let (pruned, left) = done?;
    store.end_prune(&request::who(), &pruned, store.clock().await?).await?;
    Ok((pruned, left))
}

async fn pass(
    store: &Store,
    policy: &Policy,
    mode: Mode,
    holder: Option<Holder>,
) -> Result<(Pruned, Vec<String>)> {
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
    let (mut pruned, mut left) = (Pruned::new(), Vec::new());
    let mut at = Some(Position::default());
    while let Some(position) = at {
        let now = store.clock().await?;
        if let Some(holder) = holder
            && store.hold_duty(DUTY, holder, now, HOLD).await?.is_none()
        {
            bail!("a node has taken over the pruning: it goes on with it");
        }
        let step: Step = store.prune_step(policy, &position, mode, now).await?;
        for (what, rows) in step.pruned {
            *pruned.entry(what).or_default() += rows;
        }
        left.extend(step.left);
        at = step.next;
        bar.set_message(format!("{} rows", pruned.values().sum::<i64>()));
        bar.tick();
    }
    bar.finish_and_clear();
    Ok((pruned, left))
}
