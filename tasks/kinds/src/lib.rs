//! What a task can do: one file for each kind of `uses:`.
//!
//! A kind gets all it needs with its [`model::TaskContext`] and the [`Env`] that `app` built. It never sees the engine's tables: what it has
//! to say goes to the context's sink.

mod address;
mod check;
mod child;
mod empty;
mod env;
mod expansion;
mod generate;
mod http;
mod load;
mod loaded;
mod models;
mod orphans;
pub mod outbound;
mod process;
mod project;
mod reconcile;
mod service_lines;
mod sql;
mod stream;
mod wait;
mod with;

pub use env::{Env, WarehouseAccess};
pub use load::TopicColumns;
pub use orphans::{NODE_VARIABLE, end_orphans};

use model::{Registry, Task};
use std::sync::Arc;

/// The route of tasks that need the warehouse: an embedded one belongs to a single node.
pub const WAREHOUSE: &str = "warehouse";

pub fn registry(env: Arc<Env>) -> Registry {
    let kinds: Vec<Arc<dyn Task>> = vec![
        Arc::new(empty::Empty),
        Arc::new(process::Process::new(env.clone())),
        Arc::new(http::Http::new(env.clone())),
        Arc::new(sql::Sql::new(env.clone())),
        Arc::new(generate::Generate::new(env.clone())),
        Arc::new(stream::StreamJob::new(env.clone())),
        Arc::new(wait::Watermark::new(env.clone())),
        Arc::new(load::Load::new(env.clone())),
        Arc::new(models::Models::new(env.clone())),
        Arc::new(models::Model::new(env.clone())),
        Arc::new(check::Check::new(env)),
    ];
    Registry::new(kinds)
}
