//! The schema: brought up to date, and whether this binary fits the one that is there.
//!
//! Migrations expand first and contract later: a node of the version before works on a schema that has only grown, and one that lacks what was
//! taken away refuses to start. `cargo xtask tidy` knows which statements take away.

use crate::{Error, MIGRATOR, Result, Store};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use std::time::Duration;

/// Migrations at once would be in each other's way.
const LOCK: &str = "streamify.migrate";
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long another node may take for them.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// The schema of the database, beside that of this binary.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SchemaState {
    /// The newest migration of this binary.
    pub known: i64,
    /// The newest one of the database; `None`: there is no schema yet.
    pub applied: Option<i64>,
    /// Migrations of this binary that the database lacks.
    pub missing: usize,
    /// The newest migration that a binary must know.
    pub needs: i64,
    /// The migration that took away what older binaries use.
    pub contracted_by: Option<i64>,
}

impl SchemaState {
    /// # Errors
    /// If this binary is too old for the database.
    pub fn check(&self) -> Result<()> {
        match self.contracted_by {
            Some(by) if self.needs > self.known => Err(Error::Refused {
                message: format!(
                    "this version is too old for the database: migration {by} took away what it uses. It knows migrations up to {}, and \
                     must know {}: start a newer version, or restore the backup from before the upgrade",
                    self.known, self.needs
                ),
            }),
            _ => Ok(()),
        }
    }
}

impl Store {
    /// Brings the schema up to date. Safe from several nodes at once, and from an older binary on a schema that has only grown since; an
    /// older one than the schema allows is refused, and changes nothing.
    pub async fn migrate(&self) -> Result<()> {
        self.schema_state().await?.check()?;
        let mut connection = PgConnection::connect_with(&self.pool.connect_options()).await?;
        // Asked for again and again, not waited for: a waiting statement would hold up `create index concurrently`.
        let mut waited = Duration::ZERO;
        while !sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock(hashtext($1))")
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await?
        {
            if waited >= WAIT_MAX {
                let message =
                    format!("another node has been migrating for {} s: see its log", WAIT_MAX.as_secs());
                return Err(Error::Refused { message });
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
        let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
        migrator.set_ignore_missing(true);
        migrator.run(&self.pool).await.map_err(sqlx::Error::from)?;
        // The lock ends with the connection.
        connection.close().await?;
        Ok(())
    }

    pub async fn schema_state(&self) -> Result<SchemaState> {
        let versions: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
        let known = versions.iter().copied().max().unwrap_or_default();
        let (migrations, contracts) = sqlx::query_as::<_, (bool, bool)>(
            "select to_regclass('_sqlx_migrations') is not null, to_regclass('schema_contracts') is not null",
        )
        .fetch_one(&self.pool)
        .await?;
        let mut applied = Vec::new();
        if migrations {
            applied = sqlx::query_scalar::<_, i64>(
                "select version from _sqlx_migrations where success order by version",
            )
            .fetch_all(&self.pool)
            .await?;
        }
        let mut contract = None;
        if contracts {
            contract = sqlx::query_as::<_, (i64, i64)>(
                "select migration, needs from schema_contracts order by needs desc, migration limit 1",
            )
            .fetch_optional(&self.pool)
            .await?;
        }
        Ok(SchemaState {
            known,
            applied: applied.last().copied(),
            missing: versions.iter().filter(|version| !applied.contains(version)).count(),
            needs: contract.map_or(0, |(_, needs)| needs),
            contracted_by: contract.map(|(migration, _)| migration),
        })
    }
}
