//! The REST API: Airflow's shapes, errors and paging, and ours beside them.

use crate::world::{World, seeded};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::auth::Role;

const RUNS: &str = "/api/v2/dags/hourly/dagRuns";

async fn read(world: &World, path: &str) -> Value {
    let answer = world.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    answer.json()
}

fn run_path(world: &World, run: usize) -> String {
    format!("{RUNS}/{}", world.runs[run].replace(':', "%3A").replace('+', "%2B"))
}

#[tokio::test]
async fn dags_have_airflows_fields() {
    let world = seeded(Some(Role::Viewer)).await;
    let list = read(&world, "/api/v2/dags").await;
    assert_eq!(list["total_entries"], 2);
    let dag = &list["dags"][0];
    let expected = json!({
        "dag_id": "hourly", "dag_display_name": "hourly", "is_paused": false, "is_stale": false, "timetable_summary": "5 * * * *",
        "timetable_description": "hourly, at minute 5", "max_active_runs": 1, "next_dagrun_run_after": "2026-11-22T14:05:00Z",
        "next_dagrun_data_interval_start": "2026-11-22T13:00:00Z", "next_dagrun_data_interval_end": "2026-11-22T14:00:00Z",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&dag[key], value, "{key}");
    }
    assert_eq!(read(&world, "/api/v2/dags?limit=1&offset=1").await["dags"][0]["dag_id"], "ingest");
    assert_eq!(read(&world, "/api/v2/dags?order_by=-dag_id").await["dags"][0]["dag_id"], "ingest");
    assert_eq!(
        read(&world, "/api/v2/dags?last_dag_run_state=running&dag_id_pattern=hour").await["total_entries"],
        1
    );
    assert_eq!(read(&world, "/api/v2/dags/hourly/details").await["params"]["limit"]["value"], 10);
    let tasks = read(&world, "/api/v2/dags/hourly/tasks").await;
    assert_eq!(
        (tasks["total_entries"].clone(), tasks["tasks"][1]["is_mapped"].clone()),
        (json!(15), json!(true))
    );
    assert_eq!(tasks["tasks"][0]["downstream_task_ids"], json!(["load"]));
    assert_eq!(read(&world, "/api/v2/dagTags").await["tags"], json!(["streamify"]));
}

#[tokio::test]
async fn runs_can_be_filtered_ordered_and_paged() {
    let world = seeded(Some(Role::Viewer)).await;
    let list = read(&world, RUNS).await;
    let states: Vec<&str> =
        list["dag_runs"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["success", "failed", "running"]);
    assert_eq!(
        read(&world, &format!("{RUNS}?order_by=-run_after&limit=1")).await["dag_runs"][0]["state"],
        "running"
    );
    assert_eq!(read(&world, &format!("{RUNS}?state=failed&state=success")).await["total_entries"], 2);
    assert_eq!(read(&world, &format!("{RUNS}?run_after_gte=2026-11-22T12:00:00Z")).await["total_entries"], 1);
    assert_eq!(read(&world, "/api/v2/dags/~/dagRuns").await["total_entries"], 4);
    let one = read(&world, &run_path(&world, 0)).await;
    let expected = json!({
        "dag_run_id": world.runs[0], "dag_id": "hourly", "logical_date": "2026-11-22T09:00:00Z", "run_type": "scheduled",
        "data_interval_start": "2026-11-22T09:00:00Z", "data_interval_end": "2026-11-22T10:00:00Z", "triggered_by": "timetable",
        "conf": { "full_refresh": false },
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&one[key], value, "{key}");
    }
    for wrong in ["?order_by=colour", "?state=purple", "?limit=many"] {
        let answer = world.get(&format!("{RUNS}{wrong}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(answer.json()["detail"].is_string());
    }
    assert_eq!(world.get("/api/v2/dags/none/dagRuns").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_trigger_is_checked_like_airflows() {
    let world = seeded(Some(Role::Viewer)).await;
    let token = world.token(Role::Operator).await;
    let trigger = async |body: Value| world.call("POST", RUNS, &token, &body).await;
    let unprocessable = [
        json!({}),
        json!({ "logical_date": null, "colour": 1 }),
        json!({ "logical_date": "yesterday" }),
        json!({ "logical_date": null, "dag_run_id": "a b" }),
        json!({ "logical_date": null, "conf": { "nope": 1 } }),
        json!({ "logical_date": null, "conf": { "limit": "ten" } }),
        json!({ "logical_date": null, "data_interval_start": "2026-11-22T00:00:00Z" }),
        json!({ "logical_date": null, "data_interval_start": "2026-11-22T01:00:00Z", "data_interval_end": "2026-11-22T00:00:00Z" }),
    ];
    for body in unprocessable {
        let answer = trigger(body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.text);
        assert!(answer.json()["detail"].is_string());
    }
    let made = trigger(json!({ "logical_date": "2026-11-20T10:30:00Z", "dag_run_id": "mine", "conf": { "limit": 3 }, "note": "hi" })).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let run = made.json();
    assert_eq!(
        (run["state"].as_str(), run["run_type"].as_str(), run["note"].as_str()),
        (Some("queued"), Some("manual"), Some("hi"))
    );
    assert_eq!(run["data_interval_start"], "2026-11-20T09:00:00Z");
    assert_eq!(run["logical_date"], run["data_interval_start"], "as templates say it");
    assert_eq!(
        (run["triggering_user_name"].as_str(), run["conf"]["limit"].as_i64()),
        (Some("operator"), Some(3))
    );
    assert_eq!(
        trigger(json!({ "logical_date": null, "dag_run_id": "mine" })).await.status,
        StatusCode::CONFLICT
    );
    let (one, two) = (
        trigger(json!({ "logical_date": null })).await.json(),
        trigger(json!({ "logical_date": null })).await.json(),
    );
    assert_ne!(one["dag_run_id"], two["dag_run_id"], "two wishes without an id are two runs");
    let none =
        world.call("POST", "/api/v2/dags/none/dagRuns", &token, &json!({ "logical_date": null })).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let events = read(&world, "/api/v2/eventLogs?dag_id=hourly").await;
    let triggered = events["event_logs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["run_id"] == "mine")
        .expect("audited");
    assert_eq!(
        (triggered["event"].as_str(), triggered["owner"].as_str()),
        (Some("run.trigger"), Some("operator"))
    );
}

#[tokio::test]
async fn a_run_is_ended_and_cleared_through_the_api() {
    let world = seeded(Some(Role::Viewer)).await;
    let token = world.token(Role::Operator).await;
    let failed = run_path(&world, 1);
    let dry =
        world.call("POST", &format!("{failed}/clear"), &token, &json!({ "only_failed": true })).await.json();
    assert!(dry["total_entries"].as_i64().unwrap() >= 1);
    assert_eq!(
        read(&world, &failed).await["state"],
        "failed",
        "a dry run is the default and changes nothing"
    );
    let cleared = world
        .call("POST", &format!("{failed}/clear"), &token, &json!({ "dry_run": false, "only_failed": true }))
        .await;
    assert_eq!(cleared.json()["state"], "queued", "{}", cleared.text);
    let queued = world.call("PATCH", &failed, &token, &json!({ "state": "cancelled" })).await.json();
    assert_eq!((queued["state"].as_str(), queued["note"].as_str()), (Some("failed"), Some("cancelled")));
    let over = world.call("PATCH", &run_path(&world, 0), &token, &json!({ "state": "cancelled" })).await;
    assert_eq!(over.status, StatusCode::CONFLICT);
    let marked =
        world.call("PATCH", &failed, &token, &json!({ "state": "success", "reason": "checked" })).await;
    assert_eq!(marked.json()["state"], "success", "{}", marked.text);
    let purple = world.call("PATCH", &run_path(&world, 0), &token, &json!({ "state": "purple" })).await;
    assert_eq!(purple.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn task_instances_and_their_tries_are_told() {
    let world = seeded(Some(Role::Viewer)).await;
    let failed = run_path(&world, 1);
    let list = read(&world, &format!("{failed}/taskInstances")).await;
    assert_eq!(list["total_entries"], 18);
    assert_eq!(
        read(&world, &format!("{failed}/taskInstances?state=failed")).await["task_instances"][0]["task_id"],
        "models.dim_users"
    );
    let one = read(&world, &format!("{failed}/taskInstances/models.dim_users")).await;
    assert_eq!(
        (one["state"].as_str(), one["try_number"].as_i64(), one["map_index"].as_i64()),
        (Some("failed"), Some(1), Some(-1))
    );
    assert_eq!((one["operator"].as_str(), one["hostname"].as_str()), (Some("model"), Some("laptop")));
    let mapped = read(&world, &format!("{failed}/taskInstances/load/2")).await;
    assert_eq!(
        (mapped["map_index"].as_i64(), mapped["rendered_map_index"].as_str()),
        (Some(2), Some("auth_events"))
    );
    let tries = read(&world, &format!("{failed}/taskInstances/load/2/tries")).await;
    assert_eq!(
        (tries["total_entries"].as_i64(), tries["task_instances"][0]["state"].as_str()),
        (Some(1), Some("success"))
    );
    assert_eq!(read(&world, &format!("{failed}/taskInstances/watermark/tries")).await["total_entries"], 1);
    assert_eq!(world.get(&format!("{failed}/taskInstances/load")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        read(&world, "/api/v2/dags/~/dagRuns/~/taskInstances?state=running").await["task_instances"][0]["state"],
        "running"
    );
}

#[tokio::test]
async fn problems_health_counts_ticks_services_and_checks_are_told() {
    let world = seeded(Some(Role::Viewer)).await;
    let errors = read(&world, "/api/v2/importErrors").await;
    assert_eq!(
        (errors["total_entries"].as_i64(), errors["import_errors"][0]["line"].as_i64()),
        (Some(1), Some(7))
    );
    let health = read(&world, "/api/v2/monitor/health").await;
    for part in ["metadatabase", "scheduler", "dag_processor"] {
        assert_eq!(health[part]["status"], "healthy", "{part}: {health}");
    }
    assert_eq!(read(&world, "/api/v2/version").await["version"], env!("CARGO_PKG_VERSION"));
    let stats = read(&world, "/api/v2/dagStats?dag_ids=hourly").await;
    let counts: Vec<i64> = stats["dags"][0]["stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stat| stat["count"].as_i64().unwrap())
        .collect();
    assert_eq!(counts, [0, 1, 1, 1]);
    assert_eq!(read(&world, "/api/v2/dags/hourly/ticks").await["ticks"].as_array().unwrap().len(), 3);
    let services = read(&world, "/api/v2/services").await;
    let generator = &services["services"][0];
    assert_eq!(
        (generator["task_id"].as_str(), generator["ready"].as_bool()),
        (Some("generator"), Some(true))
    );
    assert_eq!(generator["status"]["users"], 10_000);
    let checks = read(&world, "/api/v2/checks").await;
    assert_eq!(
        (checks["checks"][0]["status"].as_str(), checks["checks"][0]["trend"].as_array().unwrap().len()),
        (Some("fail"), 1)
    );
}

#[tokio::test]
async fn every_answer_has_the_keys_that_the_openapi_document_requires() {
    let world = seeded(Some(Role::Viewer)).await;
    let document = read(&world, "/api/v2/openapi.json").await;
    let run = run_path(&world, 0);
    let cases = [
        ("/api/v2/dags".into(), "dags", "DAG"),
        (RUNS.into(), "dag_runs", "DAGRun"),
        (format!("{run}/taskInstances"), "task_instances", "TaskInstance"),
        (format!("{run}/taskInstances/watermark/tries"), "task_instances", "TaskInstanceHistory"),
        (format!("{run}/taskInstances/watermark/logs/1"), "content", "LogLine"),
        ("/api/v2/dags/hourly/tasks".into(), "tasks", "Task"),
        ("/api/v2/dags/hourly/ticks".into(), "ticks", "Tick"),
        ("/api/v2/importErrors".into(), "import_errors", "ImportError"),
        ("/api/v2/dagStats".into(), "dags", "DagStats"),
        ("/api/v2/services".into(), "services", "Service"),
        ("/api/v2/checks".into(), "checks", "Check"),
    ];
    for (path, list, schema) in cases {
        let answer = read(&world, &path).await;
        let required: BTreeSet<&str> = document["components"]["schemas"][schema]["required"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let given: BTreeSet<&str> = answer[list][0]
            .as_object()
            .unwrap_or_else(|| panic!("{path}: {answer}"))
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(given, required, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_json_404_and_a_wrong_method_is_405() {
    let world = seeded(Some(Role::Viewer)).await;
    let unknown = world.get("/api/v2/nothing").await;
    assert_eq!(
        (unknown.status, unknown.json()["detail"].as_str().unwrap().contains("/api/v2/nothing")),
        (StatusCode::NOT_FOUND, true)
    );
    assert_eq!(
        world.call("DELETE", "/api/v2/dags/hourly", "", &json!(null)).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}
