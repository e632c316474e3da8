//! One private cluster a test process, one empty database a test.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: &str = "streamify-test-";

static CLUSTER: OnceLock<String> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

/// An empty database on a real Postgres. The cluster ends with the test process.
pub struct Database {
    url: String,
}

impl Database {
    /// Panics, with what to do, when no server can be started: a test cannot go on without it.
    pub async fn fresh() -> Database {
        let cluster = tokio::task::spawn_blocking(|| CLUSTER.get_or_init(start_cluster))
            .await
            .expect("starting postgres does not panic");
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection =
            PgConnection::connect(&format!("{cluster}/streamify")).await.expect("the test cluster answers");
        sqlx::query(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut connection)
            .await
            .expect("a test database can be created");
        Database { url: format!("{cluster}/{name}") }
    }

    /// One that is there already, on a server of the test's own.
    pub fn at(url: impl Into<String>) -> Database {
        Database { url: url.into() }
    }

    /// Statements in this database, past all rules of ours.
    pub async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url).await.expect("the test database answers");
        sqlx::raw_sql(AssertSqlSafe(sql.to_string()))
            .execute(&mut connection)
            .await
            .expect("the database does it");
    }

    /// A statement to the server, from outside of this database: `{name}` stands for its name.
    pub async fn on_the_server(&self, sql: &str) {
        let (cluster, name) = self.url.rsplit_once('/').expect("the URL ends with the name");
        let mut connection =
            PgConnection::connect(&format!("{cluster}/streamify")).await.expect("the test cluster answers");
        let statement = AssertSqlSafe(sql.replace("{name}", name));
        sqlx::query(statement).execute(&mut connection).await.expect("the server does it");
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

/// `STREAMIFY_TEST_POSTGRES` (a URL without database) shares one server between test processes; else each starts its own.
fn start_cluster() -> String {
    if let Ok(url) = std::env::var("STREAMIFY_TEST_POSTGRES") {
        return url.trim_end_matches('/').to_string();
    }
    remove_left_over_clusters();
    let folder = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a temp folder");
    let options = postgres::Options { home: folder.join("postgres"), fsync: false, max_connections: 300 };
    open_to_all(&folder);
    let server =
        postgres::Postgres::start(&options).unwrap_or_else(|error| panic!("tests need PostgreSQL: {error}"));
    let url = server.url();
    let base = url.rsplit_once('/').expect("a postgres URL has a path").0.to_string();
    // The server gets its shutdown signal from the kernel when this process ends.
    std::mem::forget(server);
    base
}

/// A process that ends cannot remove its cluster (the server outlives it by a moment): the next one does.
fn remove_left_over_clusters() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The server may run as another user, who must be able to enter the folder.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("own temp folder");
}
