//! A database with the schema and a node, a clock that stands still, and small dags.

use chrono::{DateTime, TimeDelta, Utc};
use model::dag::{Catchup, Overlap, Schedule, Service, TaskDef};
use model::retry::RetryPolicy;
use model::{Dag, Ending};
use sqlx::PgPool;
use std::time::Duration;
use store::Store;
use store::attempts::{Claim, Claimed};
use store::nodes::NewNode;
use store::runs::{Advanced, NewRun, RunType};
use testkit::Database;
use uuid::Uuid;

pub struct World {
    pub store: Store,
    /// For looking behind the store's back.
    pub pool: PgPool,
    pub node: Uuid,
    pub database: Database,
}

/// The instant of most tests, and some seconds after it.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).expect("a valid instant") + TimeDelta::seconds(seconds)
}

pub fn now() -> DateTime<Utc> {
    at(0)
}

pub async fn world() -> World {
    let database = Database::fresh().await;
    let store = Store::connect(database.url(), 12).await.expect("connects");
    store.migrate().await.expect("migrates");
    let pool = PgPool::connect(database.url()).await.expect("connects");
    let world = World { store, pool, node: Uuid::from_u128(1), database };
    world.register(world.node).await;
    world
}

pub fn task(id: &str, needs: &[usize]) -> TaskDef {
    TaskDef {
        id: id.to_owned(),
        uses: "process".to_owned(),
        needs: needs.to_vec(),
        retries: RetryPolicy {
            limit: 1,
            delay: Duration::from_secs(10),
            backoff: 1.0,
            max_delay: Duration::from_secs(10),
        },
        ..TaskDef::default()
    }
}

pub fn service(id: &str, needs: &[usize]) -> TaskDef {
    let service = Service { budget: 2, stop_grace: Duration::from_secs(5), ..Service::default() };
    TaskDef { service: Some(service), ..task(id, needs) }
}

pub fn dag(id: &str, tasks: Vec<TaskDef>) -> Dag {
    Dag {
        id: id.to_owned(),
        schedule: Schedule::Every { every: Duration::from_secs(3600) },
        catchup: Catchup::All,
        overlap: Overlap::Queue,
        max_active_runs: 16,
        max_active_tasks: 1000,
        tasks,
        ..Dag::default()
    }
}

/// `count` tasks that need nothing.
pub fn wide(id: &str, count: usize) -> Dag {
    dag(id, (0..count).map(|position| task(&format!("t{position}"), &[])).collect())
}

impl World {
    pub async fn register(&self, node: Uuid) {
        let node = NewNode {
            id: node,
            name: format!("node-{}", node.as_u128()),
            host: "localhost".to_owned(),
            pid: 1,
            http_url: Some(format!("http://localhost/{}", node.as_u128())),
            version: "0".to_owned(),
            task_slots: 16,
            service_slots: 16,
        };
        self.store.register_node(&node, now()).await.expect("registers");
    }

    pub async fn new_run(&self, dag: &Dag, run_id: &str) -> NewRun {
        let file = format!("{}.yaml", dag.id);
        let version = self.store.register_dag(&file, dag, "", now()).await.expect("registers").version_id;
        NewRun {
            dag_id: dag.id.clone(),
            run_id: run_id.to_owned(),
            version_id: version,
            run_type: RunType::Manual,
            window: None,
            logical_date: None,
            run_after: now(),
            params: serde_json::json!({"b": 1, "a": "x"}),
            requested_by: "ann".to_owned(),
            note: None,
        }
    }

    pub async fn trigger(&self, dag: &Dag, run_id: &str) -> i64 {
        let run = self.new_run(dag, run_id).await;
        self.store.trigger(run, now()).await.expect("triggers").id
    }

    /// A run of the dag, promoted; its first tasks are queued.
    pub async fn started(&self, dag: &Dag) -> i64 {
        let run = self.trigger(dag, "r1").await;
        let promoted = self.store.promote(now(), 10, None).await.expect("promotes");
        assert_eq!(promoted.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [run]);
        run
    }

    pub fn slots(&self, slots: usize) -> Claim {
        Claim { node: self.node, queues: vec!["default".into()], routes: vec![], slots, service_slots: slots }
    }

    pub async fn claim(&self, slots: usize) -> Vec<Claimed> {
        self.store.claim(&self.slots(slots), now()).await.expect("claims")
    }

    /// Claims the one attempt that is there.
    pub async fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim(2).await;
        assert_eq!(claimed.len(), 1);
        claimed.remove(0)
    }

    pub async fn end(&self, attempt: &Claimed, ending: Ending, when: DateTime<Utc>) -> Advanced {
        self.store
            .finish(attempt.attempt_id, attempt.lease, ending, None, None, when, None)
            .await
            .expect("finishes")
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.expect("counts")
    }

    /// `task_id[map_index]=state` of all instances of a run.
    pub async fn states(&self, run: i64) -> Vec<String> {
        sqlx::query_scalar(
            "select task_id || case when map_index < 0 then '' else '[' || map_index || ']' end || '=' || state
             from task_instances where run = $1 order by task, map_index",
        )
        .bind(run)
        .fetch_all(&self.pool)
        .await
        .expect("reads")
    }

    pub async fn run_state(&self, run: i64) -> String {
        sqlx::query_scalar("select state from runs where id = $1")
            .bind(run)
            .fetch_one(&self.pool)
            .await
            .expect("reads")
    }

    pub async fn assert_invariants(&self) {
        let invariants = self.store.invariants().await.expect("reads");
        assert!(invariants.hold(), "{invariants:?}");
    }
}
