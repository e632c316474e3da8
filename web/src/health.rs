//! Is the system well? One judgement for the page and the API.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use store::views::health::Health;

/// A node that was not heard of for longer is not counted as live.
const SILENCE: TimeDelta = TimeDelta::seconds(60);
/// Work that waits longer while nobody takes it is worth a look.
const LONG_WAIT: TimeDelta = TimeDelta::minutes(5);
/// A snapshot older than this makes claims dearer; nothing of ours holds one so long.
const LONG_SNAPSHOT_SECONDS: f64 = 60.0;

pub struct Part {
    pub name: &'static str,
    pub healthy: bool,
    pub words: String,
    pub last_seen: Option<DateTime<Utc>>,
}

/// What only the node itself knows of its machine: its disk, its clock, what its loops fail with.
pub type NodeParts = Arc<dyn Fn() -> Vec<Part> + Send + Sync>;

/// The parts that must be well, in the order of a page. A store that did not answer has no `Health` and never comes here.
pub fn parts(health: &Health, now: DateTime<Utc>) -> Vec<Part> {
    let live: Vec<_> =
        health.nodes.iter().filter(|n| n.ended_at.is_none() && now - n.last_seen_at < SILENCE).collect();
    let newest = live.iter().map(|node| node.last_seen_at).max();
    let planner = health.duties.iter().find(|duty| duty.name == "planner" && duty.expires_at > now);
    let planner_seen =
        planner.and_then(|duty| live.iter().find(|node| node.id == duty.node)).map(|node| node.last_seen_at);
    let waits = health.queue.oldest_queued_at.map(|at| now - at).filter(|wait| *wait > LONG_WAIT);
    vec![
        Part {
            name: "database",
            healthy: health.read_only.is_none(),
            words: database_words(health),
            last_seen: Some(now),
        },
        Part {
            name: "scheduler",
            healthy: planner_seen.is_some(),
            words: planner.map_or_else(
                || "no node plans: start one with `streamify up` or `streamify scheduler`".into(),
                |duty| {
                    format!(
                        "planned by {} (term {})",
                        duty.node_name.as_deref().unwrap_or("a node that is gone"),
                        duty.term
                    )
                },
            ),
            last_seen: planner_seen,
        },
        Part {
            name: "workers",
            healthy: !live.is_empty(),
            words: match live.len() {
                0 => "no node is live: nothing runs".into(),
                n => format!(
                    "{}, {} tasks and {} services at work",
                    crate::ui::plural(n, "node", "nodes"),
                    live.iter().map(|n| n.used_slots).sum::<i64>(),
                    live.iter().map(|n| n.used_service_slots).sum::<i64>()
                ),
            },
            last_seen: newest,
        },
        Part {
            name: "queue",
            healthy: waits.is_none(),
            words: match waits {
                Some(wait) => format!(
                    "{} attempts wait, the oldest for {}",
                    health.queue.queued_attempts,
                    crate::ui::duration(wait)
                ),
                None => format!(
                    "{} runs and {} attempts wait, {} run",
                    health.queue.queued_runs, health.queue.queued_attempts, health.queue.running_attempts
                ),
            },
            last_seen: newest,
        },
        Part {
            name: "invariants",
            healthy: health.invariants.hold(),
            words: if health.invariants.hold() {
                "all hold".into()
            } else {
                "some do not hold: see the figures below".into()
            },
            last_seen: Some(now),
        },
    ]
}

/// Where the store does not answer.
pub(crate) fn database_away(error: &store::Error) -> Part {
    Part {
        name: "database",
        healthy: false,
        words: format!(
            "does not answer: {error}. Tasks go on while their lease is safe; the rest follows by itself"
        ),
        last_seen: None,
    }
}

fn database_words(health: &Health) -> String {
    if let Some(why) = health.read_only {
        return format!(
            "answers, but takes no writes: {why}. Nothing starts or ends; all goes on by itself when it takes them again"
        );
    }
    let ms = health.clock_skew_ms;
    if ms.abs() > 2_000 {
        return format!("answers; its clock differs from ours by {ms} ms");
    }
    if health.oldest_snapshot_seconds > LONG_SNAPSHOT_SECONDS {
        return format!(
            "answers; a transaction has been open for {:.0} s and keeps dead rows: see pg_stat_activity",
            health.oldest_snapshot_seconds
        );
    }
    "answers".into()
}
