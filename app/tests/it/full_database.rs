//! Postgres on a full disk: the node says so, and all goes on by itself when there is room again.

use crate::degraded::{HEALTH, SmallDisk};
use crate::node::Start;
use testkit::Database;

/// Its lines need more pages than the database has.
fn dag(go: &std::path::Path) -> String {
    let script = format!("while [ ! -e {} ]; do sleep 0.1; done; seq -f '%0200.0f' 1 2000", go.display());
    format!("dag: much\ntasks:\n  much: {{ uses: process, with: {{ command: [sh, -c, \"{script}\"] }} }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_a_full_disk_is_named_and_what_waited_is_stored_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("256m") else { return };
    let options =
        postgres::Options { home: disk.path().join("postgres"), fsync: false, max_connections: 100 };
    let server =
        tokio::task::spawn_blocking(move || postgres::Postgres::start(&options)).await.unwrap().unwrap();
    assert!(server.home().starts_with(disk.path()), "the database lies on the small disk");
    let database = Database::at(server.url());
    // Where there is room for it.
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let mut start = Start::with("much.yaml", &dag(&go)).await;
    start.database = Database::at(server.url());
    let node = start.start();
    node.trigger("much", "first");
    node.get_with("/api/v2/dags/much/dagRuns/first", r#""state":"running""#);
    // A piece of the log of its own, all of it reserved by the first that is written there: Postgres ends where it cannot write one.
    database.execute("select pg_switch_wal()").await;
    database.execute("create table reserved (n int); drop table reserved; checkpoint").await;
    disk.fill();
    std::fs::write(&go, "").unwrap();
    let health = node.get_with(HEALTH, "No space left on device");
    assert!(health.contains(r#""engine":{"status":"unhealthy""#), "{health}");
    let page = node.get("/health");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("No space left on device"), "{page}");
    disk.make_room();
    node.get_with("/api/v2/dags/much/dagRuns/first", r#""state":"success""#);
    let log = node.log_with("much", "first", "much", &format!("{:0200}", 2000));
    assert!(log.contains(&format!("{:0200}", 1)) && !log.contains("dropped"), "no line is lost");
    node.get_with(HEALTH, r#""engine":{"status":"healthy""#);
}
