//! Transactions that Postgres refused for the sake of order are repeated; a connection that had died before it began anything is replaced.

use crate::{Error, Result, Store};
use sqlx::{PgConnection, Postgres, Transaction};

/// Repeats of one transaction. Deadlocks are rare by the order of locks; what fails so often fails for another reason.
const REPEATS_MAX: u32 = 6;
/// Connections tried for one BEGIN: after a restart of the server, all those in the pool are dead.
const BEGINS_MAX: u32 = 64;

impl Store {
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        let mut begins = 1;
        loop {
            match self.pool.begin().await {
                Ok(tx) => return Ok(tx),
                Err(error) if begins < BEGINS_MAX && is_dead_connection(&error) => begins += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Runs `body`, one transaction, again while Postgres answers 40001 or 40P01.
pub(crate) async fn in_tx<T, F>(name: &'static str, mut body: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut repeats = 0;
    loop {
        match body().await {
            Err(error) if repeats < REPEATS_MAX && is_order_conflict(&error) => {
                repeats += 1;
                tracing::debug!(transaction = name, repeats, %error, "transaction repeated");
                tokio::task::yield_now().await;
            }
            done => return done,
        }
    }
}

fn is_order_conflict(error: &Error) -> bool {
    matches!(error, Error::Db(sqlx::Error::Database(db)) if matches!(db.code().as_deref(), Some("40001" | "40P01")))
}

fn is_dead_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // admin_shutdown, crash_shutdown, idle session ended by the server
        sqlx::Error::Database(db) => {
            matches!(db.code().as_deref(), Some("57P01" | "57P02" | "25P03" | "57P05"))
        }
        _ => false,
    }
}

/// Sends a ring when the transaction commits. Postgres sends equal ones of a transaction once.
pub(crate) async fn ring(conn: &mut PgConnection, payload: &str) -> Result<()> {
    sqlx::query("select pg_notify('streamify', $1)").bind(payload).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// What Postgres itself answers, with the code as given.
    async fn refused_with(store: &Store, code: &str, times: u32) -> (u32, Result<()>) {
        let bodies = Cell::new(0);
        let done = in_tx("test", || async {
            bodies.set(bodies.get() + 1);
            let mut tx = store.begin().await?;
            if bodies.get() <= times {
                sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
                    "do $$ begin raise exception 'refused' using errcode = '{code}'; end $$"
                )))
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await;
        (bodies.get(), done)
    }

    #[tokio::test]
    async fn conflicts_of_order_are_repeated_a_bounded_number_of_times_and_nothing_else_is() {
        let database = testkit::Database::fresh().await;
        let store = Store::connect(database.url(), 2).await.unwrap();
        for code in ["40001", "40P01"] {
            let (bodies, done) = refused_with(&store, code, 2).await;
            assert!(done.is_ok() && bodies == 3, "{code}: {bodies} {done:?}");
        }
        let (bodies, done) = refused_with(&store, "40001", u32::MAX).await;
        assert!(done.is_err() && bodies == REPEATS_MAX + 1);
        let (bodies, done) = refused_with(&store, "23505", u32::MAX).await;
        assert!(done.is_err() && bodies == 1);
    }
}
