//! The bookkeeping `<schema>._intervals(model, hour, digest, rows, built_at)`: which hours are due, and which were built.
//!
//! An hour is due when the digest of its inputs differs from the one it was last built from. The digest of a source's hour
//! is that of its load; the digest of a model's hour is the instant at which it was built, so that a rebuilt hour makes
//! what is built on it due. A gap, a late file, a reload and a first run are the same case.

use chrono::{DateTime, Utc};
use warehouse::{Statement, Value, quote_identifier, quote_text};

use super::Job;
use crate::Error;
use crate::config::Config;
use crate::jinja::time_literal;
use crate::project::Body;

/// An hour that is due, and the digest it will be built from.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) hour: DateTime<Utc>,
    pub(super) digest: String,
}

pub(super) fn hours_of(due: &[Due]) -> Vec<DateTime<Utc>> {
    due.iter().map(|one| one.hour).collect()
}

/// The row that stands for a whole table rather than an hour of it.
const WHOLE: DateTime<Utc> = DateTime::UNIX_EPOCH;

pub(super) fn table(schema: &str) -> String {
    format!("{}.\"_intervals\"", quote_identifier(schema))
}

impl Job<'_> {
    pub(super) fn intervals(&self) -> String {
        table(&self.project.schema)
    }

    /// The schema and its bookkeeping exist afterwards.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        let statements = [
            Statement::new(format!("create schema if not exists {}", quote_identifier(&self.project.schema))),
            Statement::new(format!(
                "create table if not exists {} (model varchar not null, hour timestamp not null, \
                 digest varchar not null, \"rows\" bigint not null, built_at timestamp not null)",
                self.intervals()
            )),
        ];
        self.transaction(&statements).await.map(|_| ())
    }

    /// The hours before the window's end that are due, in order; `all`: whether due or not.
    pub(super) async fn due(&self, config: &Config, all: bool) -> Result<Vec<Due>, Error> {
        let parts = self.input_digests();
        if parts.is_empty() {
            return Err(self.refuse(
                "has event_time, but none of its inputs is known by the hour; \
                 give event_time to a source, or read a microbatch model",
            ));
        }
        let versions: Vec<String> = config
            .rebuild_on
            .iter()
            .map(|model| {
                let built = format!(
                    "select cast(max(built_at) as varchar) from {} where model = {}",
                    self.intervals(),
                    quote_text(model)
                );
                format!(" || ';{model}=' || coalesce(({built}), '')")
            })
            .collect();
        let sql = format!(
            "with parts as ({}), \
             wanted as (select hour, string_agg(part, ';' order by part){} as digest from parts where hour < cast($1 as timestamp) group by hour) \
             select wanted.hour, wanted.digest from wanted \
             left join {} as built on built.model = $2 and built.hour = wanted.hour \
             where $3 or built.digest is null or built.digest <> wanted.digest order by wanted.hour",
            parts.join(" union all "),
            versions.concat(),
            self.intervals()
        );
        let end = self.args.window.map_or(Value::from("9999-12-31"), |(_, end)| Value::Time(end));
        let rows = self.query(&sql, &[end, self.id().into(), all.into()]).await?;
        rows.rows.iter().map(|row| self.due_of(row)).collect()
    }

    fn due_of(&self, row: &[serde_json::Value]) -> Result<Due, Error> {
        let hour = row[0].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        match (hour, row[1].as_str()) {
            (Some(hour), Some(digest)) => {
                Ok(Due { hour: hour.with_timezone(&Utc), digest: digest.to_owned() })
            }
            _ => Err(self.refuse(format!("the bookkeeping has a row that is no hour: {row:?}"))),
        }
    }

    /// One query for each input that is known by the hour.
    fn input_digests(&self) -> Vec<String> {
        let project = self.project;
        let sources = self.entry.node.sources.iter().filter_map(|name| {
            let (source, table) = name.split_once('.')?;
            let target = project.sources.get(&(source.to_owned(), table.to_owned()))?;
            target.event_time.as_ref()?;
            let loads = format!("{}.\"_loads\"", quote_identifier(&target.schema));
            let label = quote_text(&format!("{name}="));
            Some(format!(
                "select hour, {label} || digest as part from {loads} where topic = {}",
                quote_text(&target.name)
            ))
        });
        let models = self.entry.node.depends_on.iter().filter_map(|name| {
            project.refs.get(name)?.event_time.as_ref()?;
            let label = quote_text(&format!("{name}="));
            Some(format!(
                "select hour, {label} || cast(built_at as varchar) as part from {} where model = {}",
                self.intervals(),
                quote_text(name)
            ))
        });
        sources.chain(models).collect()
    }

    /// Records that `due` was built; part of the transaction that built it. `rows` counts by hour where there is such a column.
    pub(super) fn record(&self, due: &[Due], event_time: Option<&str>) -> Vec<Statement> {
        let id = self.id();
        let (Some(first), Some(last)) = (due.first(), due.last()) else { return Vec::new() };
        let mut params = vec![Value::from(id), Value::Time(self.built_at)];
        let mut values = Vec::new();
        for one in due {
            params.extend([Value::Time(one.hour), Value::from(one.digest.as_str())]);
            values.push(format!("select ${} as hour, ${} as digest", params.len() - 1, params.len()));
        }
        let list: Vec<String> = due.iter().map(|one| time_literal(one.hour)).collect();
        let forget =
            format!("delete from {} where model = $1 and hour in ({})", self.intervals(), list.join(", "));
        let counts = match event_time {
            Some(column) => {
                let column = quote_identifier(column);
                let range =
                    format!("{column} between {} and {}", time_literal(first.hour), time_literal(last.hour));
                format!(
                    "select {column} as hour, count(*) as row_count from {} where {range} group by {column}",
                    self.target().sql()
                )
            }
            None => "select * from (select cast(null as timestamp) as hour, 0 as row_count) as nothing where false".to_owned(),
        };
        let insert = format!(
            "insert into {} select $1, cast(due.hour as timestamp), due.digest, coalesce(counts.row_count, 0), $2 \
             from ({}) as due left join ({counts}) as counts on counts.hour = due.hour",
            self.intervals(),
            values.join(" union all ")
        );
        vec![Statement::with(forget, [id.into()]), Statement::with(insert, params)]
    }

    /// Records a new version of a whole table.
    pub(super) fn record_whole(&self, digest: &str) -> Vec<Statement> {
        self.record(&[Due { hour: WHOLE, digest: digest.to_owned() }], None)
    }

    pub(super) fn forget_all(&self) -> Statement {
        Statement::with(format!("delete from {} where model = $1", self.intervals()), [self.id().into()])
    }

    /// Hours of the given models that their last run built, before the window's end.
    pub(super) async fn last_built(&self, models: &[&str]) -> Result<Vec<DateTime<Utc>>, Error> {
        let names: Vec<String> = models.iter().map(|model| quote_text(model)).collect();
        let sql = format!(
            "select distinct hour, '' from {table} as one where model in ({}) and built_at = \
             (select max(built_at) from {table} as other where other.model = one.model) order by hour",
            names.join(", "),
            table = self.intervals()
        );
        let rows = self.query(&sql, &[]).await?;
        rows.rows.iter().map(|row| self.due_of(row).map(|due| due.hour)).collect()
    }

    /// The microbatch models that read this one.
    pub(super) fn hourly_readers(&self) -> Vec<&str> {
        let reads = |body: &Body, depends_on: &[String]| {
            matches!(body, Body::Model { config, .. } if config.is_microbatch())
                && depends_on.iter().any(|id| id == self.id())
        };
        let entries = self.project.entries.values();
        entries
            .filter(|entry| reads(&entry.body, &entry.node.depends_on))
            .map(|entry| entry.node.id.as_str())
            .collect()
    }
}
