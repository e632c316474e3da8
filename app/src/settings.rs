//! Every setting: its name, environment variable, default and meaning, in one table.

pub struct Setting {
    pub name: &'static str,
    pub variable: &'static str,
    pub default: &'static str,
    pub about: &'static str,
    /// Shown as `***`.
    pub secret: bool,
}

const fn setting(
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting { name, variable, default, about, secret: false }
}

pub const SETTINGS: &[Setting] = &[
    setting("data_dir", "STREAMIFY_DATA_DIR", ".streamify", "folder for all state"),
    setting("dags_dir", "STREAMIFY_DAGS_DIR", "dags", "folder with DAG files and the projects they use"),
    Setting {
        name: "database_url",
        variable: "DATABASE_URL",
        default: "",
        about: "Postgres; empty: an embedded one in the data folder",
        secret: true,
    },
    setting(
        "kafka_bootstrap_servers",
        "KAFKA_BOOTSTRAP_SERVERS",
        "",
        "Kafka brokers; empty: an embedded one in the data folder",
    ),
    setting(
        "lake_url",
        "STREAMIFY_LAKE_URL",
        "",
        "lake: folder or object store URL; empty: a folder in the data folder",
    ),
    setting(
        "warehouse_url",
        "STREAMIFY_WAREHOUSE_URL",
        "",
        "warehouse; empty: a DuckDB file in the data folder",
    ),
    setting("host", "STREAMIFY_HOST", "127.0.0.1", "address of pages and API"),
    setting("port", "STREAMIFY_PORT", "8080", "port of pages and API; 0: any free one"),
    setting(
        "monitor_port",
        "STREAMIFY_MONITOR_PORT",
        "",
        "port of /metrics and /api/v2/monitor/health of a node without pages; empty: none",
    ),
    setting(
        "advertise_url",
        "STREAMIFY_ADVERTISE_URL",
        "",
        "where other nodes reach this one's pages; empty: its address, or the host's name where that is 0.0.0.0",
    ),
    setting(
        "public_url",
        "STREAMIFY_PUBLIC_URL",
        "",
        "what links for people begin with, such as https://streamify.example; empty: as advertised",
    ),
    setting(
        "anonymous",
        "STREAMIFY_ANONYMOUS",
        "viewer",
        "role of whoever is not logged in: viewer or none; only on loopback",
    ),
    setting(
        "node_name",
        "STREAMIFY_NODE_NAME",
        "",
        "name of this node; empty: the host's name and the data folder's",
    ),
    setting(
        "queues",
        "STREAMIFY_QUEUES",
        "default,generator,stream",
        "queues whose tasks this node takes, with commas",
    ),
    setting("task_slots", "STREAMIFY_TASK_SLOTS", "16", "tasks at once on this node"),
    setting("service_slots", "STREAMIFY_SERVICE_SLOTS", "16", "services at once on this node"),
    setting(
        "drain_seconds",
        "STREAMIFY_DRAIN_SECONDS",
        "20",
        "when a node stops: its tasks may go on for so long before they are told to stop",
    ),
    setting(
        "stop_seconds",
        "STREAMIFY_STOP_SECONDS",
        "10",
        "a task that is told to stop may take so long before it is killed; a service says it in its file",
    ),
    setting("lease_seconds", "STREAMIFY_LEASE_SECONDS", "30", "a node not heard of for so long is given up"),
    setting(
        "users",
        "STREAMIFY_USERS",
        "",
        "pipeline: users of the simulated service; empty: the generator's default",
    ),
    setting("songs", "STREAMIFY_SONGS", "", "pipeline: songs CSV, path or URL; empty: a synthetic catalogue"),
    setting("seed", "STREAMIFY_SEED", "", "pipeline: seed of the generator"),
    setting(
        "history_hours",
        "STREAMIFY_HISTORY_HOURS",
        "24",
        "pipeline: full hours of history to begin with",
    ),
    setting(
        "stream_every_seconds",
        "STREAMIFY_STREAM_EVERY_SECONDS",
        "120",
        "pipeline: most seconds between two commits to the lake",
    ),
    setting(
        "keep_runs_days",
        "STREAMIFY_KEEP_RUNS_DAYS",
        "90",
        "ended runs, with their tasks, attempts and checks, are removed after so many days; 0: never",
    ),
    setting(
        "keep_runs_per_dag",
        "STREAMIFY_KEEP_RUNS_PER_DAG",
        "0",
        "at most so many runs of a dag; 0: any number",
    ),
    setting("keep_ticks_days", "STREAMIFY_KEEP_TICKS_DAYS", "400", "days of the tick ledger; 0: for ever"),
    setting(
        "keep_notices_days",
        "STREAMIFY_KEEP_NOTICES_DAYS",
        "30",
        "days of notices that were sent; 0: for ever",
    ),
    setting(
        "keep_asset_events_days",
        "STREAMIFY_KEEP_ASSET_EVENTS_DAYS",
        "90",
        "days of asset events; the newest of an asset stays; 0: for ever",
    ),
    setting("keep_audit_days", "STREAMIFY_KEEP_AUDIT_DAYS", "400", "days of the audit log; 0: for ever"),
    setting(
        "keep_logs_days",
        "STREAMIFY_KEEP_LOGS_DAYS",
        "30",
        "days of log lines in the database; then they go to log_archive; 0: for ever",
    ),
    setting(
        "keep_log_archive_days",
        "STREAMIFY_KEEP_LOG_ARCHIVE_DAYS",
        "365",
        "days of log lines in log_archive; 0: for ever",
    ),
    setting(
        "log_archive",
        "STREAMIFY_LOG_ARCHIVE",
        "",
        "where old log lines go: folder or object store URL; empty: _logs in the lake; none: nowhere",
    ),
    Setting {
        name: "smtp_url",
        variable: "STREAMIFY_SMTP_URL",
        default: "",
        about: "mail server for notices: smtps://user:password@host; empty: no e-mail",
        secret: true,
    },
    setting(
        "smtp_from",
        "STREAMIFY_SMTP_FROM",
        "",
        "who writes these e-mails: Streamify <alerts@example.org>",
    ),
    setting(
        "otlp_endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "traces go there by OTLP (HTTP/protobuf), such as http://127.0.0.1:4318; empty: no traces",
    ),
    setting(
        "otlp_traces_endpoint",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "",
        "the same, as the whole URL of the traces",
    ),
    Setting {
        name: "otlp_headers",
        variable: "OTEL_EXPORTER_OTLP_HEADERS",
        default: "",
        about: "headers of that request: name=value,name=value",
        secret: true,
    },
    setting("otlp_protocol", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "http/protobuf is the only one"),
    setting("otlp_timeout_ms", "OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "the longest such request"),
    setting("service_name", "OTEL_SERVICE_NAME", "streamify", "service.name of the traces"),
    setting("resource_attributes", "OTEL_RESOURCE_ATTRIBUTES", "", "more of them: name=value,name=value"),
    setting("log", "STREAMIFY_LOG", "", "log filter, such as info,engine=debug"),
    setting("log_format", "STREAMIFY_LOG_FORMAT", "text", "text or json"),
];
