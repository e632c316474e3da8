//! The platform as split services, as containers run it: nodes with one role each, on one database.

use crate::support::{streamify, text};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use testkit::Database;

const PATIENCE: Duration = Duration::from_secs(60);
const DAG: &str = "dag: heavy
tasks:
  lift: { uses: process, queue: heavy, with: { command: [printenv, HOSTNAME_OF_TEST] } }
";

/// What nodes share: a database whose URL lies in a file, a dags folder, a lake.
struct Place {
    _database: Database,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Place {
        let (database, folder) = (Database::fresh().await, tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("dags")).unwrap();
        std::fs::write(folder.path().join("dags/heavy.yaml"), DAG).unwrap();
        std::fs::write(folder.path().join("url"), format!("{}\n", database.url())).unwrap();
        Place { _database: database, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command for the node of that name: each has a data folder of its own.
    fn command(&self, node: &str, arguments: &[&str]) -> Command {
        let mut command = streamify();
        // Only the worker could open it; whoever else has an answer of it has asked the worker.
        let warehouse = if node == "worker" { self.path("warehouse.duckdb") } else { "/proc/none".into() };
        command
            .args(arguments)
            .env("DATABASE_URL_FILE", self.path("url"))
            .env("STREAMIFY_NODE_NAME", node)
            .env("STREAMIFY_DATA_DIR", self.path(node))
            .env("STREAMIFY_DAGS_DIR", self.path("dags"))
            .env("STREAMIFY_LAKE_URL", self.path("lake"))
            .env("STREAMIFY_WAREHOUSE_URL", format!("duckdb:{}", warehouse.display()))
            // Nothing listens there; no task of these tests asks Kafka.
            .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1");
        command
    }

    fn run(&self, node: &str, arguments: &[&str]) -> Output {
        self.command(node, arguments).output().unwrap()
    }

    fn start(&self, node: &str, arguments: &[&str], env: &[(&str, &str)]) -> Node {
        let mut command = self.command(node, &[&["node", "--port", "0"], arguments].concat());
        command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Somebody has to read it, or the node waits on a full pipe.
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Node(child)
    }

    /// Asks again and again until the answer is as wanted.
    fn until(&self, node: &str, arguments: &[&str], wanted: impl Fn(&Output) -> bool) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let output = self.run(node, arguments);
            if wanted(&output) {
                return text(&output);
            }
            assert!(Instant::now() < give_up, "{arguments:?} of {node}: {}", text(&output));
        }
    }
}

struct Node(Child);

impl Node {
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success(), "a stop by signal ends well");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_healthy_from_its_start_to_its_stop_with_and_without_pages() {
    let place = Place::new().await;
    let before = place.run("scheduler", &["health"]);
    assert!(!before.status.success() && text(&before).starts_with("unhealthy: "), "{}", text(&before));

    let scheduler = place.start("scheduler", &["--no-web", "--no-worker"], &[]);
    let said = place.until("scheduler", &["health"], |output| output.status.success());
    assert_eq!(said.trim(), "healthy: scheduler is alive");
    let web = place.start("web", &["--no-scheduler", "--no-worker"], &[]);
    let said = place.until("web", &["health"], |output| output.status.success());
    assert_eq!(said.trim(), "healthy: web is alive, its pages answer");

    scheduler.stop();
    let after = place.until("scheduler", &["health"], |output| !output.status.success());
    assert!(after.starts_with("unhealthy: "), "{after}");
    // What is wrong elsewhere is not its fault.
    place.until("web", &["health"], |output| output.status.success());
    let nowhere = place.run("web", &["health", "--url", "http://127.0.0.1:1", "--json"]);
    assert!(!nowhere.status.success() && text(&nowhere).contains("\"healthy\": false"), "{}", text(&nowhere));
    web.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_on_several_nodes_make_one_platform() {
    let place = Place::new().await;
    // The pages come first, and yet leave the warehouse to a node that works.
    let web = place.start("web", &["--no-scheduler", "--no-worker"], &[("HOSTNAME_OF_TEST", "web")]);
    place.until("web", &["health"], |output| output.status.success());
    let scheduler = place.start("scheduler", &["--no-web", "--no-worker"], &[]);
    let heavy = [("STREAMIFY_QUEUES", "heavy"), ("HOSTNAME_OF_TEST", "strong")];
    let strong = place.start("strong", &["--no-web", "--no-scheduler", "--no-warehouse"], &heavy);
    let light = [("STREAMIFY_QUEUES", "default"), ("HOSTNAME_OF_TEST", "worker")];
    let worker = place.start("worker", &["--no-scheduler"], &light);
    for node in ["scheduler", "strong", "worker"] {
        place.until(node, &["health"], |output| output.status.success());
    }

    place.until("web", &["dag", "list"], |output| text(output).contains("heavy"));
    let run = place.run("web", &["run", "trigger", "heavy", "--run-id", "one", "--wait"]);
    assert!(run.status.success(), "{}", text(&run));
    let logs = text(&place.run("web", &["run", "logs", "heavy", "one", "lift"]));
    assert!(logs.contains("strong"), "the node of its queue ran it: {logs}");

    let answer = place.until("web", &["sql", "select 40 + 2 as answer"], |output| output.status.success());
    assert!(answer.contains("42"), "the worker answers for the warehouse: {answer}");
    for node in [strong, worker, scheduler, web] {
        node.stop();
    }
}
