//! What is asked of the real service and how its answers are taken, on a server that records: the emulator deviates here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use chrono::{TimeZone, Utc};
use serde_json::{Value as Json, json};
use testkit::http::{Request, Response, Server};
use warehouse::{ColumnType, Error, HourLoad, LoadColumn, Refusal, Statement, Warehouse, labelled, open};

type Asked = Arc<Mutex<Vec<(String, Json)>>>;

/// A BigQuery whose jobs end as the script says; each entry is `(status, body)` for the next job that is inserted.
struct Service {
    warehouse: Arc<dyn Warehouse>,
    asked: Asked,
    _server: Server,
}

impl Service {
    async fn start(jobs: Vec<(u16, Json)>) -> Self {
        let asked = Asked::default();
        let (seen, jobs) = (Arc::clone(&asked), Mutex::new(VecDeque::from(jobs)));
        let answer = move |request: &Request| {
            let body: Json = serde_json::from_slice(&request.body).unwrap_or(Json::Null);
            let path = request.path.trim_start_matches("/bigquery/v2/projects/p/").to_owned();
            seen.lock().unwrap().push((format!("{} {path}", request.method), body.clone()));
            let (status, answer) = match (request.method.as_str(), path.split('/').next().unwrap()) {
                ("POST", "jobs") if path == "jobs" => {
                    let next = jobs.lock().unwrap().pop_front().unwrap_or((200, done()));
                    (next.0, merged(body, next.1))
                }
                ("GET", "jobs") => (200, done()),
                ("GET", "queries") => (200, answer_rows()),
                ("GET", "datasets") => (200, table()),
                _ => (200, json!({})),
            };
            Response::text(status, "application/json", answer.to_string())
        };
        let server = Server::start(Arc::new(answer)).await.unwrap();
        let url =
            format!("bigquery:p?location=EU&max_bytes_billed=1GB&endpoint={}&complete=true", server.url);
        Self { warehouse: open(&url).unwrap(), asked, _server: server }
    }

    fn inserted(&self) -> Vec<Json> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(what, _)| what == "POST jobs").map(|(_, body)| body.clone()).collect()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(what, _)| what.clone()).collect()
    }
}

fn done() -> Json {
    json!({ "status": { "state": "DONE" }, "statistics": { "query": { "numDmlAffectedRows": "7" } } })
}

fn refused(code: u16, reason: &str, message: &str) -> (u16, Json) {
    (
        code,
        json!({ "error": { "code": code, "message": message, "errors": [{ "reason": reason, "message": message }] } }),
    )
}

fn failed(reason: &str, message: &str) -> (u16, Json) {
    (200, json!({ "status": { "state": "DONE", "errorResult": { "reason": reason, "message": message } } }))
}

/// The job as it was asked for, with what the answer adds.
fn merged(mut job: Json, answer: Json) -> Json {
    if answer.get("error").is_some() {
        return answer;
    }
    for (name, value) in answer.as_object().unwrap() {
        job[name] = value.clone();
    }
    job
}

fn answer_rows() -> Json {
    json!({
        "jobComplete": true,
        "totalRows": "1",
        "schema": { "fields": [{ "name": "n", "type": "INTEGER", "mode": "REPEATED" }] },
        "rows": [{ "f": [{ "v": [{ "v": "3" }, { "v": "4" }, { "v": "5" }] }] }],
    })
}

fn table() -> Json {
    json!({
        "datasetReference": { "projectId": "p", "datasetId": "staging" },
        "tableReference": { "projectId": "p", "datasetId": "staging", "tableId": "t" },
        "type": "TABLE",
        "schema": { "fields": [{ "name": "userId", "type": "INTEGER" }, { "name": "hour", "type": "TIMESTAMP" }] },
    })
}

fn load() -> HourLoad {
    HourLoad {
        table: "staging.listen_events".to_owned(),
        topic: "listen_events".to_owned(),
        hour: Utc.with_ymd_and_hms(2026, 11, 22, 7, 0, 0).unwrap(),
        files: vec!["gs://lake/a.parquet".to_owned(), "gs://lake/b.parquet".to_owned()],
        digest: "d1".to_owned(),
        columns: vec![LoadColumn {
            name: "userId".to_owned(),
            kind: ColumnType::Int,
            default: Some(0.into()),
        }],
        loaded_at: Utc.with_ymd_and_hms(2026, 11, 22, 8, 5, 0).unwrap(),
    }
}

#[tokio::test]
async fn an_hour_is_loaded_from_its_files_and_overwrites_its_partition() {
    let service = Service::start(Vec::new()).await;
    service.warehouse.load_hour(&load()).await.unwrap();
    let jobs = service.inserted();
    let loaded = jobs.iter().find(|job| job["configuration"]["load"].is_object()).unwrap();
    let configuration = &loaded["configuration"]["load"];
    assert_eq!(configuration["sourceUris"], json!(["gs://lake/a.parquet", "gs://lake/b.parquet"]));
    assert_eq!(configuration["sourceFormat"], "PARQUET");
    assert_eq!(configuration["writeDisposition"], "WRITE_TRUNCATE");
    assert_eq!(loaded["jobReference"]["location"], "EU");
    let written =
        jobs.iter().find(|job| job["configuration"]["query"]["destinationTable"].is_object()).unwrap();
    let query = &written["configuration"]["query"];
    assert_eq!(query["destinationTable"]["tableId"], "listen_events$2026112207");
    assert_eq!(query["writeDisposition"], "WRITE_TRUNCATE");
    assert_eq!(query["createDisposition"], "CREATE_NEVER");
    let record = jobs.last().unwrap()["configuration"]["query"]["query"].as_str().unwrap().to_owned();
    assert!(
        record.contains("begin transaction") && record.contains("insert into `staging`.`_loads`"),
        "{record}"
    );
    let asked = service.asked();
    assert!(
        asked.last().unwrap().starts_with("DELETE datasets/staging/tables/_load_listen_events_2026112207_"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn the_same_load_has_the_same_job_and_finds_it_when_asked_twice() {
    let service = Service::start(Vec::new()).await;
    service.warehouse.load_hour(&load()).await.unwrap();
    service.warehouse.load_hour(&load()).await.unwrap();
    let later = HourLoad { loaded_at: Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).unwrap(), ..load() };
    service.warehouse.load_hour(&later).await.unwrap();
    let jobs = service.inserted();
    let ids = jobs.iter().filter(|job| job["configuration"]["load"].is_object());
    let ids: Vec<&str> = ids.map(|job| job["jobReference"]["jobId"].as_str().unwrap()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);

    let twice = Service::start(vec![refused(409, "duplicate", "Already Exists: Job p:EU.x")]).await;
    assert_eq!(
        twice.warehouse.transaction(&[Statement::new("delete from t where true")]).await.unwrap(),
        [7]
    );
    let asked = twice.asked();
    assert!(asked[0] == "POST jobs" && asked[1].starts_with("GET jobs/streamify_"), "{asked:?}");
}

#[tokio::test]
async fn what_passes_is_asked_again_and_what_does_not_is_not() {
    let busy = vec![
        refused(429, "rateLimitExceeded", "slow down"),
        refused(503, "backendError", "try later"),
        (200, done()),
    ];
    let service = Service::start(busy).await;
    service.warehouse.query("select 1 as n", &[]).await.unwrap();
    let jobs = service.inserted();
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().all(|job| job["jobReference"] == jobs[0]["jobReference"]));

    let costly = failed("bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: 1073741824.");
    let service = Service::start(vec![costly]).await;
    let error = service.warehouse.query("select 1 as n", &[]).await.unwrap_err();
    assert!(matches!(error, Error::BigQuery { refusal: Refusal::TooCostly, .. }), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(service.inserted().len(), 1);

    let service =
        Service::start((0..20).map(|_| refused(429, "rateLimitExceeded", "slow down")).collect()).await;
    let error = service.warehouse.query("select 1 as n", &[]).await.unwrap_err();
    assert!(
        matches!(error, Error::BigQuery { refusal: Refusal::RateLimited, .. }) && error.is_retryable(),
        "{error}"
    );
    assert_eq!(service.inserted().len(), 6);
}

#[tokio::test]
async fn a_transaction_that_met_another_is_tried_again_as_a_new_job() {
    let met = failed(
        "invalidQuery",
        "Transaction is aborted due to concurrent update against table p:prod._intervals.",
    );
    let service = Service::start(vec![met, (200, done())]).await;
    let statements = [
        Statement::new("delete from prod.a where true"),
        Statement::new("insert into prod.a select 1"),
        Statement::new("delete from prod.b where true"),
    ];
    assert_eq!(service.warehouse.transaction(&statements).await.unwrap(), [3, 4, 5]);
    let jobs = service.inserted();
    assert_eq!(jobs.len(), 2);
    assert_ne!(jobs[0]["jobReference"]["jobId"], jobs[1]["jobReference"]["jobId"]);
    let sql = jobs[1]["configuration"]["query"]["query"].as_str().unwrap();
    assert!(sql.contains("begin transaction") && sql.contains("@@row_count"), "{sql}");
}

#[tokio::test]
async fn every_job_says_who_asks_and_what_it_may_cost() {
    let service = Service::start(Vec::new()).await;
    let labels = [("dag", "hourly"), ("task", "models.dim_Users")];
    labelled(&labels, service.warehouse.query("select $1 as n", &[1.into()])).await.unwrap();
    let job = service.inserted().remove(0);
    assert_eq!(
        job["configuration"]["labels"],
        json!({ "app": "streamify", "dag": "hourly", "task": "models_dim_users" })
    );
    let query = &job["configuration"]["query"];
    assert_eq!(query["maximumBytesBilled"], "1073741824");
    assert_eq!(query["useLegacySql"], false);
    assert_eq!(query["queryParameters"][0]["parameterType"]["type"], "INT64");
}
