//! Logs, checks, users and tokens.

use crate::support::{at, now, wide, world};
use model::{CheckResult, CheckStatus, Ending, Severity};
use store::Error;
use store::auth::{Role, TokenKind};
use store::logs::LogLine;

fn line(seq: i32, seconds: i64) -> LogLine {
    LogLine { attempt_id: 7, seq, at: at(seconds), stream: "stdout", line: format!("line {seq}\0") }
}

#[tokio::test]
async fn a_repeated_batch_of_logs_is_stored_once() {
    let world = world().await;
    let day = 24 * 3600;
    let batch = [line(0, 0), line(1, 1), line(2, day)];
    world.store.append_logs(&batch).await.unwrap();
    world.store.append_logs(&batch).await.unwrap();
    world.store.append_logs(&[line(2, day), line(3, 2 * day)]).await.unwrap();
    let lines = world.store.read_logs(7, -1, 100).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(lines[0].line, "line 0\u{fffd}");
    let tail = world.store.read_logs(7, 1, 1).await.unwrap();
    assert_eq!(tail.iter().map(|line| line.seq).collect::<Vec<_>>(), [2]);
    assert!(world.store.read_logs(8, -1, 100).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_open_a_new_day_together() {
    let world = world().await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let url = world.database.url().to_owned();
            tokio::spawn(async move {
                let store = store::Store::connect(&url, 1).await.unwrap();
                store.append_logs(&[LogLine { attempt_id: writer, ..line(0, 0) }]).await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(world.count("select count(*) from logs").await, 8);
}

#[tokio::test]
async fn a_check_is_stored_for_live_and_just_ended_attempts_and_once() {
    let world = world().await;
    world.started(&wide("d", 1)).await;
    let attempt = world.claim_one().await;
    let check = CheckResult {
        name: "unique_songs".to_owned(),
        subject: "songs".to_owned(),
        severity: Severity::Error,
        status: CheckStatus::Fail,
        value: 2.0,
        bounds: "= 0".to_owned(),
        sample: vec![serde_json::json!({"id": 1})],
        sql: None,
    };
    world.store.put_check(attempt.attempt_id, &check, at(1)).await.unwrap();
    world.end(&attempt, Ending::Done, at(2)).await;
    let later = CheckResult { status: CheckStatus::Pass, value: f64::NAN, ..check.clone() };
    world.store.put_check(attempt.attempt_id, &later, at(3)).await.unwrap();
    let rows: Vec<(String, String)> =
        sqlx::query_as("select status, sample::text from checks").fetch_all(&world.pool).await.unwrap();
    assert_eq!(rows, [("pass".to_owned(), r#"[{"id":1}]"#.to_owned())]);
    assert!(matches!(world.store.put_check(99, &check, at(4)).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_user_keeps_its_password_when_its_role_changes() {
    let world = world().await;
    let user = world.store.put_user("ann", Role::Viewer, Some("hash"), now()).await.unwrap();
    let admin = world.store.put_user("ann", Role::Admin, None, at(1)).await.unwrap();
    assert_eq!((admin.id, admin.role), (user.id, Role::Admin));
    assert_eq!(world.store.user("ann").await.unwrap(), Some((admin, Some("hash".to_owned()))));
    assert_eq!(world.store.user("bob").await.unwrap(), None);
}

#[tokio::test]
async fn tokens_work_until_they_expire_are_used_up_or_revoked() {
    let world = world().await;
    let store = &world.store;
    let user = store.put_user("ann", Role::Operator, None, now()).await.unwrap();
    let (api, link, session) = ([1; 32], [2; 32], [3; 32]);
    store.put_token(user.id, TokenKind::Api, &api, "ci", None, now()).await.unwrap();
    store.put_token(user.id, TokenKind::LoginLink, &link, "", Some(at(60)), now()).await.unwrap();
    store.put_token(user.id, TokenKind::Session, &session, "", Some(at(60)), now()).await.unwrap();
    let live =
        |kind, token, seconds| async move { store.token_user(kind, &token, at(seconds)).await.unwrap() };
    assert_eq!(live(TokenKind::Api, api, 9999).await, Some(user.clone()));
    assert_eq!(live(TokenKind::Session, api, 1).await, None, "another kind");
    assert_eq!(live(TokenKind::Session, session, 59).await, Some(user.clone()));
    assert_eq!(live(TokenKind::Session, session, 60).await, None);
    assert_eq!(live(TokenKind::LoginLink, link, 61).await, None);
    assert_eq!(live(TokenKind::LoginLink, link, 1).await, Some(user));
    assert_eq!(live(TokenKind::LoginLink, link, 2).await, None, "a link works once");
    store.revoke_token(&api).await.unwrap();
    assert_eq!(live(TokenKind::Api, api, 1).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_waited_for_another_to_open_the_day_goes_on() {
    let world = world().await;
    let open = "select ensure_log_partition('2026-03-01')";
    let mut first = world.pool.begin().await.unwrap();
    sqlx::query(open).execute(&mut *first).await.unwrap();
    let pool = world.pool.clone();
    let second = tokio::spawn(async move { sqlx::query(open).execute(&pool).await });
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())";
    for _ in 0..10_000 {
        if world.count(waiting).await == 1 {
            break;
        }
    }
    assert_eq!(world.count(waiting).await, 1);
    first.commit().await.unwrap();
    second.await.unwrap().unwrap();
}
