//! The pages over a database full of plausible rows: `DATABASE_URL=postgres://.. cargo run -p web --example demo`.
//! Without `DATABASE_URL` it starts a Postgres of its own. With `WAREHOUSE=duckdb:<file>` the dashboard shows that warehouse.

#[path = "../../tests/it/seed.rs"]
mod seed;
mod warehouse;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use model::dag::Schedule;
use model::{CheckStatus, Clock, Ending};
use seed::{Play, Seed};
use std::sync::Arc;
use store::Store;
use store::auth::Role;
use store::backfills::{BackfillRequest, Reprocess};
use tokio_util::sync::CancellationToken;
use web::{Web, WebConfig};

struct Now;

impl Clock for Now {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = match std::env::var("DATABASE_URL") {
        Ok(url) => url,
        Err(_) => testkit::Database::fresh().await.url().to_string(),
    };
    let store = Store::connect(&database, 10).await?;
    store.migrate().await?;
    fill(&store).await;
    let config = WebConfig {
        listen: "127.0.0.1:8765".parse()?,
        anonymous: Some(Role::Admin),
        title: "Streamify".into(),
        project_dashboard_dir: Some(
            concat!(env!("CARGO_MANIFEST_DIR"), "/../dags/streamify/dashboard").into(),
        ),
    };
    let opened = match std::env::var("WAREHOUSE") {
        Ok(url) => ::warehouse::open(&url)?,
        Err(_) => warehouse::demo(Utc::now()).await?,
    };
    let stats =
        Arc::new(|| serde_json::json!({ "ticks": 18, "claimed": 412, "finished": 410, "rings": 1377 }));
    let web = Web::new(store.clone(), Arc::new(move || Some(opened.clone())), Arc::new(Now), config, stats);
    let listener = web.bind().await?;
    println!("http://{}", listener.local_addr()?);
    println!("{}", web::login_link(&store, "http://127.0.0.1:8765", Utc::now()).await?);
    web.serve(listener, CancellationToken::new()).await?;
    Ok(())
}

/// A day of hourly runs, some of them troubled, then services and one run at work.
async fn fill(store: &Store) {
    let now = Utc::now();
    let hour = now
        .with_minute(5)
        .and_then(|at| at.with_second(0))
        .and_then(|at| at.with_nanosecond(0))
        .expect("a valid instant");
    let last = if hour > now { hour - TimeDelta::hours(1) } else { hour };
    let begin = last - TimeDelta::hours(30);
    let seed = Seed::begin(store.clone(), begin).await;
    let mut dag = seed::hourly();
    lineage(&mut dag);
    let version = seed.register(&dag, seed::SOURCE, begin).await;
    let songs = seed::dag(
        "songs",
        Schedule::Once,
        vec![seed::task("export", "process", &[]), seed::task("load", "load", &[0])],
    );
    let songs_version = seed.register(&songs, seed::SOURCE, begin).await;
    seed.tick(&songs, songs_version, begin).await;
    seed.play(begin, |_| Some(play(4, Ending::Done))).await;
    let paused = seed::dag(
        "weekly_report",
        Schedule::Cron { expressions: vec!["0 9 * * 1".into()], timezone: "Europe/Berlin".into() },
        vec![seed::task("report", "http", &[])],
    );
    seed.register(&paused, seed::SOURCE, begin).await;
    store.set_paused("weekly_report", true, "admin", begin).await.expect("pauses");
    for back in (1..=30).rev() {
        let tick = last - TimeDelta::hours(back);
        seed.tick(&dag, version, tick).await;
        let spread = (back * 7) % 11;
        let end = seed
            .play(tick, |claimed| {
                let id = claimed.dag.tasks[claimed.task].id.as_str();
                let fails = (back == 9 && id == "models.dim_users")
                    || (back == 17 && id == "load" && claimed.map_index == 2 && claimed.try_number == 1);
                Some(play(
                    if id == "load" { 3 + spread } else { 1 + spread / 3 },
                    if fails { Ending::Failed } else { Ending::Done },
                ))
            })
            .await;
        let later = end + TimeDelta::seconds(70);
        for run in store.due_runs(later, 10).await.expect("asks").0 {
            store.advance(run, later, None).await.expect("advances");
        }
        seed.play(later, |claimed| {
            let fails = back == 9 && claimed.dag.tasks[claimed.task].id == "models.dim_users";
            Some(play(3, if fails { Ending::FailedForGood } else { Ending::Done }))
        })
        .await;
        checks(&seed, back, end).await;
    }
    seed.tick(&dag, version, last).await;
    let at_work = now - TimeDelta::seconds(40);
    seed.play(at_work, |claimed| {
        let id = claimed.dag.tasks[claimed.task].id.as_str();
        (id != "models.dim_users").then(|| play(2, Ending::Done))
    })
    .await;
    let seed = Seed::begin(store.clone(), now).await;
    seed.services(now).await;
    seed.problem(now).await;
    seed.gate(now - TimeDelta::minutes(2)).await;
    requests(store, last).await;
}

/// What the pipeline reads and writes.
fn lineage(dag: &mut model::Dag) {
    for task in &mut dag.tasks {
        match task.id.strip_prefix("models.") {
            None if task.id == "load" => {
                task.reads = vec!["lake/listen_events".into(), "lake/auth_events".into()];
                task.writes = vec!["staging.events".into()];
            }
            Some("dim_users" | "dim_songs") => {
                task.reads = vec!["staging.events".into(), "songs".into()];
                task.writes = vec![task.id.replace("models.", "prod.")];
            }
            Some("fact_streams") => {
                task.reads = vec!["prod.dim_users".into(), "prod.dim_songs".into()];
                task.writes = vec!["prod.fact_streams".into()];
            }
            _ => {}
        }
    }
}

/// What people have asked for: backfills, pools, an asset told, another answer.
async fn requests(store: &Store, last: DateTime<Utc>) {
    let now = Utc::now();
    for (days, backwards, reason) in [(2, false, "the first day was missing"), (3, true, "a wrong rate")] {
        let request = BackfillRequest {
            dag_id: "hourly".into(),
            from: last - TimeDelta::days(days),
            to: last - TimeDelta::hours(20),
            reprocess: Reprocess::Failed,
            run_backwards: backwards,
            max_active_runs: 3,
            params: serde_json::Value::Null,
            reason: reason.into(),
        };
        let (id, _) = store.create_backfill(&request, "ada", now).await.expect("plans");
        store.pause_backfill(id, !backwards, "ada", "the warehouse is busy", now).await.expect("pauses");
    }
    store.put_pool("warehouse", 1, "one writer at a time", "admin", "", now).await.expect("puts");
    store.tell_asset("songs", "ada", "a new catalogue was uploaded", now).await.expect("tells");
}

async fn checks(seed: &Seed, back: i64, at: DateTime<Utc>) {
    let rows = seed
        .store
        .list_runs(&store::views::runs::RunFilter {
            dag_id: Some("hourly".into()),
            limit: 1,
            ..Default::default()
        })
        .await;
    let run = rows.expect("lists").0.remove(0);
    let filter = store::views::instances::InstanceFilter {
        run_id: Some(run.run_id),
        task_id: Some("reconcile".into()),
        limit: 1,
        ..Default::default()
    };
    let found = seed.store.list_instances(&filter).await.expect("lists").0;
    let Some(attempt) = found.first().and_then(|instance| instance.attempt_id) else { return };
    let names = [
        "unique_dim_users_userKey",
        "unique_dim_songs_songKey",
        "no_missing_hour",
        "wide_equals_fact",
        "level_is_free_or_paid",
        "fact_match_ratio",
    ];
    for (i, name) in names.iter().enumerate() {
        let status = match (i, back) {
            (2, 1) => CheckStatus::Fail,
            (5, 1..=3) => CheckStatus::Warn,
            _ => CheckStatus::Pass,
        };
        let value = if i == 5 {
            100.0 - ((back * 13) % 7) as f64
        } else {
            f64::from(u8::from(status != CheckStatus::Pass))
        };
        seed.check(attempt, name, name.split('_').nth(1).unwrap_or("x"), value, status, at).await;
    }
}

fn play(seconds: i64, ending: Ending) -> Play {
    let mut lines = vec![
        ("system", "attempt begins on laptop".to_string()),
        ("stdout", "files 3, rows 12,804, hour 2026-11-22T11:00:00Z".to_string()),
        ("stdout", "\u{1b}[32mdelete\u{1b}[0m 0 rows, \u{1b}[32minsert\u{1b}[0m 12,804 rows".to_string()),
    ];
    if ending != Ending::Done {
        lines.push((
            "stderr",
            "\u{1b}[1;31mERROR\u{1b}[0m relation \"prod.dim_users\" does not exist <here>".to_string(),
        ));
    }
    Play { seconds, ending, lines }
}
