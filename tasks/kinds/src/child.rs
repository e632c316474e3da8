//! A child process in a group of its own: its lines are shipped while it runs, and the whole group ends with the attempt.

use crate::env::Env;
use crate::orphans::NODE_VARIABLE;
use model::task::Stream;
use model::{TaskContext, TaskError};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc as blocking;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Lines that wait to be shipped; a chattier child waits on its pipe.
const LINES_WAITING: usize = 1024;
/// A longer line is cut here, and says so.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// A killed group is gone after at most this long; zombies that nobody reaps are not waited for.
const END_MAX: Duration = Duration::from_secs(1);
const END_LOOK_EVERY: Duration = Duration::from_millis(1);
/// What was written before the end is read within this time.
const REST_MAX: Duration = Duration::from_secs(5);
/// What may hold the store's address or a secret is not handed on.
const WITHHELD: [&str; 9] = [
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "PGPASSWORD",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SASL_PASSWORD_FILE",
    "STREAMIFY_SMTP_URL",
    "STREAMIFY_SMTP_URL_FILE",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS_FILE",
];

pub struct Ended {
    pub status: ExitStatus,
    /// The last line of standard error, for the message of a failure.
    pub last_error: Option<String>,
    /// The attempt was asked to stop before the child ended.
    pub stopped: bool,
}

/// Runs the command to its end, or stops its whole group when the attempt is cancelled: its stop signal, then SIGKILL
/// after most of the grace.
pub async fn run(
    mut command: Command,
    ctx: &TaskContext,
    env: &Env,
    mut on_line: impl FnMut(Stream, String),
) -> Result<Ended, TaskError> {
    let stop_signal = stop_signal(ctx.stop_signal.as_deref())?;
    surround(&mut command, ctx, env);
    let mut child = spawn(command).await?;
    let group = Group(child.id().map(|pid| Pid::from_raw(pid as i32)));
    let (lines, mut waiting) = mpsc::channel(LINES_WAITING);
    pump(child.stdout.take(), Stream::Stdout, lines.clone());
    pump(child.stderr.take(), Stream::Stderr, lines);
    let mut last_error = None;
    let mut keep = |stream: Stream, line: String| {
        if stream == Stream::Stderr && !line.trim().is_empty() {
            last_error = Some(line.clone());
        }
        on_line(stream, line);
    };
    let (mut is_open, mut stopped, mut kill_at) = (true, false, None);
    let status = loop {
        tokio::select! {
            line = waiting.recv(), if is_open => match line {
                Some((stream, line)) => keep(stream, line),
                None => is_open = false,
            },
            () = ctx.cancel.cancelled(), if !stopped => {
                stopped = true;
                group.signal(stop_signal);
                kill_at = Some(Instant::now() + ctx.grace.mul_f64(0.8));
            }
            () = tokio::time::sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                ctx.sink.log(Stream::System, "still running after the grace: killed".to_string());
                group.signal(Signal::SIGKILL);
                kill_at = None;
            }
            status = child.wait() => break status,
        }
    };
    let status = status.map_err(|error| TaskError::Retry(format!("waiting for the process: {error}")))?;
    group.end().await;
    let rest = async {
        while let Some((stream, line)) = waiting.recv().await {
            keep(stream, line);
        }
    };
    if tokio::time::timeout(REST_MAX, rest).await.is_err() {
        let note = "a process that left the task's group holds its output open; the rest of it is not read";
        ctx.sink.log(Stream::System, note.to_string());
    }
    Ok(Ended { status, last_error, stopped })
}

/// `TERM`, `INT`, ... with or without `SIG`.
fn stop_signal(name: Option<&str>) -> Result<Signal, TaskError> {
    let Some(name) = name else { return Ok(Signal::SIGTERM) };
    let full = format!("SIG{}", name.strip_prefix("SIG").unwrap_or(name));
    full.parse().map_err(|_| TaskError::Fail(format!("service.stop.signal: `{name}` is no signal")))
}

/// What an exit status means for the attempt; 99 is "skipped", as for Airflow's BashOperator.
pub fn judge(ended: &Ended, name: &str) -> Result<bool, TaskError> {
    use std::os::unix::process::ExitStatusExt;
    const SKIP: i32 = 99;
    if ended.stopped {
        return Err(TaskError::Cancelled);
    }
    let because = ended.last_error.as_deref().map(|line| format!(": {line}")).unwrap_or_default();
    match (ended.status.code(), ended.status.signal()) {
        (Some(0), _) => Ok(true),
        (Some(SKIP), _) => Ok(false),
        (Some(code), _) => Err(TaskError::Retry(format!("{name} ended with exit status {code}{because}"))),
        (None, Some(signal)) => {
            Err(TaskError::Retry(format!("{name} was ended by signal {signal}{because}")))
        }
        (None, None) => Err(TaskError::Retry(format!("{name} ended in an unknown way{because}"))),
    }
}

/// The program, started so that it is killed when this process dies, whatever way it dies.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn surround(command: &mut Command, ctx: &TaskContext, env: &Env) {
    // What a kind gives on purpose stays.
    let given: Vec<OsString> = command.as_std().get_envs().map(|(name, _)| name.to_os_string()).collect();
    for (name, _) in std::env::vars_os().filter(|(name, _)| !given.contains(name)) {
        let text = name.to_string_lossy();
        if WITHHELD.contains(&&*text) || text.starts_with("STREAMIFY_SECRET_") {
            command.env_remove(&name);
        }
    }
    let open = env.kafka_login.iter().filter(|(name, _)| !WITHHELD.contains(name));
    command.envs(open.map(|(name, value)| (name, value)));
    // Ours, if there is one, is none of theirs.
    command.env_remove("TRACEPARENT").env_remove("TRACESTATE");
    if let Some(traceparent) = &ctx.traceparent {
        command.env("TRACEPARENT", traceparent);
    }
    command
        .env(NODE_VARIABLE, &env.node)
        .env("STREAMIFY_LAKE_URL", env.lake.url())
        .env("KAFKA_BOOTSTRAP_SERVERS", &env.brokers)
        .env("STREAMIFY_DAG_ID", &ctx.dag_id)
        .env("STREAMIFY_RUN_ID", &ctx.run_id)
        .env("STREAMIFY_TASK_ID", &ctx.task_id)
        .env("STREAMIFY_MAP_INDEX", ctx.map_index.to_string())
        .env("STREAMIFY_TRY_NUMBER", ctx.try_number.to_string())
        .env("STREAMIFY_ATTEMPT_ID", ctx.attempt_id.to_string());
    if let Some(window) = ctx.window {
        command
            .env("STREAMIFY_WINDOW_START", window.start.to_rfc3339())
            .env("STREAMIFY_WINDOW_END", window.end.to_rfc3339());
    }
    command.envs(&ctx.env);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
}

/// The kernel watches the *thread* that starts a child, so one thread that never ends starts them all.
async fn spawn(command: Command) -> Result<Child, TaskError> {
    type Job = (Command, tokio::runtime::Handle, oneshot::Sender<std::io::Result<Child>>);
    static STARTER: LazyLock<blocking::Sender<Job>> = LazyLock::new(|| {
        let (jobs, waiting) = blocking::channel::<Job>();
        let work = move || {
            while let Ok((mut command, runtime, answer)) = waiting.recv() {
                let _inside = runtime.enter();
                let _ = answer.send(command.spawn());
            }
        };
        if let Err(error) = std::thread::Builder::new().name("child-starter".to_string()).spawn(work) {
            tracing::error!(%error, "no thread to start processes from");
        }
        jobs
    });
    let name = command.as_std().get_args().nth(3).unwrap_or_default().to_string_lossy().into_owned();
    let (answer, answered) = oneshot::channel();
    let gone = || TaskError::Retry("the thread that starts processes has ended".to_string());
    STARTER.send((command, tokio::runtime::Handle::current(), answer)).map_err(|_| gone())?;
    let child = answered.await.map_err(|_| gone())?;
    child.map_err(|error| TaskError::Fail(format!("cannot start `{name}`: {error}")))
}

fn pump(
    source: Option<impl AsyncRead + Unpin + Send + 'static>,
    stream: Stream,
    lines: mpsc::Sender<(Stream, String)>,
) {
    let Some(source) = source else { return };
    tokio::spawn(async move {
        let mut reader = BufReader::new(source);
        let mut buffer = Vec::new();
        while let Ok(true) = next_line(&mut reader, &mut buffer).await {
            let line = String::from_utf8_lossy(&buffer).trim_end_matches(['\n', '\r']).to_string();
            if lines.send((stream, line)).await.is_err() {
                return;
            }
        }
    });
}

/// Reads up to a newline or the limit; false at the end.
async fn next_line(
    reader: &mut (impl AsyncBufReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> std::io::Result<bool> {
    buffer.clear();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(!buffer.is_empty());
        }
        let room = LINE_BYTES_MAX - buffer.len();
        let end = chunk.iter().take(room).position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or_else(|| chunk.len().min(room));
        buffer.extend_from_slice(&chunk[..taken]);
        reader.consume(taken);
        if end.is_some() || buffer.len() == LINE_BYTES_MAX {
            return Ok(true);
        }
    }
}

/// Ends the group when dropped, so that an aborted attempt leaves nothing behind.
struct Group(Option<Pid>);

impl Group {
    /// Kills what is left of the group and waits until it is gone: an attempt has ended only when nothing of it runs.
    async fn end(&self) {
        self.signal(Signal::SIGKILL);
        let give_up = Instant::now() + END_MAX;
        while self.is_there() && Instant::now() < give_up {
            tokio::time::sleep(END_LOOK_EVERY).await;
        }
    }

    fn is_there(&self) -> bool {
        self.0.is_some_and(|group| killpg(group, None).is_ok())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
