//! A task kind that does what its `with: { do: .. }` says, and tells the test what happened.

use async_trait::async_trait;
use model::platform::{Approval, Asker};
use model::task::{Stream, WithProblem};
use model::{CheckResult, CheckStatus, Outcome, Registry, Severity, Task, TaskContext, TaskError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What happened, in order: `start`, `cancel`, `end` (or `gone`, when the future was dropped) of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub what: &'static str,
    pub task: String,
    pub map_index: i32,
    pub try_number: i32,
    pub attempt_id: i64,
    pub with: Value,
}

#[derive(Default)]
pub struct Fake {
    events: Mutex<Vec<Event>>,
    happened: Notify,
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
}

#[derive(Default)]
struct Gate {
    passes: Mutex<usize>,
    opened: Notify,
}

impl Fake {
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// The same in short, for a test that fails.
    pub fn story(&self) -> Vec<String> {
        let short = |event: &Event| format!("{} {}#{}", event.what, event.task, event.try_number);
        self.events().iter().map(short).collect()
    }

    pub fn count(&self, what: &str, task: &str) -> usize {
        self.events().iter().filter(|event| event.what == what && event.task == task).count()
    }

    fn starts_of_instance(&self, ctx: &TaskContext) -> usize {
        let events = self.events.lock().unwrap();
        let starts = events.iter().filter(|event| event.what == "start" && event.task == ctx.task_id);
        starts.filter(|event| event.map_index == ctx.map_index).count()
    }

    pub fn starts(&self) -> Vec<String> {
        self.events().into_iter().filter(|event| event.what == "start").map(|event| event.task).collect()
    }

    /// Waits for the `n`th event of this kind.
    pub async fn until(&self, what: &str, task: &str, n: usize) -> Event {
        let found = async {
            loop {
                let happened = self.happened.notified();
                tokio::pin!(happened);
                happened.as_mut().enable();
                let events = self.events();
                let mut of_it = events.into_iter().filter(|event| event.what == what && event.task == task);
                if let Some(event) = of_it.nth(n - 1) {
                    return event;
                }
                happened.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found)
            .await
            .unwrap_or_else(|_| panic!("no {what} {n} of {task}; there was {:?}", self.story()))
    }

    /// Lets one attempt of a task with `do: gate` pass.
    pub fn open(&self, task: &str) {
        let gate = self.gate(task);
        *gate.passes.lock().unwrap() += 1;
        gate.opened.notify_waiters();
    }

    fn gate(&self, task: &str) -> Arc<Gate> {
        self.gates.lock().unwrap().entry(task.to_owned()).or_default().clone()
    }

    async fn pass(&self, task: &str) {
        let gate = self.gate(task);
        loop {
            let opened = gate.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            {
                let mut passes = gate.passes.lock().unwrap();
                if *passes > 0 {
                    *passes -= 1;
                    return;
                }
            }
            opened.await;
        }
    }

    fn tell(&self, what: &'static str, ctx: &TaskContext) {
        self.events.lock().unwrap().push(Event {
            what,
            task: ctx.task_id.clone(),
            map_index: ctx.map_index,
            try_number: ctx.try_number,
            attempt_id: ctx.attempt_id,
            with: ctx.with.clone(),
        });
        self.happened.notify_waiters();
    }
}

/// `uses: fake`, or the same as a service (`uses: fake.service`).
pub struct FakeKind {
    pub fake: Arc<Fake>,
    pub service: bool,
}

pub fn registry(fake: &Arc<Fake>) -> Registry {
    let kind = |service| Arc::new(FakeKind { fake: fake.clone(), service }) as Arc<dyn Task>;
    Registry::new([kind(false), kind(true)])
}

/// Tells of the end, also of one that the kind itself does not see.
struct Ending<'a> {
    fake: &'a Fake,
    ctx: &'a TaskContext,
    what: &'static str,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.fake.tell(self.what, self.ctx);
    }
}

#[async_trait]
impl Task for FakeKind {
    fn kind(&self) -> &'static str {
        if self.service { "fake.service" } else { "fake" }
    }

    fn summary(&self) -> &'static str {
        "does what the test says"
    }

    fn is_service(&self) -> bool {
        self.service
    }

    fn with_schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn check(&self, _with: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        Vec::new()
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let mut ending = Ending { fake: &self.fake, ctx: &ctx, what: "gone" };
        self.fake.tell("start", &ctx);
        let result = self.act(&ctx).await;
        ending.what = "end";
        result
    }
}

impl FakeKind {
    async fn act(&self, ctx: &TaskContext) -> Result<Outcome, TaskError> {
        let done = Outcome::Done { outputs: ctx.with.get("outputs").cloned().unwrap_or(Value::Null) };
        let word = ctx.with.get("do").and_then(Value::as_str).unwrap_or("done");
        for line in ctx.with.get("log").and_then(Value::as_array).into_iter().flatten() {
            ctx.sink.log(Stream::Stdout, line.as_str().unwrap_or_default().to_owned());
        }
        match word {
            "done" => Ok(done),
            "fail" => Err(TaskError::Retry("it failed".to_owned())),
            "fail_once" if ctx.try_number == 1 => Err(TaskError::Retry("the first time it fails".to_owned())),
            "fail_once" => Ok(done),
            "fail_for_good" => Err(TaskError::Fail("it will never work".to_owned())),
            "panic" => panic!("the kind is broken"),
            "skip" => Ok(Outcome::Skipped { reason: "nothing to do".to_owned() }),
            "poke_once" if self.fake.count("start", &ctx.task_id) == 1 => {
                Ok(Outcome::Poke { again_in: Duration::from_secs(30) })
            }
            "poke_once" => Ok(done),
            "poke_twice" if self.fake.starts_of_instance(ctx) < 3 => Ok(Outcome::Poke {
                again_in: Duration::from_millis(100 + 300 * (ctx.map_index.max(0) as u64 % 4)),
            }),
            "poke_twice" => Ok(done),
            "check" => {
                ctx.sink.check(check_result());
                Ok(done)
            }
            // Stops when asked to.
            "gate" => tokio::select! {
                () = self.fake.pass(&ctx.task_id) => Ok(done),
                () = ctx.cancel.cancelled() => self.cancelled(ctx),
            },
            // Does not.
            "stubborn" => {
                self.fake.pass(&ctx.task_id).await;
                Ok(done)
            }
            "serve" => self.serve(ctx).await,
            "listen" => self.listen(ctx).await,
            "approve" => approve(ctx).await,
            other => Err(TaskError::Fail(format!("the test asks for an unknown '{other}'"))),
        }
    }

    /// Says that it is ready at the first pass of its gate, fails at the second.
    async fn serve(&self, ctx: &TaskContext) -> Result<Outcome, TaskError> {
        tokio::select! {
            () = self.fake.pass(&ctx.task_id) => ctx.sink.ready(),
            () = ctx.cancel.cancelled() => return self.cancelled(ctx),
        }
        ctx.sink.status(json!({ "lag": 0 }));
        tokio::select! {
            () = self.fake.pass(&ctx.task_id) => Err(TaskError::Retry("the service broke".to_owned())),
            () = ctx.cancel.cancelled() => self.cancelled(ctx),
        }
    }

    /// Listens until it is stopped; each pass of its gate tells the next of its statuses.
    async fn listen(&self, ctx: &TaskContext) -> Result<Outcome, TaskError> {
        if ctx.with.get("ready").is_some() {
            ctx.sink.ready();
        }
        for status in ctx.with.get("statuses").and_then(Value::as_array).into_iter().flatten() {
            ctx.sink.status(status.clone());
            self.fake.tell("told", ctx);
            tokio::select! {
                () = self.fake.pass(&ctx.task_id) => {}
                () = ctx.cancel.cancelled() => return self.cancelled(ctx),
            }
        }
        ctx.cancel.cancelled().await;
        self.cancelled(ctx)
    }

    fn cancelled(&self, ctx: &TaskContext) -> Result<Outcome, TaskError> {
        self.fake.tell("cancel", ctx);
        Err(TaskError::Cancelled)
    }
}

/// Asks people.
async fn approve(ctx: &TaskContext) -> Result<Outcome, TaskError> {
    let asker = Asker { run: ctx.run, task: ctx.task, map_index: ctx.map_index };
    match ctx.platform.approval(&asker, "may it go on?").await {
        Ok(Approval::Waiting) => Ok(Outcome::Poke { again_in: Duration::from_secs(3600) }),
        Ok(Approval::Approved { who, .. }) => Ok(Outcome::Done { outputs: json!({ "by": who }) }),
        Ok(Approval::Rejected { who, .. }) => Err(TaskError::Fail(format!("rejected by {who}"))),
        Err(error) => Err(TaskError::Retry(error.to_string())),
    }
}

pub fn check_result() -> CheckResult {
    CheckResult {
        name: "unique_x".to_owned(),
        subject: "x".to_owned(),
        severity: Severity::Warn,
        status: CheckStatus::Pass,
        value: 0.0,
        bounds: "= 0".to_owned(),
        sample: Vec::new(),
        sql: None,
    }
}
