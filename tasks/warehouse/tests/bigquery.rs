//! BigQuery's rules on an emulator, with a fake Cloud Storage; skipped, loudly, where the emulator is not installed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::json;
use tempfile::TempDir;
use testkit::{BigQueryEmulator, FakeGcs};
use warehouse::{
    ColumnType, Error, HourLoad, LoadColumn, LoadResult, Refusal, RelationKind, Statement, Value, Warehouse,
    open,
};

struct Cloud {
    warehouse: Arc<dyn Warehouse>,
    storage: FakeGcs,
    files: TempDir,
    _emulator: BigQueryEmulator,
}

async fn cloud() -> Option<Cloud> {
    let storage = FakeGcs::start().await.unwrap();
    let emulator = BigQueryEmulator::start(&storage.url).await?;
    let url = format!("bigquery:demo/house?endpoint={}&storage_endpoint={}", emulator.url, storage.url);
    let warehouse = open(&url).unwrap();
    Some(Cloud { warehouse, storage, files: TempDir::new().unwrap(), _emulator: emulator })
}

impl Cloud {
    /// A Parquet file in the lake with what DuckDB selects.
    async fn parquet(&self, name: &str, select: &str) -> String {
        let file = self.files.path().join(name);
        let copy = format!("copy ({select}) to '{}' (format parquet)", file.display());
        open("duckdb::memory:").unwrap().transaction(&[Statement::new(copy)]).await.unwrap();
        self.storage.put(&format!("lake/{name}"), std::fs::read(file).unwrap());
        format!("gs://lake/{name}")
    }

    async fn rows(&self, sql: &str) -> serde_json::Value {
        json!(self.warehouse.query(sql, &[]).await.unwrap().rows)
    }
}

fn at(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, hour, 0, 0).unwrap()
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
            column("artist", ColumnType::String, Some("it's NA".into())),
            column("duration", ColumnType::Double, Some(Value::Float(-1.0))),
            column("userId", ColumnType::Int, Some(Value::Int(0))),
        ],
        loaded_at: at(20),
    }
}

#[tokio::test]
async fn values_are_bound_and_come_back_typed() {
    let Some(cloud) = cloud().await else { return };
    let params = [
        Value::from("it's; drop \\ table x"),
        Value::from(7),
        Value::from(1.5),
        Value::from(true),
        Value::Null,
        Value::from(at(3)),
    ];
    let sql = "select $1 as a, $2 as b, $3 as c, $4 as d, $5 as e, $6 as f, date '2026-01-02' as i, [1,2] as j, 'it''s \\' as k";
    let got = cloud.warehouse.query(sql, &params).await.unwrap();
    let expected = json!([
        "it's; drop \\ table x",
        7,
        1.5,
        true,
        null,
        "2026-11-22T03:00:00Z",
        "2026-01-02",
        [1, 2],
        "it's \\"
    ]);
    assert_eq!(json!(got.rows[0]), expected);
    assert_eq!(got.columns[5].type_name, "TIMESTAMP");
    assert_eq!(got.get(0, "b"), Some(&json!(7)));
}

#[tokio::test]
async fn what_a_query_may_not_do_and_what_is_not_there_are_told_apart() {
    let Some(cloud) = cloud().await else { return };
    let refused = cloud.warehouse.query("create table t (a int64)", &[]).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
    let missing = cloud.warehouse.query("select * from prod.nothing", &[]).await.unwrap_err();
    assert!(missing.is_missing_table() && !missing.is_retryable(), "{missing}");
    let wrong = cloud.warehouse.query("select nope from (select 1 as a)", &[]).await.unwrap_err();
    assert!(matches!(wrong, Error::BigQuery { refusal: Refusal::Invalid, .. }), "{wrong}");
    assert_eq!(cloud.warehouse.relation("prod", "nothing").await.unwrap(), None);
}

#[tokio::test]
async fn a_transaction_makes_schemas_tables_and_views_in_order() {
    let Some(cloud) = cloud().await else { return };
    for _ in 0..2 {
        let statements = [
            Statement::new("create schema if not exists \"prod\""),
            Statement::new(
                "create table if not exists prod.\"kept\" (a bigint, \"b c\" varchar, seen_at timestamp)",
            ),
            Statement::new("create or replace table prod.made as select 1 as n limit 0"),
            Statement::with(
                "insert into prod.made select n + $1 from (select 1 as n) as query",
                [Value::Int(1)],
            ),
            Statement::new("create or replace temp table \"new\" as select n from prod.made"),
            Statement::new("delete from prod.made where n in (select n from \"new\")"),
            Statement::new("insert into prod.made (n) select n * 10 from \"new\""),
            Statement::new("drop table \"new\""),
            Statement::with(
                "insert into prod.kept values ($1, $2, $3)",
                [1.into(), Value::Null, at(1).into()],
            ),
        ];
        let changed = cloud.warehouse.transaction(&statements).await.unwrap();
        assert_eq!(changed.len(), statements.len());
    }
    assert_eq!(
        cloud.rows("select (select sum(n) from prod.made), count(*), min(seen_at) from prod.kept").await,
        json!([[20, 2, "2026-11-22T01:00:00Z"]])
    );
    let kept = cloud.warehouse.relation("prod", "kept").await.unwrap().unwrap();
    assert_eq!(kept.kind, RelationKind::Table);
    let types: Vec<&str> = kept.columns.iter().map(|column| column.type_name.as_str()).collect();
    assert_eq!(types, ["INT64", "STRING", "TIMESTAMP"]);
    let view = [Statement::new("create or replace view prod.seen as select \"b c\" as b from prod.kept")];
    cloud.warehouse.transaction(&view).await.unwrap();
    assert_eq!(cloud.warehouse.relation("prod", "seen").await.unwrap().unwrap().kind, RelationKind::View);
}

#[tokio::test]
async fn loading_an_hour_again_replaces_exactly_that_hour() {
    let Some(cloud) = cloud().await else { return };
    let first = cloud
        .parquet("hour=1/a.parquet".rsplit('/').next().unwrap(), "select case when i = 0 then null else 'x' end as artist, null::double as duration, i as \"userId\" from range(5) t(i)")
        .await;
    let second = cloud
        .parquet("b.parquet", "select 'y' as artist, 2.5::double as duration, 9::bigint as \"userId\"")
        .await;
    let warehouse = &cloud.warehouse;
    let hour_1 = load(1, vec![first.clone()], "d1");
    assert_eq!(warehouse.load_hour(&hour_1).await.unwrap(), LoadResult { rows: 5, replaced: 0 });
    assert_eq!(warehouse.load_hour(&hour_1).await.unwrap(), LoadResult { rows: 5, replaced: 5 });
    let hour_2 = load(2, vec![first, second.clone()], "d2");
    assert_eq!(warehouse.load_hour(&hour_2).await.unwrap(), LoadResult { rows: 6, replaced: 0 });
    let smaller = load(1, vec![second], "d3");
    assert_eq!(warehouse.load_hour(&smaller).await.unwrap(), LoadResult { rows: 1, replaced: 5 });
    let hours = "select hour, count(*), sum(case when artist = 'it''s NA' then 1 else 0 end), min(duration) \
        from staging.listen_events group by hour order by hour";
    assert_eq!(
        cloud.rows(hours).await,
        json!([["2026-11-22T01:00:00Z", 1, 0, 2.5], ["2026-11-22T02:00:00Z", 6, 1, -1.0]])
    );
    assert_eq!(
        warehouse.load_hour(&load(2, vec![], "none")).await.unwrap(),
        LoadResult { rows: 0, replaced: 6 }
    );
    let loads = "select topic, hour, digest, files, \"rows\", loaded_at from staging._loads order by hour";
    assert_eq!(
        cloud.rows(loads).await,
        json!([
            ["listen_events", "2026-11-22T01:00:00Z", "d3", 1, 1, "2026-11-22T20:00:00Z"],
            ["listen_events", "2026-11-22T02:00:00Z", "none", 0, 0, "2026-11-22T20:00:00Z"],
        ])
    );
}

#[tokio::test]
async fn a_load_that_fails_leaves_the_hour_and_local_files_are_refused() {
    let Some(cloud) = cloud().await else { return };
    let file = cloud
        .parquet("a.parquet", "select 'x' as artist, 1.5::double as duration, 1::bigint as \"userId\"")
        .await;
    cloud.warehouse.load_hour(&load(1, vec![file], "d1")).await.unwrap();
    assert!(
        cloud
            .warehouse
            .load_hour(&load(1, vec!["gs://lake/nowhere.parquet".to_owned()], "d2"))
            .await
            .is_err()
    );
    assert_eq!(cloud.rows("select digest from staging._loads").await, json!([["d1"]]));
    for (file, hint) in [("/lake/x.parquet", "gs:// lake"), ("gs://lake/*.parquet", "pattern")] {
        let error = cloud.warehouse.load_hour(&load(1, vec![file.to_owned()], "d")).await.unwrap_err();
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[tokio::test]
async fn a_csv_replaces_the_whole_table_by_the_names_in_its_header() {
    let Some(cloud) = cloud().await else { return };
    let column = |name: &str, kind, default| LoadColumn { name: name.to_owned(), kind, default };
    let columns = vec![
        column("title", ColumnType::String, Some("NA".into())),
        column("duration", ColumnType::Double, None),
    ];
    cloud
        .storage
        .put("lake/songs/songs.csv", b"id,duration,title\n1,2.5,\"March, slow\"\n2,3,Blue\n".to_vec());
    for _ in 0..2 {
        let rows =
            cloud.warehouse.load_csv("staging.songs", "gs://lake/songs/songs.csv", &columns).await.unwrap();
        assert_eq!(rows, 2);
    }
    let songs = "select title, duration from staging.songs order by duration";
    assert_eq!(cloud.rows(songs).await, json!([["March, slow", 2.5], ["Blue", 3.0]]));
    cloud.storage.put("lake/bad.csv", b"title,length\na,1\n".to_vec());
    let error = cloud.warehouse.load_csv("staging.songs", "gs://lake/bad.csv", &columns).await.unwrap_err();
    assert!(error.to_string().starts_with("gs://lake/bad.csv:1: no column duration"), "{error}");
}
