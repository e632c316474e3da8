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
    setting("log", "STREAMIFY_LOG", "", "log filter, such as info,engine=debug"),
    setting("log_format", "STREAMIFY_LOG_FORMAT", "text", "text or json"),
];
