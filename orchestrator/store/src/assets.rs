//! Assets: events told from outside, and the runs that events start.
//!
//! Which dags wait for which assets is a row each, written when a dag is registered, and each event is put into the queue of those dags by the
//! statement that stores it. Events that come while a triggered run has not begun yet wait for the next one: that run will see their data.
//!
//! Not here: events of tasks; the end of an attempt writes those.

use crate::rows::clean;
use crate::runs::{NewRun, RunType, insert_runs};
use crate::ticks::{TickDecision, insert_ticks};
use crate::tx::{in_tx, ring};
use crate::{Error, Result, Store, audit};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use model::dag::{Schedule, WindowRule};
use model::{Dag, Window};
use serde_json::{Value, json};
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

/// Events of one asset that wait for one dag, before the older ones are forgotten: the newest says all.
const WAITING_MAX: i64 = 100;

/// An event that a dag has not run for yet.
#[derive(FromRow)]
struct Waiting {
    asset: String,
    event: i64,
    at: DateTime<Utc>,
    who: String,
    window_start: Option<DateTime<Utc>>,
    window_end: Option<DateTime<Utc>>,
}

/// Dags with events that they have not run for, and the assets of those.
pub(crate) const WAITING: &str = "
select d.dag_id, d.version_id, q.assets from (select dag_id, array_agg(distinct asset) as assets from asset_queue group by dag_id) q
cross join lateral (select * from dags d where d.dag_id = q.dag_id offset 0) d
where d.present and not d.paused and d.schedule_kind = 'assets' and d.version_id is not null
order by d.dag_id";

impl Store {
    /// Starts a run of each present dag, not paused, whose assets were written: all of them or any, as its schedule says. One transaction a
    /// dag: its run, its row in the ledger, and its queue. Returns how many runs were made.
    pub async fn assets_due(&self, now: DateTime<Utc>) -> Result<usize> {
        sqlx::query(
            "delete from asset_queue q using (
                select dag_id, asset, max(event) as newest from asset_queue group by dag_id, asset having count(*) > $1
             ) n where q.dag_id = n.dag_id and q.asset = n.asset and q.event < n.newest",
        )
        .bind(WAITING_MAX)
        .execute(&self.pool)
        .await?;
        let waiting = sqlx::query_as::<_, (String, i64, Vec<String>)>(WAITING).fetch_all(&self.pool).await?;
        let mut made = 0;
        for (dag_id, version_id, assets) in waiting {
            let dag = self.dag_version(version_id).await?;
            if is_due(&dag, &assets.iter().map(String::as_str).collect()) {
                made += usize::from(in_tx("assets due", || self.trigger_by_assets(&dag_id, now)).await?);
            }
        }
        Ok(made)
    }

    async fn trigger_by_assets(&self, dag_id: &str, now: DateTime<Utc>) -> Result<bool> {
        let mut tx = self.begin().await?;
        let Some((version_id, last_tick)) = lock_due(&mut tx, dag_id).await? else {
            return Ok(false);
        };
        let dag = self.version_on(&mut tx, version_id).await?;
        let waiting = sqlx::query_as::<_, Waiting>(
            "select q.asset, q.event, e.at, e.who, r.window_start, r.window_end
             from asset_queue q join asset_events e on e.id = q.event left join runs r on r.id = e.run
             where q.dag_id = $1 order by q.event",
        )
        .bind(dag_id)
        .fetch_all(&mut *tx)
        .await?;
        if !is_due(&dag, &waiting.iter().map(|event| event.asset.as_str()).collect()) {
            return Ok(false);
        }
        let tick = after(last_tick, now, TimeDelta::microseconds(1));
        let window = hull(&waiting).or_else(|| window_of(&dag, last_tick, tick));
        let run = run_of(dag_id, version_id, &dag, &waiting, window, tick);
        let made = insert_runs(&mut tx, std::slice::from_ref(&run), now).await?;
        insert_ticks(&mut tx, dag_id, &[&(tick, TickDecision::Ran(run))], now).await?;
        sqlx::query("delete from asset_queue where dag_id = $1 and event = any($2)")
            .bind(dag_id)
            .bind(waiting.iter().map(|event| event.event).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        ring(&mut tx, "runs").await?;
        tx.commit().await?;
        Ok(!made.is_empty())
    }

    /// Something outside wrote an asset. A name that no present dag reads, writes or waits for, and that was never written, is refused.
    pub async fn tell_asset(&self, asset: &str, who: &str, reason: &str, now: DateTime<Utc>) -> Result<i64> {
        self.check_asset(asset).await?;
        let mut tx = self.begin().await?;
        let id = sqlx::query_scalar::<_, i64>(
            "insert into asset_events (asset, who, at) values ($1, $2, $3) returning id",
        )
        .bind(clean(asset))
        .bind(clean(who))
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        audit::record(
            &mut tx,
            who,
            "asset.tell",
            asset,
            &audit::because(json!({ "event": id }), reason),
            now,
        )
        .await?;
        ring(&mut tx, "assets").await?;
        tx.commit().await?;
        Ok(id)
    }

    async fn check_asset(&self, asset: &str) -> Result<()> {
        let known = self.asset_names().await?;
        if known.contains(asset) {
            return Ok(());
        }
        let near = model::suggest::nearest(asset, known.iter().map(String::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
        Err(Error::NotFound { what: format!("asset '{asset}' (no dag reads, writes or waits for it{hint})") })
    }

    /// All names that present dags use or that have events.
    async fn asset_names(&self) -> Result<BTreeSet<String>> {
        let mut names: BTreeSet<String> = self.asset_uses().await?.into_keys().collect();
        let written = sqlx::query_scalar::<_, String>(DISTINCT_ASSETS).fetch_all(&self.pool).await?;
        names.extend(written);
        Ok(names)
    }

    /// Which tasks of present dags write and read each asset, and which dags wait for it.
    pub(crate) async fn asset_uses(&self) -> Result<BTreeMap<String, AssetUse>> {
        let mut conn = self.pool.acquire().await?;
        let rows = sqlx::query_as::<_, (String, i64)>(
            "select dag_id, version_id from dags where present and version_id is not null order by dag_id",
        )
        .fetch_all(&mut *conn)
        .await?;
        self.load_versions(&mut conn, &rows.iter().map(|(_, version)| *version).collect::<Vec<_>>()).await?;
        let mut uses: BTreeMap<String, AssetUse> = BTreeMap::new();
        for (dag_id, version_id) in rows {
            let dag = self.version_on(&mut conn, version_id).await?;
            if let Schedule::Assets { assets, .. } = &dag.schedule {
                for asset in assets {
                    uses.entry(asset.clone()).or_default().triggers.push(dag_id.clone());
                }
            }
            for task in &dag.tasks {
                for asset in &task.writes {
                    uses.entry(asset.clone()).or_default().writers.push((dag_id.clone(), task.id.clone()));
                }
                for asset in &task.reads {
                    uses.entry(asset.clone()).or_default().readers.push((dag_id.clone(), task.id.clone()));
                }
            }
        }
        Ok(uses)
    }
}

/// (dag, task) pairs, and dags.
#[derive(Default)]
pub(crate) struct AssetUse {
    pub writers: Vec<(String, String)>,
    pub readers: Vec<(String, String)>,
    pub triggers: Vec<String>,
}

/// Steps from name to name over the index, however many events each has.
pub(crate) const DISTINCT_ASSETS: &str = "
with recursive names(asset) as (
    (select asset from asset_events order by asset limit 1)
    union all
    select (select e.asset from asset_events e where e.asset > n.asset order by e.asset limit 1) from names n where n.asset is not null
)
select asset from names where asset is not null";

/// Makes the rows say what the schedule says. The dag's row is locked.
pub(crate) async fn subscribe(conn: &mut PgConnection, dag_id: &str, schedule: &Schedule) -> Result<()> {
    let assets: &[String] = match schedule {
        Schedule::Assets { assets, .. } => assets,
        _ => &[],
    };
    sqlx::query(
        "with dropped as (delete from asset_subscriptions where dag_id = $1 and asset <> all($2)),
              forgotten as (delete from asset_queue where dag_id = $1 and asset <> all($2))
         insert into asset_subscriptions (dag_id, asset) select $1, asset from unnest($2::text[]) as a(asset) on conflict do nothing",
    )
    .bind(dag_id)
    .bind(assets)
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks a dag that may start a triggered run now: present, not paused, none that has not begun. Returns its newest version and its
/// newest tick.
async fn lock_due(conn: &mut PgConnection, dag_id: &str) -> Result<Option<(i64, Option<DateTime<Utc>>)>> {
    sqlx::query("select 1 from dags where dag_id = $1 for no key update")
        .bind(dag_id)
        .execute(&mut *conn)
        .await?;
    // A statement of its own: it sees what was done while the lock was waited for.
    let due = sqlx::query_as(
        "select version_id, (select max(tick_at) from ticks t where t.dag_id = d.dag_id) from dags d
         where dag_id = $1 and present and not paused and version_id is not null and not exists (
            select 1 from runs r where r.dag_id = d.dag_id and r.state = 'queued' and r.run_type = 'asset_triggered' and r.clears = 0)",
    )
    .bind(dag_id)
    .fetch_optional(conn)
    .await?;
    Ok(due)
}

/// This instant, or the first one that is `distance` after the last tick.
pub(crate) fn after(
    last_tick: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    distance: TimeDelta,
) -> DateTime<Utc> {
    last_tick.map_or(now, |last| now.max(last + distance))
}

/// What a run of a schedule without ticks is about: since the run before, if the dag wants what came since then.
pub(crate) fn window_of(dag: &Dag, last_tick: Option<DateTime<Utc>>, tick: DateTime<Utc>) -> Option<Window> {
    match dag.window {
        WindowRule::PreviousTick => last_tick.map(|start| Window { start, end: tick }),
        _ => model::schedule::window_at(&dag.window, &dag.schedule, tick),
    }
}

pub(crate) fn default_params(dag: &Dag) -> Value {
    let defaults = dag.params.iter().filter_map(|(name, param)| Some((name.clone(), param.default.clone()?)));
    Value::Object(defaults.collect())
}

fn is_due(dag: &Dag, written: &BTreeSet<&str>) -> bool {
    let Schedule::Assets { assets, all } = &dag.schedule else { return false };
    let mut has = assets.iter().map(|asset| written.contains(asset.as_str()));
    if *all { !assets.is_empty() && has.all(|has| has) } else { has.any(|has| has) }
}

fn newest(waiting: &[Waiting]) -> BTreeMap<&str, &Waiting> {
    waiting.iter().map(|event| (event.asset.as_str(), event)).collect()
}

/// From the first to the last instant of what the runs that wrote the assets were about.
fn hull(waiting: &[Waiting]) -> Option<Window> {
    let newest = newest(waiting);
    let windows = || newest.values().filter_map(|event| event.window_start.zip(event.window_end));
    let start = windows().map(|(start, _)| start).min()?;
    Some(Window { start, end: windows().map(|(_, end)| end).max()? })
}

fn run_of(
    dag_id: &str,
    version_id: i64,
    dag: &Dag,
    waiting: &[Waiting],
    window: Option<Window>,
    tick: DateTime<Utc>,
) -> NewRun {
    let newest = newest(waiting);
    let by: Vec<String> =
        newest.values().map(|event| format!("{} by {}", event.asset, event.who)).take(20).collect();
    NewRun {
        dag_id: dag_id.to_owned(),
        run_id: format!("asset__{}", tick.to_rfc3339_opts(SecondsFormat::Micros, false)),
        version_id,
        run_type: RunType::AssetTriggered,
        window,
        logical_date: newest.values().map(|event| event.at).max(),
        run_after: tick,
        params: default_params(dag),
        requested_by: "assets".to_owned(),
        note: Some(format!("written: {}", by.join(", "))),
    }
}
