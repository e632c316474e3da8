//! A context and a sink that remembers.

use chrono::{DateTime, TimeZone, Utc};
use kinds::Env;
use model::platform::{Approval, Asker, Platform, PlatformError, TriggerRequest};
use model::task::{Sink, Stream};
use model::{CheckResult, FixedClock, Outcome, Registry, RunState, Task, TaskContext, TaskError, Window};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use warehouse::Warehouse;

/// Runs and approvals as a test wants them.
#[derive(Default)]
pub struct TestPlatform {
    pub runs: Mutex<BTreeMap<(String, String), RunState>>,
    pub triggered: Mutex<Vec<TriggerRequest>>,
    pub approval: Mutex<Option<Approval>>,
    pub is_down: AtomicBool,
}

impl TestPlatform {
    pub fn put(&self, dag: &str, run: &str, state: RunState) {
        self.runs.lock().unwrap().insert((dag.to_string(), run.to_string()), state);
    }

    fn answer(&self) -> Result<(), PlatformError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(PlatformError::Unavailable("the store does not answer".to_string()));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Platform for TestPlatform {
    async fn trigger(&self, request: TriggerRequest) -> Result<(), PlatformError> {
        self.answer()?;
        if request.dag_id == "nowhere" {
            return Err(PlatformError::Refused("there is no dag 'nowhere'".to_string()));
        }
        self.put(&request.dag_id, &request.run_id, RunState::Queued);
        self.triggered.lock().unwrap().push(request);
        Ok(())
    }

    async fn run_state(&self, dag: &str, run: &str) -> Result<Option<RunState>, PlatformError> {
        self.answer()?;
        Ok(self.runs.lock().unwrap().get(&(dag.to_string(), run.to_string())).copied())
    }

    /// The run named `of <start of window>` or `at <logical date>`.
    async fn run_for(
        &self,
        dag: &str,
        window: Option<Window>,
        logical_date: Option<DateTime<Utc>>,
    ) -> Result<Option<(String, RunState)>, PlatformError> {
        let name = window.map(|window| format!("of {}", window.start));
        let name = name.or(logical_date.map(|date| format!("at {date}"))).unwrap_or_default();
        Ok(self.run_state(dag, &name).await?.map(|state| (name, state)))
    }

    async fn approval(&self, _: &Asker, _: &str) -> Result<Approval, PlatformError> {
        self.answer()?;
        Ok(self.approval.lock().unwrap().clone().unwrap_or(Approval::Waiting))
    }
}

#[derive(Default)]
pub struct Told {
    pub lines: Mutex<Vec<(Stream, String)>>,
    pub checks: Mutex<Vec<CheckResult>>,
    pub line_came: Notify,
}

impl Told {
    pub fn text(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Until a line holds the text.
    pub async fn wait_for(&self, text: &str) -> String {
        loop {
            let came = self.line_came.notified();
            if let Some(line) = self.text().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            came.await;
        }
    }
}

impl Sink for Told {
    fn log(&self, stream: Stream, line: String) {
        self.lines.lock().unwrap().push((stream, line));
        self.line_came.notify_waiters();
    }

    fn ready(&self) {}

    fn status(&self, _status: Value) {}

    fn check(&self, result: CheckResult) {
        self.checks.lock().unwrap().push(result);
    }
}

/// The span of each try.
pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub struct Bench {
    pub registry: Registry,
    pub told: Arc<Told>,
    pub cancel: CancellationToken,
    pub clock: Arc<FixedClock>,
    pub lake: lake::Lake,
    pub platform: Arc<TestPlatform>,
    /// What is told of any group.
    pub lags: Arc<Mutex<Result<BTreeMap<String, u64>, String>>>,
    /// The dags folder; gone with the bench.
    pub folder: tempfile::TempDir,
    grace: Duration,
}

pub fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 12, 0, 0).unwrap()
}

impl Bench {
    pub fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::at(noon()));
        let lake = lake::Lake::open("memory://").unwrap();
        let lags = Arc::new(Mutex::new(Ok(BTreeMap::new())));
        let told_lags = lags.clone();
        let opened = OnceLock::<Arc<dyn Warehouse>>::new();
        let env = Env {
            program: std::env::current_exe().unwrap(),
            dags_dir: folder.path().to_path_buf(),
            brokers: String::new(),
            kafka_login: vec![
                ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".into()),
                ("KAFKA_SASL_PASSWORD", "kafka-hunter2".into()),
            ],
            lake: lake.clone(),
            warehouse: Arc::new(move || {
                Ok(opened.get_or_init(|| warehouse::open("duckdb::memory:").unwrap()).clone())
            }),
            group_lag: Arc::new(move |_, _| {
                let lags = told_lags.lock().unwrap().clone();
                Box::pin(async move { lags })
            }),
            venvs_dir: folder.path().join("venvs"),
            topic_columns: Arc::new(|_, topic| Err(format!("no schema for {topic}"))),
            clock: clock.clone(),
            node: format!("test:/data/{}", std::process::id()),
            http: reqwest::Client::new(),
        };
        Bench {
            registry: kinds::registry(Arc::new(env)),
            told: Arc::default(),
            cancel: CancellationToken::new(),
            clock,
            lake,
            platform: Arc::default(),
            lags,
            folder,
            grace: Duration::from_millis(200),
        }
    }

    pub async fn run(&self, kind: &str, with: Value) -> Result<Outcome, TaskError> {
        self.run_as(kind, self.context(with)).await
    }

    pub async fn run_as(&self, kind: &str, context: TaskContext) -> Result<Outcome, TaskError> {
        self.kind(kind).run(context).await
    }

    /// What is found wrong when the file is loaded, as `key: message`.
    pub fn problems(&self, kind: &str, with: Value) -> Vec<String> {
        let found = self.kind(kind).check(&with, self.folder.path());
        found.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
    }

    fn kind(&self, kind: &str) -> &Arc<dyn Task> {
        self.registry.get(kind).unwrap_or_else(|| panic!("no kind {kind}"))
    }

    /// Of a try that began at noon.
    pub fn context(&self, with: Value) -> TaskContext {
        TaskContext {
            dag_id: "d".to_string(),
            run_id: "r".to_string(),
            run: 1,
            task: 0,
            task_id: "t".to_string(),
            map_index: -1,
            try_number: 1,
            attempt_id: 7,
            window: None,
            with,
            env: BTreeMap::from([("COLOUR".to_string(), "teal".to_string())]),
            first_started_at: noon(),
            cancel: self.cancel.clone(),
            grace: self.grace,
            stop_signal: None,
            traceparent: Some(TRACEPARENT.to_string()),
            sink: self.told.clone(),
            platform: self.platform.clone(),
        }
    }
}
