//! How a node stops, and which signals its children may rely on.

use crate::node::{Start, is_running};
use crate::support::text;
use nix::sys::signal::Signal;
use std::process::Command;

const LOOK: &str =
    "dag: look\ntasks:\n  look: { uses: process, with: { command: [grep, SigIgn, /proc/self/status] } }\n";
/// Says its process id, and does not care about SIGTERM.
const DEAF: &str = "dag: deaf
tasks:
  deaf:
    uses: process
    with: { command: [sh, -c, \"trap '' TERM; echo pid $$ here; exec tail -f /dev/null\"] }
";

fn pid_of(log: &str) -> String {
    log.split("pid ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_platform_in_the_background_hear_their_stop_signals() {
    const BEFORE: [&str; 2] = ["env", "--ignore-signal=HUP,INT,QUIT"];
    let can = Command::new(BEFORE[0]).args([BEFORE[1], "true"]).status().is_ok_and(|status| status.success());
    if !can {
        testkit::skip("this `env` has no --ignore-signal", "coreutils 8.31 or newer has it");
        return;
    }
    let mut start = Start::with("look.yaml", LOOK).await;
    start.before = BEFORE.to_vec();
    let mut node = start.start();
    assert!(node.run("look", "first").status.success());
    let log = node.log_with("look", "first", "look", "SigIgn:");
    let mask = log.split("SigIgn:").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 0b111, 0, "HUP, INT or QUIT is ignored: {log}");

    node.signal(Signal::SIGHUP);
    assert!(node.run("look", "second").status.success(), "what nohup is for");
    node.signal(Signal::SIGINT);
    assert!(node.ended().success(), "{:?}", node.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_lets_tasks_finish_then_tells_them_then_kills_them() {
    let start = Start::with("deaf.yaml", DEAF).await;
    let start = start.env("STREAMIFY_DRAIN_SECONDS", "1").env("STREAMIFY_STOP_SECONDS", "1");
    let mut node = start.start();
    node.trigger("deaf", "first");
    let pid = pid_of(&node.log_with("deaf", "first", "deaf", "here"));
    assert!(is_running(&pid));
    node.signal(Signal::SIGTERM);
    assert!(node.ended().success(), "{:?}", node.said());
    assert!(!is_running(&pid), "nothing is left behind");
    let shown = text(&node.command(&["run", "show", "deaf", "first", "--task", "deaf"]));
    assert!(shown.contains("its node was stopped"), "{shown}");
    assert!(node.said().iter().any(|line| line.contains("left")), "it said goodbye: {:?}", node.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_leaves_nothing_running() {
    let mut node = Start::with("deaf.yaml", DEAF).await.env("STREAMIFY_DRAIN_SECONDS", "600").start();
    node.trigger("deaf", "first");
    let pid = pid_of(&node.log_with("deaf", "first", "deaf", "here"));
    node.signal(Signal::SIGTERM);
    node.wait_for("once more to stop at once");
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended().code(), Some(130), "{:?}", node.said());
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while is_running(&pid) {
        assert!(std::time::Instant::now() < give_up, "{pid} lives on");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}
