//! What all handlers share, and how it is put together.

use crate::auth::Attempts;
use crate::bells::Bells;
use crate::dashboard::Dashboard;
use crate::health::NodeParts;
use crate::metrics::HttpFigures;
use model::Clock;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use store::auth::Role;
use warehouse::Warehouse;

/// Gives the warehouse while this node owns it.
pub type WarehouseSource = Arc<dyn Fn() -> Option<Arc<dyn Warehouse>> + Send + Sync>;
/// Gives the node's own figures for the health page.
pub type StatsSource = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

#[derive(Debug, Clone)]
pub struct WebConfig {
    pub listen: SocketAddr,
    /// What somebody who is not signed in may do; `None`: nothing but sign in. Applies only to requests that name this machine
    /// (`localhost` or an address), so that a foreign site that points its name here reads nothing.
    pub anonymous: Option<Role>,
    /// The name in the header.
    pub title: String,
    /// The folder with the dashboard's panels (`*.sql`); `None`: no dashboard.
    pub project_dashboard_dir: Option<PathBuf>,
}

pub(crate) struct App {
    pub store: Store,
    pub warehouse: WarehouseSource,
    pub clock: Arc<dyn Clock>,
    pub config: WebConfig,
    pub stats: StatsSource,
    pub node_parts: NodeParts,
    pub http: HttpFigures,
    pub bells: Bells,
    pub attempts: Attempts,
    pub dashboard: Dashboard,
    /// Makes the CSRF tokens of those who have no session.
    pub secret: [u8; 32],
    /// Asks the node that owns the warehouse for its dashboard.
    pub client: reqwest::Client,
}

pub(crate) type Shared = Arc<App>;

/// The web server, ready to be bound or to be called in process.
pub struct Web {
    pub(crate) app: Shared,
}

impl Web {
    pub fn new(
        store: Store,
        warehouse: WarehouseSource,
        clock: Arc<dyn Clock>,
        config: WebConfig,
        stats: StatsSource,
    ) -> Web {
        let dashboard = Dashboard::read(config.project_dashboard_dir.as_deref());
        let bells = Bells::new(store.clone());
        let app = App {
            store,
            warehouse,
            clock,
            config,
            stats,
            node_parts: Arc::new(Vec::new),
            http: HttpFigures::default(),
            bells,
            attempts: Attempts::default(),
            dashboard,
            secret: rand::random(),
            client: reqwest::Client::new(),
        };
        Web { app: Arc::new(app) }
    }

    /// The health page and the API also tell these.
    #[must_use]
    pub fn with_node_parts(mut self, parts: NodeParts) -> Web {
        if let Some(app) = Arc::get_mut(&mut self.app) {
            app.node_parts = parts;
        }
        self
    }
}
