//! The API of what people may do to runs, backfills, pools, assets and approvals, and who may.

use crate::seed::Seed;
use crate::world::{Answer, World, now, seeded};
use axum::http::StatusCode;
use serde_json::{Value, json};
use store::auth::Role;

struct Api {
    world: World,
    token: String,
    gate: String,
}

async fn api(role: Role) -> Api {
    let world = seeded(Some(Role::Viewer)).await;
    let gate = Seed::begin(world.store.clone(), now()).await.gate(now()).await;
    let token = world.token(role).await;
    Api { world, token, gate }
}

impl Api {
    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.world.call(method, &format!("/api/v2{path}"), &self.token, &body).await
    }

    async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text);
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.world.get(&format!("/api/v2{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    fn run(&self, run: usize) -> String {
        let id = self.world.runs[run].replace(':', "%3A").replace('+', "%2B");
        format!("/dags/hourly/dagRuns/{id}")
    }

    async fn state(&self, path: &str) -> String {
        self.get(path).await["state"].as_str().unwrap_or("none").to_string()
    }

    /// The newest entry of the audit log with this action.
    async fn audited(&self, action: &str) -> Value {
        let logs = self.get("/eventLogs?limit=100").await;
        let found =
            logs["event_logs"].as_array().expect("a list").iter().find(|log| log["event"] == action).cloned();
        let found = found.unwrap_or_else(|| panic!("no {action} in {logs}"));
        serde_json::from_str(found["extra"].as_str().expect("text")).expect("JSON")
    }
}

fn tasks(told: &Value) -> Vec<String> {
    let rows = told["task_instances"].as_array().expect("a list");
    rows.iter().map(|row| row["task_id"].as_str().expect("text").to_string()).collect()
}

#[tokio::test]
async fn tasks_are_cleared_with_what_is_asked_for_and_only_after_the_dry_run_is_switched_off() {
    let api = api(Role::Operator).await;
    let id = &api.world.runs[1];
    let body = json!({ "dag_run_id": id, "task_ids": ["models.fact_streams"], "only_failed": false });
    let alone = api.ok("POST", "/dags/hourly/clearTaskInstances", body.clone()).await;
    assert_eq!(tasks(&alone), ["models.fact_streams"]);
    let mut more = body.clone();
    more["include_upstream"] = json!(true);
    let up = tasks(&api.ok("POST", "/dags/hourly/clearTaskInstances", more).await);
    assert!(up.contains(&"watermark".into()) && !up.contains(&"reconcile".into()), "{up:?}");
    let mut past = body.clone();
    past["include_past"] = json!(true);
    assert_eq!(
        tasks(&api.ok("POST", "/dags/hourly/clearTaskInstances", past).await).len(),
        2,
        "the run before, too"
    );
    let item = json!({ "dag_run_id": id, "task_ids": [["load", 2]], "only_failed": false });
    let item = api.ok("POST", "/dags/hourly/clearTaskInstances", item).await;
    assert_eq!(
        (item["total_entries"].as_i64(), item["task_instances"][0]["map_index"].as_i64()),
        (Some(1), Some(2))
    );
    assert_eq!(api.state(&api.run(1)).await, "failed", "nothing has changed yet");
    let mut done = body;
    done["dry_run"] = json!(false);
    done["reason"] = json!("late files");
    api.ok("POST", "/dags/hourly/clearTaskInstances", done).await;
    assert_eq!(api.state(&api.run(1)).await, "queued");
    assert_eq!(api.audited("run.clear").await["reason"], "late files");
    for wrong in [
        json!({ "only_running": true }),
        json!({ "reset_dag_runs": false }),
        json!({ "include_past": true }),
        json!({ "colour": 1 }),
    ] {
        let answer = api.call("POST", "/dags/hourly/clearTaskInstances", wrong.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let unknown = json!({ "dag_run_id": id, "task_ids": ["models.fact_stream"] });
    let answer = api.call("POST", "/dags/hourly/clearTaskInstances", unknown).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text.contains("did you mean 'models.fact_streams'"), "{}", answer.text);
}

#[tokio::test]
async fn a_task_is_marked_and_the_run_goes_on_from_there() {
    let api = api(Role::Operator).await;
    let task = format!("{}/taskInstances/models.dim_users", api.run(1));
    let dry = api.ok("PATCH", &format!("{task}/dry_run"), json!({ "new_state": "success" })).await;
    assert_eq!(tasks(&dry), ["models.dim_users"]);
    assert_eq!(api.state(&task).await, "failed");
    api.ok("PATCH", &task, json!({ "new_state": "success", "reason": "loaded by hand" })).await;
    assert_eq!((api.state(&task).await, api.state(&api.run(1)).await), ("success".into(), "queued".into()));
    assert_eq!(api.audited("task.mark").await["reason"], "loaded by hand");
    let item = format!("{}/taskInstances/load/2", api.run(0));
    api.ok("PATCH", &item, json!({ "new_state": "skipped" })).await;
    assert_eq!(api.state(&item).await, "skipped");
    assert_eq!(api.state(&format!("{}/taskInstances/load/1", api.run(0))).await, "success");
    for wrong in [json!({}), json!({ "new_state": "running" }), json!({ "note": "only words" })] {
        assert_eq!(api.call("PATCH", &task, wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn a_run_is_started_again_with_other_params() {
    let api = api(Role::Operator).await;
    let body = json!({ "dag_run_id": "again", "conf": { "limit": 77 }, "reason": "more" });
    let made = api.ok("POST", &format!("{}/rerun", api.run(0)), body.clone()).await;
    let old = api.get(&api.run(0)).await;
    assert_eq!((made["dag_run_id"].as_str(), made["conf"]["limit"].as_i64()), (Some("again"), Some(77)));
    assert_eq!(
        (&made["data_interval_start"], &old["state"]),
        (&old["data_interval_start"], &json!("success"))
    );
    assert_eq!(api.call("POST", &format!("{}/rerun", api.run(0)), body).await.status, StatusCode::CONFLICT);
    let bad = json!({ "conf": { "limit": "many" } });
    assert_eq!(api.call("POST", &format!("{}/rerun", api.run(0)), bad).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_backfill_tells_its_plan_and_then_follows_it() {
    let api = api(Role::Operator).await;
    let body = json!({ "dag_id": "hourly", "from_date": "2026-11-22T08:00:00Z", "to_date": "2026-11-22T11:05:00Z",
        "reprocess_behavior": "failed", "max_active_runs": 1, "reason": "gap" });
    let plan = api.ok("POST", "/backfills/dry_run", body.clone()).await;
    let told = |list: &str| -> Vec<(String, String)> {
        let rows = plan[list].as_array().unwrap().iter();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_string();
        rows.map(|row| (text(row, "tick"), text(row, "action"))).collect()
    };
    let at = |hour: &str, action: &str| (format!("2026-11-22T{hour}:05:00Z"), action.to_string());
    assert_eq!(told("backfills"), [at("08", "create"), at("09", "create"), at("11", "rerun")]);
    assert_eq!(told("skipped"), [at("10", "skip")], "the last date is meant too, and 10:05 succeeded");
    assert_eq!(
        plan["backfills"][0]["logical_date"], "2026-11-22T07:00:00Z",
        "the start of the window, as everywhere"
    );
    assert_eq!(api.get("/backfills").await["total_entries"], 0, "a plan changes nothing");
    let made = api.ok("POST", "/backfills", body).await;
    let path = format!("/backfills/{}", made["id"]);
    assert_eq!((&made["runs"]["planned"], &made["runs"]["queued"]), (&json!(3), &json!(3)));
    assert_eq!(made["to_date"], "2026-11-22T11:05:00Z");
    assert_eq!(api.ok("PUT", &format!("{path}/pause"), Value::Null).await["is_paused"], true);
    assert_eq!(api.ok("PUT", &format!("{path}/unpause"), Value::Null).await["is_paused"], false);
    let runs = api.get(&format!("/dags/hourly/dagRuns?backfill_id={}", made["id"])).await;
    assert_eq!(runs["total_entries"], 3);
    let over = api.ok("PUT", &format!("{path}/cancel"), Value::Null).await;
    assert_eq!((over["state"].as_str(), over["runs"]["cancelled"].as_i64()), (Some("cancelled"), Some(3)));
    assert_eq!(api.call("PUT", &format!("{path}/pause"), Value::Null).await.status, StatusCode::CONFLICT);
    assert_eq!(api.call("PUT", "/backfills/999/pause", Value::Null).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.audited("backfill.create").await["reason"], "gap");
}

#[tokio::test]
async fn pools_are_made_changed_and_deleted_by_admins_only() {
    let operator = api(Role::Operator).await;
    let new = json!({ "name": "api", "slots": 2 });
    assert_eq!(operator.call("POST", "/pools", new.clone()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        operator.call("PATCH", "/pools/people", json!({ "slots": 9 })).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(operator.call("DELETE", "/pools/people", Value::Null).await.status, StatusCode::FORBIDDEN);
    let api = api(Role::Admin).await;
    let made = api.call("POST", "/pools", new.clone()).await;
    assert_eq!((made.status, made.json()["open_slots"].clone()), (StatusCode::CREATED, json!(2)));
    assert_eq!(api.call("POST", "/pools", new).await.status, StatusCode::CONFLICT);
    let changed = api.ok("PATCH", "/pools/api", json!({ "slots": 4, "description": "calls" })).await;
    assert_eq!((&changed["slots"], &changed["description"]), (&json!(4), &json!("calls")));
    for wrong in [json!({ "pool": "other" }), json!({ "include_deferred": true }), json!({ "slots": -1 })] {
        assert_eq!(api.call("PATCH", "/pools/api", wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(api.call("DELETE", "/pools/api", Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.call("GET", "/pools/api", Value::Null).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_asset_is_told_and_started_by_its_name_or_number() {
    let api = api(Role::Operator).await;
    let assets = api.get("/assets").await;
    let names: Vec<&str> =
        assets["assets"].as_array().unwrap().iter().map(|asset| asset["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shop/window", "songs"]);
    let (window, songs) = (&assets["assets"][0], &assets["assets"][1]);
    assert_eq!(window["producing_tasks"][0]["task_id"], "ship");
    assert_eq!(
        (&songs["scheduled_dags"][0]["dag_id"], &songs["consuming_tasks"][0]["dag_id"]),
        (&json!("gate"), &json!("gate"))
    );
    let event = api.ok("POST", "/assets/events", json!({ "asset_id": songs["id"] })).await;
    assert_eq!((event["name"].as_str(), event["who"].as_str()), (Some("songs"), Some("operator")));
    api.ok("POST", "/assets/events", json!({ "asset": "songs", "reason": "uploaded" })).await;
    assert_eq!(api.get("/assets/events?asset=songs").await["total_entries"], 2);
    let unknown = api.call("POST", "/assets/events", json!({ "asset": "sonsg" })).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let run = api.ok("POST", &format!("/assets/{}/materialize", window["id"]), Value::Null).await;
    assert_eq!(run["dag_id"], "gate");
    let nobody = api.call("POST", &format!("/assets/{}/materialize", songs["id"]), Value::Null).await;
    assert_eq!(nobody.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_question_is_answered_once() {
    let api = api(Role::Operator).await;
    let open = api.get("/approvals").await;
    assert_eq!((&open["total_entries"], &open["approvals"][0]["prompt"]), (&json!(1), &json!("Ship it?")));
    let run = api.gate.replace(':', "%3A").replace('+', "%2B");
    let base = format!("/dags/gate/dagRuns/{run}/taskInstances/ask/-1");
    let both = json!({ "chosen_options": ["Approve", "Reject"] });
    assert_eq!(
        api.call("PATCH", &format!("{base}/hitlDetails"), both).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    api.ok("POST", &format!("{base}/approval"), json!({ "approved": false, "comment": "not on a Sunday" }))
        .await;
    let detail = api.get(&format!("{base}/hitlDetails")).await;
    assert_eq!(detail["chosen_options"], json!(["Reject"]));
    let again =
        api.call("PATCH", &format!("{base}/hitlDetails"), json!({ "chosen_options": ["Approve"] })).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    assert_eq!(api.get("/approvals").await["total_entries"], 0);
    assert_eq!(api.get("/approvals?open=false").await["approvals"][0]["comment"], "not on a Sunday");
}

#[tokio::test]
async fn a_wait_ends_with_the_run_and_gives_its_outputs() {
    let api = api(Role::Operator).await;
    let path = format!("/api/v2{}/wait?interval=1&result=watermark", api.run(0));
    let answer = api.world.get(&path).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let line: Value = serde_json::from_str(answer.text.trim_end()).expect("one line");
    assert_eq!(line, json!({ "state": "success", "results": { "watermark": { "rows": 12 } } }));
    let endless = api.world.get(&format!("/api/v2{}/wait?interval=0", api.run(0))).await;
    assert_eq!(endless.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn outputs_are_told_one_by_one_and_whole() {
    let api = api(Role::Viewer).await;
    let base = format!("{}/taskInstances/watermark/xcomEntries", api.run(0));
    assert_eq!(api.get(&base).await["total_entries"], 2);
    assert_eq!(api.get(&format!("{base}/rows")).await["value"], 12);
    assert_eq!(api.get(&format!("{base}/return_value")).await["value"], json!({ "rows": 12 }));
    assert_eq!(api.world.get(&format!("/api/v2{base}/none")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn no_viewer_and_nobody_without_a_token_changes_anything() {
    let api = api(Role::Viewer).await;
    let gate = api.gate.replace(':', "%3A").replace('+', "%2B");
    let ask = format!("/dags/gate/dagRuns/{gate}/taskInstances/ask/-1");
    let (run, task) = (api.run(1), format!("{}/taskInstances/load", api.run(1)));
    let backfill =
        json!({ "dag_id": "hourly", "from_date": "2026-11-22T08:00:00Z", "to_date": "2026-11-22T11:00:00Z" });
    let mark = json!({ "new_state": "success" });
    let writes = [
        ("POST", "/dags/hourly/clearTaskInstances".to_string(), json!({ "dag_run_id": api.world.runs[1] })),
        ("POST", format!("{run}/clear"), json!({})),
        ("POST", format!("{run}/rerun"), json!({})),
        ("PATCH", run.clone(), json!({ "state": "success" })),
        ("PATCH", task.clone(), mark.clone()),
        ("PATCH", format!("{task}/0"), mark.clone()),
        ("PATCH", format!("{task}/dry_run"), mark.clone()),
        ("PATCH", format!("{task}/0/dry_run"), mark),
        ("POST", format!("{ask}/approval"), json!({ "approved": true })),
        ("PATCH", format!("{ask}/hitlDetails"), json!({ "chosen_options": ["Approve"] })),
        ("POST", "/backfills".into(), backfill.clone()),
        ("POST", "/backfills/dry_run".into(), backfill),
        ("PUT", "/backfills/1/pause".into(), Value::Null),
        ("PUT", "/backfills/1/unpause".into(), Value::Null),
        ("PUT", "/backfills/1/cancel".into(), Value::Null),
        ("POST", "/pools".into(), json!({ "name": "x", "slots": 1 })),
        ("POST", "/assets/events".into(), json!({ "asset": "songs" })),
        ("POST", "/assets/1/materialize".into(), Value::Null),
    ];
    for (method, path, body) in writes {
        let path = format!("/api/v2{path}");
        let viewer = api.world.call(method, &path, &api.token, &body).await;
        assert_eq!(viewer.status, StatusCode::FORBIDDEN, "{method} {path}: {}", viewer.text);
        let nobody = api.world.call(method, &path, "", &body).await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{method} {path}: {}", nobody.text);
    }
}
