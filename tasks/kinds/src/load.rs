//! `load`: the hours of a window from the lake into a staging table, replaced, never appended; or a CSV file of the lake as a whole table.

use crate::env::Env;
use crate::with;
use crate::{WAREHOUSE, loaded};
use async_trait::async_trait;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use lake::HourManifest;
use model::task::{Stream, WithProblem};
use model::{Outcome, Task, TaskContext, TaskError, Window};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use warehouse::{ColumnType, HourLoad, LoadColumn, Warehouse};

/// Late files are looked for this far back.
const LATE_DAYS: i64 = 7;
/// What the streaming job adds to each row.
const LAKE_COLUMNS: [(&str, ColumnType); 4] = [
    ("_topic_partition", ColumnType::Int),
    ("_topic_offset", ColumnType::Int),
    ("_ingested_at", ColumnType::Timestamp),
    ("_extra", ColumnType::String),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The table to fill: `staging.listen_events`.
    into: String,
    /// A topic of the lake; the hours of the run's window are loaded, and earlier ones that got late files.
    #[serde(default)]
    event: Option<String>,
    /// For `event`: the folder with the topics' schemas, from the dags folder.
    #[serde(default)]
    schemas: Option<PathBuf>,
    /// For `event`: what stands for a missing value, by column.
    #[serde(default)]
    defaults: Map<String, Value>,
    /// For `event`: what stands for a missing value, by type (string, int, double, boolean).
    #[serde(default)]
    type_defaults: Map<String, Value>,
    /// A CSV file of the lake, with a header line.
    #[serde(default)]
    csv: Option<String>,
    /// For `csv`: the columns and their types.
    #[serde(default)]
    columns: Map<String, Value>,
    /// For `csv`: the asset (`lake/songs`) that is complete for ever once the file is loaded.
    #[serde(default)]
    asset: Option<String>,
}

pub struct Load {
    env: Arc<Env>,
}

impl Load {
    pub fn new(env: Arc<Env>) -> Self {
        Load { env }
    }
}

#[async_trait]
impl Task for Load {
    fn kind(&self) -> &'static str {
        "load"
    }

    fn summary(&self) -> &'static str {
        "Load the window's hours of a topic, or a CSV file, from the lake into the warehouse"
    }

    fn route(&self) -> Option<&'static str> {
        Some(WAREHOUSE)
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        let has = |key: &str| given.get(key).is_some();
        if has("event") == has("csv") {
            problems.push(with::problem("", "give either `event` or `csv`", None));
        }
        if has("event") && !has("schemas") {
            problems.push(with::problem(
                "event",
                "`schemas` is missing",
                Some("schemas: streamify/schemas".to_string()),
            ));
        }
        if has("csv") && !has("columns") {
            problems.push(with::problem(
                "csv",
                "`columns` is missing",
                Some("columns: { id: int, name: string }".to_string()),
            ));
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let warehouse = loaded::warehouse(&self.env)?;
        let work = async {
            match (&with.event, &with.csv) {
                (Some(event), None) => self.load_hours(&ctx, &with, event, &*warehouse).await,
                (None, Some(csv)) => self.load_csv(&ctx, &with, csv, &*warehouse).await,
                _ => Err(TaskError::Fail("with: give either `event` or `csv`".to_string())),
            }
        };
        tokio::select! {
            done = loaded::labelled(&ctx, work) => done,
            () = ctx.cancel.cancelled() => Err(TaskError::Cancelled),
        }
    }
}

impl Load {
    async fn load_hours(
        &self,
        ctx: &TaskContext,
        with: &With,
        topic: &str,
        warehouse: &dyn Warehouse,
    ) -> Result<Outcome, TaskError> {
        let window = ctx
            .window
            .ok_or_else(|| TaskError::Fail("the dag has no `window`, so no hours to load".to_string()))?;
        let columns = self.columns(with, topic)?;
        let mut hours = self.window_hours(topic, window).await?;
        let late = self.late_hours(topic, window, warehouse).await?;
        let late_starts: Vec<DateTime<Utc>> = late.iter().map(|manifest| manifest.hour).collect();
        hours.extend(late);
        let (mut rows, mut replaced) = (0, 0);
        for manifest in &hours {
            let result = warehouse
                .load_hour(&self.hour_load(with, topic, manifest, columns.clone()))
                .await
                .map_err(loaded::failed)?;
            let why = if late_starts.contains(&manifest.hour) { ", late files" } else { "" };
            ctx.sink.log(
                Stream::System,
                format!(
                    "{topic} {}: {} rows from {} files{why}",
                    manifest.hour.format("%F %R"),
                    result.rows,
                    manifest.files.len()
                ),
            );
            rows += result.rows;
            replaced += result.replaced;
        }
        Ok(Outcome::Done {
            outputs: json!({ "hours": hours.len(), "rows": rows, "replaced": replaced, "late_hours": late_starts }),
        })
    }

    /// Every hour of the window, those without files too.
    async fn window_hours(&self, topic: &str, window: Window) -> Result<Vec<HourManifest>, TaskError> {
        let mut hours = Vec::new();
        let mut hour = window.start.duration_trunc(TimeDelta::hours(1)).unwrap_or(window.start);
        while hour < window.end {
            hours.push(self.env.lake.hour(topic, hour).await.map_err(lake_failed)?);
            hour += TimeDelta::hours(1);
        }
        Ok(hours)
    }

    /// Hours before the window that were loaded from other files than the log names now.
    async fn late_hours(
        &self,
        topic: &str,
        window: Window,
        warehouse: &dyn Warehouse,
    ) -> Result<Vec<HourManifest>, TaskError> {
        let since = window.start - TimeDelta::days(LATE_DAYS);
        let known = loaded::digests(warehouse, topic, since, window.start).await?;
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let earlier = Window { start: since, end: window.start };
        let manifests = self.env.lake.hours(topic, &earlier).await.map_err(lake_failed)?;
        Ok(manifests
            .into_iter()
            .filter(|manifest| known.get(&manifest.hour).is_some_and(|digest| *digest != manifest.digest))
            .collect())
    }

    fn hour_load(
        &self,
        with: &With,
        topic: &str,
        manifest: &HourManifest,
        columns: Vec<LoadColumn>,
    ) -> HourLoad {
        HourLoad {
            table: with.into.clone(),
            topic: topic.to_string(),
            hour: manifest.hour,
            files: manifest.files.iter().map(|file| self.env.lake.uri(&file.path)).collect(),
            digest: manifest.digest.clone(),
            columns,
            loaded_at: self.env.clock.now(),
        }
    }

    fn columns(&self, with: &With, topic: &str) -> Result<Vec<LoadColumn>, TaskError> {
        let folder =
            with.schemas.as_ref().ok_or_else(|| TaskError::Fail("with.schemas is missing".to_string()))?;
        let declared =
            (self.env.topic_columns)(&self.env.dags_dir.join(folder), topic).map_err(TaskError::Fail)?;
        let own = declared.into_iter().map(|(name, kind)| {
            let default = with.defaults.get(&name).or_else(|| with.type_defaults.get(type_name(kind)));
            LoadColumn { default: default.map(loaded::bound), name, kind }
        });
        let added = LAKE_COLUMNS.iter().map(|(name, kind)| LoadColumn {
            name: (*name).to_string(),
            kind: *kind,
            default: None,
        });
        Ok(own.chain(added).collect())
    }

    async fn load_csv(
        &self,
        ctx: &TaskContext,
        with: &With,
        csv: &str,
        warehouse: &dyn Warehouse,
    ) -> Result<Outcome, TaskError> {
        let columns = with
            .columns
            .iter()
            .map(|(name, kind)| {
                let kind = serde_json::from_value(kind.clone()).map_err(|_| {
                    TaskError::Fail(format!(
                        "with.columns.{name}: {kind} is no type; int, double, string, boolean, timestamp"
                    ))
                })?;
                Ok(LoadColumn { name: name.clone(), kind, default: None })
            })
            .collect::<Result<Vec<_>, TaskError>>()?;
        let uri = self.env.lake.uri(csv);
        let rows = warehouse.load_csv(&with.into, &uri, &columns).await.map_err(loaded::failed)?;
        ctx.sink.log(Stream::System, format!("{rows} rows from {uri} into {}", with.into));
        if let Some(asset) = &with.asset {
            let topic = asset.strip_prefix("lake/").unwrap_or(asset);
            let complete = lake::Watermark { at: for_ever(), next_offset: 0, partitions: 1 };
            self.env.lake.put_watermark(topic, 0, complete).await.map_err(lake_failed)?;
        }
        Ok(Outcome::Done { outputs: json!({ "rows": rows }) })
    }
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int => "int",
        ColumnType::Double => "double",
        ColumnType::String => "string",
        ColumnType::Boolean => "boolean",
        ColumnType::Timestamp => "timestamp",
    }
}

fn lake_failed(error: lake::Error) -> TaskError {
    TaskError::Retry(error.to_string())
}

/// The last instant of year 9999: a table without a time is complete up to any window's end.
fn for_ever() -> DateTime<Utc> {
    const END_OF_9999: i64 = 253_402_300_799;
    DateTime::from_timestamp(END_OF_9999, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// (name, type) of a topic's fields, by the schema folder and the topic.
pub type TopicColumns = Arc<dyn Fn(&Path, &str) -> Result<Vec<(String, ColumnType)>, String> + Send + Sync>;

/// The digest that each hour was loaded with.
pub type Digests = HashMap<DateTime<Utc>, String>;
