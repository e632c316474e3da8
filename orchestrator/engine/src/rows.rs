//! The store as the engine uses it, behind a trait, so that the simulator can put its own store, on a bad wire, below the same loops.
//!
//! Not here: what the calls mean (`store`), and any logic: each line is one call of [`Store`].

use crate::stats::Stats;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::platform::{Approval, Asker};
use model::{CheckResult, Dag, Problem, RunState, Window};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::attempts::{Claim, Claimed, End, Finished};
use store::dags::{Registered, ScheduledDag};
use store::logs::LogLine;
use store::nodes::{Heartbeat, NewNode};
use store::notifications::Outgoing;
use store::notify::{Listener, Ring};
use store::retention::{Mode, Policy, Position, Pruned, Step};
use store::runs::{Advanced, NewRun, Run};
use store::ticks::TickDecision;
use store::{Error, Result, Store};
use uuid::Uuid;

/// What is heard from the store.
#[async_trait]
pub(crate) trait Rings: Send {
    /// The next ring; never ends by itself.
    async fn next(&mut self) -> Ring;
}

#[async_trait]
impl Rings for Listener {
    async fn next(&mut self) -> Ring {
        Listener::next(self).await
    }
}

/// The same rows, each call counted and timed.
pub(crate) struct Timed<R> {
    pub rows: R,
    pub stats: Arc<Stats>,
}

/// Declares the trait and passes each call on to [`Store`].
macro_rules! rows {
    ($(async fn $name:ident(&self $(, $arg:ident: $kind:ty)* $(,)?) -> $answer:ty;)*) => {
        #[async_trait]
        pub(crate) trait Rows: Send + Sync + 'static {
            async fn listen(&self) -> Result<Box<dyn Rings>>;
            $(async fn $name(&self $(, $arg: $kind)*) -> Result<$answer>;)*
        }

        #[async_trait]
        impl Rows for Store {
            async fn listen(&self) -> Result<Box<dyn Rings>> {
                Ok(Box::new(Store::listen(self).await?))
            }

            $(async fn $name(&self $(, $arg: $kind)*) -> Result<$answer> {
                Store::$name(self $(, $arg)*).await
            })*
        }

        #[async_trait]
        impl<R: Rows> Rows for Timed<R> {
            async fn listen(&self) -> Result<Box<dyn Rings>> {
                self.rows.listen().await
            }

            $(async fn $name(&self $(, $arg: $kind)*) -> Result<$answer> {
                let begun = Instant::now();
                let answer = self.rows.$name($($arg),*).await;
                let has_failed = matches!(&answer, Err(error) if !matches!(error, Error::Stale { .. }));
                self.stats.called(stringify!($name), begun.elapsed(), has_failed);
                answer
            })*
        }
    };
}

rows! {
    // Nodes.
    async fn register_node(&self, node: &NewNode, now: DateTime<Utc>) -> ();
    async fn heartbeat(&self, node: Uuid, now: DateTime<Utc>) -> Heartbeat;
    async fn deregister_node(&self, node: Uuid, now: DateTime<Utc>) -> ();
    async fn expire_nodes(&self, now: DateTime<Utc>, ttl: Duration) -> (usize, usize);
    async fn hold_duty(&self, name: &str, node: Uuid, now: DateTime<Utc>, ttl: Duration) -> Option<i64>;
    async fn release_duty(&self, name: &str, node: Uuid) -> ();
    // Dags and ticks.
    async fn register_dag(&self, file: &str, dag: &Dag, source: &str, now: DateTime<Utc>) -> Registered;
    async fn forget_files(&self, files: &[String], now: DateTime<Utc>) -> Vec<String>;
    async fn dags_by_file(&self) -> Vec<(String, String)>;
    async fn release_dags(&self, dag_ids: &[String], now: DateTime<Utc>) -> ();
    async fn put_problems(&self, file: &str, problems: &[Problem], now: DateTime<Utc>) -> ();
    async fn current_dag(&self, dag_id: &str) -> Option<(i64, Arc<Dag>)>;
    async fn scheduled_dags(&self) -> Vec<ScheduledDag>;
    async fn record_ticks(
        &self,
        dag_id: &str,
        ticks: &[(DateTime<Utc>, TickDecision)],
        now: DateTime<Utc>,
    ) -> Vec<i64>;
    // Runs.
    async fn trigger(&self, run: NewRun, now: DateTime<Utc>) -> Run;
    async fn run(&self, dag_id: &str, run_id: &str) -> Option<Run>;
    async fn promote(&self, now: DateTime<Utc>, limit: usize, claim: Option<&Claim>) -> Vec<(i64, Advanced)>;
    async fn advance(&self, run: i64, now: DateTime<Utc>, claim: Option<&Claim>) -> Advanced;
    async fn due_runs(&self, now: DateTime<Utc>, limit: usize) -> (Vec<i64>, Option<DateTime<Utc>>);
    async fn next_run_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>>;
    async fn has_failures(&self, run: i64) -> bool;
    async fn run_for(
        &self,
        dag_id: &str,
        window: Option<Window>,
        logical_date: Option<DateTime<Utc>>,
    ) -> Option<(String, RunState)>;
    async fn continuous_due(&self, now: DateTime<Utc>) -> (usize, Option<DateTime<Utc>>);
    async fn assets_due(&self, now: DateTime<Utc>) -> usize;
    async fn complete_backfills(&self, now: DateTime<Utc>) -> usize;
    // What people are asked and told.
    async fn ask_approval(&self, asker: &Asker, prompt: &str, now: DateTime<Utc>) -> Approval;
    async fn miss_deadlines(&self, now: DateTime<Utc>, limit: usize) -> (usize, Option<DateTime<Utc>>);
    async fn claim_notifications(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        again_at: DateTime<Utc>,
    ) -> Vec<Outgoing>;
    async fn notification_sent(&self, id: i64, now: DateTime<Utc>) -> ();
    async fn notification_failed(
        &self,
        id: i64,
        error: &str,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>>;
    async fn next_notification(&self) -> Option<DateTime<Utc>>;
    // Attempts.
    async fn claim(&self, claim: &Claim, now: DateTime<Utc>) -> Vec<Claimed>;
    async fn finish_batch(&self, ends: Vec<End>, now: DateTime<Utc>, claim: Option<&Claim>) -> Finished;
    async fn mark_ready(
        &self,
        attempt_id: i64,
        lease: i64,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Advanced;
    async fn put_status(&self, attempt_id: i64, lease: i64, status: &Value, now: DateTime<Utc>) -> ();
    async fn put_check(&self, attempt_id: i64, result: &CheckResult, now: DateTime<Utc>) -> ();
    async fn append_logs(&self, lines: &[LogLine]) -> ();
    // What is old.
    async fn last_prune(&self) -> Option<DateTime<Utc>>;
    async fn prune_step(&self, policy: &Policy, at: &Position, mode: Mode, now: DateTime<Utc>) -> Step;
    async fn end_prune(&self, who: &str, pruned: &Pruned, now: DateTime<Utc>) -> ();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_of_the_store_are_counted_by_name_and_failures_apart() {
        let database = testkit::Database::fresh().await;
        let store = Store::connect(database.url(), 2).await.unwrap();
        let stats = Arc::new(Stats::default());
        let timed = Timed { rows: store.clone(), stats: stats.clone() };
        assert!(timed.next_notification().await.is_err(), "there is no schema yet");
        store.migrate().await.unwrap();
        assert_eq!(timed.next_notification().await.unwrap(), None);
        let calls = stats.snapshot().calls;
        assert_eq!(calls.keys().copied().collect::<Vec<_>>(), ["next_notification"]);
        let figures = &calls["next_notification"];
        assert_eq!((figures.count, figures.errors), (2, 1));
        assert!(figures.micros > 0);
    }
}
