//! A context and a sink that remembers.

use chrono::{DateTime, TimeZone, Utc};
use kinds::Env;
use model::platform::{Approval, Asker, Platform, PlatformError, TriggerRequest};
use model::task::{Sink, Stream};
use model::{CheckResult, Clock, FixedClock, Outcome, Registry, RunState, TaskContext, TaskError, Window};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// No run can be asked for or about.
struct NoPlatform;

#[async_trait::async_trait]
impl Platform for NoPlatform {
    async fn trigger(&self, request: TriggerRequest) -> Result<(), PlatformError> {
        Err(PlatformError::Refused(format!("there is no dag '{}'", request.dag_id)))
    }

    async fn run_state(&self, _: &str, _: &str) -> Result<Option<RunState>, PlatformError> {
        Ok(None)
    }

    async fn run_for(
        &self,
        _: &str,
        _: Option<Window>,
        _: Option<DateTime<Utc>>,
    ) -> Result<Option<(String, RunState)>, PlatformError> {
        Ok(None)
    }

    async fn approval(&self, _: &Asker, _: &str) -> Result<Approval, PlatformError> {
        Ok(Approval::Waiting)
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

pub struct Bench {
    pub registry: Registry,
    pub told: Arc<Told>,
    pub cancel: CancellationToken,
    pub clock: Arc<FixedClock>,
    pub lake: lake::Lake,
    /// The dags folder; gone with the bench.
    _folder: tempfile::TempDir,
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
        let env = Env {
            program: std::env::current_exe().unwrap(),
            dags_dir: folder.path().to_path_buf(),
            brokers: String::new(),
            lake: lake.clone(),
            warehouse: Arc::new(|| warehouse::open("duckdb::memory:").map_err(|error| error.to_string())),
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
            _folder: folder,
            grace: Duration::from_millis(200),
        }
    }

    pub async fn run(&self, kind: &str, with: Value) -> Result<Outcome, TaskError> {
        let task = self.registry.get(kind).unwrap_or_else(|| panic!("no kind {kind}"));
        task.run(self.context(with)).await
    }

    fn context(&self, with: Value) -> TaskContext {
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
            first_started_at: self.clock.now(),
            cancel: self.cancel.clone(),
            grace: self.grace,
            stop_signal: None,
            sink: self.told.clone(),
            platform: Arc::new(NoPlatform),
        }
    }
}
