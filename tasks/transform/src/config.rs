//! The words of `config(..)`: how a model is built and how a test judges.

use std::collections::BTreeMap;

use model::Severity;
use serde_json::Value;

pub(crate) type RawConfig = BTreeMap<String, Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Materialized {
    View,
    Table,
    Incremental(Strategy),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// By `unique_key`; rows that are the same already are left alone.
    Merge,
    /// By `unique_key`; all rows of a key are replaced.
    DeleteInsert,
    /// By the hours of `event_time` whose inputs changed.
    Microbatch,
}

/// What to do when a model's query has columns that its table lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaChange {
    Fail,
    AppendNewColumns,
    Ignore,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) materialized: Materialized,
    pub(crate) unique_key: Vec<String>,
    /// The column that holds the hour; makes the model follow its inputs hour by hour.
    pub(crate) event_time: Option<String>,
    pub(crate) on_schema_change: SchemaChange,
    /// Models whose every change makes all hours of this one due again.
    pub(crate) rebuild_on: Vec<String>,
    /// For BigQuery: a column and hour, day, month or year.
    pub(crate) partition_by: Option<(String, String)>,
    pub(crate) cluster_by: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) severity: Severity,
    pub(crate) filter: Option<String>,
    pub(crate) error_if: Option<Bound>,
    pub(crate) warn_if: Option<Bound>,
    pub(crate) enabled: bool,
}

/// `replaces` (which rows of the table the query stands for; default: those whose key it returns) and `invalidates` (hours,
/// as a query, that models built on this one must build again) are SQL of one run, so the run reads them.
const KEYS: [&str; 18] = [
    "materialized",
    "incremental_strategy",
    "unique_key",
    "event_time",
    "batch_size",
    "on_schema_change",
    "replaces",
    "invalidates",
    "rebuild_on",
    "partition_by",
    "cluster_by",
    "tags",
    "severity",
    "where",
    "error_if",
    "warn_if",
    "enabled",
    "meta",
];

impl Config {
    /// # Errors
    /// What is wrong and, where it helps, what is allowed.
    pub(crate) fn parse(raw: &RawConfig) -> Result<Self, (String, Option<String>)> {
        if let Some(unknown) = raw.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err((format!("unknown config `{unknown}`"), did_you_mean(unknown, KEYS)));
        }
        let text = |key: &str| raw.get(key).and_then(Value::as_str).map(str::to_owned);
        if raw.get("batch_size").is_some_and(|size| size != "hour") {
            return Err(("batch_size can only be hour".to_owned(), None));
        }
        let config = Self {
            materialized: materialized(raw)?,
            unique_key: texts(raw, "unique_key")?,
            event_time: text("event_time"),
            on_schema_change: choice(
                raw,
                "on_schema_change",
                &[
                    ("fail", SchemaChange::Fail),
                    ("append_new_columns", SchemaChange::AppendNewColumns),
                    ("ignore", SchemaChange::Ignore),
                ],
            )?,
            rebuild_on: texts(raw, "rebuild_on")?,
            partition_by: partition(raw)?,
            cluster_by: texts(raw, "cluster_by")?,
            tags: texts(raw, "tags")?,
            severity: choice(raw, "severity", &[("error", Severity::Error), ("warn", Severity::Warn)])?,
            filter: text("where"),
            error_if: bound(raw, "error_if")?,
            warn_if: bound(raw, "warn_if")?,
            enabled: raw.get("enabled").is_none_or(|value| value != false),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (String, Option<String>)> {
        match self.materialized {
            Materialized::Incremental(Strategy::Microbatch) if self.event_time.is_none() => Err((
                "a microbatch model needs event_time".to_owned(),
                Some("config(event_time = 'hour'), the column of the table that holds the hour".to_owned()),
            )),
            Materialized::Incremental(Strategy::Merge | Strategy::DeleteInsert)
                if self.unique_key.is_empty() =>
            {
                Err(("merge and delete+insert need unique_key".to_owned(), None))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_microbatch(&self) -> bool {
        self.materialized == Materialized::Incremental(Strategy::Microbatch)
    }
}

fn materialized(raw: &RawConfig) -> Result<Materialized, (String, Option<String>)> {
    let strategy = choice(
        raw,
        "incremental_strategy",
        &[
            ("merge", Strategy::Merge),
            ("delete+insert", Strategy::DeleteInsert),
            ("insert_overwrite", Strategy::Microbatch),
            ("microbatch", Strategy::Microbatch),
        ],
    )?;
    choice(
        raw,
        "materialized",
        &[
            ("view", Materialized::View),
            ("table", Materialized::Table),
            ("incremental", Materialized::Incremental(strategy)),
        ],
    )
}

/// The first choice is the default.
fn choice<T: Copy>(raw: &RawConfig, key: &str, choices: &[(&str, T)]) -> Result<T, (String, Option<String>)> {
    let Some(value) = raw.get(key) else { return Ok(choices[0].1) };
    choices.iter().find(|(name, _)| value == name).map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        (format!("{key} cannot be {value}"), Some(format!("one of {}", names.join(", "))))
    })
}

fn texts(raw: &RawConfig, key: &str) -> Result<Vec<String>, (String, Option<String>)> {
    let fail = || (format!("{key} must be a text or a list of texts"), None);
    match raw.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(fail)).collect()
        }
        Some(_) => Err(fail()),
    }
}

/// A column and the unit of time that it is cut by.
type Partition = (String, String);

/// dbt's words for BigQuery: `{field: 'hour', data_type: 'timestamp', granularity: 'day'}`.
fn partition(raw: &RawConfig) -> Result<Option<Partition>, (String, Option<String>)> {
    let Some(value) = raw.get("partition_by") else { return Ok(None) };
    let hint =
        || Some("partition_by={'field': 'hour', 'data_type': 'timestamp', 'granularity': 'day'}".to_owned());
    let Some(field) = value["field"].as_str() else {
        return Err((format!("partition_by cannot be {value}"), hint()));
    };
    if value["data_type"].as_str().is_some_and(|kind| kind != "timestamp") {
        return Err(("partition_by can only be by a timestamp".to_owned(), hint()));
    }
    match value["granularity"].as_str().unwrap_or("day") {
        unit @ ("hour" | "day" | "month" | "year") => Ok(Some((field.to_owned(), unit.to_owned()))),
        other => Err((format!("granularity cannot be {other}"), Some("hour, day, month or year".to_owned()))),
    }
}

/// A condition on a number, such as `>10`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    operator: &'static str,
    limit: f64,
}

const OPERATORS: [&str; 6] = [">=", "<=", "!=", ">", "<", "="];

impl Bound {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let operator = OPERATORS.into_iter().find(|operator| text.starts_with(operator))?;
        let limit = text[operator.len()..].trim_start_matches('=').trim().parse().ok()?;
        Some(Self { operator, limit })
    }

    pub(crate) fn holds(&self, value: f64) -> bool {
        match self.operator {
            ">=" => value >= self.limit,
            "<=" => value <= self.limit,
            "!=" => value != self.limit,
            ">" => value > self.limit,
            "<" => value < self.limit,
            _ => value == self.limit,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.operator, self.limit)
    }
}

fn bound(raw: &RawConfig, key: &str) -> Result<Option<Bound>, (String, Option<String>)> {
    let Some(value) = raw.get(key) else { return Ok(None) };
    let parsed = value.as_str().and_then(Bound::parse);
    parsed
        .map(Some)
        .ok_or_else(|| (format!("{key} cannot be {value}"), Some("a condition such as \">10\"".to_owned())))
}

/// The known name nearest to a mistyped one, as a hint.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = known.into_iter().map(|candidate| (distance(name, candidate), candidate)).min()?;
    (near.0 <= 1 + name.chars().count() / 3).then(|| format!("did you mean `{}`?", near.1))
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{Bound, Config, RawConfig, did_you_mean};

    #[test]
    fn bounds_are_read_and_judged() {
        for (text, value, holds) in
            [(">10", 11.0, true), (">= 10", 9.0, false), ("!=0", 0.0, false), ("<0.5", 0.2, true)]
        {
            assert_eq!(Bound::parse(text).unwrap().holds(value), holds, "{text}");
        }
        assert_eq!(Bound::parse("ten"), None);
    }

    #[test]
    fn wrong_configs_say_what_is_allowed() {
        let raw = |key: &str, value: &str| RawConfig::from([(key.to_owned(), value.into())]);
        assert_eq!(
            Config::parse(&raw("materialised", "x")).unwrap_err().1.unwrap(),
            "did you mean `materialized`?"
        );
        assert_eq!(
            Config::parse(&raw("materialized", "cube")).unwrap_err().1.unwrap(),
            "one of view, table, incremental"
        );
        assert!(Config::parse(&raw("materialized", "incremental")).unwrap_err().0.contains("unique_key"));
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(
            did_you_mean("dim_user", ["dim_users", "dim_songs"]).unwrap(),
            "did you mean `dim_users`?"
        );
        assert_eq!(did_you_mean("zebra", ["dim_users"]), None);
    }
}
