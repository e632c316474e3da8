//! Dags and their immutable versions.

use crate::audit::{self, By};
use crate::rows::{clean, parse_json};
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store, assets};
use chrono::{DateTime, Utc};
use model::dag::{Overlap, Schedule};
use model::{Dag, Problem};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Registered {
    pub version_id: i64,
    /// Counts from 1 within the dag.
    pub version: i32,
    /// Whether this call made a new version.
    pub is_new: bool,
}

/// A dag as the planner sees it.
#[derive(Debug, Clone)]
pub struct ScheduledDag {
    pub dag_id: String,
    pub version_id: i64,
    pub dag: Arc<Dag>,
    pub paused: bool,
    /// When the dag was first seen: the ledger begins here at the latest.
    pub registered_at: DateTime<Utc>,
    /// The newest tick in the ledger.
    pub last_tick: Option<DateTime<Utc>>,
}

/// Versions kept in memory; beyond this the cache starts anew.
const CACHED_VERSIONS_MAX: usize = 20_000;

impl Store {
    /// Stores a version unless the newest has the same content hash, and marks the dag present. `source` is the YAML text.
    /// A dag id that another present file holds is refused with `Error::Refused` naming that file.
    pub async fn register_dag(
        &self,
        file: &str,
        dag: &Dag,
        source: &str,
        now: DateTime<Utc>,
    ) -> Result<Registered> {
        let new = NewVersion::of(file, dag, source)?;
        // The usual case, after each restart: nothing changed.
        let known = sqlx::query_as::<_, (i64, i32)>(
            "select v.id, v.version from dags d join dag_versions v on v.id = d.version_id
             where d.dag_id = $1 and d.present and d.file = $2 and v.content_hash = $3",
        )
        .bind(&dag.id)
        .bind(file)
        .bind(&new.hash[..])
        .fetch_optional(&self.pool)
        .await?;
        if let Some((version_id, version)) = known {
            return Ok(Registered { version_id, version, is_new: false });
        }
        in_tx("register dag", || self.register_dag_once(&new, now)).await
    }

    async fn register_dag_once(&self, new: &NewVersion<'_>, now: DateTime<Utc>) -> Result<Registered> {
        let dag = new.dag;
        let mut tx = self.begin().await?;
        sqlx::query(
            "insert into dags (dag_id, file, max_active_runs, overlap, paused, registered_at, changed_at)
             values ($1, $2, 0, 'queue', $3, $4, $4) on conflict (dag_id) do nothing",
        )
        .bind(&dag.id)
        .bind(new.file)
        .bind(dag.paused)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let (file, present, newest, kind) = sqlx::query_as::<_, (String, bool, Option<i64>, String)>(
            "select file, present, version_id, schedule_kind from dags where dag_id = $1 for no key update",
        )
        .bind(&dag.id)
        .fetch_one(&mut *tx)
        .await?;
        if present && file != new.file {
            let message = format!(
                "the dag id '{}' is defined in {file} already: give one of the two another id, or delete one",
                dag.id
            );
            return Err(Error::Refused { message });
        }
        let registered = new.insert(&mut tx, newest, now).await?;
        sqlx::query(
            "update dags set file = $2, version_id = $3, description = $4, tags = $5, scheduled = $6, max_active_runs = $7,
                overlap = $8, present = true, absent_at = null, changed_at = $9, schedule_kind = $10
             where dag_id = $1",
        )
        .bind(&dag.id)
        .bind(new.file)
        .bind(registered.version_id)
        .bind(clean(&dag.description))
        .bind(&dag.tags)
        .bind(dag.schedule != Schedule::Manual)
        .bind(i32::try_from(dag.max_active_runs).unwrap_or(i32::MAX))
        .bind(match dag.overlap {
            Overlap::Queue => "queue",
            Overlap::Skip => "skip",
            Overlap::Cancel => "cancel",
        })
        .bind(now)
        .bind(schedule_kind(&dag.schedule))
        .execute(&mut *tx)
        .await?;
        if kind == "assets" || schedule_kind(&dag.schedule) == "assets" {
            assets::subscribe(&mut tx, &dag.id, &dag.schedule).await?;
        }
        ring(&mut tx, "dags").await?;
        tx.commit().await?;
        Ok(registered)
    }

    /// Marks dags whose file is not among `files` as absent (their history stays; they are not scheduled), and forgets those files' problems.
    /// Returns the ids that went absent.
    pub async fn forget_files(&self, files: &[String], now: DateTime<Utc>) -> Result<Vec<String>> {
        let mut tx = self.begin().await?;
        sqlx::query("delete from dag_problems where file <> all($1)").bind(files).execute(&mut *tx).await?;
        let gone = sqlx::query_scalar::<_, String>(
            "update dags set present = false, absent_at = $2 where present and file <> all($1) returning dag_id",
        )
        .bind(files)
        .bind(now)
        .fetch_all(&mut *tx)
        .await?;
        if !gone.is_empty() {
            ring(&mut tx, "dags").await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// Replaces what is known to be wrong with a file; an empty slice clears it.
    pub async fn put_problems(&self, file: &str, problems: &[Problem], now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("delete from dag_problems where file = $1").bind(file).execute(&mut *tx).await?;
        let positions: Vec<i32> = (0..).take(problems.len()).collect();
        let lines: Vec<i32> = problems.iter().map(|problem| small(problem.line)).collect();
        let columns: Vec<i32> = problems.iter().map(|problem| small(problem.column)).collect();
        let messages: Vec<String> =
            problems.iter().map(|problem| clean(&problem.message).into_owned()).collect();
        let hints: Vec<Option<String>> = problems
            .iter()
            .map(|problem| problem.hint.as_deref().map(|hint| clean(hint).into_owned()))
            .collect();
        // Two loads of one file at once: the last one stays.
        sqlx::query(
            "insert into dag_problems (file, position, line, col, message, hint, found_at)
             select $1, p.position, p.line, p.col, p.message, p.hint, $7
             from unnest($2::int4[], $3::int4[], $4::int4[], $5::text[], $6::text[]) as p(position, line, col, message, hint)
             on conflict (file, position) do update set
                line = excluded.line, col = excluded.col, message = excluded.message, hint = excluded.hint,
                found_at = excluded.found_at",
        )
        .bind(file)
        .bind(positions)
        .bind(lines)
        .bind(columns)
        .bind(messages)
        .bind(hints)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn dag_version(&self, version_id: i64) -> Result<Arc<Dag>> {
        match self.cached(version_id) {
            Some(dag) => Ok(dag),
            None => self.version_on(&mut *self.pool.acquire().await?, version_id).await,
        }
    }

    /// The newest version id and dag of a present dag.
    pub async fn current_dag(&self, dag_id: &str) -> Result<Option<(i64, Arc<Dag>)>> {
        let version = sqlx::query_scalar::<_, i64>(
            "select version_id from dags where dag_id = $1 and present and version_id is not null",
        )
        .bind(dag_id)
        .fetch_optional(&self.pool)
        .await?;
        match version {
            Some(version_id) => Ok(Some((version_id, self.dag_version(version_id).await?))),
            None => Ok(None),
        }
    }

    /// Present dags with a schedule, paused ones too (their ticks are recorded as skipped).
    pub async fn scheduled_dags(&self) -> Result<Vec<ScheduledDag>> {
        type Row = (String, i64, bool, DateTime<Utc>, Option<DateTime<Utc>>);
        let mut conn = self.pool.acquire().await?;
        let rows = sqlx::query_as::<_, Row>(
            "select d.dag_id, d.version_id, d.paused, d.registered_at,
                (select max(t.tick_at) from ticks t where t.dag_id = d.dag_id)
             from dags d where d.present and d.scheduled and d.version_id is not null
             order by d.dag_id",
        )
        .fetch_all(&mut *conn)
        .await?;
        let versions: Vec<i64> = rows.iter().map(|row| row.1).collect();
        self.load_versions(&mut conn, &versions).await?;
        let mut dags = Vec::with_capacity(rows.len());
        for (dag_id, version_id, paused, registered_at, last_tick) in rows {
            let dag = self.version_on(&mut conn, version_id).await?;
            dags.push(ScheduledDag { dag_id, version_id, dag, paused, registered_at, last_tick });
        }
        Ok(dags)
    }

    /// Recorded in the audit log. Pausing holds back the schedule and waiting scheduled or backfill runs, not what a person starts.
    pub async fn set_paused(
        &self,
        dag_id: &str,
        paused: bool,
        by: impl Into<By<'_>>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let By { who, reason } = by.into();
        let mut tx = self.begin().await?;
        let done = sqlx::query("update dags set paused = $2 where dag_id = $1")
            .bind(dag_id)
            .bind(paused)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(Error::NotFound { what: format!("dag '{dag_id}'") });
        }
        let action = if paused { "dag.pause" } else { "dag.unpause" };
        let details = audit::because(serde_json::json!({}), reason);
        audit::record(&mut tx, who, action, dag_id, &details, now).await?;
        ring(&mut tx, "dags").await?;
        tx.commit().await?;
        Ok(())
    }

    /// A version, read on the caller's connection if it is not in the cache.
    pub(crate) async fn version_on(&self, conn: &mut PgConnection, version_id: i64) -> Result<Arc<Dag>> {
        if let Some(dag) = self.cached(version_id) {
            return Ok(dag);
        }
        self.load_versions(conn, &[version_id]).await?;
        self.cached(version_id).ok_or_else(|| Error::NotFound { what: format!("dag version {version_id}") })
    }

    /// Brings versions into the cache with one query.
    pub(crate) async fn load_versions(&self, conn: &mut PgConnection, versions: &[i64]) -> Result<()> {
        let missing: Vec<i64> = {
            let cache = self.versions.read().expect("no holder of the version cache panics");
            versions.iter().copied().filter(|version| !cache.contains_key(version)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let rows =
            sqlx::query_as::<_, (i64, String)>("select id, spec::text from dag_versions where id = any($1)")
                .bind(&missing)
                .fetch_all(conn)
                .await?;
        let mut read = Vec::with_capacity(rows.len());
        for (id, spec) in rows {
            read.push((id, Arc::new(parse_json::<Dag>("dag_versions", "spec", id, &spec)?)));
        }
        let mut cache = self.versions.write().expect("no holder of the version cache panics");
        if cache.len() + read.len() > CACHED_VERSIONS_MAX {
            cache.clear();
        }
        cache.extend(read);
        Ok(())
    }

    fn cached(&self, version_id: i64) -> Option<Arc<Dag>> {
        self.versions.read().expect("no holder of the version cache panics").get(&version_id).cloned()
    }
}

/// What registering stores, hashed.
struct NewVersion<'a> {
    file: &'a str,
    dag: &'a Dag,
    spec: String,
    source: &'a str,
    hash: [u8; 32],
}

impl<'a> NewVersion<'a> {
    fn of(file: &'a str, dag: &'a Dag, source: &'a str) -> Result<Self> {
        let spec = serde_json::to_string(dag).map_err(|error| Error::Refused {
            message: format!("the dag '{}' cannot be stored as JSON: {error}", dag.id),
        })?;
        let hash = Sha256::new().chain_update(&spec).chain_update([0]).chain_update(source).finalize().into();
        Ok(NewVersion { file, dag, spec, source, hash })
    }

    /// The version with this content: `newest`, if it has it, or a new row. The dag's row is locked.
    async fn insert(
        &self,
        conn: &mut PgConnection,
        newest: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Registered> {
        let same = sqlx::query_as::<_, (i64, i32)>(
            "select id, version from dag_versions where id = $1 and content_hash = $2",
        )
        .bind(newest)
        .bind(&self.hash[..])
        .fetch_optional(&mut *conn)
        .await?;
        if let Some((version_id, version)) = same {
            return Ok(Registered { version_id, version, is_new: false });
        }
        let (version_id, version) = sqlx::query_as::<_, (i64, i32)>(
            "insert into dag_versions (dag_id, version, content_hash, file, spec, source, created_at)
             select $1, coalesce(max(version), 0) + 1, $2, $3, $4::json, $5, $6 from dag_versions where dag_id = $1
             returning id, version",
        )
        .bind(&self.dag.id)
        .bind(&self.hash[..])
        .bind(self.file)
        .bind(&self.spec)
        .bind(clean(self.source))
        .bind(now)
        .fetch_one(conn)
        .await?;
        Ok(Registered { version_id, version, is_new: true })
    }
}

/// What moves the schedule, as the column says it.
fn schedule_kind(schedule: &Schedule) -> &'static str {
    match schedule {
        Schedule::Manual => "manual",
        Schedule::Continuous => "continuous",
        Schedule::Assets { .. } => "assets",
        Schedule::Once | Schedule::Cron { .. } | Schedule::Every { .. } | Schedule::At { .. } => "ticks",
    }
}

fn small(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
