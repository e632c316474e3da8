//! A node: store, lake, warehouse, engine and web server, wired together.

use crate::addresses::Addresses;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::logins;
use crate::node_health;
use crate::retention;
use crate::traces::{self, Flow, Traces};
use crate::warehouse_owner::WarehouseOwner;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use engine::{Engine, EngineConfig, Stats, StoreClock};
use kafka::Access;
use kinds::Env;
use kinds::outbound::{Client, SmtpSettings};
use lake::Lake;
use model::Registry;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::Store;
use store::auth::Role;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{Web, WebConfig};

/// The pages show what the engine counts, but are there before it.
pub type EngineStats = Arc<OnceLock<Arc<Stats>>>;

pub const CONNECTIONS: u32 = 24;
/// Written by `up`, so that commands find the embedded Postgres; readable by its owner only.
pub const DATABASE_URL_FILE: &str = "database-url";
const HTTP_TIMEOUT: Duration = Duration::from_secs(300);

/// Which parts a node runs.
#[derive(Clone, Copy)]
pub struct Parts {
    pub scheduler: bool,
    pub worker: bool,
    pub web: bool,
    /// Take the embedded warehouse if nobody has it. The tasks that need it come to whoever has it, so only a worker may.
    pub warehouse: bool,
}

pub struct Node {
    config: Config,
    pub store: Store,
    pub lake: Lake,
    pub kafka: Access,
    pub warehouse: WarehouseOwner,
    parts: Parts,
    vars: BTreeMap<String, Value>,
}

/// A running node.
pub struct Running {
    pub url: Option<String>,
    pub tasks: TaskTracker,
    dags_loaded: CancellationToken,
}

impl Running {
    /// Until the dags folder was taken in once, or everything has ended.
    pub async fn dags_loaded(&self) {
        tokio::select! {
            () = self.dags_loaded.cancelled() => {}
            () = self.tasks.wait() => {}
        }
    }
}

/// The store that is configured, or that a running `up` of this data folder has.
pub async fn connect(config: &Config) -> Result<Store> {
    let remembered = || std::fs::read_to_string(config.data_dir().join(DATABASE_URL_FILE)).ok();
    let Some(url) = config.optional("database_url").map(str::to_string).or_else(remembered) else {
        bail!(
            "no database: set DATABASE_URL, or start `streamify up` (data folder {})",
            config.data_dir().display()
        );
    };
    let store = logins::store(config, url.trim()).await?;
    store.schema_state().await?.check()?;
    Ok(store)
}

/// Which platform a command asks, for its errors, where nobody has said it.
pub fn which_platform(config: &Config) -> Option<String> {
    let said = config.is_said("data_dir") || config.is_said("database_url");
    let folder = config.data_dir();
    (!said).then(|| {
        format!(
            "This was about the platform of the data folder {}; --data, STREAMIFY_DATA_DIR or DATABASE_URL names another.",
            folder.display()
        )
    })
}

pub fn lake_url(config: &Config) -> String {
    config
        .optional("lake_url")
        .map_or_else(|| config.data_dir().join("lake").display().to_string(), str::to_string)
}

pub fn warehouse_url(config: &Config) -> String {
    let file = config.data_dir().join("warehouse.duckdb");
    config.optional("warehouse_url").map_or_else(|| format!("duckdb:{}", file.display()), str::to_string)
}

/// Takes over what other nodes have said about shared servers.
pub async fn share_settings(config: &mut Config, store: &Store) -> Result<()> {
    let shared = store.settings().await?;
    for name in ["kafka_bootstrap_servers", "lake_url", "warehouse_url", "log_archive"] {
        if let Some(value) = shared.get(name) {
            config.cluster(name, value);
        }
    }
    Ok(())
}

/// The same for a command, which also works where no database answers.
pub async fn share_settings_if_connected(config: &mut Config) {
    if let Ok(store) = connect(config).await
        && let Err(error) = share_settings(config, &store).await
    {
        tracing::debug!(%error, "no shared settings");
    }
}

/// A topic's declared columns, from its schema file.
pub fn topic_columns() -> kinds::TopicColumns {
    Arc::new(|folder, topic| {
        let schemas = stream::read_schemas(folder).map_err(|error| error.to_string())?;
        let schema = schemas.into_iter().find(|schema| schema.topic() == topic);
        let schema =
            schema.ok_or_else(|| format!("{}: there is no schema {topic}.yaml", folder.display()))?;
        let kind = |kind| match kind {
            stream::FieldType::Int => warehouse::ColumnType::Int,
            stream::FieldType::Double => warehouse::ColumnType::Double,
            stream::FieldType::String => warehouse::ColumnType::String,
            stream::FieldType::Boolean => warehouse::ColumnType::Boolean,
        };
        Ok(schema.fields().iter().map(|field| (field.name.clone(), kind(field.kind))).collect())
    })
}

/// How far consumer groups are behind.
pub fn group_lag(kafka: &Access) -> kinds::GroupLag {
    let kafka = kafka.clone();
    Arc::new(move |group, topics| {
        let kafka = kafka.clone();
        Box::pin(async move {
            stream::group_lag(&kafka, &group, &topics).await.map_err(|error| error.to_string())
        })
    })
}

impl Node {
    pub fn new(
        config: Config,
        store: Store,
        kafka: Access,
        parts: Parts,
        vars: BTreeMap<String, Value>,
    ) -> Result<Node> {
        let lake = Lake::open(&lake_url(&config))?;
        let warehouse = WarehouseOwner::new(warehouse_url(&config));
        let store = retention::with_archive(&config, store);
        Ok(Node { config, store, lake, kafka, warehouse, parts, vars })
    }

    pub fn name(&self) -> String {
        let folder = self.config.data_dir();
        let fallback = || format!("{}:{}", host_name(), folder.display());
        self.config.optional("node_name").map_or_else(fallback, str::to_string)
    }

    /// Starts everything that this node runs; it ends with `cancel`.
    pub async fn start(self, cancel: CancellationToken) -> Result<Running> {
        let clock = StoreClock::start(Arc::new(SystemClock), Arc::new(self.store.clone())).await?;
        self.tell_settings(clock.now()).await?;
        self.succeed(clock.now()).await?;
        let tasks = TaskTracker::new();
        let mut engine_config = self.engine_config()?;
        let routes = engine_config.routes.clone();
        let stats = EngineStats::default();
        let traces = self.traces(clock.now()).await?;
        engine_config.tracer = traces.as_ref().map(|flow| flow.tracer.clone());
        let told = traces.as_ref().map(|flow| flow.traces.clone());
        self.start_monitor(&tasks, &cancel, &stats, told.clone(), clock.clone()).await?;
        let web = if self.parts.web { Some(self.web("port", &stats, told, clock.clone())?) } else { None };
        let listener = match &web {
            Some(web) => Some(web.bind().await?),
            None => None,
        };
        let listening = listener.as_ref().map(|listener| listener.local_addr()).transpose()?;
        let addresses =
            listening.map(|listening| Addresses::of(&self.config, listening, &host_name())).transpose()?;
        let (for_nodes, url) = addresses.map(|known| (known.nodes, known.people)).unzip();
        engine_config.http_url = for_nodes;
        if let Some(url) = &url {
            self.store.put_setting("web_url", url, clock.now()).await?;
        }
        let (registry, outbound) = (self.registry(clock.clone())?, Arc::new(self.outbound()?));
        let engine = Engine::new(self.store.clone(), registry, clock, outbound, engine_config);
        // Set once, here.
        let _ = stats.set(engine.stats());
        let dags_loaded = engine.dags_loaded();
        if self.opens_warehouse() {
            tasks.spawn(self.warehouse.clone().keep(routes, cancel.clone()));
        }
        if let Some((web, listener)) = web.zip(listener) {
            let stop = cancel.clone();
            tasks.spawn(async move {
                if let Err(error) = web.serve(listener, stop).await {
                    tracing::error!("web server: {error:#}");
                }
            });
        }
        let warehouse = self.warehouse.clone();
        tasks.spawn(async move {
            if let Err(error) = engine.run(cancel).await {
                tracing::error!("engine: {error:#}");
            }
            if let Some(traces) = traces {
                traces.finish().await;
            }
            warehouse.close();
        });
        tasks.close();
        Ok(Running { url, tasks, dags_loaded })
    }

    /// A file belongs to one process, and that must be one that works. A warehouse in the cloud has room for all that show it.
    fn opens_warehouse(&self) -> bool {
        let is_file = warehouse_url(&self.config).starts_with("duckdb:");
        self.parts.warehouse || (self.parts.web && !is_file)
    }

    /// Takes over from an earlier life of this node, which is surely dead: its name is ours alone.
    async fn succeed(&self, now: DateTime<Utc>) -> Result<()> {
        let processes = kinds::end_orphans(&self.name());
        let attempts = self.store.succeed_nodes_named(&self.name(), now).await?;
        if processes + attempts > 0 {
            tracing::info!(
                "an earlier life of this node left {attempts} attempts and {processes} processes behind: ended"
            );
        }
        Ok(())
    }

    async fn tell_settings(&self, now: DateTime<Utc>) -> Result<()> {
        self.store.put_setting("kafka_bootstrap_servers", self.kafka.brokers(), now).await?;
        self.store.put_setting("lake_url", self.lake.url(), now).await?;
        self.store.put_setting("log_archive", self.config.text("log_archive"), now).await?;
        self.store.put_setting("warehouse_url", &warehouse_url(&self.config), now).await?;
        Ok(())
    }

    fn registry(&self, clock: Arc<StoreClock>) -> Result<Registry> {
        let owner = self.warehouse.clone();
        Ok(kinds::registry(Arc::new(Env {
            program: std::env::current_exe()?,
            dags_dir: self.config.dags_dir(),
            brokers: self.kafka.brokers().to_string(),
            kafka_login: self.kafka.security().settings(),
            lake: self.lake.clone(),
            warehouse: Arc::new(move || owner.get()),
            topic_columns: topic_columns(),
            group_lag: group_lag(&self.kafka),
            venvs_dir: self.config.data_dir().join("venvs"),
            clock,
            node: self.name(),
            http: http_client()?,
        })))
    }

    /// E-mail only where a mail server is named.
    fn outbound(&self) -> Result<Client> {
        let smtp =
            self.config.optional("smtp_url").map(|url| SmtpSettings::new(url, self.config.text("smtp_from")));
        Ok(Client::new(http_client()?, smtp.transpose().map_err(anyhow::Error::msg)?))
    }

    fn engine_config(&self) -> Result<EngineConfig> {
        let mut engine = EngineConfig::new(self.name(), self.config.dags_dir());
        engine.host = host_name();
        engine.queues = self.config.words("queues")?;
        engine.task_slots = self.config.parsed("task_slots")?;
        engine.service_slots = self.config.parsed("service_slots")?;
        engine.lease_ttl = Duration::from_secs(self.config.parsed("lease_seconds")?);
        engine.drain_grace = Duration::from_secs(self.config.parsed("drain_seconds")?);
        engine.stop_grace = Duration::from_secs(self.config.parsed("stop_seconds")?);
        engine.scheduler = self.parts.scheduler;
        engine.worker = self.parts.worker;
        engine.retention = retention::policy(&self.config)?;
        engine.vars = self.vars.clone();
        engine.vars.extend(self.config.vars.clone());
        engine.conns = self.config.conns.clone();
        engine.secrets = EngineConfig::secrets_of(std::env::vars());
        if !engine.dags_dir.is_dir() {
            bail!("{}: there is no such dags folder; name one with --dags", engine.dags_dir.display());
        }
        Ok(engine)
    }

    async fn traces(&self, now: DateTime<Utc>) -> Result<Option<Flow>> {
        match traces::Settings::of(&self.config, &self.name(), &host_name())? {
            Some(settings) => Ok(Some(settings.start(self.store.clone(), http_client()?, now).await?)),
            None => Ok(None),
        }
    }

    /// A node without pages can still be watched.
    async fn start_monitor(
        &self,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
        stats: &EngineStats,
        told: Option<Arc<Traces>>,
        clock: Arc<StoreClock>,
    ) -> Result<()> {
        if self.parts.web || self.config.optional("monitor_port").is_none() {
            return Ok(());
        }
        let monitor = self.web("monitor_port", stats, told, clock)?;
        let (listener, stop) = (monitor.bind().await?, cancel.clone());
        tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
        tasks.spawn(async move {
            if let Err(error) = monitor.serve_monitor(listener, stop).await {
                tracing::error!("metrics: {error:#}");
            }
        });
        Ok(())
    }

    fn web(
        &self,
        port: &'static str,
        stats: &EngineStats,
        told: Option<Arc<Traces>>,
        clock: Arc<StoreClock>,
    ) -> Result<Web> {
        let (owner, stats, for_parts) = (self.warehouse.clone(), stats.clone(), stats.clone());
        let access = Arc::new(move || owner.get().ok());
        let figures = Arc::new(move || {
            let snapshot = stats.get().map(|stats| serde_json::to_value(stats.snapshot()));
            let mut figures = snapshot.and_then(Result::ok).unwrap_or_default();
            if let (Some(told), Some(figures)) = (&told, figures.as_object_mut()) {
                figures.extend(told.figures().map(|(name, count)| (name.to_string(), count)));
            }
            figures
        });
        let web = Web::new(self.store.clone(), access, clock.clone(), self.web_config(port)?, figures);
        Ok(web.with_node_parts(node_health::parts(self.config.data_dir(), clock, for_parts)))
    }

    /// Whoever is not logged in may look, but only where nobody else can reach the port.
    fn web_config(&self, port: &'static str) -> Result<WebConfig> {
        let host: IpAddr = self.config.parsed("host")?;
        let listen = SocketAddr::new(host, self.config.parsed(port)?);
        let anonymous = match self.config.text("anonymous") {
            "viewer" if listen.ip().is_loopback() => Some(Role::Viewer),
            "viewer" | "none" => None,
            other => bail!("anonymous = {other:?}: viewer or none"),
        };
        let dashboard = self.config.dags_dir().join("streamify/dashboard");
        let project_dashboard_dir = dashboard.is_dir().then_some(dashboard);
        Ok(WebConfig { listen, anonymous, title: "Streamify".to_string(), project_dashboard_dir })
    }
}

fn http_client() -> Result<reqwest::Client> {
    reqwest::Client::builder().timeout(HTTP_TIMEOUT).build().context("HTTP client")
}

pub fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_string())
}
