//! A warehouse with hours of made-up events, loaded from Parquet files as in the product, and a count of what it is asked.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod emulator;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use model::CheckStatus;
use serde_json::Value as Json;
use tempfile::TempDir;
use testkit::{BigQueryEmulator, FakeGcs};
use transform::{NodeKind, NodeResult, Project, RunArgs};
use warehouse::{
    ColumnType, Dialect, Error, HourLoad, LoadColumn, LoadResult, Relation, Rows, Statement, Value, Warehouse,
};

pub const TOPICS: [&str; 4] = ["listen_events", "page_view_events", "auth_events", "status_change_events"];

pub fn streamify() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dags/streamify")
}

pub fn hour(n: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 0, 0, 0).unwrap() + TimeDelta::hours(n)
}

pub fn window(n: i64) -> RunArgs {
    RunArgs { window: Some((hour(n), hour(n + 1))), ..RunArgs::default() }
}

/// One listen event, as far as tests care.
#[derive(Clone, Debug)]
pub struct Listen {
    pub offset: i64,
    pub second: i64,
    pub user: i64,
    pub level: &'static str,
    pub artist: String,
    pub song: String,
    pub state: &'static str,
}

impl Listen {
    pub fn of(offset: i64, second: i64, user: i64, level: &'static str) -> Self {
        let (artist, song) = ("Nina".to_owned(), "Blue".to_owned());
        Self { offset, second, user, level, artist, song, state: "DC" }
    }
}

/// Three hours: user 1 upgrades in the second and downgrades in the third, user 2 changes twice within a minute.
pub fn story() -> Vec<Vec<Listen>> {
    vec![
        vec![Listen::of(0, 10, 1, "free"), Listen::of(1, 20, 2, "free"), Listen::of(2, 30, 0, "free")],
        vec![
            Listen::of(3, 5, 1, "free"),
            Listen::of(4, 100, 1, "paid"),
            Listen::of(5, 200, 2, "paid"),
            Listen::of(6, 230, 2, "free"),
            Listen::of(7, 240, 3, "paid"),
        ],
        vec![Listen::of(8, 7, 1, "paid"), Listen::of(9, 8, 1, "free"), Listen::of(10, 3000, 2, "free")],
    ]
}

const SONGS: &str = "artist_id,artist_latitude,artist_location,artist_longitude,artist_name,duration,key,key_confidence,loudness,song_hotttnesss,song_id,tempo,title,year\n\
     A2,0,NA,0,Nina,100,1,0.5,-9,0.5,S1,90,Blue,1965\n\
     A1,1.5,Tryon,2.5,Nina,101,1,0.5,-9,0.5,S2,91,Blue,1966\n\
     A1,1.5,Tryon,2.5,Nina feat. Bo,102,1,0.5,-9,0.5,S3,92,Red,1967\n\
     A3,0,NA,0,\"The \"\"Q\"\"\",103,1,0.5,-9,0.5,S4,93,Tall,1968\n";

/// Nodes that one start of the emulator runs.
const RUNS: usize = 4;

pub struct House {
    pub warehouse: Arc<dyn Warehouse>,
    pub project: Project,
    pub calls: Arc<Calls>,
    /// DuckDB, which writes the Parquet files that are loaded.
    maker: Arc<dyn Warehouse>,
    /// What BigQuery needs: files lie there instead of in the folder.
    cloud: Option<Cloud>,
    dir: TempDir,
    version: AtomicUsize,
}

struct Cloud {
    storage: FakeGcs,
    emulator: tokio::sync::Mutex<BigQueryEmulator>,
    /// Nodes that it ran since it was started.
    runs: AtomicUsize,
}

/// What was sent to the warehouse since the last [`House::reset`].
#[derive(Default)]
pub struct Calls {
    pub queries: AtomicUsize,
    pub statements: AtomicUsize,
}

struct Counting {
    inner: Arc<dyn Warehouse>,
    calls: Arc<Calls>,
}

#[async_trait]
impl Warehouse for Counting {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }
    async fn query(&self, sql: &str, params: &[Value]) -> Result<Rows, Error> {
        self.calls.queries.fetch_add(1, Ordering::Relaxed);
        self.inner.query(sql, params).await
    }
    async fn transaction(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.calls.statements.fetch_add(statements.len(), Ordering::Relaxed);
        if self.dialect() == Dialect::BigQuery {
            return emulator::transaction(&self.inner, statements).await;
        }
        self.inner.transaction(statements).await
    }
    async fn relation(&self, schema: &str, name: &str) -> Result<Option<Relation>, Error> {
        self.calls.queries.fetch_add(1, Ordering::Relaxed);
        self.inner.relation(schema, name).await
    }
    async fn load_hour(&self, load: &HourLoad) -> Result<LoadResult, Error> {
        self.inner.load_hour(load).await
    }
    async fn load_csv(&self, table: &str, uri: &str, columns: &[LoadColumn]) -> Result<u64, Error> {
        self.inner.load_csv(table, uri, columns).await
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with_songs(SONGS).await
    }

    /// The same on BigQuery, as far as an emulator is one; `None` where there is none.
    pub async fn on_bigquery() -> Option<Self> {
        let storage = FakeGcs::start().await.unwrap();
        let dir = TempDir::new().unwrap();
        let emulator = BigQueryEmulator::start_on(&storage.url, Some(&dir.path().join("bigquery"))).await?;
        let url = format!("bigquery:demo?endpoint={}&storage_endpoint={}", emulator.url, storage.url);
        let inner = warehouse::open(&url).unwrap();
        let cloud = Cloud { storage, emulator: emulator.into(), runs: AtomicUsize::new(0) };
        Some(Self::built(inner, Some(cloud), dir, SONGS).await)
    }

    pub async fn with_songs(csv: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let inner = warehouse::open(&format!("duckdb:{}", dir.path().join("w.duckdb").display())).unwrap();
        Self::built(inner, None, dir, csv).await
    }

    async fn built(inner: Arc<dyn Warehouse>, cloud: Option<Cloud>, dir: TempDir, csv: &str) -> Self {
        let maker = match &cloud {
            Some(_) => warehouse::open("duckdb::memory:").unwrap(),
            None => Arc::clone(&inner),
        };
        let calls = Arc::new(Calls::default());
        let warehouse: Arc<dyn Warehouse> = Arc::new(Counting { inner, calls: Arc::clone(&calls) });
        let project = Project::load(&streamify(), "prod").unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
        });
        let house = Self { warehouse, project, calls, maker, cloud, dir, version: AtomicUsize::new(0) };
        let path = house.dir.path().join("songs.csv");
        std::fs::write(&path, csv).unwrap();
        house.load_songs(&path).await;
        house
    }

    pub async fn load_songs(&self, path: &Path) -> u64 {
        let texts = ["artist_id", "artist_location", "artist_name", "song_id", "title"];
        let ints = ["key", "year"];
        let doubles = [
            "artist_latitude",
            "artist_longitude",
            "duration",
            "key_confidence",
            "loudness",
            "song_hotttnesss",
            "tempo",
        ];
        let kinds = [
            (&texts[..], ColumnType::String),
            (&ints[..], ColumnType::Int),
            (&doubles[..], ColumnType::Double),
        ];
        let columns = kinds.iter().flat_map(|(names, kind)| {
            names.iter().map(|name| LoadColumn { name: (*name).to_owned(), kind: *kind, default: None })
        });
        let columns: Vec<LoadColumn> = columns.collect();
        self.warehouse.load_csv("staging.songs", &self.placed(path), &columns).await.unwrap()
    }

    /// Loads the hour of all four topics: the given listens, the same as page views, and one event of the other two.
    pub async fn load(&self, n: i64, listens: &[Listen]) {
        self.load_topics(n, listens, &TOPICS).await;
    }

    /// The same of some topics.
    pub async fn load_topics(&self, n: i64, listens: &[Listen], topics: &[&str]) {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let rows = listens.iter().map(|one| {
            format!(
                "({}, {}, {}, {}, {}, {}, {})",
                one.offset,
                one.second,
                one.user,
                quote(one.level),
                quote(&one.artist),
                quote(&one.song),
                quote(one.state)
            )
        });
        let rows: Vec<String> = rows.collect();
        let none = "(select 0, 0, 0, 'free', '', '', '' where false)".to_owned();
        let from = if rows.is_empty() { none } else { format!("(values {})", rows.join(", ")) };
        let from = format!(
            "(select cast(o as bigint) as o, cast(s as bigint) as s, cast(u as bigint) as u, l, a, t, st from {from} as v(o, s, u, l, a, t, st))"
        );
        self.load_selected(n, &from, topics).await;
    }

    /// `from` has columns o(ffset), s(econd), u(ser), l(evel), a(rtist), t(itle), st(ate).
    pub async fn load_select(&self, n: i64, from: &str) {
        self.load_selected(n, from, &TOPICS).await;
    }

    async fn load_selected(&self, n: i64, from: &str, topics: &[&str]) {
        let start = hour(n).timestamp_millis();
        let user = "case when u = 0 then null else u end as \"userId\", 'First' || u as \"firstName\", 'Last' as \"lastName\", \
             case when u % 2 = 0 then 'M' else 'F' end as gender, 1700000000000 as registration";
        let place = "u % 7 + 10000 || '' as zip, 'City' || (u % 7) as city, st as state, 1.5 as lat, 2.5 as lon, 'Agent' as \"userAgent\"";
        let head = format!(
            "{start} + s * 1000 as ts, u * 10 as \"sessionId\", l as level, 1 as \"itemInSession\", {place}, {user}"
        );
        let tail = "0::integer as _topic_partition, o as _topic_offset";
        let song = "a as artist, t as song, 100.5 as duration";
        let selects = [
            (TOPICS[0], format!("select {head}, 'Logged In' as auth, {song}, {tail} from {from}")),
            (
                TOPICS[1],
                format!(
                    "select {head}, 'Logged In' as auth, 'NextSong' as page, 'PUT' as method, 200 as status, {song}, {tail} from {from}"
                ),
            ),
            (TOPICS[2], format!("select {head}, true as success, {tail} from {from} limit 1")),
            (TOPICS[3], format!("select {head}, 'Logged In' as auth, {tail} from {from} limit 1")),
        ];
        for (topic, select) in selects.into_iter().filter(|(topic, _)| topics.contains(topic)) {
            self.rest().await;
            let version = self.version.fetch_add(1, Ordering::Relaxed);
            let file = self.dir.path().join(format!("{topic}-{n}-{version}.parquet"));
            let copy = format!("copy ({select}) to '{}' (format parquet)", file.display());
            self.maker.transaction(&[Statement::new(copy)]).await.unwrap();
            let load = HourLoad {
                table: format!("staging.{topic}"),
                topic: topic.to_owned(),
                hour: hour(n),
                files: vec![self.placed(&file)],
                digest: format!("v{version}"),
                columns: columns(topic),
                loaded_at: hour(n + 1),
            };
            self.warehouse.load_hour(&load).await.unwrap();
        }
        self.reset();
    }

    /// Where the warehouse can read the file.
    fn placed(&self, file: &Path) -> String {
        let Some(Cloud { storage, .. }) = &self.cloud else { return file.display().to_string() };
        let name = file.file_name().unwrap().to_str().unwrap();
        storage.put(&format!("lake/{name}"), std::fs::read(file).unwrap());
        format!("gs://lake/{name}")
    }

    pub fn reset(&self) {
        self.calls.queries.store(0, Ordering::Relaxed);
        self.calls.statements.store(0, Ordering::Relaxed);
    }

    /// Runs all nodes in order; tests must pass unless they only warn.
    pub async fn run_all(&self, args: &RunArgs) -> BTreeMap<String, NodeResult> {
        let mut results = BTreeMap::new();
        for node in self.project.nodes() {
            let result = self.run(&node.id, args).await;
            if let Some(check) = &result.check {
                assert_ne!(check.status, CheckStatus::Fail, "{check:#?}");
            }
            results.insert(node.id.clone(), result);
        }
        results
    }

    pub async fn run_models(&self, args: &RunArgs) -> BTreeMap<String, NodeResult> {
        let mut results = BTreeMap::new();
        for node in self.project.nodes().iter().filter(|node| node.kind != NodeKind::Test) {
            results.insert(node.id.clone(), self.run(&node.id, args).await);
        }
        results
    }

    /// Now and then the emulator starts again, with what it has.
    pub async fn rest(&self) {
        let Some(cloud) = &self.cloud else { return };
        if cloud.runs.fetch_add(1, Ordering::Relaxed) % RUNS == RUNS - 1 {
            cloud.emulator.lock().await.restart().await;
        }
    }

    pub async fn run(&self, id: &str, args: &RunArgs) -> NodeResult {
        self.rest().await;
        let mut lines = Vec::new();
        let mut log = |line: String| lines.push(line);
        match self.project.run(id, args, &*self.warehouse, &mut log).await {
            Ok(result) => result,
            Err(error) => panic!("{id}: {error}\n{lines:#?}"),
        }
    }

    pub async fn rows(&self, sql: &str) -> Json {
        Json::from(
            self.warehouse
                .query(sql, &[])
                .await
                .unwrap()
                .rows
                .into_iter()
                .map(Json::from)
                .collect::<Vec<_>>(),
        )
    }

    pub async fn one(&self, sql: &str) -> Json {
        self.rows(sql).await[0][0].clone()
    }

    /// Every table's contents, in an order of its own.
    pub async fn contents(&self) -> BTreeMap<String, Json> {
        let mut tables = BTreeMap::new();
        for node in self.project.nodes().iter().filter(|node| node.kind != NodeKind::Test) {
            tables.insert(
                node.id.clone(),
                self.rows(&format!("select * from prod.{} order by all", node.id)).await,
            );
        }
        tables
    }
}

fn columns(topic: &str) -> Vec<LoadColumn> {
    let text = |name: &str| (name.to_owned(), ColumnType::String, Value::from("NA"));
    let int = |name: &str, default| (name.to_owned(), ColumnType::Int, Value::Int(default));
    let double = |name: &str, default| (name.to_owned(), ColumnType::Double, Value::Float(default));
    let mut columns = vec![
        int("ts", 0),
        int("sessionId", 0),
        text("level"),
        int("itemInSession", 0),
        text("zip"),
        text("city"),
        text("state"),
        double("lat", 0.0),
        double("lon", 0.0),
        text("userAgent"),
        int("userId", 0),
        text("lastName"),
        text("firstName"),
        text("gender"),
        int("registration", 9_999_999_999_999),
        int("_topic_partition", 0),
        int("_topic_offset", 0),
    ];
    match topic {
        "listen_events" => {
            columns.extend([text("artist"), text("song"), double("duration", -1.0), text("auth")])
        }
        "page_view_events" => columns.extend([
            text("artist"),
            text("song"),
            double("duration", -1.0),
            text("auth"),
            text("page"),
            text("method"),
            int("status", 0),
        ]),
        "auth_events" => columns.push(("success".to_owned(), ColumnType::Boolean, Value::Bool(false))),
        _ => columns.push(text("auth")),
    }
    columns
        .into_iter()
        .map(|(name, kind, default)| LoadColumn { name, kind, default: Some(default) })
        .collect()
}
