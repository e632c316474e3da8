//! `process` with real programs.

use crate::support::{Bench, TRACEPARENT};
use model::{Outcome, TaskError};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn arguments_reach_the_program_as_they_are_and_its_lines_the_log() {
    let bench = Bench::new();
    let outcome =
        bench.run("process", json!({"command": ["printf", "%s\\n", "a b", "$HOME; rm -rf /", 3]})).await;
    assert!(matches!(outcome, Ok(Outcome::Done { .. })), "{outcome:?}");
    assert_eq!(bench.told.text(), ["a b", "$HOME; rm -rf /", "3"]);
}

#[tokio::test]
async fn the_environment_names_the_attempt() {
    let bench = Bench::new();
    bench.run("process", json!({"command": ["env"]})).await.unwrap();
    let lines = bench.told.text();
    for wanted in
        ["STREAMIFY_DAG_ID=d", "STREAMIFY_ATTEMPT_ID=7", "COLOUR=teal", &format!("TRACEPARENT={TRACEPARENT}")]
    {
        assert!(lines.iter().any(|line| line == wanted), "{wanted} is missing");
    }
    assert!(lines.iter().all(|line| !line.starts_with("DATABASE_URL=")));
}

#[tokio::test]
async fn exit_statuses_mean_success_skip_or_retry() {
    let bench = Bench::new();
    let exit = |code: &str| json!({"command": ["sh", "-c", format!("echo trouble >&2; exit {code}")]});
    assert!(matches!(bench.run("process", exit("0")).await, Ok(Outcome::Done { .. })));
    assert!(matches!(bench.run("process", exit("99")).await, Ok(Outcome::Skipped { .. })));
    let Err(TaskError::Retry(message)) = bench.run("process", exit("3")).await else {
        panic!("3 is retried")
    };
    assert_eq!(message, "sh ended with exit status 3: trouble");
}

/// As the kernel kills what takes too much memory.
#[tokio::test]
async fn the_last_line_before_a_kill_is_in_the_log_and_the_try_may_be_repeated() {
    let bench = Bench::new();
    let script = "echo first; echo last words >&2; kill -9 $$";
    let outcome = bench.run("process", json!({"command": ["sh", "-c", script]})).await;
    let Err(TaskError::Retry(message)) = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("last words"), "{message}");
    let mut lines = bench.told.text();
    lines.sort_unstable();
    assert_eq!(lines, ["first", "last words"]);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let bench = Bench::new();
    let error = bench.run("process", json!({"command": ["no-such-program"]})).await.unwrap_err().to_string();
    assert!(error.contains("no-such-program"), "{error}");
}

#[tokio::test]
async fn outputs_are_one_json_object() {
    let bench = Bench::new();
    let write =
        |text: &str| json!({"command": ["sh", "-c", format!("echo '{text}' > \"$STREAMIFY_OUTPUTS\"")]});
    let Ok(Outcome::Done { outputs }) = bench.run("process", write(r#"{"rows": 3}"#)).await else {
        panic!("done")
    };
    assert_eq!(outputs, json!({"rows": 3}));
    let error = bench.run("process", write("three")).await.unwrap_err().to_string();
    assert!(error.contains("no JSON object"), "{error}");
}

/// The grandchild ignores SIGTERM; the whole group must be gone all the same.
#[tokio::test]
async fn cancelling_ends_the_whole_process_group() {
    let bench = Bench::new();
    let script = "trap '' TERM; (trap '' TERM; exec tail -f /dev/null) & echo child $!; wait";
    let with = json!({"command": ["sh", "-c", script]});
    let running = bench.run("process", with);
    let cancel = async {
        let line = bench.told.wait_for("child ").await;
        bench.cancel.cancel();
        line.trim_start_matches("child ").parse::<i32>().unwrap()
    };
    let (outcome, child) = tokio::join!(running, cancel);
    assert_eq!(outcome, Err(TaskError::Cancelled));
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "the grandchild lives on: {state}");
}

#[tokio::test]
async fn a_program_that_closes_its_output_is_still_cancelled() {
    let bench = Bench::new();
    let with = json!({"command": ["sh", "-c", "echo deaf; exec >/dev/null 2>&1; exec tail -f /dev/null"]});
    let running = bench.run("process", with);
    let cancel = async {
        bench.told.wait_for("deaf").await;
        bench.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(running, cancel);
    assert_eq!(outcome, Err(TaskError::Cancelled));
}

#[tokio::test]
async fn a_left_over_process_of_this_node_is_ended_and_no_other() {
    let mark = format!("orphan-test-{}", std::process::id());
    let start = |node: &str| {
        std::process::Command::new("tail")
            .args(["-f", "/dev/null"])
            .env(kinds::NODE_VARIABLE, node)
            .spawn()
            .unwrap()
    };
    let (mut ours, mut other) = (start(&mark), start("somebody-else"));
    // The environment of a child shows once it has been replaced by its program.
    while !std::fs::read(format!("/proc/{}/environ", ours.id()))
        .unwrap_or_default()
        .windows(mark.len())
        .any(|part| part == mark.as_bytes())
    {
        std::thread::yield_now();
    }
    assert_eq!(kinds::end_orphans(&mark), 1);
    assert!(!ours.wait().unwrap().success());
    assert!(other.try_wait().unwrap().is_none(), "another node's process was ended");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_very_long_line_is_cut_into_pieces_and_nothing_is_lost() {
    let bench = Bench::new();
    bench
        .run("process", json!({"command": ["sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo"]}))
        .await
        .unwrap();
    let total: usize = bench.told.text().iter().map(String::len).sum();
    assert_eq!(total, 200_000);
}

#[tokio::test]
async fn a_process_is_stopped_with_the_signal_that_its_service_names() {
    // A shell cannot trap what its parent ignores, as one that was started in the background may.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    const INT: u64 = 1 << 1;
    if u64::from_str_radix(ignored, 16).unwrap() & INT != 0 {
        testkit::skip("this process was started with SIGINT ignored", "run the tests in the foreground");
        return;
    }
    let bench = Bench::new();
    let script = "trap 'echo got INT; exit 0' INT; trap 'echo got TERM; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let mut context = bench.context(json!({"command": ["sh", "-c", script]}));
    context.stop_signal = Some("INT".to_string());
    context.grace = Duration::from_secs(20);
    let cancel = async {
        bench.told.wait_for("up").await;
        bench.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(bench.run_as("process", context), cancel);
    assert_eq!(outcome, Err(TaskError::Cancelled));
    assert!(bench.told.text().contains(&"got INT".to_string()), "{:?}", bench.told.text());
}
