//! Small dags and instants for the tests of this room.

use crate::dag::{Catchup, Dag, Service, TaskDef};
use chrono::{DateTime, Utc};

pub fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("'{text}' is no instant: {error}"))
}

pub fn task(id: &str, needs: &[usize]) -> TaskDef {
    TaskDef { id: id.to_owned(), uses: "noop".to_owned(), needs: needs.to_vec(), ..TaskDef::default() }
}

pub fn service(id: &str, needs: &[usize]) -> TaskDef {
    let service = Service { budget: 2, ..Service::default() };
    TaskDef { service: Some(service), ..task(id, needs) }
}

pub fn dag(tasks: Vec<TaskDef>) -> Dag {
    Dag { id: "test".to_owned(), catchup: Catchup::None, tasks, ..Dag::default() }
}
