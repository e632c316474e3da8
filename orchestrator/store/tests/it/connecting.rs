//! Connecting says what is wrong and never the password; the bell comes back after a lost connection.

use crate::support::{now, wide, world};
use std::time::Duration;
use store::notify::{Listener, Ring};
use store::{Error, Store};
use testkit::Database;

const PASSWORD: &str = "hunter2-secret";

async fn failure(url: &str) -> String {
    match Store::connect(url, 2).await {
        Err(Error::Connect { message }) => {
            assert!(!message.contains(PASSWORD), "{message}");
            message
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("connected"),
    }
}

async fn ring(listener: &mut Listener) -> Ring {
    tokio::time::timeout(Duration::from_secs(20), listener.next()).await.expect("the bell rings")
}

#[tokio::test]
async fn connect_errors_name_the_place_the_reason_and_the_remedy() {
    let database = Database::fresh().await;
    let (server, _) = database.url().rsplit_once('/').expect("a URL with a path");
    let refused = failure(&format!("postgres://ann:{PASSWORD}@127.0.0.1:1/db")).await;
    assert!(refused.contains("127.0.0.1:1") && refused.contains("connection refused"), "{refused}");
    let host = failure(&format!("postgres://ann:{PASSWORD}@no-such-host.invalid/db")).await;
    assert!(host.contains("no-such-host.invalid:5432") && host.contains("check the host name"), "{host}");
    let missing = failure(&format!("{server}/missing")).await;
    assert!(missing.contains("createdb missing"), "{missing}");
    for (url, part) in [
        (format!("mysql://ann:{PASSWORD}@h/db"), "does not begin with postgres://"),
        (format!("postgres://ann:{PASSWORD}@h:port/db"), "cannot be read"),
        (PASSWORD.to_owned(), "does not begin with postgres://"),
    ] {
        let message = failure(&url).await;
        assert!(message.contains(part), "{message}");
    }
}

/// A test cluster may trust everybody: this one asks for passwords, in Postgres's own protocol.
#[tokio::test]
async fn a_wrong_password_is_named_but_not_shown() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let answers = tokio::spawn(async move {
        let (mut socket, _) = server.accept().await.unwrap();
        let mut request = [0u8; 4096];
        let mut length = socket.read(&mut request).await.unwrap();
        if length == 8 {
            // SSLRequest: no.
            socket.write_all(b"N").await.unwrap();
            length = socket.read(&mut request).await.unwrap();
        }
        assert!(length > 8);
        // AuthenticationCleartextPassword, then the refusal.
        socket.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await.unwrap();
        assert!(socket.read(&mut request).await.unwrap() > 5);
        let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"ann\"\0\0";
        socket.write_all(b"E").await.unwrap();
        socket.write_all(&(fields.len() as u32 + 4).to_be_bytes()).await.unwrap();
        socket.write_all(fields).await.unwrap();
    });
    let message = failure(&format!("postgres://ann:{PASSWORD}@127.0.0.1:{port}/db")).await;
    answers.await.unwrap();
    assert!(message.contains("password authentication failed"), "{message}");
    assert!(message.contains("check the password of user ann"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_migrate_once() {
    let database = Database::fresh().await;
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move { Store::connect(&url, 2).await.unwrap().migrate().await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_bell_rings_for_what_happened_and_only_when_it_is_committed() {
    let world = world().await;
    let mut bell = world.store.listen().await.unwrap();
    let dag = wide("d", 1);
    world.trigger(&dag, "r1").await;
    assert_eq!([ring(&mut bell).await, ring(&mut bell).await], [Ring::Dags, Ring::Runs]);
    let duplicate = world.new_run(&dag, "r1").await;
    assert!(world.store.trigger(duplicate, now()).await.is_err());
    world.store.promote(now(), 1, None).await.unwrap();
    assert_eq!(ring(&mut bell).await, Ring::Work, "the refused trigger rang nothing");
    world.claim_one().await;
    world.store.request_cancel("d", "r1", "ann", now()).await.unwrap();
    assert_eq!(ring(&mut bell).await, Ring::Runs);
    world.store.advance(1, now(), None).await.unwrap();
    assert_eq!(ring(&mut bell).await, Ring::Stop);
    let line =
        store::logs::LogLine { attempt_id: 1, seq: 0, at: now(), stream: "system", line: String::new() };
    world.store.append_logs(&[line]).await.unwrap();
    assert_eq!(ring(&mut bell).await, Ring::Log(1));
}

#[tokio::test]
async fn a_lost_listener_comes_back_and_says_so() {
    let world = world().await;
    let mut bell = world.store.listen().await.unwrap();
    let killed = world
        .count(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and query ilike 'listen%'",
        )
        .await;
    assert_eq!(killed, 1);
    assert_eq!(ring(&mut bell).await, Ring::Reconnected);
    world.trigger(&wide("d", 1), "r").await;
    assert_eq!([ring(&mut bell).await, ring(&mut bell).await], [Ring::Dags, Ring::Runs]);
}

#[tokio::test]
async fn connections_that_died_in_the_pool_are_replaced() {
    let world = world().await;
    let run = world.started(&wide("d", 1)).await;
    let mut killer = world.pool.acquire().await.unwrap();
    let killed: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_one(&mut *killer)
    .await
    .unwrap();
    assert!(killed > 0);
    world.store.advance(run, now(), None).await.unwrap();
}

#[tokio::test]
async fn sessions_that_began_read_only_are_given_up_when_the_database_takes_writes_again() {
    let world = world().await;
    let database = &world.database;
    database.on_the_server("alter database {name} set default_transaction_read_only = on").await;
    let store = Store::connect(database.url(), 3).await.unwrap();
    let write = || store.put_setting("name", "value", now());
    let refused = write().await.unwrap_err().to_string();
    assert!(refused.contains("read-only transaction"), "{refused}");
    assert_eq!(store.health(now()).await.unwrap().read_only, Some("default_transaction_read_only is on"));

    database.on_the_server("alter database {name} reset default_transaction_read_only").await;
    // A few tries: other tests of this process acquire sessions of their own meanwhile.
    let mut refusals = 0;
    while let Err(error) = write().await {
        refusals += 1;
        assert!(refusals < 1_000, "{error}");
    }
    assert_eq!(store.settings().await.unwrap()["name"], "value");
    assert_eq!(store.health(now()).await.unwrap().read_only, None);
}

#[tokio::test]
async fn a_platform_keeps_its_id_and_no_other_has_it() {
    let (one, other) = (world().await, world().await);
    let id = one.store.platform_id(now()).await.unwrap();
    assert_eq!(one.store.platform_id(now()).await.unwrap(), id);
    assert_ne!(other.store.platform_id(now()).await.unwrap(), id);
}
