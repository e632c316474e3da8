//! Small dags and instants for the tests of this room.

use crate::dag::{Catchup, Dag, Overlap, Restart, Schedule, Service, TaskDef, WindowRule};
use crate::retry::RetryPolicy;
use crate::trigger_rule::TriggerRule;
use chrono::{DateTime, Utc};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

pub fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("'{text}' is no instant: {error}"))
}

pub fn task(id: &str, needs: &[usize]) -> TaskDef {
    TaskDef {
        id: id.to_owned(),
        group: None,
        uses: "noop".to_owned(),
        with: json!({}),
        env: BTreeMap::new(),
        needs: needs.to_vec(),
        trigger_rule: TriggerRule::AllSuccess,
        for_each: None,
        retries: RetryPolicy::default(),
        timeout: None,
        priority: 0,
        queue: "default".to_owned(),
        route: None,
        service: None,
    }
}

pub fn service(id: &str, needs: &[usize]) -> TaskDef {
    let service = Service {
        restart: Restart::OnFailure,
        budget: 2,
        period: Duration::from_secs(600),
        stop_grace: Duration::from_secs(10),
        ready_timeout: Duration::from_secs(60),
    };
    TaskDef { service: Some(service), ..task(id, needs) }
}

pub fn dag(tasks: Vec<TaskDef>) -> Dag {
    Dag {
        id: "test".to_owned(),
        description: String::new(),
        tags: vec![],
        schedule: Schedule::Manual,
        window: WindowRule::None,
        start: None,
        catchup: Catchup::None,
        overlap: Overlap::Queue,
        max_active_runs: 1,
        max_active_tasks: 16,
        params: BTreeMap::new(),
        tasks,
        paused: false,
    }
}
