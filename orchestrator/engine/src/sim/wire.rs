//! The wire between a node and the store: it delays calls, loses requests (never executed) and replies (executed, then an error), is
//! cut for a while, and is where a node may crash in the middle of a call. A call that its caller has given up may still be executed.

use super::machine;
use super::store::Tables;
use super::world::World;
use crate::rows::{Rings, Rows};
use crate::store_clock::Reference;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::platform::{Approval, Asker};
use model::{CheckResult, Dag, Problem, RunState, Window};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use store::attempts::{Claim, Claimed, End, Finished};
use store::dags::{Registered, ScheduledDag};
use store::logs::LogLine;
use store::nodes::{Heartbeat, NewNode};
use store::notifications::Outgoing;
use store::notify::Ring;
use store::retention::{Mode, Policy, Position, Pruned, Step};
use store::runs::{Advanced, NewRun, Run};
use store::ticks::TickDecision;
use store::{Error, Result};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

#[derive(Clone)]
pub(crate) struct Wire {
    pub world: Arc<World>,
    pub machine: usize,
    pub boot: u32,
}

/// What will become of one call.
struct Fate {
    request: Duration,
    reply: Duration,
    loses_request: bool,
    loses_reply: bool,
    /// The node dies once the request is sent, or once it is executed.
    crash: Option<Crash>,
    /// How long it takes until a loss is noticed.
    noticed: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Crash {
    Before,
    After,
}

fn no_answer() -> Error {
    Error::Connect { message: "the connection is lost".to_owned() }
}

impl Fate {
    fn is_plain(&self) -> bool {
        !self.loses_request
            && !self.loses_reply
            && self.crash.is_none()
            && self.reply < Duration::from_secs(1)
            && self.request < Duration::from_secs(1)
    }
}

impl Wire {
    fn fate(&self) -> Fate {
        let at = self.world.elapsed();
        let calm = self.world.calm.is_cancelled();
        let mut inner = self.world.lock();
        let inner = &mut *inner;
        let (machine, dice) = (&inner.machines[self.machine], &mut inner.dice);
        let mut fate = Fate {
            request: dice.millis(0, 2),
            reply: dice.millis(0, 2),
            loses_request: false,
            loses_reply: false,
            crash: None,
            noticed: dice.millis(10, 8_000),
        };
        if calm {
            return fate;
        }
        if at < machine.slow_until {
            fate.request += dice.millis(0, machine.slowness.as_millis() as u64);
            fate.reply += dice.millis(0, machine.slowness.as_millis() as u64);
        }
        if dice.permille(inner.faults.outliers) {
            let longest = inner.faults.longest.as_millis() as u64;
            let late = if dice.permille(500) { &mut fate.request } else { &mut fate.reply };
            *late += dice.millis(100, longest);
        }
        if at < machine.lossy_until && dice.permille(machine.losses) {
            fate.loses_request = dice.permille(500);
            fate.loses_reply = !fate.loses_request;
        }
        if dice.below(10_000) < inner.faults.crashes as usize {
            fate.crash = Some(if dice.permille(500) { Crash::Before } else { Crash::After });
        }
        if !fate.is_plain() {
            inner.disturb(
                self.machine,
                at + fate.request + fate.reply + fate.noticed + Duration::from_secs(5),
            );
        }
        fate
    }

    fn cut_for(&self) -> Option<Duration> {
        let at = self.world.elapsed();
        let until = self.world.lock().machines[self.machine].cut_until;
        until.checked_sub(at).filter(|left| !left.is_zero())
    }

    /// One transaction over the wire.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        body: impl FnOnce(&mut Tables) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let fate = self.fate();
        if fate.is_plain() {
            return self.carry(what, fate, body).await;
        }
        // It goes its way whether or not the caller waits, and whether or not the node lives.
        let (answer, heard) = oneshot::channel();
        let wire = self.clone();
        tokio::spawn(async move {
            answer.send(wire.carry(what, fate, body).await).ok();
        });
        heard.await.unwrap_or_else(|_| Err(no_answer()))
    }

    async fn carry<T>(
        &self,
        what: &'static str,
        fate: Fate,
        body: impl FnOnce(&mut Tables) -> Result<T>,
    ) -> Result<T> {
        if fate.crash == Some(Crash::Before) {
            machine::ended(&self.world, self.machine, self.boot, "crashes");
        }
        if !fate.request.is_zero() {
            tokio::time::sleep(fate.request).await;
        }
        if let Some(left) = self.cut_for() {
            tokio::time::sleep(left.min(fate.noticed)).await;
            return Err(no_answer());
        }
        if fate.loses_request {
            self.world.note(Some(self.machine), "request lost", [0; 3]);
            tokio::time::sleep(fate.noticed).await;
            return Err(no_answer());
        }
        let answer = self.world.transaction(Some(self.machine), what, body);
        if fate.crash == Some(Crash::After) {
            machine::ended(&self.world, self.machine, self.boot, "crashes");
        }
        if !fate.reply.is_zero() {
            tokio::time::sleep(fate.reply).await;
        }
        if fate.loses_reply || self.cut_for().is_some() {
            self.world.note(Some(self.machine), "reply lost", [0; 3]);
            tokio::time::sleep(fate.noticed).await;
            return Err(no_answer());
        }
        answer
    }
}

#[async_trait]
impl Reference for Wire {
    async fn now(&self) -> Result<DateTime<Utc>> {
        let world = self.world.clone();
        self.call("clock", move |_| Ok(world.now())).await
    }
}

/// The listening end of a node.
struct Ear(mpsc::Receiver<Ring>);

#[async_trait]
impl Rings for Ear {
    async fn next(&mut self) -> Ring {
        match self.0.recv().await {
            Some(ring) => ring,
            // The machine got another ear: this one stays silent.
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Rows for Wire {
    async fn listen(&self) -> Result<Box<dyn Rings>> {
        self.call("listen", |_| Ok(())).await?;
        let (ear, heard) = mpsc::channel(64);
        self.world.lock().machines[self.machine].ear = Some(ear);
        Ok(Box::new(Ear(heard)))
    }

    async fn register_node(&self, node: &NewNode, now: DateTime<Utc>) -> Result<()> {
        let id = node.id;
        {
            let mut inner = self.world.lock();
            inner.nodes.insert(id, (self.machine, self.boot));
            if inner.goodbyes.contains(&(self.machine, self.boot)) {
                let rule = format!("node {}, boot {}, registers after its goodbye", self.machine, self.boot);
                self.world.break_down(&mut inner, rule);
            }
            if inner.machines[self.machine].boot != self.boot {
                let at = self.world.elapsed();
                inner.dead.entry(id).or_insert(at);
            }
        }
        self.call("register", move |tables| {
            tables.register_node(id, now);
            Ok(())
        })
        .await
    }

    async fn heartbeat(&self, node: Uuid, now: DateTime<Utc>) -> Result<Heartbeat> {
        self.call("heartbeat", move |tables| Ok(tables.heartbeat(node, now))).await
    }

    async fn deregister_node(&self, node: Uuid, now: DateTime<Utc>) -> Result<()> {
        self.world.lock().goodbyes.insert((self.machine, self.boot));
        self.call("deregister", move |tables| {
            tables.end_node(node);
            Ok(())
        })
        .await?;
        self.end_lost(now).await.map(|_| ())
    }

    async fn expire_nodes(&self, now: DateTime<Utc>, ttl: Duration) -> Result<(usize, usize)> {
        let nodes = self.call("expire nodes", move |tables| Ok(tables.end_silent_nodes(now, ttl))).await?;
        Ok((nodes, self.end_lost(now).await?))
    }

    async fn hold_duty(
        &self,
        name: &str,
        node: Uuid,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<i64>> {
        let (name, world, machine) = (name.to_owned(), self.world.clone(), self.machine);
        let reaps = name == crate::reaper::DUTY;
        let term = self.call("hold duty", move |tables| Ok(tables.hold_duty(&name, node, now, ttl))).await?;
        if term.is_some() && reaps {
            world.lock().reaper.0 = Some(machine);
        }
        Ok(term)
    }

    async fn release_duty(&self, name: &str, node: Uuid) -> Result<()> {
        let name = name.to_owned();
        self.call("release duty", move |tables| {
            tables.release_duty(&name, node);
            Ok(())
        })
        .await
    }

    async fn register_dag(&self, _: &str, _: &Dag, _: &str, _: DateTime<Utc>) -> Result<Registered> {
        Err(nothing_of_files())
    }

    async fn forget_files(&self, _: &[String], _: DateTime<Utc>) -> Result<Vec<String>> {
        Err(nothing_of_files())
    }

    async fn dags_by_file(&self) -> Result<Vec<(String, String)>> {
        Err(nothing_of_files())
    }

    async fn release_dags(&self, _: &[String], _: DateTime<Utc>) -> Result<()> {
        Err(nothing_of_files())
    }

    async fn put_problems(&self, _: &str, _: &[Problem], _: DateTime<Utc>) -> Result<()> {
        Err(nothing_of_files())
    }

    async fn current_dag(&self, dag_id: &str) -> Result<Option<(i64, Arc<Dag>)>> {
        let dag_id = dag_id.to_owned();
        self.call("current dag", move |tables| {
            Ok(tables.dags.get(&dag_id).map(|row| (row.version_id, tables.version(row.version_id))))
        })
        .await
    }

    async fn scheduled_dags(&self) -> Result<Vec<ScheduledDag>> {
        self.call("scheduled dags", |tables| Ok(tables.scheduled_dags())).await
    }

    async fn record_ticks(
        &self,
        dag_id: &str,
        ticks: &[(DateTime<Utc>, TickDecision)],
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        let (dag_id, ticks) = (dag_id.to_owned(), ticks.to_vec());
        self.call("record ticks", move |tables| tables.record_ticks(&dag_id, &ticks, now)).await
    }

    async fn trigger(&self, run: NewRun, now: DateTime<Utc>) -> Result<Run> {
        self.call("trigger", move |tables| tables.trigger(run, now)).await
    }

    async fn run(&self, dag_id: &str, run_id: &str) -> Result<Option<Run>> {
        let (dag_id, run_id) = (dag_id.to_owned(), run_id.to_owned());
        self.call("run", move |tables| Ok(tables.run(&dag_id, &run_id))).await
    }

    async fn promote(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        claim: Option<&Claim>,
    ) -> Result<Vec<(i64, Advanced)>> {
        self.promote_all(now, limit, claim).await
    }

    async fn advance(&self, run: i64, now: DateTime<Utc>, claim: Option<&Claim>) -> Result<Advanced> {
        let claim = claim.cloned();
        self.call("advance", move |tables| tables.advance(run, now, claim.as_ref())).await
    }

    async fn due_runs(&self, now: DateTime<Utc>, limit: usize) -> Result<(Vec<i64>, Option<DateTime<Utc>>)> {
        self.call("due runs", move |tables| Ok(tables.due_runs(now, limit))).await
    }

    async fn next_run_after(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        self.call("next run after", move |tables| Ok(tables.next_run_after(now))).await
    }

    async fn has_failures(&self, _: i64) -> Result<bool> {
        Ok(false)
    }

    async fn run_for(
        &self,
        _: &str,
        _: Option<Window>,
        _: Option<DateTime<Utc>>,
    ) -> Result<Option<(String, RunState)>> {
        Ok(None)
    }

    async fn continuous_due(&self, now: DateTime<Utc>) -> Result<(usize, Option<DateTime<Utc>>)> {
        self.call("continuous due", move |tables| Ok(tables.continuous_due(now))).await
    }

    async fn assets_due(&self, now: DateTime<Utc>) -> Result<usize> {
        self.start_by_assets(now).await
    }

    async fn complete_backfills(&self, _: DateTime<Utc>) -> Result<usize> {
        if self.world.lock().tables.backfills.is_empty() {
            return Ok(0);
        }
        self.call("complete backfills", |tables| Ok(tables.complete_backfills())).await
    }

    async fn ask_approval(&self, asker: &Asker, _: &str, _: DateTime<Utc>) -> Result<Approval> {
        let asker = asker.clone();
        self.call("ask", move |tables| Ok(tables.ask_approval(&asker))).await
    }

    async fn miss_deadlines(
        &self,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<(usize, Option<DateTime<Utc>>)> {
        if self.world.lock().tables.deadlines.is_empty() {
            return Ok((0, None));
        }
        self.call("miss deadlines", move |tables| Ok(tables.miss_deadlines(now, limit))).await
    }

    async fn claim_notifications(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        again_at: DateTime<Utc>,
    ) -> Result<Vec<Outgoing>> {
        if self.world.lock().tables.notices.is_empty() {
            return Ok(Vec::new());
        }
        self.call("claim notices", move |tables| Ok(tables.claim_notices(now, limit, again_at))).await
    }

    async fn notification_sent(&self, id: i64, _: DateTime<Utc>) -> Result<()> {
        self.call("notice sent", move |tables| {
            tables.notice_sent(id);
            Ok(())
        })
        .await
    }

    async fn notification_failed(
        &self,
        id: i64,
        _: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        self.call("notice failed", move |tables| Ok(tables.notice_failed(id, now))).await
    }

    async fn next_notification(&self) -> Result<Option<DateTime<Utc>>> {
        if self.world.lock().tables.notices.is_empty() {
            return Ok(None);
        }
        self.call("next notice", |tables| Ok(tables.next_notice())).await
    }

    async fn claim(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Vec<Claimed>> {
        let claim = claim.clone();
        self.call("claim", move |tables| tables.claim(&claim, now)).await
    }

    async fn finish_batch(
        &self,
        ends: Vec<End>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Finished> {
        self.finish_all(ends, now, claim).await
    }

    async fn mark_ready(
        &self,
        attempt_id: i64,
        lease: i64,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Advanced> {
        let claim = claim.cloned();
        self.call("mark ready", move |tables| tables.mark_ready(attempt_id, lease, now, claim.as_ref())).await
    }

    async fn put_status(&self, attempt_id: i64, lease: i64, _: &Value, _: DateTime<Utc>) -> Result<()> {
        self.call("put status", move |tables| tables.put_status(attempt_id, lease)).await
    }

    async fn put_check(&self, _: i64, _: &CheckResult, _: DateTime<Utc>) -> Result<()> {
        self.call("put check", |_| Ok(())).await
    }

    async fn append_logs(&self, _: &[LogLine]) -> Result<()> {
        self.call("append logs", |_| Ok(())).await
    }

    async fn last_prune(&self) -> Result<Option<DateTime<Utc>>> {
        self.call("last prune", |_| Ok(None)).await
    }

    async fn prune_step(&self, _: &Policy, _: &Position, _: Mode, _: DateTime<Utc>) -> Result<Step> {
        self.call("prune step", |_| Ok(Step::default())).await
    }

    async fn end_prune(&self, _: &str, _: &Pruned, _: DateTime<Utc>) -> Result<()> {
        self.call("end prune", |_| Ok(())).await
    }
}

fn nothing_of_files() -> Error {
    Error::Refused { message: "dags are registered directly here".to_owned() }
}
