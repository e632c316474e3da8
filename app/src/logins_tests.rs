//! Logins by token: where a token may go, and that a rotation is followed without a restart.

use super::*;
use std::time::Instant;
use store::notify::Ring;
use testkit::{Database, FakeMetadata};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_token_is_only_sent_where_nobody_reads_along() {
    for fine in [
        "postgres://10.0.0.3/streamify?sslmode=verify-ca&sslrootcert=/ca.pem",
        "postgres://app@10.0.0.3/streamify?sslmode=require",
        "postgres://127.0.0.1:5432/streamify",
    ] {
        assert!(checked(fine).is_ok(), "{fine}");
    }
    let refused = |url: &str| checked(url).unwrap_err().to_string();
    assert!(refused("postgres://10.0.0.3/streamify").contains("sslmode=verify-ca"));
    assert!(refused("postgres://10.0.0.3/streamify?sslmode=prefer").contains("sslmode=verify-ca"));
    let error = refused("postgres://app:hunter2@10.0.0.3/streamify?sslmode=require");
    assert!(error.contains("has a password") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_service_account_is_a_user_without_the_end_of_its_address() {
    assert_eq!(database_user("worker@p.iam.gserviceaccount.com"), "worker@p.iam");
    assert_eq!(database_user("ada@example.org"), "ada@example.org");
}

/// A role that knows one password, as Cloud SQL knows the tokens of an account.
async fn set_token(database: &Database, token: &str) {
    database.on_the_server(&format!("alter role \"robot@demo.iam\" login password '{token}'")).await;
}

async fn reaches(store: &Store) {
    let until = Instant::now() + PATIENCE;
    while let Err(error) = store.clock().await {
        assert!(Instant::now() < until, "never let in again: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_new_connections_log_in_with_the_new_token() {
    let (database, metadata) = (Database::fresh().await, FakeMetadata::start(120).await.unwrap());
    // A server that test processes share may have it from an earlier one.
    database
        .on_the_server(
            "do $$ begin create role \"robot@demo.iam\"; exception when duplicate_object then null; end $$",
        )
        .await;
    database.on_the_server("alter database {name} owner to \"robot@demo.iam\"").await;
    set_token(&database, "token-a").await;
    metadata.give("token-a");
    let url = format!("postgres://{}", database.url().rsplit_once('@').unwrap().1);
    let credentials = || Credentials::found(|name| metadata.variable(name)).unwrap();
    let store = by_token(&url, credentials()).await.unwrap();
    store.migrate().await.unwrap();
    let mut listener = store.listen().await.unwrap();
    reaches(&store).await;

    set_token(&database, "token-b").await;
    let refused =
        by_token(&url, credentials()).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        refused.contains("roles/cloudsql.instanceUser") && refused.contains("robot@demo.iam"),
        "{refused}"
    );
    assert!(!refused.contains("token-a"), "{refused}");
    metadata.give("token-b");
    database
        .on_the_server(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'robot@demo.iam'",
        )
        .await;
    reaches(&store).await;
    let rung = tokio::time::timeout(PATIENCE, listener.next()).await.expect("the listener is back");
    assert_eq!(rung, Ring::Reconnected);
}
