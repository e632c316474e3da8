//! Sends what people are to be told. Notices are rows, written with their event; here they are claimed, rendered, sent and marked.
//!
//! At least once: one whose sender died on the way is sent again, with the same id. How often and how soon a failed one is tried again
//! is the store's affair; how it is sent that of [`Outbound`](model::platform::Outbound).

use crate::Result;
use crate::config::delta;
use crate::context::map_of;
use crate::realm::within;
use crate::rounds::{Again, Round};
use crate::worker::Core;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::notify::{Notice, Target};
use model::template::{DagFacts, RunFacts, TaskFacts, TemplateContext, render, render_env};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use store::notifications::Outgoing;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Sent at the same time.
const SENDING_MAX: usize = 16;
/// A receiver that takes longer has failed.
const SEND_MAX: Duration = Duration::from_secs(70);
/// A notice comes back to the others after so long without word: longer than any sending.
const CLAIMED_FOR: Duration = Duration::from_secs(180);
/// What is due and not to be had is in another node's hands.
const PAUSE_MIN: Duration = Duration::from_millis(200);

pub(crate) struct Notifier {
    core: Arc<Core>,
    /// Rings when one of them has ended.
    sending: JoinSet<()>,
}

impl Notifier {
    pub fn new(core: Arc<Core>) -> Self {
        Notifier { core, sending: JoinSet::new() }
    }
}

#[async_trait]
impl Round for Notifier {
    const NAME: &'static str = "notifier";

    async fn tick(&mut self) -> Result<Again> {
        let core = &self.core;
        while self.sending.try_join_next().is_some() {}
        let room = SENDING_MAX.saturating_sub(self.sending.len());
        if room == 0 {
            return Ok(Again::Later);
        }
        let now = core.clock.now();
        let outgoing = core.store.claim_notifications(now, room, now + delta(CLAIMED_FOR)).await?;
        if outgoing.is_empty() {
            let next = core.store.next_notification().await?;
            return Ok(Again::at(next.map(|at| at.max(now + delta(PAUSE_MIN)))));
        }
        for notice in outgoing {
            let core = core.clone();
            self.sending.spawn(within(async move {
                if let Err(error) = deliver(&core, &notice).await {
                    let id = notice.notice.id;
                    warn!(id, %error, "what became of a notice could not be stored; it will come back");
                }
                core.bells.notifier.ring();
            }));
        }
        Ok(Again::Now)
    }
}

async fn deliver(core: &Core, outgoing: &Outgoing) -> Result<()> {
    let Notice { id, event, ref dag_id, ref run_id, .. } = outgoing.notice;
    let sent = match rendered(core, outgoing) {
        Ok(notice) => tokio::time::timeout(SEND_MAX, core.outbound.send(&notice))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {SEND_MAX:?}"))),
        Err(message) => Err(message),
    };
    match sent {
        Ok(()) => {
            info!(id, ?event, dag_id, run_id, "people were told");
            core.store.notification_sent(id, core.clock.now()).await?;
            core.stats.notices_sent.fetch_add(1, Relaxed);
        }
        Err(error) => {
            let error = core.ship.masked(error);
            let next = core.store.notification_failed(id, &error, core.clock.now()).await?;
            core.stats.notices_failed.fetch_add(1, Relaxed);
            let next = next.map_or_else(|| "given up".to_owned(), again_words);
            warn!(
                id,
                ?event,
                dag_id,
                run_id,
                tries = outgoing.tries,
                error,
                next,
                "people could not be told"
            );
        }
    }
    Ok(())
}

fn again_words(at: DateTime<Utc>) -> String {
    format!("again at {}", at.format("%H:%M:%S"))
}

/// The notice with its target's templates filled in; what is stored keeps them, and so no secret.
fn rendered(core: &Core, outgoing: &Outgoing) -> std::result::Result<Notice, String> {
    let notice = &outgoing.notice;
    let target = match &notice.target {
        Target::Http { url, headers, json } => {
            let names = names(core, outgoing);
            Target::Http {
                url: text("url", url, &names)?,
                headers: render_env(headers, &names).map_err(|error| format!("headers: {error}"))?,
                json: render(json, &names).map_err(|error| format!("json: {error}"))?,
            }
        }
        Target::Email { to, subject } => {
            let names = names(core, outgoing);
            Target::Email { to: to.clone(), subject: text("subject", subject, &names)? }
        }
    };
    Ok(Notice { target, ..notice.clone() })
}

fn text(what: &str, template: &str, names: &TemplateContext) -> std::result::Result<String, String> {
    let one = BTreeMap::from([(what.to_owned(), template.to_owned())]);
    let rendered = render_env(&one, names).map_err(|error| error.to_string())?;
    Ok(rendered.into_values().next().unwrap_or_default())
}

fn names(core: &Core, Outgoing { notice, run, dag, .. }: &Outgoing) -> TemplateContext {
    let config = &core.config;
    let secret = |(name, value): (&String, &String)| (name.clone(), Value::String(value.clone()));
    let told = json!({
        "id": notice.id, "event": notice.event, "dag_id": notice.dag_id, "run_id": notice.run_id, "task_id": notice.task_id,
        "run_state": notice.run_state, "at": notice.at, "text": notice.text, "failed": notice.failed, "url": notice.url,
    });
    TemplateContext {
        dag: DagFacts { id: dag.id.clone(), description: dag.description.clone(), tags: dag.tags.clone() },
        run: RunFacts { id: run.run_id.clone(), state: notice.run_state.clone(), tick: run.logical_date },
        task: TaskFacts {
            id: notice.task_id.clone().unwrap_or_default(),
            map_index: -1,
            ..TaskFacts::default()
        },
        window: run.window,
        params: run.params.clone(),
        conn: map_of(&config.conns),
        var: map_of(&config.vars),
        secret: config.secrets.iter().map(secret).collect(),
        extra: Map::from_iter([("event".to_owned(), told["event"].clone()), ("notice".to_owned(), told)]),
        ..TemplateContext::default()
    }
}
