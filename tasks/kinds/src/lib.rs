//! What a task can do: one file for each kind of `uses:`.
//!
//! A kind gets all it needs with its [`model::TaskContext`] and the [`Env`] that `app` built. It never sees the engine's tables: what it has
//! to say goes to the context's sink.

mod address;
mod approve;
mod asked;
mod branch;
mod check;
mod child;
mod empty;
mod env;
mod expansion;
mod generate;
mod http;
mod load;
mod loaded;
pub mod log_archive;
mod models;
mod orphans;
pub mod outbound;
mod process;
mod program;
mod project;
mod python;
mod reconcile;
mod service_lines;
mod span;
mod sql;
mod stream;
mod text;
mod trigger;
mod venv;
mod wait;
mod window_key;
mod with;

pub use env::{Env, WarehouseAccess};
pub use load::TopicColumns;
pub use orphans::{NODE_VARIABLE, end_orphans};
pub use wait::kafka_lag::{GroupLag, LagFuture};

use model::{Registry, Task};
use std::sync::Arc;
use wait::Waits;

/// The route of tasks that need the warehouse: an embedded one belongs to a single node.
pub const WAREHOUSE: &str = "warehouse";

pub fn registry(env: Arc<Env>) -> Registry {
    let waits = Arc::new(Waits::new(env.clock.clone()));
    let kinds: Vec<Arc<dyn Task>> = vec![
        Arc::new(empty::Empty),
        Arc::new(process::Process::new(env.clone())),
        Arc::new(python::Python::new(env.clone())),
        Arc::new(http::Http::new(env.clone())),
        Arc::new(sql::Sql::new(env.clone())),
        Arc::new(generate::Generate::new(env.clone())),
        Arc::new(stream::StreamJob::new(env.clone())),
        Arc::new(load::Load::new(env.clone())),
        Arc::new(models::Models::new(env.clone())),
        Arc::new(models::Model::new(env.clone())),
        Arc::new(check::Check::new(env.clone())),
        Arc::new(branch::Branch),
        Arc::new(trigger::Trigger::new(waits.clone())),
        Arc::new(approve::Approve::new(waits.clone())),
        Arc::new(wait::watermark::Watermark::new(env.clone(), waits.clone())),
        Arc::new(wait::time::Time::new(waits.clone())),
        Arc::new(wait::object::Object::new(env.clone(), waits.clone())),
        Arc::new(wait::sql::Sql::new(env.clone(), waits.clone())),
        Arc::new(wait::http::Http::new(env.clone(), waits.clone())),
        Arc::new(wait::kafka_lag::KafkaLag::new(env, waits.clone())),
        Arc::new(wait::run::Run::new(waits)),
    ];
    Registry::new(kinds)
}
