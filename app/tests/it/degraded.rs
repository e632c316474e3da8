//! Trouble around a node: a clear state while it lasts, and work that goes on by itself afterwards.

use crate::node::{Node, Start};
use crate::support::text;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const HELLO: &str = "dag: hello\ntasks:\n  hello: { uses: process, with: { command: [echo, hello] } }\n";
pub const HEALTH: &str = "/api/v2/monitor/health";

fn runs(node: &Node, run_id: &str) {
    let output = node.run("hello", run_id);
    assert!(output.status.success(), "{run_id}: {}\n{}", text(&output), node.said().join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_named_and_work_goes_on_when_it_takes_writes_again() {
    let node = Start::with("hello.yaml", HELLO).await.env("STREAMIFY_LEASE_SECONDS", "6").start();
    runs(&node, "before");
    node.database.on_the_server("alter database {name} set default_transaction_read_only = on").await;
    // What is connected keeps its setting; a failover or a restart would end it.
    node.database
        .on_the_server("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
        .await;
    let health = node.get_with(HEALTH, "default_transaction_read_only is on");
    assert!(health.contains(r#""metadatabase":{"status":"unhealthy""#), "{health}");
    let health = node.get_with(HEALTH, "read-only transaction");
    assert!(health.contains(r#""engine":{"status":"unhealthy""#), "the engine says what fails: {health}");
    let page = node.get("/health");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("takes no writes"), "{page}");

    node.database.on_the_server("alter database {name} reset default_transaction_read_only").await;
    runs(&node, "after");
    node.get_with(HEALTH, r#""engine":{"status":"healthy""#);
    let health = node.get_with(HEALTH, r#""metadatabase":{"status":"healthy""#);
    assert!(!health.contains("takes no writes"), "{health}");
}

/// The way to the database, which can be cut.
struct Way {
    port: u16,
    is_cut: Arc<std::sync::Mutex<CancellationToken>>,
}

impl Way {
    async fn to(address: String) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_cut = Arc::new(std::sync::Mutex::new(CancellationToken::new()));
        let cuts = is_cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (cut, address) = (cuts.lock().unwrap().clone(), address.clone());
                tokio::spawn(async move {
                    let carry = async {
                        let mut far = TcpStream::connect(address).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        biased;
                        () = cut.cancelled() => {}
                        _ = carry => {}
                    }
                });
            }
        });
        Way { port, is_cut }
    }

    /// Ends what goes over it, and lets nothing through.
    fn cut(&self) {
        self.is_cut.lock().unwrap().cancel();
    }

    fn heal(&self) {
        *self.is_cut.lock().unwrap() = CancellationToken::new();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_told_by_api_and_page_and_work_goes_on_when_it_is_back() {
    let mut start = Start::with("hello.yaml", HELLO).await;
    let (before, place) = start.database.url().split_once('@').unwrap();
    let (server, name) = place.split_once('/').unwrap();
    let way = Way::to(server.to_string()).await;
    start.env.push(("DATABASE_URL", format!("{before}@127.0.0.1:{}/{name}", way.port)));
    let node = start.env("STREAMIFY_LEASE_SECONDS", "6").start();
    runs(&node, "before");
    way.cut();
    let health = node.get_with(HEALTH, r#""metadatabase":{"status":"unhealthy""#);
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("does not answer"), "{health}");
    assert!(health.contains(r#""disk":{"status":"#), "what the node knows itself is told: {health}");
    let page = node.get("/health");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("does not answer"), "{page}");
    way.heal();
    runs(&node, "after");
    let health = node.get_with(HEALTH, r#""metadatabase":{"status":"healthy""#);
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
}

/// A small disk of its own, gone with the value.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, loudly, without the right to.
    pub fn mount(size: &str) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output();
        let is_mounted = mount.is_ok_and(|output| output.status.success());
        if !is_mounted {
            testkit::skip("no right to mount a small disk (tmpfs)", "run it as root");
        }
        is_mounted.then_some(SmallDisk(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn fill(&self) {
        let filler = self.0.path().join("filler");
        // As much as goes in.
        let output = Command::new("dd")
            .args(["if=/dev/zero", "bs=1M"])
            .arg(format!("of={}", filler.display()))
            .output();
        assert!(!output.unwrap().status.success(), "the disk is full");
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_what_failed_by_it_succeeds_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("128m") else { return };
    let mut start = Start::with("hello.yaml", HELLO).await;
    // As tasks of the pipeline write to the lake and to the warehouse.
    let write = format!(
        "dag: write\ntasks:\n  write:\n    uses: process\n    retries: {{ limit: 1000, delay: 1s, max_delay: 1s }}\n    with: {{ command: [dd, if=/dev/zero, \"of={}\", bs=1M, count=40] }}\n",
        disk.path().join("written").display()
    );
    start.dags.push(("write.yaml", write));
    let node = start
        .env("STREAMIFY_LAKE_URL", disk.path().join("lake").display().to_string())
        .data(disk.path())
        .start();
    assert!(node.get_with(HEALTH, r#""disk":{"status":"healthy""#).starts_with("HTTP/1.1 200"));
    disk.fill();
    let health = node.get_with(HEALTH, r#""disk":{"status":"unhealthy""#);
    assert!(health.contains("make room"), "{health}");
    assert!(node.get("/health").contains("make room"));
    runs(&node, "needs-no-disk");
    node.trigger("write", "first");
    node.log_with("write", "first", "write", "No space left on device");
    disk.make_room();
    node.get_with("/api/v2/dags/write/dagRuns/first", r#""state":"success""#);
    node.get_with(HEALTH, r#""disk":{"status":"healthy""#);
}
