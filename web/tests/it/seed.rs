//! Plausible rows, made through the store as the engine makes them: a pipeline with a day of runs, services that tell of themselves, checks,
//! ticks, problems. For the tests and the demo.

use chrono::{DateTime, TimeDelta, Utc};
use model::dag::{Catchup, Param, Schedule, Service, TaskDef, WindowRule};
use model::for_each::ForEach;
use model::platform::Asker;
use model::retry::RetryPolicy;
use model::{CheckResult, CheckStatus, Dag, Ending, Problem, Severity, Window};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use store::Store;
use store::attempts::{Claim, Claimed};
use store::logs::LogLine;
use store::nodes::NewNode;
use store::runs::{NewRun, RunType};
use store::ticks::TickDecision;
use uuid::Uuid;

pub const NODE: Uuid = Uuid::from_u128(7);

pub fn task(id: &str, uses: &str, needs: &[usize]) -> TaskDef {
    TaskDef {
        id: id.into(),
        group: id.split_once('.').map(|(group, _)| group.to_string()),
        uses: uses.into(),
        with: json!({ "event": "{{ item }}" }),
        needs: needs.to_vec(),
        retries: RetryPolicy {
            limit: 1,
            delay: Duration::from_secs(10),
            backoff: 2.0,
            max_delay: Duration::from_secs(60),
        },
        ..TaskDef::default()
    }
}

fn service(id: &str, needs: &[usize]) -> TaskDef {
    let service = Service::default();
    TaskDef { service: Some(service), ..task(id, "stream", needs) }
}

pub fn dag(id: &str, schedule: Schedule, tasks: Vec<TaskDef>) -> Dag {
    Dag {
        id: id.into(),
        tags: vec!["streamify".into()],
        schedule,
        catchup: Catchup::Limit(24),
        tasks,
        ..Dag::default()
    }
}

pub fn hourly() -> Dag {
    let mut load = task("load", "load", &[0]);
    load.for_each = Some(ForEach::list(
        ["listen_events", "page_view_events", "auth_events", "status_change_events"]
            .map(Value::from)
            .to_vec(),
    ));
    let models = ["state_codes", "dim_songs", "dim_artists", "dim_location", "dim_datetime", "user_levels"];
    let mut tasks = vec![task("watermark", "wait.watermark", &[]), load];
    tasks.extend(models.iter().map(|name| task(&format!("models.{name}"), "model", &[1])));
    tasks.push(task("models.dim_users", "model", &[7]));
    tasks.push(task("models.fact_streams", "model", &[3, 4, 5, 8]));
    tasks.push(task("models.wide_streams", "model", &[6, 9]));
    tasks.push(task("models.agg_hourly", "model", &[10]));
    tasks.push(task("models.test_fact_streams", "check", &[9]));
    tasks.push(task("models.test_wide_streams", "check", &[10]));
    tasks.push(task("reconcile", "check", &[11, 12, 13]));
    let cron = Schedule::Cron { expressions: vec!["5 * * * *".into()], timezone: "UTC".into() };
    let full_refresh = Param {
        r#type: "boolean".into(),
        default: Some(json!(false)),
        description: "Rebuild the models from all staged history".into(),
        allowed: vec![],
    };
    let limit = Param {
        r#type: "integer".into(),
        default: Some(json!(10)),
        description: "Rows".into(),
        allowed: vec![],
    };
    Dag {
        description: "Load the last full hour of every topic, refresh the models, test them".into(),
        window: WindowRule::Hour,
        params: BTreeMap::from([("full_refresh".into(), full_refresh), ("limit".into(), limit)]),
        ..dag("hourly", cron, tasks)
    }
}

pub const SOURCE: &str = "# yaml-language-server: $schema=../dag.schema.json\ndag: hourly\ndescription: Load <the> last full hour\nschedule: { cron: \"5 * * * *\", timezone: UTC }\nwindow: hour\ntasks:\n  watermark: { uses: wait.watermark }\n";

/// How an attempt of the seed goes: how long it takes, what it says, how it ends.
pub struct Play {
    pub seconds: i64,
    pub ending: Ending,
    pub lines: Vec<(&'static str, String)>,
}

pub struct Seed {
    pub store: Store,
}

impl Seed {
    pub fn claim() -> Claim {
        Claim { node: NODE, queues: vec!["default".into()], routes: vec![], slots: 100, service_slots: 100 }
    }

    /// Registers a node and the dags.
    pub async fn begin(store: Store, now: DateTime<Utc>) -> Seed {
        let node = NewNode {
            id: NODE,
            name: "laptop".into(),
            host: "localhost".into(),
            pid: 4711,
            http_url: None,
            version: "0.1.0".into(),
            task_slots: 16,
            service_slots: 8,
        };
        store.register_node(&node, now).await.expect("registers");
        store.hold_duty("planner", NODE, now, Duration::from_secs(30)).await.expect("holds");
        Seed { store }
    }

    pub async fn register(&self, dag: &Dag, source: &str, now: DateTime<Utc>) -> i64 {
        self.store
            .register_dag(&format!("streamify/{}.yaml", dag.id), dag, source, now)
            .await
            .expect("registers")
            .version_id
    }

    /// A scheduled run with its ledger row, as the planner makes it.
    pub async fn tick(&self, dag: &Dag, version_id: i64, tick: DateTime<Utc>) -> String {
        let window = model::schedule::window_at(&dag.window, &dag.schedule, tick);
        let run = new_run(dag, version_id, RunType::Scheduled, window, tick);
        let run_id = run.run_id.clone();
        self.store.record_ticks(&dag.id, &[(tick, TickDecision::Ran(run))], tick).await.expect("records");
        run_id
    }

    /// Starts what is due and plays every attempt through `play`, until nothing is left to claim. Returns the time at the end.
    pub async fn play(&self, start: DateTime<Utc>, play: impl Fn(&Claimed) -> Option<Play>) -> DateTime<Utc> {
        let mut now = start;
        self.store.promote(now, 10, None).await.expect("promotes");
        loop {
            let claimed = self.store.claim(&Self::claim(), now).await.expect("claims");
            if claimed.is_empty() {
                return now;
            }
            let mut end = now;
            for attempt in claimed {
                let Some(plan) = play(&attempt) else { continue };
                let ended = now
                    + TimeDelta::milliseconds(
                        plan.seconds * 1000 + 137 + i64::from(attempt.map_index.max(0)) * 400,
                    );
                self.log(attempt.attempt_id, now, &plan.lines).await;
                let said = message(&plan.ending);
                let gives = attempt.dag.tasks[attempt.task].id == "watermark" && plan.ending == Ending::Done;
                let outputs = gives.then(|| json!({ "rows": 12 }));
                self.store
                    .finish(attempt.attempt_id, attempt.lease, plan.ending, outputs, said, ended, None)
                    .await
                    .expect("finishes");
                end = end.max(ended);
            }
            now = end + TimeDelta::milliseconds(3);
        }
    }

    pub async fn log(&self, attempt_id: i64, at: DateTime<Utc>, lines: &[(&'static str, String)]) {
        let lines: Vec<LogLine> = lines
            .iter()
            .enumerate()
            .map(|(seq, (stream, line))| LogLine {
                attempt_id,
                seq: seq as i32,
                at: at + TimeDelta::milliseconds(seq as i64 * 13),
                stream,
                line: line.clone(),
            })
            .collect();
        self.store.append_logs(&lines).await.expect("appends");
    }

    pub async fn problem(&self, now: DateTime<Utc>) {
        let problem = Problem {
            file: "examples/broken.yaml".into(),
            line: 7,
            column: 11,
            message: "the task 'repotr' needs 'modles', which is not a task of this dag".into(),
            hint: Some("did you mean 'models'?".into()),
        };
        self.store.put_problems("examples/broken.yaml", &[problem], now).await.expect("puts");
    }

    /// One service running and ready with figures, one starting.
    pub async fn services(&self, now: DateTime<Utc>) {
        let ingest = Dag {
            description: "Simulated listeners to Kafka, Kafka to the lake, for as long as the platform is up"
                .into(),
            ..dag("ingest", Schedule::Once, vec![service("generator", &[]), service("stream", &[0])])
        };
        let version = self.register(&ingest, SOURCE, now).await;
        let run = new_run(&ingest, version, RunType::Scheduled, None, now);
        self.store.trigger(run, now).await.expect("triggers");
        self.store.promote(now, 10, None).await.expect("promotes");
        let claimed = self.store.claim(&Self::claim(), now).await.expect("claims");
        for generator in claimed.iter().filter(|attempt| attempt.dag_id == "ingest") {
            let status = json!({
                "state": "live", "events": 1_284_113, "events_per_second": 27.4, "event_time": "2026-11-22T12:59:58Z", "users": 10_000,
                "topics": { "listen_events": { "rows": 398_112 }, "page_view_events": { "rows": 801_377 } },
            });
            self.store.put_status(generator.attempt_id, generator.lease, &status, now).await.expect("puts");
            self.store.mark_ready(generator.attempt_id, generator.lease, now, None).await.expect("readies");
        }
        let stream = self.store.claim(&Self::claim(), now).await.expect("claims");
        for stream in stream.iter().filter(|attempt| attempt.dag_id == "ingest") {
            let status = json!({
                "state": "running", "error": null, "buffered_bytes": 81_204, "paused": false, "last_commit_at": "2026-11-22T12:59:50Z",
                "topics": { "listen_events": topic(398_072, 40, 0, now), "page_view_events": topic(801_205, 172, 3, now) },
            });
            self.store.put_status(stream.attempt_id, stream.lease, &status, now).await.expect("puts");
            self.log(stream.attempt_id, now, &[("stdout", "rolled listen_events-00000 12,004 rows".into())])
                .await;
        }
    }

    /// A dag that asks people, that songs start, and that takes slots of a pool; a run of it waits for the answer. Returns the run's id.
    pub async fn gate(&self, now: DateTime<Utc>) -> String {
        let ask = TaskDef { pool: Some("people".into()), ..task("ask", "approve", &[]) };
        let ship = TaskDef {
            reads: vec!["songs".into()],
            writes: vec!["shop/window".into()],
            ..task("ship", "process", &[0])
        };
        let wants = Schedule::Assets { assets: vec!["songs".into()], all: true };
        let gate = Dag { deadline: Some(Duration::from_secs(60)), ..dag("gate", wants, vec![ask, ship]) };
        self.store.put_pool("people", 3, "who may be asked", "admin", "", now).await.expect("puts");
        let version = self.register(&gate, SOURCE, now).await;
        let run = self
            .store
            .trigger(new_run(&gate, version, RunType::Manual, None, now), now)
            .await
            .expect("triggers");
        self.store.promote(now, 10, None).await.expect("promotes");
        let claimed = self.store.claim(&Self::claim(), now).await.expect("claims");
        let ask = claimed.iter().find(|attempt| attempt.dag_id == "gate").expect("it asks");
        let asker = Asker { run: run.id, task: 0, map_index: -1 };
        self.store.ask_approval(&asker, "Ship it?", now).await.expect("asks");
        let poke = Ending::Poke { again_in: Duration::from_secs(3_600) };
        self.store.finish(ask.attempt_id, ask.lease, poke, None, None, now, None).await.expect("waits");
        run.run_id
    }

    pub async fn check(
        &self,
        attempt_id: i64,
        name: &str,
        subject: &str,
        value: f64,
        status: CheckStatus,
        now: DateTime<Utc>,
    ) {
        let sample = if status == CheckStatus::Pass {
            vec![]
        } else {
            vec![json!({ "userKey": "9f1c", "note": "<b>twice</b>" })]
        };
        let result = CheckResult {
            name: name.into(),
            subject: subject.into(),
            severity: if status == CheckStatus::Warn { Severity::Warn } else { Severity::Error },
            status,
            value,
            bounds: "= 0".into(),
            sample,
            sql: Some(format!("select count(*) from prod.{subject}")),
        };
        self.store.put_check(attempt_id, &result, now).await.expect("puts");
    }
}

/// A topic as the streaming job tells of it.
fn topic(rows: u64, lag: u64, dead_letters: u64, now: DateTime<Utc>) -> Value {
    let watermark = now - TimeDelta::seconds(18);
    let partition = json!({ "committed_offset": rows / 2, "consumed_offset": rows / 2, "end_offset": rows / 2 + lag, "watermark": watermark });
    json!({
        "rows": rows, "dead_letters": dead_letters, "skipped": 0, "commits": 41, "late": 12, "unknown_fields": 0, "buffered_rows": lag,
        "lag": lag, "watermark": watermark, "partitions": { "0": partition, "1": partition },
    })
}

pub fn new_run(
    dag: &Dag,
    version_id: i64,
    run_type: RunType,
    window: Option<Window>,
    at: DateTime<Utc>,
) -> NewRun {
    let kind = if run_type == RunType::Scheduled { "scheduled" } else { "manual" };
    NewRun {
        dag_id: dag.id.clone(),
        run_id: format!("{kind}__{}", at.to_rfc3339()),
        version_id,
        run_type,
        window,
        logical_date: Some(at),
        run_after: at,
        params: json!({ "full_refresh": false }),
        requested_by: if run_type == RunType::Scheduled { "scheduler".into() } else { "admin".into() },
        note: None,
    }
}

fn message(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Done => None,
        Ending::FailedForGood | Ending::Failed => {
            Some("the query failed: <table> prod.dim_users does not exist".into())
        }
        other => Some(format!("{other:?}")),
    }
}
