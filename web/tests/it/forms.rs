//! The pages on which people change things: what they show first, what they then do, and for whom.

use crate::seed::Seed;
use crate::world::{World, now, seeded};
use axum::http::StatusCode;
use model::{RunState, TaskState};
use store::auth::Role;

struct Browser {
    world: World,
    cookie: String,
    csrf: String,
    gate: String,
}

async fn admin() -> Browser {
    let world = seeded(Some(Role::Viewer)).await;
    let gate = Seed::begin(world.store.clone(), now()).await.gate(now()).await;
    let cookie = world.sign_in().await;
    let csrf = world.get_as("/pools", &cookie).await.csrf();
    Browser { world, cookie, csrf, gate }
}

impl Browser {
    async fn page(&self, path: &str) -> String {
        let answer = self.world.get_as(path, &self.cookie).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    /// Sends a form; where it leads to.
    async fn send(&self, path: &str, form: &str) -> String {
        let answer = self.world.post(path, &self.cookie, &format!("csrf={}&{form}", self.csrf)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.text);
        answer.location().to_string()
    }

    fn run(&self, run: usize) -> String {
        format!("/dags/hourly/runs/{}", self.world.runs[run].replace(':', "%3A").replace('+', "%2B"))
    }

    async fn state(&self, run: usize) -> RunState {
        self.world.store.run("hourly", &self.world.runs[run]).await.expect("reads").expect("is there").state
    }

    async fn task(&self, run: usize, task: &str) -> TaskState {
        self.world
            .store
            .instance("hourly", &self.world.runs[run], task, -1)
            .await
            .expect("reads")
            .expect("is there")
            .state
    }
}

#[track_caller]
fn has(page: &str, words: &[&str]) {
    for word in words {
        assert!(page.contains(word), "lacks '{word}':\n{page}");
    }
}

#[tokio::test]
async fn clearing_shows_what_it_would_touch_before_it_does() {
    let b = admin().await;
    let form = b.page(&format!("{}/clear", b.run(1))).await;
    assert!(!form.contains("aria-label=\"Preview\""), "nothing is tried before it is asked for");
    let query = "task=models.dim_users&downstream=true&preview=true";
    let preview = b.page(&format!("{}/clear?{query}", b.run(1))).await;
    has(&preview, &["7 task instances", "models.dim_users", "reconcile", "Clear 7 task instances"]);
    assert_eq!(b.state(1).await, RunState::Failed);
    let wrong = b.page(&format!("{}/clear?task=models.dim_user&preview=true", b.run(1))).await;
    has(&wrong, &["did you mean", "role=\"alert\""]);
    let both = b.page(&format!("{}/clear?task=models.dim_users&past=true&preview=true", b.run(1))).await;
    has(&both, &["2 task instances", &b.world.runs[0]]);
    let to =
        b.send(&format!("{}/clear", b.run(1)), "task=models.dim_users&downstream=true&reason=late").await;
    assert_eq!((to, b.state(1).await), (b.run(1), RunState::Queued));
    assert_eq!(b.task(1, "models.dim_users").await, TaskState::None);
    has(&b.page("/audit").await, &["run.clear", "late"]);
}

#[tokio::test]
async fn marking_a_task_shows_it_first_and_lets_the_run_go_on() {
    let b = admin().await;
    let path = format!("{}/mark", b.run(1));
    let preview = b.page(&format!("{path}?task=models.dim_users&state=success&preview=true")).await;
    has(&preview, &["1 task instance", "Mark 1 task instance as success"]);
    assert_eq!(b.task(1, "models.dim_users").await, TaskState::Failed);
    b.send(&path, "task=models.dim_users&state=success").await;
    assert_eq!(
        (b.task(1, "models.dim_users").await, b.state(1).await),
        (TaskState::Success, RunState::Queued)
    );
    b.send(&format!("{}/state", b.run(0)), "state=failed&reason=wrong+data").await;
    assert_eq!(b.state(0).await, RunState::Failed);
}

#[tokio::test]
async fn a_run_is_started_again_with_edited_params() {
    let b = admin().await;
    let path = format!("{}/rerun", b.run(0));
    has(&b.page(&path).await, &["name=\"p.limit\"", "2026-11-22 09:00"]);
    let to = b.send(&path, "p.limit=42&run_id=again&reason=more").await;
    assert_eq!(to, "/dags/hourly/runs/again");
    let run = b.world.store.run("hourly", "again").await.unwrap().unwrap();
    assert_eq!((run.params["limit"].as_i64(), run.window.is_some()), (Some(42), true));
    let refused = b.world.post(&path, &b.cookie, &format!("csrf={}&p.limit=many", b.csrf)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    has(&refused.text, &["must be a JSON integer", "value=\"many\""]);
}

#[tokio::test]
async fn a_question_is_on_its_pages_and_is_answered_there() {
    let b = admin().await;
    let run = format!("/dags/gate/runs/{}", b.gate.replace(':', "%3A").replace('+', "%2B"));
    for path in ["/approvals".to_string(), run.clone(), format!("{run}/tasks/ask")] {
        has(&b.page(&path).await, &["Ship it?", "value=\"approve\""]);
    }
    let run_id = b.gate.replace(':', "%3A").replace('+', "%2B");
    let form = format!("dag=gate&run={run_id}&task=ask&map_index=-1&decision=approve&comment=fine");
    assert_eq!(b.send("/approvals", &form).await, "/approvals");
    has(&b.page("/approvals").await, &["Nothing waits for an answer", "fine", "approved"]);
    let twice = b.world.post("/approvals", &b.cookie, &format!("csrf={}&{form}", b.csrf)).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_backfill_is_planned_on_the_page_then_started_paused_and_cancelled() {
    let b = admin().await;
    let range = "dag=hourly&from=2026-11-22T08:00&to=2026-11-22T12:00&reprocess=failed&max_active_runs=2";
    has(&b.page("/backfills/new?dag=hourly").await, &["hourly, at minute 5", "Show the plan"]);
    let plan = b.page(&format!("/backfills/new?{range}")).await;
    has(&plan, &["it has no run", "it has a run (success)", "its run is failed", "Start 3 runs"]);
    has(
        &b.page("/backfills/new?dag=hourly&from=2026-11-22T08:00&to=2026-11-22T08:01").await,
        &["has no tick between"],
    );
    has(&b.page("/backfills").await, &["No backfills"]);
    let to = b.send("/backfills", &format!("{range}&reason=the+gap")).await;
    has(&b.page(&to).await, &["0 of 3 runs done", "the gap", "gaps and what failed", "Pause"]);
    b.send(&to, "action=pause").await;
    has(&b.page(&to).await, &["paused", "Go on"]);
    b.send(&to, "action=cancel").await;
    has(&b.page("/backfills").await, &["cancelled", "3 of 3"]);
}

#[tokio::test]
async fn pools_and_assets_are_changed_on_their_pages() {
    let b = admin().await;
    has(&b.page("/pools").await, &["people", "who may be asked", "New pool"]);
    b.send("/pools", "name=people&slots=9&description=more").await;
    b.send("/pools", "name=api&slots=1").await;
    has(&b.page("/pools").await, &["value=\"9\"", "<strong>api</strong>"]);
    b.send("/pools/delete", "name=api").await;
    assert!(!b.page("/pools").await.contains("<strong>api</strong>"));
    let list = b.page("/lineage").await;
    has(&list, &["shop/window", "gate · ship", "aria-label=\"gate dag, runs when written: dag\""]);
    b.send("/lineage/songs", "reason=uploaded").await;
    has(&b.page("/lineage/songs").await, &["admin", "Tell that it was written"]);
    assert_eq!(b.world.get_as("/lineage/none", &b.cookie).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_viewer_gets_no_buttons_and_every_form_is_refused_without_role_or_token() {
    let b = admin().await;
    let run = b.run(1);
    for path in [
        run.clone(),
        format!("{run}/tasks/watermark"),
        "/pools".into(),
        "/approvals".into(),
        "/lineage/songs".into(),
    ] {
        let page = b.world.get(&path).await.text;
        assert!(!page.contains("method=\"post\"") && !page.contains("/clear"), "{path}");
    }
    let forms = [
        (format!("{run}/clear"), "only_failed=true"),
        (format!("{run}/mark"), "task=load&state=success"),
        (format!("{run}/state"), "state=success"),
        (format!("{run}/cancel"), ""),
        (format!("{run}/rerun"), ""),
        ("/approvals".into(), "dag=gate&run=x&task=ask&map_index=-1&decision=approve"),
        ("/backfills".into(), "dag=hourly&from=2026-11-22T08:00&to=2026-11-22T12:00"),
        ("/backfills/1".into(), "action=cancel"),
        ("/pools".into(), "name=x&slots=1"),
        ("/pools/delete".into(), "name=people"),
        ("/lineage/songs".into(), ""),
    ];
    for (path, form) in forms {
        let viewer = b.world.post(&path, "", &format!("csrf=x&{form}")).await;
        assert_eq!(viewer.status, StatusCode::FORBIDDEN, "{path} as a viewer");
        let foreign = b.world.post(&path, &b.cookie, &format!("csrf=wrong&{form}")).await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN, "{path} from another site");
    }
}
