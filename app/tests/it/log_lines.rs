//! What the node's own log says, in both formats.

use crate::node::{Node, Start};
use crate::support::text;
use serde_json::Value;

const DAG: &str = "dag: logged
tasks:
  each: { uses: process, for_each: [a, b], with: { command: [echo, hello] } }
";
const SECRET: &str = "s3cret \"word\"";

async fn ran(format: &str) -> Node {
    let start = Start::with("logged.yaml", DAG).await;
    let node = start
        .env("STREAMIFY_LOG_FORMAT", format)
        .env("STREAMIFY_LOG", "info,engine=debug")
        .env("STREAMIFY_SECRET_WORD", SECRET)
        // Said by the line of the registration.
        .env("STREAMIFY_NODE_NAME", format!("node of {SECRET}"))
        .start();
    let output = node.run("logged", "first");
    assert!(output.status.success(), "{}", text(&output));
    node.wait_for("registered");
    node
}

fn without_secrets(node: &Node) -> Vec<String> {
    let lines = node.said();
    let url = node.database.url();
    // The password, unless it is one of a server that tests share.
    let password = url.split([':', '@']).nth(2).filter(|word| word.len() > 8).unwrap_or(url);
    for hidden in [SECRET, "s3cret", password] {
        let shown: Vec<&String> = lines.iter().filter(|line| line.contains(hidden)).collect();
        assert!(shown.is_empty(), "{hidden}: {shown:?}");
    }
    assert!(
        lines.iter().any(|line| line.contains("registered") && line.contains("node of ***")),
        "{lines:?}"
    );
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_about_an_attempt_name_dag_run_task_and_attempt_and_no_secret() {
    let node = ran("json").await;
    let mut about = 0;
    for line in without_secrets(&node) {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for always in ["timestamp", "level", "target", "message"] {
            assert!(line[always].is_string(), "{always}: {line}");
        }
        if line.get("attempt").is_some() {
            about += 1;
            assert_eq!(
                (&line["dag_id"], &line["run_id"], &line["task_id"]),
                (&"logged".into(), &"first".into(), &"each".into())
            );
            assert!(
                line["attempt_id"].is_i64() && line["map_index"].is_i64() && line["try_number"] == 1,
                "{line}"
            );
        }
    }
    assert!(about >= 4, "started and ended, twice: {:?}", node.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn text_lines_name_an_attempt_once_and_no_secret() {
    let node = ran("text").await;
    let lines = without_secrets(&node);
    let started: Vec<&String> = lines.iter().filter(|line| line.contains("started attempt=")).collect();
    assert_eq!(started.len(), 2, "{lines:?}");
    assert!(
        started.iter().all(|line| line.contains("logged/first/each[") && !line.contains("dag_id")),
        "{started:?}"
    );
}
