//! `pg_dump` of a database at work, restored elsewhere: runs go on, ticks go on, nothing is lost or doubled.

use crate::support::{World, at, dag, now, task, world};
use chrono::{DateTime, TimeDelta, Utc};
use model::Ending;
use std::process::Command;
use std::time::Duration;
use store::Store;
use store::logs::LogLine;
use store::runs::{NewRun, RunType};
use store::ticks::TickDecision;
use testkit::Database;
use uuid::Uuid;

/// The client programs, if this machine has them.
fn tools() -> bool {
    let has =
        |tool: &str| Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if has("pg_dump") && has("pg_restore") {
        return true;
    }
    testkit::skip("no pg_dump or no pg_restore", "apt-get install postgresql-client");
    false
}

async fn run(program: &'static str, arguments: Vec<String>) {
    let output = tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output().unwrap())
        .await
        .unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn restored(world: &World) -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup").display().to_string();
    run("pg_dump", vec!["--format=custom".into(), format!("--file={file}"), world.database.url().into()])
        .await;
    let database = Database::fresh().await;
    run(
        "pg_restore",
        vec!["--exit-on-error".into(), "--no-owner".into(), format!("--dbname={}", database.url()), file],
    )
    .await;
    (folder, database)
}

/// Everything that is counted to see whether something was lost or doubled.
const SUMS: &str = "select array[(select count(*) from runs), (select count(*) from task_instances), (select count(*) from attempts),
    (select count(*) from attempt_history), (select count(*) from ticks), (select count(*) from logs), (select count(*) from dag_versions)]";

fn tick(template: &NewRun, hour: i64) -> (DateTime<Utc>, TickDecision) {
    let at = now() + TimeDelta::hours(hour);
    let run = NewRun {
        run_id: format!("scheduled__{hour}"),
        run_type: RunType::Scheduled,
        logical_date: Some(at),
        run_after: at,
        ..template.clone()
    };
    (at, TickDecision::Ran(run))
}

async fn say(store: &Store, attempt_id: i64, seq: i32, at: DateTime<Utc>) {
    let line = LogLine { attempt_id, seq, at, stream: "stdout", line: "said".into() };
    store.append_logs(&[line]).await.unwrap();
}

async fn sums(world: &World) -> Vec<i64> {
    sqlx::query_scalar(SUMS).fetch_one(&world.pool).await.unwrap()
}

/// The loops of a node, until every run is over.
async fn work(world: &World, from: DateTime<Utc>) {
    let claim = world.slots(50);
    for round in 0..100 {
        let when = from + TimeDelta::seconds(20 * round);
        world.store.promote(when, 50, None).await.unwrap();
        for run in world.store.due_runs(when, 50).await.unwrap().0 {
            world.store.advance(run, when, None).await.unwrap();
        }
        for attempt in world.store.claim(&claim, when).await.unwrap() {
            world.end(&attempt, Ending::Done, when).await;
        }
        if world.count("select count(*) from runs where state in ('queued', 'running')").await == 0 {
            return;
        }
    }
    panic!("runs do not come to their end");
}

#[tokio::test]
async fn a_restored_database_goes_on_where_the_dump_was_taken() {
    if !tools() {
        return;
    }
    let world = world().await;
    let chain = dag("d", vec![task("a", &[]), task("b", &[0]), task("c", &[1])]);
    let template = world.new_run(&chain, "x").await;
    let first: Vec<_> = (0..4).map(|hour| tick(&template, hour)).collect();
    world.store.record_ticks("d", &first, now()).await.unwrap();
    world.store.promote(at(3600 * 4), 10, None).await.unwrap();
    // One task is done, one is running, others are queued.
    let attempts = world.claim(2).await;
    assert_eq!(attempts.len(), 2);
    say(&world.store, attempts[0].attempt_id, 0, now()).await;
    world.end(&attempts[0], Ending::Done, at(1)).await;

    let (_folder, database) = restored(&world).await;
    let store = Store::connect(database.url(), 4).await.unwrap();
    store.migrate().await.unwrap();
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let new = World { store, pool, node: Uuid::from_u128(2), database };
    assert_eq!(sums(&new).await, sums(&world).await);

    // The node of the dump is not there; its lease runs out, and its attempt is lost and done again.
    let later = at(3600 * 5);
    new.register(new.node).await;
    new.store.heartbeat(new.node, later).await.unwrap();
    assert_eq!(new.store.expire_nodes(later, Duration::from_secs(30)).await.unwrap(), (1, 1));
    // The old node, should it ever speak to this database, is not heard.
    let (attempt, lease) = (attempts[1].attempt_id, attempts[1].lease);
    let late = new.store.finish(attempt, lease, Ending::Done, None, None, later, None).await;
    assert!(late.is_err(), "a lease of before the restore still counts");

    // Ticks go on after the newest one, and none twice.
    new.store.record_ticks("d", &[tick(&template, 3), tick(&template, 4)], later).await.unwrap();
    work(&new, later).await;
    assert_eq!(new.count("select count(*) from runs where state = 'success'").await, 5);
    assert_eq!(new.count("select count(*) from runs").await, 5);
    assert_eq!(new.count("select count(*) from ticks").await, 5);
    assert_eq!(new.count("select count(*) from attempt_history where ending = 'lost'").await, 1);
    let twice = "select count(*) from (select 1 from attempt_history where next_state = 'success'
        group by run, task, map_index having count(*) > 1) t";
    assert_eq!(new.count(twice).await, 0, "no task succeeded twice");
    assert_eq!(new.store.read_logs(attempts[0].attempt_id, -1, 9).await.unwrap().len(), 1);
    new.assert_invariants().await;
    // Days of logs that were not there yet can be made.
    say(&new.store, 1, 9, later + TimeDelta::days(3)).await;
}
