//! What the pages say.

use crate::seed::{self, Seed};
use crate::world::{World, empty, now, seeded};
use axum::http::StatusCode;
use model::RunState;
use store::auth::Role;

async fn page(world: &World, path: &str) -> String {
    let answer = world.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    answer.text
}

#[track_caller]
fn has(page: &str, words: &[&str]) {
    for word in words {
        assert!(page.contains(word), "lacks '{word}':\n{page}");
    }
}

fn run_path(world: &World, run: usize) -> String {
    format!("/dags/hourly/runs/{}", world.runs[run].replace(':', "%3A").replace('+', "%2B"))
}

#[tokio::test]
async fn an_empty_system_says_what_to_do() {
    let world = empty(Some(Role::Viewer)).await;
    has(&page(&world, "/").await, &["No dags yet", "dags folder"]);
    has(&page(&world, "/services").await, &["No services"]);
    has(&page(&world, "/checks").await, &["No results yet"]);
    has(&page(&world, "/health").await, &["unhealthy", "no node plans"]);
}

#[tokio::test]
async fn the_list_shows_schedules_runs_and_problems() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, "/").await;
    has(
        &html,
        &[
            "hourly, at minute 5",
            "examples/broken.yaml:7:11",
            "did you mean &#39;models&#39;?",
            "class=\"s-success\"",
            "in 35 min",
        ],
    );
    assert!(!html.contains("/dags/hourly/pause"), "a viewer gets no forms");
    has(&page(&world, "/?q=nothing-like-it").await, &["No dag fits"]);
    assert!(!page(&world, "/?q=songs+hour").await.contains(">hourly<"));
    has(&page(&world, "/?state=running").await, &[">hourly<"]);
}

#[tokio::test]
async fn the_grid_has_a_cell_for_each_task_and_run() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, "/dags/hourly").await;
    let cells = html.matches("<a class=\"c s-").count();
    assert_eq!(cells, 15 * 3);
    has(
        &html,
        &[
            "<tr class=\"group\">",
            "models.dim_users · ",
            ": failed",
            "upstream failed",
            ": 4 success",
            ": 4 running",
        ],
    );
}

#[tokio::test]
async fn the_graph_draws_each_task_or_each_closed_group() {
    let world = seeded(Some(Role::Viewer)).await;
    let open = page(&world, "/dags/hourly/graph").await;
    assert_eq!(open.matches("<g class=\"node").count(), 15);
    let closed = page(&world, "/dags/hourly/graph?groups=closed").await;
    assert_eq!(closed.matches("<g class=\"node").count(), 4);
    has(&closed, &["12 tasks", "load × 4"]);
}

#[tokio::test]
async fn a_run_shows_its_tasks_its_window_and_its_checks() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, &run_path(&world, 0)).await;
    has(
        &html,
        &[
            "2026-11-22 09:00",
            "load · auth_events",
            "no_missing_hour",
            "1 passed, 1 not",
            "&lt;b&gt;twice&lt;/b&gt;",
            "full_refresh",
        ],
    );
    assert!(!html.contains("Cancel run") && !html.contains("Clear all"));
    has(&page(&world, &run_path(&world, 1)).await, &["&#60;table&#62; prod.dim_users"]);
}

#[tokio::test]
async fn a_log_line_is_coloured_and_can_never_become_markup() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, &format!("{}/tasks/load?map_index=1", run_path(&world, 0))).await;
    has(
        &html,
        &["<span class=\"a-green\">12,804</span> rows &lt;script&gt;alert(1)&lt;/script&gt;", "Try 1"],
    );
    assert!(!html.contains("<script>alert"));
}

#[tokio::test]
async fn text_of_a_dag_is_escaped() {
    let world = empty(Some(Role::Operator)).await;
    let seed = Seed::begin(world.store.clone(), now()).await;
    let mut dag = seed::hourly();
    dag.description = "<img src=x onerror=alert(1)>".into();
    dag.tags = vec!["<b>".into()];
    seed.register(&dag, seed::SOURCE, now()).await;
    for path in ["/", "/dags/hourly", "/dags/hourly/code", "/dags/hourly/trigger"] {
        let html = page(&world, path).await;
        assert!(!html.contains("<img src") && !html.contains("<b>\"") && !html.contains("<the>"), "{path}");
    }
}

#[tokio::test]
async fn the_ledger_names_run_and_reason() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, "/dags/hourly/ticks").await;
    assert_eq!(html.matches("s-ran").count(), 3);
    has(&html, &[&world.runs[1]]);
}

#[tokio::test]
async fn the_trigger_form_starts_a_run_and_keeps_what_was_typed_when_it_is_refused() {
    let world = seeded(Some(Role::Viewer)).await;
    let cookie = world.sign_in().await;
    let form = world.get_as("/dags/hourly/trigger", &cookie).await;
    has(
        &form.text,
        &["Rebuild the models from all staged history", "value=\"2026-11-22T12:00:00\"", "type=\"number\""],
    );
    let csrf = form.csrf();
    let wrong =
        world.post("/dags/hourly/trigger", &cookie, &format!("csrf={csrf}&p.limit=ten&note=kept")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    has(&wrong.text, &["must be a JSON integer", "value=\"ten\"", "value=\"kept\""]);
    let fields = format!(
        "csrf={csrf}&p.limit=5&p.full_refresh=true&run_id=by-hand&note=hello&window_start=2026-11-22T01:00&window_end=2026-11-22T02:00"
    );
    let done = world.post("/dags/hourly/trigger", &cookie, &fields).await;
    assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/dags/hourly/runs/by-hand"));
    let run = world.store.run("hourly", "by-hand").await.unwrap().unwrap();
    assert_eq!(run.params, serde_json::json!({ "full_refresh": true, "limit": 5 }));
    assert_eq!((run.requested_by.as_str(), run.note.as_deref()), ("admin", Some("hello")));
    assert_eq!(run.window.unwrap().start.to_rfc3339(), "2026-11-22T01:00:00+00:00");
    let twice = world.post("/dags/hourly/trigger", &cookie, &fields).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_run_can_be_cancelled_and_cleared() {
    let world = seeded(Some(Role::Viewer)).await;
    let cookie = world.sign_in().await;
    let failed = run_path(&world, 1);
    let csrf = world.get_as(&failed, &cookie).await.csrf();
    assert_eq!(
        world
            .post(&format!("{failed}/clear"), &cookie, &format!("csrf={csrf}&only_failed=true"))
            .await
            .status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(world.store.run("hourly", &world.runs[1]).await.unwrap().unwrap().state, RunState::Queued);
    let running = run_path(&world, 2);
    assert_eq!(
        world.post(&format!("{running}/cancel"), &cookie, &format!("csrf={csrf}")).await.status,
        StatusCode::SEE_OTHER
    );
    assert!(world.store.run("hourly", &world.runs[2]).await.unwrap().unwrap().cancel_requested_at.is_some());
    has(&world.get_as(&running, &cookie).await.text, &["being cancelled"]);
    let again =
        world.post(&format!("{}/cancel", run_path(&world, 0)), &cookie, &format!("csrf={csrf}")).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn services_show_their_figures() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, "/services").await;
    has(&html, &["generator", "ready", "starting", "1,199,277", "Dead letters", "page_view_events"]);
    has(
        &html,
        &[
            "<dt>Total lag</dt><dd>212</dd>",
            "Lowest watermark",
            "18 s ago",
            "class=\"card full\" aria-label=\"stream\"",
        ],
    );
    assert_eq!(html.matches("class=\"card full\"").count(), 1, "the generator's table is narrow");
}

#[tokio::test]
async fn checks_that_failed_come_first() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, "/checks").await;
    assert!(html.find("no_missing_hour").unwrap() < html.find("unique_dim_users_userKey").unwrap());
    has(&html, &["1 failing row", "select count(*) from prod.fact_streams"]);
    assert!(!page(&world, "/checks?status=pass").await.contains("no_missing_hour"));
}

#[tokio::test]
async fn what_is_not_there_is_404_and_says_so() {
    let world = seeded(Some(Role::Viewer)).await;
    for path in [
        "/dags/none",
        "/dags/none/graph",
        "/dags/hourly/runs/none",
        "/nowhere",
        "/dags/hourly/code?version=99",
    ] {
        assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(world.get(&format!("{}/tasks/none", run_path(&world, 0))).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_calendar_shows_what_ran_and_what_is_planned() {
    let world = seeded(Some(Role::Viewer)).await;
    let html = page(&world, "/dags/hourly/calendar").await;
    has(
        &html,
        &[
            "Sunday, 22 November 2026, 1 running, 1 success, 1 failed, 10 planned",
            "/dags/hourly/runs?day=2026-11-22",
        ],
    );
    assert_eq!(
        html.matches("class=\"day planned").count(),
        39 + 1,
        "each day until the year ends, and the legend"
    );
    let runs = page(&world, "/dags/hourly/runs?day=2026-11-22").await;
    assert_eq!(runs.matches("<tr><td class=\"main-cell\">").count(), 3);
    assert_eq!(page(&world, "/dags/hourly/runs?day=2026-11-21").await.matches("<tr><td").count(), 0);
    has(&page(&world, "/dags/hourly/calendar?year=2027").await, &["24 planned"]);
    has(&page(&world, "/dags/ingest/calendar").await, &["runs once"]);
}

#[tokio::test]
async fn the_audit_log_names_who_what_and_to_what() {
    let world = seeded(Some(Role::Viewer)).await;
    world.store.set_paused("hourly", true, "ada", now()).await.unwrap();
    let html = page(&world, "/audit").await;
    has(&html, &["ada", "dag.pause", "<a href=\"/dags/hourly\">hourly</a>"]);
    has(&page(&world, "/audit?dag=nothing").await, &["Nothing here"]);
}
