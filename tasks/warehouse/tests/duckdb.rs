//! The rules of the embedded warehouse, on real files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::json;
use tempfile::TempDir;
use warehouse::{
    ColumnType, Error, HourLoad, LoadColumn, LoadResult, RelationKind, Rows, Statement, Value, Warehouse,
    open,
};

const CHILD: &str = "WAREHOUSE_TEST_CHILD_FILE";

fn memory() -> Arc<dyn Warehouse> {
    open("duckdb::memory:").unwrap()
}

fn at(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, hour, 0, 0).unwrap()
}

async fn run(warehouse: &dyn Warehouse, sql: &str) -> Vec<u64> {
    warehouse.transaction(&[Statement::new(sql)]).await.unwrap()
}

async fn rows(warehouse: &dyn Warehouse, sql: &str) -> Rows {
    warehouse.query(sql, &[]).await.unwrap()
}

async fn value(warehouse: &dyn Warehouse, sql: &str) -> serde_json::Value {
    rows(warehouse, sql).await.rows[0][0].clone()
}

/// Writes a Parquet file of `n` events and returns its URI.
async fn parquet(warehouse: &dyn Warehouse, dir: &Path, name: &str, select: &str) -> String {
    let file = dir.join(name);
    run(warehouse, &format!("copy ({select}) to '{}' (format parquet)", file.display())).await;
    format!("file://{}", file.display())
}

fn load(hour: u32, files: Vec<String>, digest: &str) -> HourLoad {
    let column = |name: &str, kind, default| LoadColumn { name: name.to_owned(), kind, default };
    HourLoad {
        table: "staging.listen_events".to_owned(),
        topic: "listen_events".to_owned(),
        hour: at(hour),
        files,
        digest: digest.to_owned(),
        columns: vec![
            column("artist", ColumnType::String, Some("NA".into())),
            column("duration", ColumnType::Double, Some(Value::Float(-1.0))),
            column("userId", ColumnType::Int, Some(Value::Int(0))),
        ],
        loaded_at: at(20),
    }
}

#[tokio::test]
async fn values_are_bound_and_come_back_typed() {
    let warehouse = memory();
    let params = [
        Value::from("it's; drop table x"),
        Value::from(7),
        Value::from(1.5),
        Value::from(true),
        Value::Null,
        Value::from(at(3)),
    ];
    let sql = "select $1 a, $2 b, $3 c, $4 d, $5 e, $6 f, sum(1) g, 1.25::decimal(9,2) h, date '2026-01-02' i, [1,2] j";
    let got = warehouse.query(sql, &params).await.unwrap();
    let expected = json!([
        "it's; drop table x",
        7,
        1.5,
        true,
        null,
        "2026-11-22T03:00:00Z",
        1,
        1.25,
        "2026-01-02",
        [1, 2]
    ]);
    assert_eq!(json!(got.rows[0]), expected);
    assert_eq!(got.columns[5].type_name, "TIMESTAMP");
    assert_eq!(got.get(0, "b"), Some(&json!(7)));
}

#[tokio::test]
async fn time_is_utc() {
    assert_eq!(value(&*memory(), "select current_setting('TimeZone')").await, json!("UTC"));
}

#[tokio::test]
async fn query_cannot_change_anything() {
    let warehouse = memory();
    let error = warehouse.query("create table t (a int)", &[]).await.unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
    assert_eq!(warehouse.relation("main", "t").await.unwrap(), None);
}

#[tokio::test]
async fn too_many_rows_is_an_error() {
    let error = memory().query("select * from range(100001)", &[]).await.unwrap_err();
    assert!(matches!(error, Error::TooManyRows { limit: 100_000, .. }), "{error}");
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let warehouse = memory();
    run(&*warehouse, "create table t (a int primary key)").await;
    let statements = [
        Statement::with("insert into t values ($1), ($2)", [Value::from(1), Value::from(2)]),
        Statement::new("\n  insert into t\n values (1)"),
    ];
    let error = warehouse.transaction(&statements).await.unwrap_err();
    assert!(!error.is_retryable());
    let Error::Sql { statement, message, .. } = error else { panic!("{error}") };
    assert_eq!(statement, "insert into t");
    assert!(message.contains("Constraint Error"), "{message}");
    assert_eq!(value(&*warehouse, "select count(*) from t").await, json!(0));
    assert_eq!(warehouse.transaction(&statements[..1]).await.unwrap(), [2]);
}

#[tokio::test]
async fn concurrent_writers_wait_for_their_turn() {
    let warehouse = memory();
    run(&*warehouse, "create table t as select 0 as a").await;
    let writers = (0..16).map(|_| {
        let warehouse = Arc::clone(&warehouse);
        tokio::spawn(async move { warehouse.transaction(&[Statement::new("update t set a = a + 1")]).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(value(&*warehouse, "select a from t").await, json!(16));
}

#[tokio::test]
async fn relation_tells_tables_from_views() {
    let warehouse = memory();
    run(&*warehouse, "create table t (\"userId\" bigint, name varchar); create view v as select * from t")
        .await;
    let table = warehouse.relation("main", "t").await.unwrap().unwrap();
    assert_eq!(table.kind, RelationKind::Table);
    assert_eq!(table.columns[0].name, "userId");
    assert_eq!(table.columns[1].type_name, "VARCHAR");
    assert_eq!(warehouse.relation("main", "v").await.unwrap().unwrap().kind, RelationKind::View);
    assert_eq!(warehouse.relation("main", "w").await.unwrap(), None);
}

#[tokio::test]
async fn loading_an_hour_again_replaces_exactly_that_hour() {
    let (warehouse, dir) = (memory(), TempDir::new().unwrap());
    let first = parquet(&*warehouse, dir.path(), "a'1.parquet".replace('\'', "-").as_str(),
        "select case when i = 0 then null else 'x' end as artist, null::double as duration, i as \"userId\" from range(5) t(i)").await;
    let second = parquet(
        &*warehouse,
        dir.path(),
        "b.parquet",
        "select 'y' as artist, 2.5 as duration, 9::bigint as \"userId\", 1 as unknown",
    )
    .await;

    let hour_1 = load(1, vec![first.clone()], "d1");
    assert_eq!(warehouse.load_hour(&hour_1).await.unwrap(), LoadResult { rows: 5, replaced: 0 });
    assert_eq!(warehouse.load_hour(&hour_1).await.unwrap(), LoadResult { rows: 5, replaced: 5 });
    let hour_2 = load(2, vec![first, second.clone()], "d2");
    assert_eq!(warehouse.load_hour(&hour_2).await.unwrap(), LoadResult { rows: 6, replaced: 0 });
    let smaller = load(1, vec![second], "d3");
    assert_eq!(warehouse.load_hour(&smaller).await.unwrap(), LoadResult { rows: 1, replaced: 5 });

    let hours = rows(
        &*warehouse,
        "select hour, count(*) n, count(*) filter (artist = 'NA') na, min(duration) d \
        from staging.listen_events group by 1 order by 1",
    )
    .await;
    assert_eq!(
        json!(hours.rows),
        json!([["2026-11-22T01:00:00Z", 1, 0, 2.5], ["2026-11-22T02:00:00Z", 6, 1, -1.0]])
    );
    let loads = rows(
        &*warehouse,
        "select topic, hour, digest, files, rows, loaded_at from staging._loads order by hour",
    )
    .await;
    assert_eq!(
        json!(loads.rows),
        json!([
            ["listen_events", "2026-11-22T01:00:00Z", "d3", 1, 1, "2026-11-22T20:00:00Z"],
            ["listen_events", "2026-11-22T02:00:00Z", "d2", 2, 6, "2026-11-22T20:00:00Z"],
        ])
    );
}

#[tokio::test]
async fn an_hour_without_files_becomes_empty_and_is_recorded() {
    let (warehouse, dir) = (memory(), TempDir::new().unwrap());
    let file = parquet(
        &*warehouse,
        dir.path(),
        "a.parquet",
        "select 'x' as artist, 1.0 as duration, 1 as \"userId\"",
    )
    .await;
    warehouse.load_hour(&load(1, vec![file], "d1")).await.unwrap();
    assert_eq!(
        warehouse.load_hour(&load(1, vec![], "none")).await.unwrap(),
        LoadResult { rows: 0, replaced: 1 }
    );
    assert_eq!(value(&*warehouse, "select digest || rows from staging._loads").await, json!("none0"));
}

#[tokio::test]
async fn a_new_column_is_added_with_its_default_and_an_absent_one_is_filled() {
    let (warehouse, dir) = (memory(), TempDir::new().unwrap());
    let file = parquet(&*warehouse, dir.path(), "a.parquet", "select 'x' as artist, 1 as \"userId\"").await;
    warehouse.load_hour(&load(1, vec![file.clone()], "d1")).await.unwrap();
    assert_eq!(value(&*warehouse, "select duration from staging.listen_events").await, json!(-1.0));
    let mut wider = load(2, vec![file], "d1");
    wider.columns.push(LoadColumn {
        name: "level".to_owned(),
        kind: ColumnType::String,
        default: Some("it's".into()),
    });
    warehouse.load_hour(&wider).await.unwrap();
    let levels =
        rows(&*warehouse, "select distinct level, count(*) from staging.listen_events group by 1").await;
    assert_eq!(json!(levels.rows), json!([["it's", 2]]));
}

#[tokio::test]
async fn a_failed_load_leaves_the_hour_as_it_was() {
    let (warehouse, dir) = (memory(), TempDir::new().unwrap());
    let good = parquet(
        &*warehouse,
        dir.path(),
        "a.parquet",
        "select 'x' as artist, 1.0 as duration, 1 as \"userId\"",
    )
    .await;
    let bad = parquet(
        &*warehouse,
        dir.path(),
        "b.parquet",
        "select 'x' as artist, 'long' as duration, 1 as \"userId\"",
    )
    .await;
    warehouse.load_hour(&load(1, vec![good], "d1")).await.unwrap();
    assert!(warehouse.load_hour(&load(1, vec![bad], "d2")).await.is_err());
    assert!(warehouse.load_hour(&load(1, vec!["file:///nowhere/x.parquet".to_owned()], "d3")).await.is_err());
    assert_eq!(value(&*warehouse, "select digest || rows from staging._loads").await, json!("d11"));
    assert_eq!(value(&*warehouse, "select count(*) from staging.listen_events").await, json!(1));
}

#[tokio::test]
async fn remote_files_and_patterns_are_refused_with_the_remedy() {
    for (file, hint) in [("gs://b/x.parquet", "file:// lake"), ("/lake/*.parquet", "patterns")] {
        let error = memory().load_hour(&load(1, vec![file.to_owned()], "d")).await.unwrap_err();
        assert!(error.to_string().starts_with(file) && error.to_string().contains(hint), "{error}");
    }
}

fn csv_columns() -> Vec<LoadColumn> {
    let column = |name: &str, kind, default| LoadColumn { name: name.to_owned(), kind, default };
    vec![column("title", ColumnType::String, Some("NA".into())), column("duration", ColumnType::Double, None)]
}

#[tokio::test]
async fn a_csv_replaces_the_whole_table() {
    let (warehouse, dir) = (memory(), TempDir::new().unwrap());
    let file = dir.path().join("songs.csv");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "\u{feff}id,duration,title\n1,2.5,\"Overture \\\"1812\\\"; March, slow\"\n2,3,\n")
        .unwrap();
    assert_eq!(warehouse.load_csv("staging.songs", path, &csv_columns()).await.unwrap(), 2);
    assert_eq!(warehouse.load_csv("staging.songs", path, &csv_columns()).await.unwrap(), 2);
    let got = rows(&*warehouse, "select title, duration from staging.songs order by 2").await;
    assert_eq!(json!(got.rows), json!([["Overture \"1812\"; March, slow", 2.5], ["NA", 3.0]]));
}

#[tokio::test]
async fn a_bad_csv_names_the_file_and_the_line_and_changes_nothing() {
    let (warehouse, dir) = (memory(), TempDir::new().unwrap());
    let file = dir.path().join("songs.csv");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "title,duration\na,1\n").unwrap();
    warehouse.load_csv("staging.songs", path, &csv_columns()).await.unwrap();
    for (text, place, what) in [
        ("title,duration\na,1\nb,long\n", ":3", "\"long\""),
        ("title,duration\na,1,9\n", ":2", "Column"),
        ("title,length\na,1\n", ":1", "no column duration"),
        ("", "", "empty"),
    ] {
        std::fs::write(&file, text).unwrap();
        let message =
            warehouse.load_csv("staging.songs", path, &csv_columns()).await.unwrap_err().to_string();
        assert!(message.starts_with(&format!("{path}{place}: ")) && message.contains(what), "{message}");
        assert_eq!(value(&*warehouse, "select title from staging.songs").await, json!("a"));
    }
}

const ENDLESS: &str = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b";

#[tokio::test]
async fn dropping_the_future_stops_the_statement() {
    let warehouse = memory();
    run(&*warehouse, "create table t (a hugeint)").await;
    // More than there are connections: each must come back.
    for _ in 0..6 {
        let query = warehouse.query(ENDLESS, &[]);
        assert!(tokio::time::timeout(Duration::from_millis(20), query).await.is_err());
        let endless_write =
            [Statement::new("insert into t values (1)"), Statement::new(format!("insert into t {ENDLESS}"))];
        let write = warehouse.transaction(&endless_write);
        assert!(tokio::time::timeout(Duration::from_millis(20), write).await.is_err());
    }
    let after = tokio::time::timeout(Duration::from_secs(20), run(&*warehouse, "insert into t values (2)"));
    assert_eq!(after.await.expect("the writer's turn is free again"), [1]);
    assert_eq!(value(&*warehouse, "select list(a) from t").await, json!([2]));
}

#[tokio::test]
async fn urls_that_are_not_understood_say_what_is() {
    for (url, known) in [
        ("sqlite:x", "duckdb:/path/file.duckdb"),
        ("duckdb:", "no path"),
        ("duckdb::memory:?ram=1", "memory_limit, threads"),
        ("duckdb::memory:?threads=0", "1 to 256"),
    ] {
        let Err(error) = open(url) else { panic!("{url} opened") };
        assert!(error.to_string().contains(known), "{error}");
    }
}

#[tokio::test]
async fn limits_are_set_and_nothing_is_downloaded() {
    let warehouse = open("duckdb::memory:?memory_limit=512MiB&threads=1").unwrap();
    let settings = "select current_setting('memory_limit'), current_setting('threads'), \
        current_setting('autoinstall_known_extensions'), current_setting('autoload_known_extensions')";
    assert_eq!(json!(rows(&*warehouse, settings).await.rows), json!([["512.0 MiB", 1, false, false]]));
}

#[tokio::test]
async fn one_file_is_opened_once_in_a_process_and_reopens_after_close() {
    let dir = TempDir::new().unwrap();
    let url = format!("duckdb:{}/new/w.duckdb", dir.path().display());
    for turn in 1..=3 {
        let (one, other) = (open(&url).unwrap(), open(&url).unwrap());
        run(&*one, "create table if not exists t (a int); insert into t values (1)").await;
        assert_eq!(value(&*other, "select count(*) from t").await, json!(turn));
    }
}

/// Not a test of its own: the body of the process that the next test kills.
#[tokio::test]
async fn child_that_writes_until_killed() {
    let Ok(file) = std::env::var(CHILD) else { return };
    let warehouse = open(&format!("duckdb:{file}")).unwrap();
    run(&*warehouse, "create table if not exists t (n int, half int)").await;
    for n in 1..100_000 {
        let insert =
            |half| Statement::with("insert into t values ($1, $2)", [Value::from(n), Value::from(half)]);
        warehouse.transaction(&[insert(1), insert(2)]).await.unwrap();
        println!("\ncommitted {n}");
    }
}

#[tokio::test]
async fn a_killed_owner_loses_no_commit_and_leaves_no_half() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("w.duckdb");
    let url = format!("duckdb:{}", file.display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_killed", "--nocapture"])
        .env(CHILD, &file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let committed =
        lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
    let mut committed = committed.skip_while(|n| *n < 50);
    let seen = committed.next().unwrap();

    match open(&url) {
        Err(Error::Owned { pid, .. }) => assert_eq!(pid, Some(child.id())),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two processes opened one file"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = committed.last().unwrap_or(seen);

    let warehouse = open(&url).unwrap();
    let sums = rows(&*warehouse, "select max(n), count(*), count(distinct n) from t").await;
    let number = |index: usize| sums.rows[0][index].as_u64().unwrap();
    assert!(number(0) >= seen, "committed {seen}, found {}", number(0));
    assert_eq!(number(1), 2 * number(2), "a half of a transaction survived");
    assert_eq!(number(2), number(0));
}
